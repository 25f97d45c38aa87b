//! What a survey makes of the inventory, and what it changes.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::resolve::Resolution;
use super::state::{Entry, EntryKey, Inventory};
use crate::finding::FindingKey;
use crate::image::{Digest, ImageId};
use crate::time::Timestamp;

/// A difference between the inventory and a later survey.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Change {
    /// A digest runs or is referred to that was not before.
    Appeared {
        place: String,
        workload: String,
        /// The image reference, as the workload asks for it.
        asked: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        digest: Option<Digest>,
        resolution: Resolution,
    },
    /// A digest no longer runs, or is no longer referred to.
    Disappeared {
        place: String,
        workload: String,
        /// The image reference, as the workload asks for it.
        asked: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        digest: Option<Digest>,
        last_seen: Timestamp,
    },
    /// A running image became vulnerable.
    Vulnerable { image: ImageId, finding: FindingKey, since: Timestamp },
    /// Nothing that runs has the finding any more.
    Patched {
        image: ImageId,
        finding: FindingKey,
        since: Timestamp,
        /// When a container with the finding was last seen.
        vulnerable_until: Timestamp,
    },
    /// The finding is no longer listed or no longer counts, although the same versions run.
    Withdrawn { image: ImageId, finding: FindingKey },
    /// A place can no longer be read.
    Unread { place: String, because: String },
    /// A place can be read again.
    ReadAgain { place: String },
    /// A cluster no longer exists.
    PlaceGone { place: String },
}

/// The inventory after a survey, and how it differs from the one before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folded {
    pub inventory: Inventory,
    pub changes: BTreeSet<Change>,
    /// The entries that are gone, as they were when last seen.
    pub ended: BTreeMap<EntryKey, Entry>,
    /// The places that no longer exist.
    pub gone: BTreeSet<String>,
}
