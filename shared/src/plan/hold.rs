//! Why an image is not started.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::finding::FindingKey;
use crate::image::{ImageId, Repository};
use crate::time::Timestamp;

/// What a waiting image waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Awaited {
    /// The ancestor starts now.
    Start,
    /// The ancestor's scan, which is missing or older than the finding.
    Scan,
    /// The end of the ancestor's own hold.
    Hold(Box<Hold>),
}

/// Which limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Limit {
    /// `maxConcurrentBuilds`.
    ConcurrentBuilds,
    /// `maxStartsPerDay`.
    StartsPerDay,
    /// `maxConcurrentBuilds` of the image's owner. It is counted without a transaction: two passes at once may start one
    /// more.
    OwnersBuilds,
    /// The pipeline's own: it runs as many executions as it may, or one that a start would overtake.
    Pipeline,
}

/// Why an image is not started: exactly one, the first that applies in this order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all_fields = "camelCase")]
pub enum Hold {
    /// Its build is under way.
    InFlight {
        pipeline: String,
        /// The execution, once confirmed.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        execution: Option<String>,
        /// When it holds its slot no longer.
        until: Timestamp,
    },
    /// A claim's owner is gone, and nobody knows yet whether it started a build.
    Unresolved {
        /// What could not be asked.
        because: String,
    },
    /// The registry has no such repository.
    NoRepository {
        repository: Repository,
        /// The registry's account and Region.
        registry: String,
    },
    /// Something that the decision needs is not known.
    Unknown { because: String },
    /// A person put an earlier version back.
    RolledBack,
    /// The pipeline is pinned to the line's commit, and the commit is not known.
    UnknownRevision,
    /// No pipeline can build it: the hierarchy names none, or CodePipeline has none that takes such a start.
    NoPipeline {
        /// What is missing.
        because: String,
    },
    /// Only a commit or a published fix can help.
    CannotHelp {
        findings: BTreeSet<FindingKey>,
        /// What they wait for.
        because: String,
    },
    /// All its findings that would count are suppressed.
    Suppressed {
        findings: BTreeSet<FindingKey>,
        /// When the first suppression ends.
        until: Timestamp,
    },
    /// Rebuilds did not fix it, twice.
    Quarantined { findings: BTreeSet<FindingKey> },
    /// An ancestor comes first.
    WaitingOn { on: ImageId, awaits: Awaited },
    /// Its last build waits for the scan that proves it.
    AwaitingProof {
        /// When it stops waiting.
        until: Timestamp,
    },
    /// A parent's tag was moved a moment ago and may move again.
    QuietPeriod {
        parent: ImageId,
        /// When it has been still for long enough.
        until: Timestamp,
    },
    /// Its last builds failed.
    BackOff {
        /// How many in a row.
        failures: u32,
        /// When the next is tried.
        until: Timestamp,
        /// How the last one ended.
        because: String,
    },
    /// A person must approve.
    NeedsApproval,
    /// Policy leaves it to the next commit.
    NextCommit,
    /// Policy says never, or a person froze it.
    Frozen,
    /// A limit is reached.
    AtLimit { limit: Limit },
    /// It would start, but the mode is `observe`.
    Observing,
    /// There is no reason to rebuild it.
    Fresh,
}

impl Hold {
    /// Returns the hold's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::InFlight { .. } => "InFlight",
            Self::Unresolved { .. } => "Unresolved",
            Self::NoRepository { .. } => "NoRepository",
            Self::Unknown { .. } => "Unknown",
            Self::RolledBack => "RolledBack",
            Self::UnknownRevision => "UnknownRevision",
            Self::NoPipeline { .. } => "NoPipeline",
            Self::CannotHelp { .. } => "CannotHelp",
            Self::Suppressed { .. } => "Suppressed",
            Self::Quarantined { .. } => "Quarantined",
            Self::WaitingOn { .. } => "WaitingOn",
            Self::AwaitingProof { .. } => "AwaitingProof",
            Self::QuietPeriod { .. } => "QuietPeriod",
            Self::BackOff { .. } => "BackOff",
            Self::NeedsApproval => "NeedsApproval",
            Self::NextCommit => "NextCommit",
            Self::Frozen => "Frozen",
            Self::AtLimit { .. } => "AtLimit",
            Self::Observing => "Observing",
            Self::Fresh => "Fresh",
        }
    }

    /// Returns when the hold ends by itself, where that is known.
    pub fn until(&self) -> Option<Timestamp> {
        match self {
            Self::InFlight { until, .. }
            | Self::Suppressed { until, .. }
            | Self::AwaitingProof { until }
            | Self::QuietPeriod { until, .. }
            | Self::BackOff { until, .. } => Some(*until),
            _ => None,
        }
    }

    /// Says what ends the hold, and who can.
    pub fn lifted_by(&self) -> String {
        match self {
            Self::InFlight { pipeline, .. } => format!("the end of the build in pipeline {pipeline}"),
            Self::Unresolved { .. } => "the next look at CodePipeline".into(),
            Self::NoRepository { repository, registry } => {
                format!("correct `repository` in the hierarchy file, or create {repository} in {registry}")
            }
            Self::Unknown { .. } => "the next look that succeeds".into(),
            Self::RolledBack => "whoever rolled it back: a newer push, or patchwave release".into(),
            Self::UnknownRevision => {
                "the image's owner, by writing org.opencontainers.image.revision in its build".into()
            }
            Self::NoPipeline { because } => format!("whoever owns the hierarchy or the pipeline: {because}"),
            Self::CannotHelp { because, .. } => because.clone(),
            Self::Suppressed { .. } => "the hierarchy's owner, or the suppression's end".into(),
            Self::Quarantined { .. } => {
                "a changed parent, a newly published fix, a new push, or a person: patchwave release".into()
            }
            Self::WaitingOn { on, awaits } => match awaits {
                Awaited::Start => format!("the end of the build of {on}, which starts now"),
                Awaited::Scan => format!("a scan of {on} made after the finding appeared"),
                Awaited::Hold(hold) => format!("{on}: {}", hold.lifted_by()),
            },
            Self::AwaitingProof { .. } => "a completed scan of the new version".into(),
            Self::QuietPeriod { parent, .. } => format!("{parent} having been still for its quiet period"),
            Self::BackOff { .. } => {
                "time, a changed parent, a new commit, or a person: patchwave release".into()
            }
            Self::NeedsApproval => "the image's owner: patchwave approve, or a new version".into(),
            Self::NextCommit => "the image's owner, by the next commit".into(),
            Self::Frozen => "a person: patchwave release, or a policy other than rebuild: never".into(),
            Self::AtLimit { limit: Limit::ConcurrentBuilds } => "the next build that ends".into(),
            Self::AtLimit { limit: Limit::OwnersBuilds } => {
                "the next build of the same owner's that ends".into()
            }
            Self::AtLimit { limit: Limit::StartsPerDay } => "the next day (UTC)".into(),
            Self::AtLimit { limit: Limit::Pipeline } => "the end of what its pipeline runs now".into(),
            Self::Observing => "the hierarchy's owner, by mode: enforce (and PATCHWAVE_MODE=enforce)".into(),
            Self::Fresh => "nobody: there is nothing to do".into(),
        }
    }

    /// Tells whether the image is about to change, so that a child built now would soon be stale again.
    ///
    /// Every other hold is parked: it may last for ever, and children do not wait for it.
    pub fn is_moving(&self) -> bool {
        matches!(
            self,
            Self::InFlight { .. }
                | Self::Unresolved { .. }
                | Self::AwaitingProof { .. }
                | Self::QuietPeriod { .. }
                | Self::AtLimit { .. }
        )
    }
}
