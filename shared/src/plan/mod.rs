//! The planner: from hierarchy, facts, mode and time to a [`Plan`].

mod hold;
mod proof;
mod reason;
mod start;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use hold::{Awaited, Hold, Limit};
pub use proof::{Proof, Verdict};
pub use reason::{Cause, Evidence, Intent, Reason};
pub use start::{BuildKey, SourceRevision, Start};

use crate::image::{Digest, ImageId, Platform, Repository};
use crate::record::Record;

/// A manifest whose scan a decision waits for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AwaitedScan {
    /// Of which image.
    pub image: ImageId,
    /// Its repository.
    pub repository: Repository,
    /// The platform.
    pub platform: Platform,
    /// The platform manifest.
    pub digest: Digest,
}

/// Something that is not known, and therefore not clean.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unknown {
    /// About which image.
    pub image: ImageId,
    /// On which platform, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// What, and why.
    pub because: String,
}

/// What to do, and why nothing else. The executor walks it and decides nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[must_use = "a plan that nobody applies or reads does nothing"]
pub struct Plan {
    /// The builds to start, most urgent first.
    pub starts: Vec<Start>,
    /// Every other image in scope, with the one hold that keeps it.
    pub holds: BTreeMap<ImageId, Hold>,
    /// The reasons of every image that has any, started or not.
    pub reasons: BTreeMap<ImageId, Vec<Reason>>,
    /// Verdicts that this plan reached.
    pub proofs: Vec<Proof>,
    /// What is not known.
    pub unknown: BTreeSet<Unknown>,
    /// Scans that decisions wait for.
    pub scans: BTreeSet<AwaitedScan>,
    /// Records to write before anything starts; only those that change. Those that enter the index of the unsettled
    /// are written before those that leave it, so that a wave is never lost between two writes.
    pub records: BTreeMap<ImageId, Record>,
    /// Images whose slot ended.
    pub freed: BTreeSet<ImageId>,
}
