//! The notices that Patchwave sends to people.
//!
//! There is one notice for each root cause, and not one for each vulnerability and image. Patchwave
//! updates it when it asks something else of people, and closes it on proof. What is rebuilt and
//! not deployed is one notice for each owner, whatever the number of images.
//!
//! Patchwave writes a notice into the image's record, or the inventory, before it sends it, and
//! marks it as sent after. So no notice is lost. If a pass stops in between, the next one sends the
//! notice again with the same id and revision.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::finding::{FindingKey, Severity};
use crate::hierarchy::Tier;
use crate::image::{Digest, ImageId};
use crate::predicted::Predicted;
use crate::time::Timestamp;

/// How many findings a notice lists at most: the worst.
pub const MOST_FINDINGS: usize = 20;
/// How many workloads a notice lists at most. With these, an event stays far below the 256 kB that
/// a bus takes.
/// <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html>
pub const MOST_WORKLOADS: usize = 100;

/// What a notice is about. An image has at most one open notice for each kind of root cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RootCause {
    /// The image introduced findings that policy counts, here or below.
    Vulnerable,
    /// Its builds failed three times in a row.
    Failing,
    /// It is not known which version its environment has deployed, and only people can say it.
    Undecided,
    /// Its build has run longer than `maxBuildTime`.
    Hanging,
    /// Its source names its parents by digest, and they have newer versions.
    Pinned,
    /// Workloads run versions that newer ones replaced. Its notice belongs to an owner and not to
    /// an image.
    RebuiltNotDeployed,
}

impl RootCause {
    fn name(self) -> &'static str {
        match self {
            Self::Vulnerable => "vulnerable",
            Self::Failing => "failing",
            Self::Undecided => "undecided",
            Self::Hanging => "hanging",
            Self::Pinned => "pinned",
            Self::RebuiltNotDeployed => "rebuiltNotDeployed",
        }
    }
}

/// What a notice asks of people. Patchwave sends the notice again when this changes, and only then.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// The severity of the worst finding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// Whether an exploit of any of the findings is known.
    #[serde(default)]
    pub exploited: bool,
    /// What the findings or failures need: a rebuild, a commit, an approval.
    pub needs: BTreeSet<String>,
    /// The workloads that run a replaced version, [`MOST_WORKLOADS`] at most.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub workloads: BTreeSet<Undeployed>,
}

/// A workload that runs a replaced version of an image, and how it gets the new one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Undeployed {
    /// Account, Region, service and cluster: `444455556666/us-east-1/eks/shop`.
    pub place: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// An ECS service or task family, `namespace/kind/name` in Kubernetes, or a function's name.
    pub workload: String,
    pub image: ImageId,
    /// The version that runs.
    pub old: Digest,
    /// The version that replaced it.
    pub new: Digest,
    /// What to change where the workload is declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edit: Option<String>,
    /// The command that deploys the new version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// What to know before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Undeployed {
    /// Returns about how many bytes it takes as JSON.
    pub(crate) fn bytes(&self) -> usize {
        let texts = [&self.edit, &self.command, &self.environment].into_iter().flatten();
        let texts = texts.chain(&self.notes).chain([&self.place, &self.workload]);
        400 + self.image.as_str().len() + texts.map(String::len).sum::<usize>()
    }
}

impl Asked {
    /// Returns what both ask together: the worse severity, and the needs of both.
    #[must_use]
    pub fn join(&self, other: &Self) -> Self {
        Self {
            severity: self.severity.max(other.severity),
            exploited: self.exploited || other.exploited,
            needs: self.needs.union(&other.needs).cloned().collect(),
            workloads: self.workloads.union(&other.workloads).cloned().collect(),
        }
    }
}

/// Whether a root cause exists now.
pub(crate) enum Now {
    /// It exists, since then.
    Present(Asked, Timestamp),
    /// It is proven to be gone.
    Gone,
    /// What is known does not prove that it is gone.
    Unclear,
}

/// A notice as it is recorded: as it was sent last or is about to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notified {
    /// Since when the root cause has existed.
    pub since: Timestamp,
    /// The revision that opened the notice.
    pub opened: u32,
    /// Rises with every notice about this image or owner and kind of root cause, also after one is
    /// closed.
    pub revision: u32,
    pub asked: Asked,
    /// Whether the root cause is gone. The record keeps a closed notice, so that revisions go on
    /// rising after it.
    #[serde(default)]
    pub closed: bool,
    /// Whether this revision was sent.
    #[serde(default)]
    pub sent: bool,
}

impl Notified {
    /// Returns the notice that is recorded from now on.
    pub(crate) fn after(before: Option<&Self>, now: Now) -> Option<Self> {
        let Some(before) = before else {
            let Now::Present(asked, since) = now else { return None };
            return Some(Self { since, opened: 1, revision: 1, asked, closed: false, sent: false });
        };
        let revision = before.revision.saturating_add(1);
        let changed = |asked: Asked, closed: bool| Self {
            since: before.since,
            opened: before.opened,
            revision,
            asked,
            closed,
            sent: false,
        };
        Some(match now {
            Now::Present(asked, since) if before.closed && before.sent => {
                Self { since, opened: revision, revision, asked, closed: false, sent: false }
            }
            Now::Present(asked, _) if before.closed || before.asked != asked => changed(asked, false),
            Now::Gone if !before.closed => changed(before.asked.clone(), true),
            Now::Present(..) | Now::Gone | Now::Unclear => before.clone(),
        })
    }

    /// Returns the notice that says once more that the root cause is gone, with what happened. An
    /// open notice says it when it closes.
    pub(crate) fn again(self) -> Self {
        if !(self.closed && self.sent) {
            return self;
        }
        Self { revision: self.revision.saturating_add(1), sent: false, ..self }
    }

    /// Returns the state of the notice, as this revision says it.
    pub(crate) const fn state(&self) -> NoticeState {
        match self {
            Self { closed: true, .. } => NoticeState::Closed,
            Self { opened, revision, .. } if *opened == *revision => NoticeState::Opened,
            Self { .. } => NoticeState::Updated,
        }
    }
}

/// The notices of all owners, as they are recorded. Images without an owner share one.
pub type OwnersNotified = BTreeMap<Option<String>, Notified>;

/// A notice of an owner, as the table holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnerNotified {
    /// Nothing for the images without an owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    pub notified: Notified,
}

/// The state of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NoticeState {
    /// It is new.
    Opened,
    /// It asks something else than before.
    Updated,
    /// Its root cause is proven to be gone.
    Closed,
}

/// One notification, as it is sent: the detail of the event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// It stays the same until the notice is closed.
    pub id: String,
    /// Rises with every notice about this image or owner and kind of root cause. A notice may
    /// arrive more than once, and after a later one. The highest revision counts.
    pub revision: u32,
    pub state: NoticeState,
    pub root_cause: RootCause,
    /// The image that introduced the root cause; nothing if the notice belongs to an owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<Tier>,
    /// The image's owner, if the hierarchy names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The owner's SNS topic, for an EventBridge rule that sends the notice there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<String>,
    pub since: Timestamp,
    #[serde(flatten)]
    pub asked: Asked,
    /// The findings, the worst [`MOST_FINDINGS`] of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<FindingKey>,
    /// How many findings there are.
    pub finding_count: usize,
    /// What the rebuilds for it were predicted to be, and what happened. Nothing if no image
    /// follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicted: Option<Predicted>,
    /// How many images the root cause may affect: this one and all that are built on it, or the
    /// owner's images that are rebuilt and not deployed.
    pub affected_images: usize,
}

impl Notice {
    /// Returns the id of the notice about a root cause. `of` is an image or an owner.
    pub fn id(of: &str, root_cause: RootCause, since: Timestamp) -> String {
        format!("{of}/{}/{since:.0}", root_cause.name())
    }
}
