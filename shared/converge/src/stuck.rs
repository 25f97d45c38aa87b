//! Slots that no pass gives back by itself, for people.

use std::collections::BTreeSet;

use patchwave::hierarchy::Hierarchy;
use patchwave::image::ImageId;
use serde::Serialize;

use crate::world::{Fault, World};

/// A slot that no build needs any more, as far as is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StuckSlot {
    pub image: ImageId,
    pub because: String,
    /// The fence of its record, if the record could be read.
    #[serde(skip)]
    pub fence: Option<u64>,
}

/// Lists the slots of images whose record has no claim or cannot be read.
///
/// A pass frees the slot of a claim that ended, and reads no claim in these records.
///
/// # Errors
///
/// The ledger does not answer.
pub async fn stuck_slots<W: World>(world: &W, hierarchy: &Hierarchy) -> Result<Vec<StuckSlot>, Fault> {
    let held_by: BTreeSet<ImageId> = world.slots(world.now()).await?.held_by;
    if held_by.is_empty() {
        return Ok(Vec::new());
    }
    let records = world.records(&held_by).await?;
    let mut stuck = Vec::new();
    for image in held_by {
        let (because, fence) = match (records.unreadable.get(&image), records.read.get(&image)) {
            (Some(fault), _) => (format!("its record cannot be read: {fault}"), None),
            (None, Some(record)) if record.claim.is_some() => continue,
            (None, Some(record)) => ("its record has no claim".to_owned(), Some(record.fence)),
            (None, None) => ("it has no record".to_owned(), Some(0)),
        };
        let left = if hierarchy.image(&image).is_ok() { "" } else { "it left the hierarchy, and " };
        stuck.push(StuckSlot { because: format!("{left}{because}"), image, fence });
    }
    Ok(stuck)
}
