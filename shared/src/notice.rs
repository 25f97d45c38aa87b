//! The notices that Patchwave sends to people.
//!
//! There is one notice for each root cause, and not one for each vulnerability and image. Patchwave
//! updates it when it asks something else of people, and closes it on proof.
//!
//! Patchwave writes a notice into the image's record before it sends it, and marks it as sent
//! after. So no notice is lost. If a pass stops in between, the next one sends the notice again
//! with the same id and revision.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::finding::{FindingKey, Severity};
use crate::hierarchy::Tier;
use crate::image::ImageId;
use crate::time::Timestamp;

/// How many findings a notice lists at most: the worst.
pub const MOST_FINDINGS: usize = 20;

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
}

impl RootCause {
    fn name(self) -> &'static str {
        match self {
            Self::Vulnerable => "vulnerable",
            Self::Failing => "failing",
            Self::Undecided => "undecided",
            Self::Hanging => "hanging",
            Self::Pinned => "pinned",
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
}

impl Asked {
    /// Returns what both ask together: the worse severity, and the needs of both.
    #[must_use]
    pub fn join(&self, other: &Self) -> Self {
        Self {
            severity: self.severity.max(other.severity),
            exploited: self.exploited || other.exploited,
            needs: self.needs.union(&other.needs).cloned().collect(),
        }
    }
}

/// A notice in the image's record, as it was sent last or is about to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notified {
    /// Since when the root cause has existed.
    pub since: Timestamp,
    /// The revision that opened the notice.
    pub opened: u32,
    /// Rises with every notice about this image and kind of root cause, also after one is closed.
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
    /// Rises with every notice about this image and kind of root cause. A notice may arrive more
    /// than once, and after a later one. The highest revision counts.
    pub revision: u32,
    pub state: NoticeState,
    pub root_cause: RootCause,
    /// The image that introduced the root cause.
    pub image: ImageId,
    pub tier: Tier,
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
    /// How many images the root cause may affect: this one and all that are built on it.
    pub affected_images: usize,
}

impl Notice {
    /// Returns the id of the notice about a root cause.
    pub fn id(image: &ImageId, root_cause: RootCause, since: Timestamp) -> String {
        format!("{image}/{}/{since:.0}", root_cause.name())
    }
}
