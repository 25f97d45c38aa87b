//! Whether anything that a policy would act on is in use.

use std::collections::BTreeSet;

use serde::Serialize;

use super::images::{Image, Listing};
use super::in_use::{InUse, by, uses};
use super::judge::{Going, judge};
use super::policy::Policy;
use crate::image::{Digest, Tag};
use crate::inventory::{Answer, PlaceRow, Row};
use crate::time::{Span, Timestamp};

/// From which age on what is known of a place says nothing any more: a sweep a day, and two hours for it to come to its end.
/// The stack's alarm waits as long.
pub const OUTDATED: Span = Span::hours(26);

/// Whether anything in use would go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// Nothing of what is in use.
    Safe,
    /// Something.
    InUse,
    /// Nobody knows.
    Unknown,
}

/// An image that a policy would act on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Goes {
    /// The image.
    pub digest: Digest,
    /// Its tags.
    pub tags: BTreeSet<Tag>,
    /// When it was pushed.
    pub pushed_at: Timestamp,
    /// What is done to it, and by which rule.
    #[serde(flatten)]
    pub going: Going,
    /// What uses it.
    pub in_use: BTreeSet<InUse>,
}

/// What a policy would do, and whether that hurts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outlook {
    /// Whether anything in use would go.
    pub verdict: Verdict,
    /// Every image that would go.
    pub going: Vec<Goes>,
    /// What is not known of what runs.
    pub unknown: Vec<String>,
}

/// Says what a policy would do to a repository at `now`, and which of it is in use by the inventory, which also knows
/// the index of a platform's manifest that runs: the registry does not say what an index lists.
pub fn outlook(policy: &Policy, listing: &Listing, inventory: Option<&Answer>, now: Timestamp) -> Outlook {
    let mut listing = listing.clone();
    let rows = || inventory.into_iter().flat_map(rows);
    for row in rows() {
        if let (Some(index), Some(child)) = (row.entry.resolution.version(), &row.entry.digest) {
            listing.note(index, child);
        }
    }
    let going = judge(policy, &listing.images, now);
    let mut unknown = match inventory {
        Some(answer) => doubts(answer, now),
        None if going.is_empty() => Vec::new(),
        None => vec!["what runs is not known: name the inventory".to_owned()],
    };
    let open = rows().filter(|row| listing.leaves_open(row));
    unknown.extend(open.map(|row| {
        let (by, asked) = (by(row), &row.entry.asked);
        format!("{by} uses {asked}, and it is not known which version")
    }));
    let uses = uses(&listing, rows());
    let goes = |(digest, going): (Digest, Going)| {
        let Image { tags, pushed_at, .. } = listing.images.get(&digest)?.clone();
        let in_use = uses.get(&digest).cloned().unwrap_or_default();
        Some(Goes { digest, tags, pushed_at, going, in_use })
    };
    let going: Vec<Goes> = going.into_iter().filter_map(goes).collect();
    let verdict = if going.iter().any(|goes| !goes.in_use.is_empty()) {
        Verdict::InUse
    } else if unknown.is_empty() {
        Verdict::Safe
    } else {
        Verdict::Unknown
    };
    Outlook { verdict, going, unknown }
}

fn rows(answer: &Answer) -> impl Iterator<Item = &Row> {
    answer.running.iter().chain(&answer.referenced)
}

/// Returns why an inventory does not say everything.
fn doubts(answer: &Answer, now: Timestamp) -> Vec<String> {
    let mut doubts = Vec::new();
    if !answer.question.is_everything() {
        doubts.push("the inventory is of a part only; ask without --env, --image and --cve".to_owned());
    }
    if answer.places.is_empty() {
        doubts.push("the inventory looked nowhere".to_owned());
    }
    doubts.extend(answer.places.iter().filter_map(|place| doubt(place, now)));
    doubts
}

fn doubt(place: &PlaceRow, now: Timestamp) -> Option<String> {
    let age = place.read_at.map(|read| Span::between(read, now));
    match (&place.unread, age) {
        (Some(because), _) => Some(format!("{} was not read: {because}", place.id)),
        (None, None) => Some(format!("{} was never read", place.id)),
        (None, Some(age)) if age > OUTDATED => {
            Some(format!("{} was last read {} ago", place.id, age.in_words()))
        }
        (None, Some(_)) => None,
    }
}
