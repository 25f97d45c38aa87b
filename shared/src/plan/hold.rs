//! Why an image is not started.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::finding::{FindingKey, NEVER_SCANNED};
use crate::image::{Digest, ImageId, Repository};
use crate::time::Timestamp;

/// Why there is no pipeline, where the hierarchy file names none.
pub(super) const NAMES_NO_PIPELINE: &str = "the hierarchy does not name a pipeline";

/// Why nothing is planned for an image whose `from` is `unknown`.
pub(super) const FROM_UNKNOWN: &str = "the hierarchy file does not say what it is built on";

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
    /// A pull-through cache that would still serve what upstream replaced.
    Cache {
        /// When the next pull makes it ask upstream.
        until: Timestamp,
    },
}

/// Which limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Limit {
    /// `maxConcurrentBuilds`.
    ConcurrentBuilds,
    /// `maxStartsPerDay`.
    StartsPerDay,
    /// `maxConcurrentBuilds` of the image's owner. It is counted without a transaction: two passes
    /// at once may start one more.
    OwnersBuilds,
    /// The pipeline's own: it runs as many executions as it may, or one that a start would
    /// overtake.
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
    /// The pipeline is pinned to the line's commit, and the commit is not known: the current
    /// version does not name one, or no execution of the pipeline reported it.
    UnknownRevision,
    /// No pipeline can build it: the hierarchy names none, or CodePipeline has none that takes such
    /// a start.
    NoPipeline {
        /// What is missing.
        because: String,
    },
    /// Its source names its parents by digest, so only a commit moves it.
    Pinned {
        /// The parents of the hierarchy, at the digests that a commit would name.
        parents: BTreeMap<ImageId, Digest>,
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
    /// It is rebuilt, and the tag of its environment still names the version before.
    NotPromoted {
        environment: String,
        /// The version to promote.
        version: Digest,
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
    /// The scanner does not name a fix for its findings, and the last try is too recent.
    NextTry {
        /// When the next one is made.
        until: Timestamp,
    },
    /// A person must approve.
    NeedsApproval,
    /// Policy leaves it to the next commit.
    NextCommit,
    /// Policy says never, or a person froze it.
    Frozen,
    /// A limit is reached.
    AtLimit {
        limit: Limit,
        /// When it is over at the latest, or when Patchwave looks again.
        until: Timestamp,
    },
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
            Self::Pinned { .. } => "Pinned",
            Self::CannotHelp { .. } => "CannotHelp",
            Self::Suppressed { .. } => "Suppressed",
            Self::Quarantined { .. } => "Quarantined",
            Self::WaitingOn { .. } => "WaitingOn",
            Self::AwaitingProof { .. } => "AwaitingProof",
            Self::NotPromoted { .. } => "NotPromoted",
            Self::QuietPeriod { .. } => "QuietPeriod",
            Self::BackOff { .. } => "BackOff",
            Self::NextTry { .. } => "NextTry",
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
            | Self::BackOff { until, .. }
            | Self::NextTry { until }
            | Self::WaitingOn { awaits: Awaited::Cache { until }, .. }
            | Self::AtLimit { until, .. } => Some(*until),
            _ => None,
        }
    }

    /// Tells the reader what to do about the hold of `image`.
    pub fn lifted_by(&self, image: &ImageId) -> String {
        match self {
            Self::InFlight { pipeline, .. } => format!("wait for the build in pipeline {pipeline} to end"),
            Self::Unresolved { .. } => {
                "wait: Patchwave asks CodePipeline again at the next tick; if this lasts, check its permissions"
                    .into()
            }
            Self::NoRepository { repository, registry } => {
                format!("correct `repository` in the hierarchy file, or create {repository} in {registry}")
            }
            Self::Unknown { because } if because.ends_with(NEVER_SCANNED) => {
                format!("turn on scan on push for the repository of {image}, or scan its current version")
            }
            Self::Unknown { because } if because == FROM_UNKNOWN => {
                format!("write what {image} is built on as `from` in the hierarchy file")
            }
            Self::Unknown { .. } => {
                "repair what could not be read; Patchwave reads it again at the next tick".into()
            }
            Self::RolledBack => {
                format!("to release it: patchwave release {image}; or push a newer version of {image}")
            }
            Self::UnknownRevision => {
                format!(
                    "write the annotation org.opencontainers.image.revision in the build of {image}, with a commit \
                     that its pipeline has built. CodePipeline forgets executions after a year: if the commit is \
                     right, accept it with patchwave release {image}"
                )
            }
            Self::NoPipeline { because } if because == NAMES_NO_PIPELINE => {
                format!("add `pipeline:` to {image} in the hierarchy file")
            }
            Self::NoPipeline { because } => {
                format!("correct the pipeline or the hierarchy file: {because}")
            }
            Self::Pinned { parents } if parents.is_empty() => {
                format!("to rebuild it now: patchwave rebuild {image}; a commit that names newer parents moves it too")
            }
            Self::Pinned { parents } => {
                let parents: Vec<String> =
                    parents.iter().map(|(parent, digest)| format!("{parent}@{digest}")).collect();
                format!("commit the digests of its parents to the source of {image}: {}", parents.join(", "))
            }
            Self::CannotHelp { because, .. } => because.clone(),
            Self::Suppressed { .. } => {
                format!("to release it: remove the suppression of {image} from the hierarchy file")
            }
            Self::Quarantined { .. } => format!(
                "find out why the rebuild did not fix it; to release it: patchwave release {image}. A changed \
                 parent, a newly published fix or a new push also releases it"
            ),
            Self::WaitingOn { on, awaits } => match awaits {
                Awaited::Start => format!("wait for the build of {on}, which starts now"),
                Awaited::Scan => format!(
                    "wait for a scan of {on} that is newer than the finding; if none comes, turn on scan on \
                     push for its repository"
                ),
                Awaited::Hold(hold) => format!("{on} comes first: {}", hold.lifted_by(on)),
                Awaited::Cache { until } => format!(
                    "wait until {until:.0}: until then the cache serves {on} as it was; the build that starts then \
                     makes it ask upstream. To build it before then: patchwave rebuild {image}"
                ),
            },
            Self::AwaitingProof { .. } => format!(
                "wait for a scan of the new version of {image}; if none comes, turn on scan on push for its \
                 repository"
            ),
            Self::NotPromoted { environment, version } => {
                format!("promote {image} to {environment}: let its tag name {version}")
            }
            Self::QuietPeriod { parent, .. } => {
                format!("wait until the tags of {parent} have not moved for its quiet period")
            }
            Self::BackOff { .. } => format!(
                "repair the build, then release it: patchwave release {image}. Patchwave also tries again by \
                 itself"
            ),
            Self::NextTry { until } => format!(
                "wait until {until:.0}: the scanner does not name a fix, so the next sweep from then on tries a rebuild; to \
                 try now: patchwave rebuild {image}"
            ),
            Self::NeedsApproval => format!("to approve it: patchwave approve {image}"),
            Self::NextCommit => format!("commit to the source of {image}: policy rebuilds it with the next commit"),
            Self::Frozen => format!(
                "to release it: patchwave release {image}; where policy says `rebuild: never`, change the policy"
            ),
            Self::AtLimit { limit: Limit::ConcurrentBuilds, .. } => {
                "wait for another build to end, or raise `maxConcurrentBuilds` in the hierarchy file".into()
            }
            Self::AtLimit { limit: Limit::OwnersBuilds, .. } => {
                "wait for another build of its owner to end, or raise the owner's `maxConcurrentBuilds`".into()
            }
            Self::AtLimit { limit: Limit::StartsPerDay, .. } => {
                "wait for the next day (UTC), or raise `maxStartsPerDay` in the hierarchy file".into()
            }
            Self::AtLimit { limit: Limit::Pipeline, .. } => {
                "wait for its pipeline to end what it runs now".into()
            }
            Self::Observing => format!(
                "set `mode: enforce` for {image} in the hierarchy file, and PATCHWAVE_MODE=enforce in the \
                 deployment"
            ),
            Self::Fresh => "nothing to do".into(),
        }
    }

    /// Tells whether the image is about to change, so that a child built now would soon be stale
    /// again.
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
