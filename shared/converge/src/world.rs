//! The one seam between decisions and effects.
//!
//! AWS implements it, and so does the simulator; nothing else is ever mocked. Its words are the domain's. Calls that
//! take many things answer for each of them, so that one missing image or one denied repository spoils no other.

use std::collections::{BTreeMap, BTreeSet};

use patchwave::facts::{Deployments, Execution, PipelineFacts, Slots, Version};
use patchwave::finding::Scan;
use patchwave::hierarchy::Image;
use patchwave::image::{Digest, ImageId, Repository};
use patchwave::notice::Notice;
use patchwave::plan::{Limit, Start};
use patchwave::policy::Limits;
use patchwave::record::{Claim, Record};
use patchwave::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Why the world did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FaultKind {
    /// Too many calls: later.
    Throttled,
    /// No permission: a person must act.
    Denied,
    /// No answer, or a server's error: later. A change that was asked for may have been made.
    Unavailable,
    /// The answer, or what was asked, makes no sense: a person must act.
    Invalid,
}

/// The world did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("failed to {operation}: {message}")]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    /// What was tried: `describe images of platform/node`.
    pub operation: String,
    /// Why it failed.
    pub kind: FaultKind,
    /// The whole chain of causes, for people.
    pub message: String,
}

/// The records of some images. An image that is in neither map has none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Records {
    /// Those that could be read.
    pub read: BTreeMap<ImageId, Record>,
    /// Those that exist and make no sense, with why: nothing may be decided about their images.
    pub unreadable: BTreeMap<ImageId, Fault>,
}

impl From<BTreeMap<ImageId, Record>> for Records {
    fn from(read: BTreeMap<ImageId, Record>) -> Self {
        Self { read, unreadable: BTreeMap::new() }
    }
}

/// A record was not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotSaved {
    /// Somebody else wrote it since it was read: read and plan again.
    #[error("somebody else wrote the record first")]
    Conflict,
    /// The ledger did not answer.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// A claim was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotClaimed {
    /// Somebody else wrote the record since it was read.
    #[error("somebody else wrote the record first")]
    Conflict,
    /// No slot is free.
    #[error("the fleet's limit is reached")]
    AtLimit(Limit),
    /// The ledger did not answer.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// A build was not started, as far as is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotStarted {
    /// The pipeline service refused: certainly nothing was started.
    #[error("{0}")]
    Refused(Fault),
    /// No answer: the build may have been started. The claim's next owner finds out.
    #[error("{0}")]
    Unclear(Fault),
}

/// A manifest, by where it is.
pub type ManifestAt = (Repository, Digest);

/// Everything outside the decisions: registry, scanner, pipelines, ledger, clock.
#[expect(
    async_fn_in_trait,
    reason = "callers are generic over the world and need no Send bound: Lambda runs one task"
)]
pub trait World {
    /// Returns the time. The only clock there is.
    fn now(&self) -> Timestamp;

    /// Reads the index of the unsettled images.
    async fn unsettled(&self) -> Result<BTreeSet<ImageId>, Fault>;

    /// Reads the records of these images.
    async fn records(&self, images: &BTreeSet<ImageId>) -> Result<Records, Fault>;

    /// Reads where these images ran when it was last looked; an image of which nothing is known is left out.
    async fn deployments(&self, images: &BTreeSet<ImageId>) -> Result<BTreeMap<ImageId, Deployments>, Fault>;

    /// Reads how much of the limits is used on the day of `now` (UTC).
    async fn slots(&self, now: Timestamp) -> Result<Slots, Fault>;

    /// Reads the version that counts on each image's line, without scans; `None` where the registry says that there is
    /// none.
    async fn currents(&self, images: &[&Image]) -> BTreeMap<ImageId, Result<Option<Version>, Fault>>;

    /// Reads versions by digest (of an index or a manifest), without scans; `None` where the registry has none.
    async fn versions(
        &self,
        wanted: &BTreeSet<ManifestAt>,
    ) -> BTreeMap<ManifestAt, Result<Option<Version>, Fault>>;

    /// Reads the newest versions of these repositories, without scans: untagged ones too, at most 100 each.
    async fn history(
        &self,
        repositories: &BTreeSet<Repository>,
    ) -> BTreeMap<Repository, Result<Vec<Version>, Fault>>;

    /// Reads the scans of platform manifests, all pages. What could not be read is [`Scan::Failed`], never clean.
    async fn scans(&self, wanted: &BTreeSet<ManifestAt>) -> BTreeMap<ManifestAt, Scan>;

    /// Reads for each image how the pipeline of its start is declared, and whether the start would overtake what it runs.
    async fn pipelines(&self, starts: &[&Start]) -> BTreeMap<ImageId, PipelineFacts>;

    /// Reads the state of a claim's execution; where the claim is not confirmed, looks for one with its build key among
    /// all that started since it was taken.
    async fn execution(&self, claim: &Claim) -> Execution;

    /// Writes a record if nobody wrote it since it was read: its fence must be the stored one, and rises by one.
    async fn save(&self, image: &ImageId, record: &Record) -> Result<(), NotSaved>;

    /// Writes a record that holds a new claim, and takes a slot, all or nothing. Fenced like [`World::save`].
    async fn claim(
        &self,
        image: &ImageId,
        record: &Record,
        limits: Limits,
        now: Timestamp,
    ) -> Result<(), NotClaimed>;

    /// Gives an image's slot back if nobody wrote its record since `fence` was read: the slot may be another claim's by
    /// now. The record stays as it is.
    async fn free(&self, image: &ImageId, fence: u64) -> Result<(), NotSaved>;

    /// Starts a build and returns the execution's id.
    async fn start(&self, start: &Start) -> Result<String, NotStarted>;

    /// Tells whether notifications reach anybody: without a listener nothing is written down as told.
    fn has_listener(&self) -> bool;

    /// Sends notifications and says, in their order, which were taken.
    async fn notify(&self, notices: &[Notice]) -> Vec<Result<(), Fault>>;

    /// Asks for a tick at this time or a little later. Whoever asks for the same time asks for the same tick.
    async fn recheck(&self, at: Timestamp) -> Result<(), Fault>;

    /// Asks for a scan of a platform manifest. `Ok(false)`: not possible now (once a day at most with basic scanning,
    /// never by hand with enhanced), which is nobody's error.
    async fn request_scan(&self, repository: &Repository, manifest: &Digest) -> Result<bool, Fault>;
}
