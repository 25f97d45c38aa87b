//! What was observed: all input of the planner, except the hierarchy, the mode and the time.
//!
//! A snapshot of facts is plain JSON. `plan`, `why`, bug reports, golden tests and replay use the
//! same file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::finding::{Finding, FindingKey, Scan};
use crate::hierarchy::{Line, is_production};
use crate::image::{Digest, ImageId, Platform, Repository, Tag};
use crate::predicted::Happened;
use crate::record::Record;
use crate::time::Timestamp;
use crate::unread::Unread;
use crate::upstream::{Cached, Tracked};

/// One platform's manifest of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The scanner scans this digest, and the content of versions is compared by it.
    pub digest: Digest,
    /// Its layers, from the base up. Copies of a manifest share them.
    pub layers: Arc<[Digest]>,
    /// The digests of the layers' uncompressed content, from its config. They stay the same if a
    /// push compresses the layers again. Only what the layers leave open makes Patchwave read them.
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub diff_ids: Arc<[Digest]>,
    pub scan: Scan,
}

impl Manifest {
    /// A manifest of which neither the config nor the scan was read yet.
    pub fn new(digest: Digest, layers: Arc<[Digest]>) -> Self {
        Self { digest, layers, diff_ids: Arc::default(), scan: Scan::Missing }
    }

    /// Returns how many layers `base` has, if this manifest starts with all of them. Equal content
    /// counts too: a push may have compressed it otherwise.
    fn inherits(&self, base: &Self) -> Option<usize> {
        let starts_with = |own: &[Digest], base: &[Digest]| {
            (!base.is_empty() && own.starts_with(base)).then_some(base.len())
        };
        starts_with(&self.layers, &base.layers).or_else(|| starts_with(&self.diff_ids, &base.diff_ids))
    }
}

/// One pushed digest of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    /// The digest that the tag points to: an index or a single manifest.
    pub digest: Digest,
    /// When it was pushed. On a pattern line a rebuild keeps its commit's place, even if it was
    /// pushed later.
    pub pushed_at: Timestamp,
    /// When it was built, from provenance or `org.opencontainers.image.created`. Never from the
    /// config, where it may be 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub built_at: Option<Timestamp>,
    /// The commit, from `org.opencontainers.image.revision`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The base's digest, from `org.opencontainers.image.base.digest`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Digest>,
    /// The build key of the start that built it, from the annotation `dev.patchwave.build-key` of
    /// its index. On a platform manifest it would change the digest with every build, so there it
    /// does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_key: Option<String>,
    /// Those stable tags of its image that name it. Known only of the current version.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<Tag>,
    /// Its platform manifests, without attestations.
    pub platforms: BTreeMap<Platform, Manifest>,
}

impl Version {
    /// Returns whether `digest` is this version's digest or that of one of its platform manifests.
    pub fn is_named_by(&self, digest: &Digest) -> bool {
        self.digest == *digest || self.platforms.values().any(|manifest| manifest.digest == *digest)
    }

    /// Returns whether both versions have the same content on `platforms`.
    ///
    /// This does not compare index digests, because they change with every provenance document.
    pub fn same_content<'p>(&self, other: &Self, mut platforms: impl Iterator<Item = &'p Platform>) -> bool {
        let digest =
            |version: &Self, platform: &Platform| version.platforms.get(platform).map(|m| m.digest.clone());
        platforms.all(|platform| digest(self, platform) == digest(other, platform))
    }

    /// Returns how many layers this version inherits from `parent`.
    ///
    /// It must start with all of the parent's layers, on every platform that both have. Else this
    /// returns nothing. A single manifest does not name its platform: it is compared with each of
    /// the other's.
    pub fn layers_inherited_from(&self, parent: &Self) -> Option<usize> {
        let shared =
            self.platforms.iter().filter_map(|(platform, m)| Some((m, parent.platforms.get(platform)?)));
        let on_each: Vec<Option<usize>> = shared.map(|(manifest, base)| manifest.inherits(base)).collect();
        if !on_each.is_empty() {
            return on_each.into_iter().collect::<Option<Vec<_>>>()?.into_iter().max();
        }
        let is_unnamed = |version: &Self| version.platforms.keys().any(Platform::is_unnamed);
        if !is_unnamed(self) && !is_unnamed(parent) {
            return None;
        }
        let pairs =
            self.platforms.values().flat_map(|m| parent.platforms.values().map(move |base| (m, base)));
        pairs.filter_map(|(manifest, base)| manifest.inherits(base)).max()
    }

    /// Returns the commit that it names: 40 or 64 hexadecimal digits. Whoever pushes a version
    /// writes that.
    pub fn commit(&self) -> Option<&str> {
        let revision = self.revision.as_deref()?;
        let is_commit = matches!(revision.len(), 40 | 64) && revision.bytes().all(|b| b.is_ascii_hexdigit());
        is_commit.then_some(revision)
    }

    /// Returns when it was built. A build is never newer than its push, whatever the image claims.
    pub fn built(&self) -> Timestamp {
        self.built_at.unwrap_or(self.pushed_at).min(self.pushed_at)
    }

    /// Finds the finding `key` in the scan of any platform.
    pub fn finding(&self, key: &FindingKey) -> Option<&Finding> {
        self.platforms.values().find_map(|manifest| manifest.scan.finding(key))
    }

    /// Returns whether the scan of any platform lists the finding `key`.
    pub fn lists(&self, key: &FindingKey) -> bool {
        self.platforms.values().any(|manifest| manifest.scan.lists(key) == Some(true))
    }

    /// Returns whether complete scans of all platforms show that the finding `key` is not there.
    pub fn lacks(&self, key: &FindingKey) -> bool {
        let lacks = |manifest: &Manifest| manifest.scan.lists(key) == Some(false);
        !self.platforms.is_empty() && self.platforms.values().all(lacks)
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
    /// This one. Its facts are among the image's versions.
    Version(Digest),
    /// The registry answered that there is none.
    Absent,
    /// The registry has no such repository. The text names the registry's account and Region.
    NoRepository(String),
    /// It could not be read.
    Unread(Unread),
}

/// What CodePipeline answers about the execution of an image's claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Execution {
    Found {
        id: String,
        state: ExecutionState,
        #[serde(default, skip_serializing_if = "crate::is_default")]
        details: ExecutionDetails,
    },
    /// All executions since the claim were read, and none has its build key.
    NotFound,
    /// It could not be read.
    Unread(Unread),
}

/// What the actions of an execution report, as far as a decision needs it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExecutionDetails {
    /// When its first action started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When the last action that may push ended. Approvals and deployments push nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// The digests that it reports as pushed. A pipeline may build several images.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub pushed: BTreeSet<Digest>,
    /// Which action failed, why, and where its log is. For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Whether it failed only because the account runs as many builds as it may.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub at_limit: bool,
    /// What an execution that runs for long does or waits for. For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runs: Option<String>,
}

impl Execution {
    /// An execution of which nothing but its state is known.
    pub fn found(id: impl Into<String>, state: ExecutionState) -> Self {
        Self::Found { id: id.into(), state, details: ExecutionDetails::default() }
    }
}

/// The state of a pipeline execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ExecutionState {
    /// Under way, or stopping.
    InProgress,
    Succeeded,
    Failed,
    /// A person stopped or cancelled it, which is not a failure.
    Stopped,
    /// A later execution superseded it while it waited, which is not a failure.
    Superseded,
}

/// What CodePipeline does with a start while another execution of the pipeline is under way.
/// <https://docs.aws.amazon.com/codepipeline/latest/userguide/concepts-how-it-works.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ExecutionMode {
    /// Each waits for the one before.
    Queued,
    /// They run at the same time.
    Parallel,
    /// The later one supersedes the one that waits.
    Superseded {
        /// Whether an execution is under way. A release that waits for an approval is one.
        busy: bool,
    },
}

/// How a pipeline is declared, as far as a start depends on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Declaration {
    pub mode: ExecutionMode,
    /// The variables that it declares, each with whether it has a default. A pipeline of type V1
    /// declares none.
    #[serde(default)]
    pub variables: BTreeMap<String, bool>,
    /// The names of its source actions.
    #[serde(default)]
    pub sources: BTreeSet<String>,
    /// Those commits that the start pins and that an execution of the pipeline reported as its
    /// source.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub revisions: BTreeSet<String>,
}

/// What CodePipeline answers about a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PipelineFacts {
    Declared(Declaration),
    /// There is no pipeline with this name.
    NotFound,
    /// It could not be read.
    Unread(Unread),
}

/// What is known of one image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageFacts {
    pub current: Current,
    /// All versions that were read, the current one among them.
    #[serde(default)]
    pub versions: BTreeMap<Digest, Version>,
    /// What the tag of the image's environment names, if that is an earlier build than the current
    /// one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promoted: Option<Digest>,
    /// Versions that a record or an annotation names and that could not be read.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unread_versions: BTreeMap<Digest, Unread>,
    /// Why the earlier versions could not be read, if a decision needs them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread_history: Option<Unread>,
    /// Why the configs of its versions could not be read, if their layers leave open which version
    /// one was built on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread_configs: Option<Unread>,
    /// The execution of the claim, if the record has a claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution: Option<Execution>,
    /// What Patchwave itself recorded.
    #[serde(default)]
    pub record: Record,
}

impl ImageFacts {
    /// Puts the facts of an image together, before its earlier versions are read.
    pub fn new(
        current: Current,
        versions: BTreeMap<Digest, Version>,
        execution: Option<Execution>,
        record: Record,
    ) -> Self {
        Self {
            current,
            versions,
            promoted: None,
            unread_versions: BTreeMap::new(),
            unread_history: None,
            unread_configs: None,
            execution,
            record,
        }
    }

    /// Returns the current version, if it is known.
    pub fn current_version(&self) -> Option<&Version> {
        match &self.current {
            Current::Version(digest) => self.versions.get(digest),
            Current::Absent | Current::NoRepository(_) | Current::Unread(_) => None,
        }
    }

    /// Returns the stable tags that do not name the current version, though the tracked one does. A
    /// build moves all of them together.
    pub fn lagging_tags<'l>(&self, line: &'l Line) -> BTreeSet<&'l Tag> {
        let (Line::Stable(tags), Some(version)) = (line, self.current_version()) else {
            return BTreeSet::new();
        };
        let is_known = tags.first().is_some_and(|tracked| version.tags.contains(tracked));
        tags.iter().filter(|tag| is_known && !version.tags.contains(*tag)).collect()
    }

    /// Returns what the execution of the claim reports, if it succeeded.
    pub fn succeeded(&self) -> Option<&ExecutionDetails> {
        match &self.execution {
            Some(Execution::Found { state: ExecutionState::Succeeded, details, .. }) => Some(details),
            _ => None,
        }
    }

    /// Finds a version by its own digest, or by that of one of its platform manifests.
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
    /// How many builds started on the current day (UTC).
    pub started_today: u32,
    /// Where the last sweep was cut off: the last image that it looked at. Nothing if it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swept_to: Option<ImageId>,
}

/// An image that holds a slot and is in the hierarchy no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Departed {
    pub record: Record,
    /// The execution of its claim, if the record has a claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution: Option<Execution>,
}

/// The version of an image that an environment runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeployedVersion {
    /// Of the versions that run there, the one that was deployed last.
    pub version: Digest,
    /// Since when it runs there.
    pub since: Timestamp,
    /// When it was last seen there.
    pub last_seen: Timestamp,
}

/// A version of an image, and the services and workloads of one environment that run it. Jobs, pods
/// without a workload and containers that did not start are not among them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunningVersion {
    pub version: Digest,
    /// The commit that it was built from, if it names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Since when it runs.
    pub since: Timestamp,
    /// When it was last seen.
    pub last_seen: Timestamp,
    /// As `account/cluster/namespace/kind/name`; on ECS `account/cluster/service/name`, on Lambda
    /// `account/lambda/function/name`.
    pub workloads: BTreeSet<String>,
    /// How many more run it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// Where an image ran at the last sweep.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Deployments {
    /// By environment.
    pub environments: BTreeMap<String, DeployedVersion>,
    /// Everything that says which version an environment has deployed, by environment.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub running: BTreeMap<String, Vec<RunningVersion>>,
    /// The last versions that each environment ran and does not run now, the last one first.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ran: BTreeMap<String, Vec<DeployedVersion>>,
}

impl Deployments {
    /// Returns whether the image runs in an environment that serves customers.
    pub fn in_production(&self) -> bool {
        self.environments.keys().any(|name| is_production(name))
    }
}

/// Where a replica that is nearer to an image's build would hold the image's parent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Replica {
    /// With the replica's host.
    pub repository: Repository,
    /// The parent's current version.
    pub digest: Digest,
    pub held: Held,
}

/// Whether a registry holds a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Held {
    Yes,
    /// It lags behind the registry that it replicates.
    No,
    Unread(Unread),
}

/// Everything that a plan is made from, except the hierarchy, the mode and the time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// When they were observed. A snapshot is planned as of this time.
    #[serde(default)]
    pub observed_at: Timestamp,
    /// One entry for each image in scope, with all its ancestors.
    pub images: BTreeMap<ImageId, ImageFacts>,
    /// Images that were observed only because their scans list findings that others answer for.
    /// Nothing is decided about them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub carriers: BTreeSet<ImageId>,
    /// The images whose children are walked over, and the last child that was observed. Nothing
    /// after it: all the rest were.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rolled: BTreeMap<ImageId, Option<ImageId>>,
    /// Images in scope that are left out because their record cannot be read, with the error.
    /// Patchwave decides nothing about them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unreadable: BTreeMap<ImageId, String>,
    #[serde(default)]
    pub slots: Slots,
    /// The images that hold a slot and that the hierarchy does not name: they were removed or
    /// renamed during a build.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub departed: BTreeMap<ImageId, Departed>,
    /// Where the images ran at the last sweep. Images that ran nowhere, or for which this is not
    /// known, are left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub deployments: BTreeMap<ImageId, Deployments>,
    /// Whether they were observed without a deployment's ledger. Then no build, no decision of a
    /// person and no limit of the day is known.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub without_ledger: bool,
    /// Whether the deployment sends notifications to a listener.
    #[serde(default)]
    pub has_listener: bool,
    /// What is known of the upstream tags that the images are built on, by their references.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub upstreams: BTreeMap<ImageId, Tracked>,
    /// What pull-through caches hold for those tags that moved a short time ago, by the caches' own
    /// `repository:tag`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub caches: BTreeMap<ImageId, Cached>,
    /// The scans of upstream content that caches hold, by platform manifest. Only those are read
    /// that may show that upstream fixed a finding.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub upstream_scans: BTreeMap<Digest, Scan>,
    /// What CodePipeline answered about each pipeline, by the image that the pipeline builds.
    ///
    /// Patchwave asks only about the pipelines of images that would start. A pipeline that is
    /// missing here holds no image.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pipelines: BTreeMap<ImageId, PipelineFacts>,
    /// The replicas that are nearer to the builds of images that would start than the registry of
    /// their parent, by the image that is built.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub replicas: BTreeMap<ImageId, Replica>,
    /// What a sweep found to have happened after predictions that are over now, by the image whose
    /// record holds the prediction.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub happened: BTreeMap<ImageId, Happened>,
}

impl Facts {
    /// Says which replicas do not hold the parent of a build, or could not be asked. The build gets
    /// the registry that is further away.
    pub fn lagging_replicas(&self) -> impl Iterator<Item = String> {
        let lagging = self.replicas.values().filter_map(|Replica { repository, digest, held }| {
            let digest = digest.short();
            match held {
                Held::Yes => None,
                Held::No => Some(format!("the replica {repository} lags: it does not hold {digest} yet")),
                Held::Unread(unread) => {
                    Some(format!("the replica {repository} could not be asked for {digest}: {unread}"))
                }
            }
        });
        lagging.collect::<BTreeSet<String>>().into_iter()
    }
}

impl Facts {
    /// Returns what could not be read, each with its image.
    pub fn unread(&self) -> Vec<(&ImageId, &str)> {
        let records = self.unreadable.iter().map(|(id, because)| (id, because.as_str()));
        let pipelines = self.pipelines.iter().filter_map(|(id, of)| match of {
            PipelineFacts::Unread(unread) => Some((id, unread.because.as_str())),
            PipelineFacts::Declared(_) | PipelineFacts::NotFound => None,
        });
        let images = self
            .images
            .iter()
            .flat_map(|(id, of)| of.unread().map(move |unread| (id, unread.because.as_str())));
        records.chain(pipelines).chain(images).collect()
    }
}

impl ImageFacts {
    /// Returns what could not be read of the image, its versions and its execution.
    fn unread(&self) -> impl Iterator<Item = &Unread> {
        let current = match &self.current {
            Current::Unread(unread) => Some(unread),
            Current::Version(_) | Current::Absent | Current::NoRepository(_) => None,
        };
        let execution = match &self.execution {
            Some(Execution::Unread(unread)) => Some(unread),
            Some(Execution::Found { .. } | Execution::NotFound) | None => None,
        };
        let one = [current, execution, self.unread_history.as_ref(), self.unread_configs.as_ref()];
        let manifests = self.versions.values().flat_map(|version| version.platforms.values());
        let scans = manifests.filter_map(|manifest| manifest.scan.unread());
        one.into_iter().flatten().chain(self.unread_versions.values()).chain(scans)
    }
}
