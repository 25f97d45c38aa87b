//! Makes the table's items after a survey: only those that changed.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::folded::{Change, Folded};
use super::state::Inventory;
use crate::facts::Deployments;
use crate::notice::{OwnerNotified, OwnersNotified};
use crate::table::{AUDIT_KEPT, GONE_KEPT, Item, Key};
use crate::time::Timestamp;

/// The most changes in one entry of the audit trail, far below the size limit of an item.
const MOST_CHANGES: usize = 500;

/// What a survey changed, for the audit trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Changes {
    pub at: Timestamp,
    pub changes: BTreeSet<Change>,
    /// How many more changes there were.
    #[serde(default)]
    pub left_out: usize,
}

/// Returns the items to write after a survey, in their order. Places are last, because a place says
/// how old all the others are. If writing stops early, the next survey writes the rest.
///
/// # Errors
///
/// Fails if something cannot be written as JSON.
pub fn items(before: &Inventory, folded: &Folded, now: Timestamp) -> Result<Vec<Item>, serde_json::Error> {
    let after = &folded.inventory;
    let mut items = Items { now, items: Vec::new() };
    for (key @ (image, digest), assessment) in &after.versions {
        if before.versions.get(key) != Some(assessment) {
            items.put(Key::version(image, digest), assessment)?;
        }
    }
    for (key @ (image, digest), assessment) in &before.versions {
        if !after.versions.contains_key(key) {
            items.put_gone(Key::version(image, digest), assessment)?;
        }
    }
    for (image, exposures) in &after.exposures {
        if before.exposures.get(image) != Some(exposures) {
            items.put(Key::exposures(image), exposures)?;
        }
    }
    for (image, exposures) in
        before.exposures.iter().filter(|(image, _)| !after.exposures.contains_key(*image))
    {
        items.put_gone(Key::exposures(image), exposures)?;
    }
    let (ran, runs) = (before.deployments(), after.deployments());
    for (image, running) in &runs {
        if ran.get(image) != Some(running) {
            items.put(Key::deployments(image), running)?;
        }
    }
    for image in ran.keys().filter(|image| !runs.contains_key(*image)) {
        items.put(Key::deployments(image), &Deployments::default())?;
    }
    for (key, entry) in &after.entries {
        if before.entries.get(key) != Some(entry) {
            items.put(Key::entry(key), entry)?;
        }
    }
    for (key, entry) in &folded.ended {
        items.put_gone(Key::entry(key), entry)?;
    }
    for (id, place) in &after.places {
        if before.places.get(id) != Some(place) {
            items.put(Key::place(id), place)?;
        }
    }
    for (id, place) in before.places.iter().filter(|(id, _)| folded.gone.contains(*id)) {
        items.put_gone(Key::place(id), place)?;
    }
    if !folded.changes.is_empty() {
        items.put_changes(&folded.changes)?;
    }
    Ok(items.items)
}

/// Returns the items of owners' notices.
///
/// # Errors
///
/// Fails if something cannot be written as JSON.
pub fn notified_items(notified: &OwnersNotified, now: Timestamp) -> Result<Vec<Item>, serde_json::Error> {
    let mut items = Items { now, items: Vec::new() };
    for (owner, notified) in notified {
        let state = OwnerNotified { owner: owner.clone(), notified: notified.clone() };
        items.put(Key::notified(owner.as_deref()), &state)?;
    }
    Ok(items.items)
}

struct Items {
    now: Timestamp,
    items: Vec<Item>,
}

impl Items {
    fn put<T: Serialize>(&mut self, key: Key, state: &T) -> Result<(), serde_json::Error> {
        self.items.push(Item { key, state: serde_json::to_string(state)?, expires_at: None });
        Ok(())
    }

    fn put_gone<T: Serialize>(&mut self, key: Key, state: &T) -> Result<(), serde_json::Error> {
        let expires_at = Some(GONE_KEPT.after(self.now));
        self.items.push(Item { key, state: serde_json::to_string(state)?, expires_at });
        Ok(())
    }

    fn put_changes(&mut self, changes: &BTreeSet<Change>) -> Result<(), serde_json::Error> {
        let entry = Changes {
            at: self.now,
            changes: changes.iter().take(MOST_CHANGES).cloned().collect(),
            left_out: changes.len().saturating_sub(MOST_CHANGES),
        };
        let expires_at = Some(AUDIT_KEPT.after(self.now));
        let state = serde_json::to_string(&entry)?;
        self.items.push(Item { key: Key::changes(self.now), state, expires_at });
        Ok(())
    }
}
