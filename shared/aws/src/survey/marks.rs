//! Marks of what was begun. They outlive a function that ends while it reads.
//!
//! A mark is written before a place is read and removed after. If one is there when a survey
//! begins, an earlier survey ended the function. Its places are read alone and last, so that only
//! the one that ends the function again keeps its mark.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::LocalBoxFuture;
use patchwave::inventory::Place;
use patchwave::table::{Item, Key};
use patchwave::time::{Span, Timestamp};
use patchwave_converge::Fault;
use serde::{Deserialize, Serialize};

use crate::dynamodb::Ledger;
use crate::fault::invalid;

/// After this many times a place is not begun again.
const MOST_TIMES: u32 = 2;
/// For how long it is not begun again.
const LEFT_ALONE: Span = Span::days(7);

/// Something that was begun and has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Begun {
    /// The place; `None` for the survey itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// How often it was begun, this time included.
    pub times: u32,
    /// When it was begun last.
    pub at: Timestamp,
}

/// Where marks are kept.
pub(crate) trait Marks: Send + Sync {
    /// Writes a mark.
    fn write(&self, begun: Begun) -> LocalBoxFuture<'_, Result<(), Fault>>;
    /// Removes the mark of something that has ended.
    fn remove(&self, place: Option<Place>, at: Timestamp) -> LocalBoxFuture<'_, Result<(), Fault>>;
}

/// The marks that an earlier survey left, and where this one keeps its own.
#[derive(Clone)]
pub(crate) struct Book {
    marks: Arc<dyn Marks>,
    /// By the place's id.
    earlier: Arc<BTreeMap<String, Begun>>,
}

impl Book {
    pub(crate) fn new(marks: Arc<dyn Marks>, earlier: &[Begun]) -> Self {
        let of_place = |begun: &Begun| Some((begun.place.as_ref()?.id(), begun.clone()));
        Self { marks, earlier: Arc::new(earlier.iter().filter_map(of_place).collect()) }
    }

    /// Returns the places that an earlier survey began and did not end.
    pub(super) fn earlier(&self) -> impl Iterator<Item = &Place> {
        self.earlier.values().filter_map(|begun| begun.place.as_ref())
    }

    pub(super) fn is_earlier(&self, place: &Place) -> bool {
        self.earlier.contains_key(&place.id())
    }

    /// Says why a place is not begun again, if so.
    pub(super) fn left_alone(&self, place: &Place, now: Timestamp) -> Option<String> {
        let begun = self.earlier.get(&place.id())?;
        let is_left = begun.times >= MOST_TIMES && now < LEFT_ALONE.after(begun.at);
        is_left.then(|| {
            format!(
                "reading it ended the function {} times, last at {:.0}; it is read again after {:.0}",
                begun.times,
                begun.at,
                LEFT_ALONE.after(begun.at)
            )
        })
    }

    pub(super) async fn begin(&self, place: &Place, now: Timestamp) -> Result<(), Fault> {
        let earlier = self.earlier.get(&place.id()).filter(|begun| now < LEFT_ALONE.after(begun.at));
        let times = earlier.map_or(1, |begun| begun.times.saturating_add(1));
        self.marks.write(Begun { place: Some(place.clone()), times, at: now }).await
    }

    pub(super) async fn end(&self, place: &Place, now: Timestamp) -> Result<(), Fault> {
        self.marks.remove(Some(place.clone()), now).await
    }
}

/// Keeps no marks: a person sees it if the survey ends early.
#[derive(Debug)]
pub(crate) struct Unmarked;

impl Marks for Unmarked {
    fn write(&self, _: Begun) -> LocalBoxFuture<'_, Result<(), Fault>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn remove(&self, _: Option<Place>, _: Timestamp) -> LocalBoxFuture<'_, Result<(), Fault>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

impl Marks for Ledger {
    fn write(&self, begun: Begun) -> LocalBoxFuture<'_, Result<(), Fault>> {
        Box::pin(async move { self.write(&[item(&begun, None)?]).await })
    }

    /// Leaves the item to the table's time to live, so that the function needs no permission to
    /// delete.
    fn remove(&self, place: Option<Place>, at: Timestamp) -> LocalBoxFuture<'_, Result<(), Fault>> {
        Box::pin(async move { self.write(&[item(&Begun { place, times: 0, at }, Some(at))?]).await })
    }
}

fn item(begun: &Begun, expires_at: Option<Timestamp>) -> Result<Item, Fault> {
    let place = begun.place.as_ref().map(Place::id);
    let state = serde_json::to_string(begun).map_err(|e| invalid("write a mark", e.to_string()))?;
    Ok(Item { key: Key::begun(place.as_deref()), state, expires_at })
}

/// Returns the marks that an earlier survey left.
pub(crate) async fn left(ledger: &Ledger) -> Result<Vec<Begun>, Fault> {
    ledger.states("read what was begun and has not ended", Key::all_begun()).await
}
