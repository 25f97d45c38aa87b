//! What was observed: the planner's whole input beside the hierarchy and the time.
//!
//! A snapshot of facts is plain JSON. The same file serves `plan` and `why`, bug reports, golden tests and replay.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::finding::{Finding, FindingKey, Scan};
use crate::hierarchy::is_production;
use crate::image::{Digest, ImageId, Platform};
use crate::record::Record;
use crate::time::Timestamp;

/// One platform's manifest of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Its digest: what is scanned and what content is compared by.
    pub digest: Digest,
    /// Its layers, from the base up. Copies of a manifest share them.
    pub layers: Arc<[Digest]>,
    /// What its scan says.
    pub scan: Scan,
}

/// One pushed digest of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    /// What the tag names: an index or a single manifest.
    pub digest: Digest,
    /// When it was pushed. On a pattern line a rebuild keeps its commit's place whatever this says.
    pub pushed_at: Timestamp,
    /// When it was built, from provenance or `org.opencontainers.image.created`; never from the config, which may say 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub built_at: Option<Timestamp>,
    /// The commit, from `org.opencontainers.image.revision`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The base's digest, from `org.opencontainers.image.base.digest`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Digest>,
    /// Its platform manifests, without attestations.
    pub platforms: BTreeMap<Platform, Manifest>,
}

impl Version {
    /// Tells whether `digest` names this version: its index, or one of its platform manifests.
    pub fn is_named_by(&self, digest: &Digest) -> bool {
        self.digest == *digest || self.platforms.values().any(|manifest| manifest.digest == *digest)
    }

    /// Tells whether both versions hold the same content on `platforms`.
    ///
    /// An index digest changes with every provenance document, so it never takes part.
    pub fn same_content<'p>(&self, other: &Self, mut platforms: impl Iterator<Item = &'p Platform>) -> bool {
        let digest =
            |version: &Self, platform: &Platform| version.platforms.get(platform).map(|m| m.digest.clone());
        platforms.all(|platform| digest(self, platform) == digest(other, platform))
    }

    /// Finds what any platform's scan says of `key`.
    pub fn finding(&self, key: &FindingKey) -> Option<&Finding> {
        self.platforms.values().find_map(|manifest| manifest.scan.findings().iter().find(|f| f.key == *key))
    }

    /// Returns the identity of the content: the platform manifests' digests, sorted.
    pub fn content(&self) -> BTreeSet<&Digest> {
        self.platforms.values().map(|manifest| &manifest.digest).collect()
    }
}

/// Which version of an image counts now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Current {
    /// This one; its facts are among the image's versions.
    Version(Digest),
    /// The registry answered, and there is none.
    Absent,
    /// Nobody knows: the text says why.
    Unknown(String),
}

/// What CodePipeline says about the execution of an image's claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Execution {
    Found {
        id: String,
        state: ExecutionState,
    },
    /// All executions since the claim were read, and none carries its build key.
    NotFound,
    /// It could not be asked: the text says why.
    Unknown(String),
}

/// The state of a pipeline execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ExecutionState {
    /// Under way, or being stopped.
    InProgress,
    Succeeded,
    Failed,
    /// Stopped or cancelled by somebody: not a failure.
    Stopped,
    /// Overtaken by a later execution while it waited: not a failure.
    Superseded,
}

/// What happens when a pipeline is started while another execution of it is under way.
/// <https://docs.aws.amazon.com/codepipeline/latest/userguide/concepts-how-it-works.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ExecutionMode {
    /// Each waits its turn.
    Queued,
    /// They run side by side.
    Parallel,
    /// The later one overtakes the one that waits.
    Superseded {
        /// Whether an execution is under way: a release that waits for an approval is one.
        busy: bool,
    },
}

/// How a pipeline is declared, as far as a start depends on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Declaration {
    /// What a second start does.
    pub mode: ExecutionMode,
    /// The variables that it declares, each with whether it has a default. A pipeline of type V1 declares none.
    #[serde(default)]
    pub variables: BTreeMap<String, bool>,
    /// The names of its source actions.
    #[serde(default)]
    pub sources: BTreeSet<String>,
}

/// What CodePipeline says about a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PipelineFacts {
    Declared(Declaration),
    /// There is none of this name.
    NotFound,
    /// It could not be asked: the text says why.
    Unknown(String),
}

/// What is known of one image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageFacts {
    /// Which version counts.
    pub current: Current,
    /// All versions that were looked at, the current one among them.
    #[serde(default)]
    pub versions: BTreeMap<Digest, Version>,
    /// The execution of the claim, if the record holds one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution: Option<Execution>,
    /// What Patchwave itself wrote down.
    #[serde(default)]
    pub record: Record,
}

impl ImageFacts {
    /// Returns the current version, if it is known.
    pub fn current_version(&self) -> Option<&Version> {
        match &self.current {
            Current::Version(digest) => self.versions.get(digest),
            Current::Absent | Current::Unknown(_) => None,
        }
    }

    /// Finds a version by its own digest or one of its platform manifests'.
    pub fn version_named(&self, digest: &Digest) -> Option<&Version> {
        self.versions
            .get(digest)
            .or_else(|| self.versions.values().find(|version| version.is_named_by(digest)))
    }
}

/// How much of the fleet's limits is used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Slots {
    /// Images whose builds hold a slot.
    pub held_by: BTreeSet<ImageId>,
    /// Starts of the current day (UTC).
    pub started_today: u32,
}

/// What an environment runs of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeployedVersion {
    /// The version that was deployed there last, of those that run.
    pub version: Digest,
    /// Since when it runs there.
    pub since: Timestamp,
    /// When it was last seen there.
    pub last_seen: Timestamp,
}

/// Where an image ran when it was last looked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Deployments {
    /// By environment.
    pub environments: BTreeMap<String, DeployedVersion>,
}

impl Deployments {
    /// Tells whether customers meet it.
    pub fn in_production(&self) -> bool {
        self.environments.keys().any(|name| is_production(name))
    }
}

/// Everything that a plan is made from, beside the hierarchy and the time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// When they were observed; a snapshot is planned as of this moment.
    #[serde(default)]
    pub observed_at: Timestamp,
    /// One entry for each image in scope, with all its ancestors.
    pub images: BTreeMap<ImageId, ImageFacts>,
    /// Images of the scope that are left out because their record exists and cannot be read, with why: nothing may be
    /// decided about them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unreadable: BTreeMap<ImageId, String>,
    /// The fleet's limits.
    #[serde(default)]
    pub slots: Slots,
    /// Where the images ran when it was last looked; those that ran nowhere, or are not known to, are left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub deployments: BTreeMap<ImageId, Deployments>,
    /// Whether notifications reach anybody.
    #[serde(default)]
    pub has_listener: bool,
    /// The pipelines that were asked about, by the image that they build. Only those of images that would start are: one
    /// that is not here stands in nobody's way yet.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pipelines: BTreeMap<ImageId, PipelineFacts>,
}
