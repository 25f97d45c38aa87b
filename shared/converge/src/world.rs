//! The one interface between decisions and effects.
//!
//! AWS and the simulator implement it, and no other interface is ever mocked. It uses the types of
//! the planner. A call for many images, versions or scans answers for each of them. So one missing
//! image or one denied repository affects no other.

use std::collections::{BTreeMap, BTreeSet};

use patchwave::facts::{Deployments, Execution, PipelineFacts, Slots, Version};
use patchwave::finding::Scan;
use patchwave::hierarchy::Image;
use patchwave::image::{Digest, ImageId, Reference, Registry, Repository};
use patchwave::notice::Notice;
use patchwave::plan::{Limit, Start};
use patchwave::policy::Limits;
use patchwave::record::{Claim, Record};
use patchwave::time::Timestamp;
use patchwave::unread::Unread;
use patchwave::upstream::{Cached, Described};
use serde::{Deserialize, Serialize};

use crate::upstream::{Asked, CachedTag, Upstreams};

/// Why the world did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FaultKind {
    /// Too many calls: try later.
    Throttled,
    /// No permission: a person must act.
    Denied,
    /// No answer, or a server's error: try later. A requested change may have been made.
    Unavailable,
    /// The request or the answer is not valid: a person must act.
    Invalid,
}

/// The world did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("failed to {operation}: {message}")]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    /// What was tried, such as `describe images of platform/node`.
    pub operation: String,
    pub kind: FaultKind,
    /// The whole chain of causes, for people.
    pub message: String,
}

/// The records of some images. An image that is in neither map has none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Records {
    pub read: BTreeMap<ImageId, Record>,
    /// Those that exist and cannot be read. Patchwave decides nothing about their images.
    pub unreadable: BTreeMap<ImageId, Fault>,
}

impl From<BTreeMap<ImageId, Record>> for Records {
    fn from(read: BTreeMap<ImageId, Record>) -> Self {
        Self { read, unreadable: BTreeMap::new() }
    }
}

/// What the schedule says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Due {
    /// The images that are due, the longest due first.
    pub images: Vec<ImageId>,
    /// When the next one is due; nothing if that is not known.
    pub next: Option<Timestamp>,
}

/// A record was not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotSaved {
    /// Another invocation wrote it after it was read: read and plan again.
    #[error("another invocation wrote the record first")]
    Conflict,
    /// The ledger did not answer.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// A claim was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotClaimed {
    /// Another invocation wrote the record after it was read.
    #[error("another invocation wrote the record first")]
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
    /// CodePipeline refused the start, so nothing was started.
    #[error("{0}")]
    Refused(Fault),
    /// No answer: the build may have been started. The claim's next owner finds that out.
    #[error("{0}")]
    Unclear(Fault),
}

impl From<Fault> for Unread {
    fn from(fault: Fault) -> Self {
        let needs_person = matches!(fault.kind, FaultKind::Denied | FaultKind::Invalid);
        Self { because: fault.to_string(), needs_person }
    }
}

/// What the registry answers about the version that counts on an image's line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    Version(Version),
    /// The newest build of the commit that an environment has. Its tag names an earlier build.
    NotPromoted {
        version: Version,
        promoted: Digest,
    },
    /// The repository has no such version.
    Absent,
    /// There is no such repository. The text names the registry's account and Region.
    NoRepository(String),
}

impl Found {
    /// Returns the version, if there is one.
    pub fn version(self) -> Option<Version> {
        match self {
            Self::Version(version) | Self::NotPromoted { version, .. } => Some(version),
            Self::Absent | Self::NoRepository(_) => None,
        }
    }
}

impl Found {
    /// Returns the answer about a line, where `promoted` is what the tag of its environment names.
    pub fn of_environment(version: Option<Version>, promoted: Option<Digest>) -> Self {
        match (version, promoted) {
            (Some(version), Some(promoted)) if promoted != version.digest => {
                Self::NotPromoted { version, promoted }
            }
            (version, _) => version.into(),
        }
    }
}

impl From<Option<Version>> for Found {
    fn from(version: Option<Version>) -> Self {
        version.map_or(Self::Absent, Self::Version)
    }
}

/// What the registry answers to a request for a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanRequest {
    /// The scan began.
    Begun,
    /// The registry makes no scan of this manifest now, which is not an error. Basic scanning makes
    /// one a day at most, and enhanced scanning makes none on request.
    Refused,
    /// The account may request no more scans today.
    AtLimit,
}

/// A manifest, by where it is.
pub type ManifestAt = (Repository, Digest);

/// Everything outside the planner: registry, scanner, pipelines, ledger, clock.
#[expect(
    async_fn_in_trait,
    reason = "callers are generic over the world and need no Send bound: Lambda runs one task"
)]
pub trait World {
    /// Returns the time. Patchwave reads no other clock.
    fn now(&self) -> Timestamp;

    /// Reads the schedule: at most `most` images that are due at `now`, the longest due first, and
    /// when the next one will be.
    async fn due(&self, now: Timestamp, most: usize) -> Result<Due, Fault>;

    /// Reads a queue for slots: at most `most` images, the most urgent first. `owner`: the queue of
    /// an owner that has a limit; nothing for the queue of all others.
    async fn ready(&self, owner: Option<&str>, most: usize) -> Result<Vec<ImageId>, Fault>;

    /// Reads the records of these images.
    async fn records(&self, images: &BTreeSet<ImageId>) -> Result<Records, Fault>;

    /// Reads where these images ran at the last sweep. Images for which this is not known are left
    /// out.
    async fn deployments(&self, images: &BTreeSet<ImageId>) -> Result<BTreeMap<ImageId, Deployments>, Fault>;

    /// Reads how much of the limits is used on the day of `now` (UTC), and where the last sweep was
    /// cut off.
    async fn slots(&self, now: Timestamp) -> Result<Slots, Fault>;

    /// Reads the version that counts on each image's line, without scans.
    async fn currents(&self, images: &[&Image]) -> BTreeMap<ImageId, Result<Found, Fault>>;

    /// Reads versions by the digest of an index or a manifest, without scans. `None`: the registry
    /// has no such version.
    async fn versions(
        &self,
        wanted: &BTreeSet<ManifestAt>,
    ) -> BTreeMap<ManifestAt, Result<Option<Version>, Fault>>;

    /// Reads the newest versions of these repositories, without scans. It includes untagged ones,
    /// and at most 100 for each repository.
    async fn history(
        &self,
        repositories: &BTreeSet<Repository>,
    ) -> BTreeMap<Repository, Result<Vec<Version>, Fault>>;

    /// Reads the digests of the uncompressed layers from the configs of platform manifests, from
    /// the base up. The list is empty if a manifest has no config that makes sense.
    async fn diff_ids(
        &self,
        wanted: &BTreeSet<ManifestAt>,
    ) -> BTreeMap<ManifestAt, Result<Vec<Digest>, Fault>>;

    /// Reads all pages of the scans of platform manifests. A scan that could not be read is
    /// [`Scan::Unread`], never clean and never failed.
    async fn scans(&self, wanted: &BTreeSet<ManifestAt>) -> BTreeMap<ManifestAt, Scan>;

    /// Reads for each image how the pipeline of its start is declared, and whether the start would
    /// supersede an execution.
    async fn pipelines(&self, starts: &[&Start]) -> BTreeMap<ImageId, PipelineFacts>;

    /// Reads the state of a claim's execution. If the claim is not confirmed, it searches for its
    /// build key in all executions that started after the claim was taken.
    async fn execution(&self, claim: &Claim) -> Execution;

    /// Reads the states of many claims' executions. A world that waits for its answers asks for
    /// some at once.
    async fn executions(&self, claims: &BTreeMap<&ImageId, &Claim>) -> BTreeMap<ImageId, Execution> {
        let mut executions = BTreeMap::new();
        for (image, claim) in claims {
            executions.insert((*image).clone(), self.execution(claim).await);
        }
        executions
    }

    /// Writes a record, unless another invocation wrote it after it was read. Its fence must be the
    /// stored one, and rises by one.
    async fn save(&self, image: &ImageId, record: &Record) -> Result<(), NotSaved>;

    /// Writes records of images that are not built on each other, each like [`World::save`], and
    /// returns in their order which were written. A world that waits for its answers writes some at
    /// once.
    async fn save_all(&self, records: &[(ImageId, Record)]) -> Vec<Result<(), NotSaved>> {
        let mut saved = Vec::new();
        for (image, record) in records {
            saved.push(self.save(image, record).await);
        }
        saved
    }

    /// Writes where a sweep was cut off, or that it has ended.
    async fn keep_sweep(&self, swept_to: Option<&ImageId>) -> Result<(), Fault>;

    /// Writes a record with a new claim and takes a slot: both or neither. It checks the fence like
    /// [`World::save`].
    async fn claim(
        &self,
        image: &ImageId,
        record: &Record,
        limits: Limits,
        now: Timestamp,
    ) -> Result<(), NotClaimed>;

    /// Gives an image's slot back, unless another invocation wrote its record after `fence` was
    /// read. The slot may then belong to another claim. The record does not change.
    async fn free(&self, image: &ImageId, fence: u64) -> Result<(), NotSaved>;

    /// Writes the record of a claim whose start was refused, and gives its slot and its share of
    /// the day back: all or nothing. The audit trail then says that it was refused, and why. It
    /// checks the fence like [`World::save`].
    async fn withdraw(
        &self,
        image: &ImageId,
        record: &Record,
        refused: &Claim,
        because: &str,
    ) -> Result<(), NotSaved>;

    /// Starts a build and returns the execution's id.
    async fn start(&self, start: &Start) -> Result<String, NotStarted>;

    /// Returns whether the deployment sends notifications to a listener. Without one no notice is
    /// recorded as sent.
    fn has_listener(&self) -> bool;

    /// Sends notifications. Returns in their order whether each was accepted.
    async fn notify(&self, notices: &[Notice]) -> Vec<Result<(), Fault>>;

    /// Schedules an extra tick at this time or a little later. Two calls for the same time schedule
    /// one tick.
    async fn recheck(&self, at: Timestamp) -> Result<(), Fault>;

    /// Asks for a tick now, which continues this pass.
    async fn go_on(&self) -> Result<(), Fault> {
        self.recheck(self.now()).await
    }

    /// Requests a scan of a platform manifest.
    async fn request_scan(&self, repository: &Repository, manifest: &Digest) -> Result<ScanRequest, Fault>;

    /// Reads what is kept of these upstream tags and hosts. Those of which nothing is kept are left
    /// out. A world without upstream registries keeps nothing.
    async fn upstreams(
        &self,
        _tags: &BTreeSet<ImageId>,
        _hosts: &BTreeSet<Registry>,
    ) -> Result<Upstreams, Fault> {
        Ok(Upstreams::default())
    }

    /// Writes what is known of upstream tags and hosts. The last write wins: a tag that two passes
    /// asked about at once is asked about again.
    async fn keep_upstreams(&self, _changed: &Upstreams) -> Result<(), Fault> {
        Ok(())
    }

    /// Asks an upstream registry which digest a tag names. `None`: it has no such tag.
    async fn upstream_digest(&self, tag: &Reference) -> Asked<Option<Digest>> {
        not_connected(tag)
    }

    /// Reads the manifest or index of a digest in the repository of an upstream tag. `None`: it has
    /// no such manifest.
    async fn upstream_manifest(&self, tag: &Reference, _digest: &Digest) -> Asked<Option<Described>> {
        not_connected(tag)
    }

    /// Reads what pull-through caches hold for these tags. This is no pull, so it refreshes
    /// nothing.
    async fn cached(&self, _wanted: &BTreeSet<CachedTag>) -> BTreeMap<CachedTag, Result<Cached, Fault>> {
        BTreeMap::new()
    }
}

fn not_connected<T>(tag: &Reference) -> Asked<T> {
    let operation = format!("read {tag}");
    let message = "this world has no upstream registries".to_owned();
    Err(Fault { operation, kind: FaultKind::Invalid, message }).into()
}
