//! What people are told: one notification for each root cause, updated when what it asks of them changes, and closed on
//! proof. Never one for each vulnerability and image.
//!
//! A notice is written into the image's record before it is sent and marked after, so that none is lost; whoever is cut off
//! in between leaves it to be sent again, under the same id and revision.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::finding::{FindingKey, Severity};
use crate::hierarchy::Tier;
use crate::image::ImageId;
use crate::time::Timestamp;

/// Most findings that a notice lists: the worst.
pub const MOST_FINDINGS: usize = 20;

/// What a notice is about. An image has at most one open notice for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RootCause {
    /// The image introduced findings that policy counts, here or below.
    Vulnerable,
    /// Its builds failed three times in a row.
    Failing,
}

impl RootCause {
    fn name(self) -> &'static str {
        match self {
            Self::Vulnerable => "vulnerable",
            Self::Failing => "failing",
        }
    }
}

/// What a notice asks of people: when this changes, and only then, it is sent again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// The worst of its findings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// Whether any of them is known to be exploited.
    #[serde(default)]
    pub exploited: bool,
    /// What it waits for: a rebuild, a commit, an approval.
    pub needs: BTreeSet<String>,
}

impl Asked {
    /// Returns what both ask: the worse severity, and the needs of either.
    #[must_use]
    pub fn join(&self, other: &Self) -> Self {
        Self {
            severity: self.severity.max(other.severity),
            exploited: self.exploited || other.exploited,
            needs: self.needs.union(&other.needs).cloned().collect(),
        }
    }
}

/// A notice in the image's record: what was said last, or is about to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notified {
    /// Since when the root cause has been there.
    pub since: Timestamp,
    /// The revision that opened it.
    pub opened: u32,
    /// Which word this is on the image's root causes of this kind: it rises from story to story.
    pub revision: u32,
    /// What it asks.
    pub asked: Asked,
    /// Whether the root cause is gone. A closed story is kept, so that a late word on it is not taken for a new one.
    #[serde(default)]
    pub closed: bool,
    /// Whether it was sent.
    #[serde(default)]
    pub sent: bool,
}

/// Where the story of a root cause stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NoticeState {
    /// It is new.
    Opened,
    /// What it asks has changed.
    Updated,
    /// It is proven to be gone.
    Closed,
}

/// One notification, as it is sent: the detail of the event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// The same from opening to closing.
    pub id: String,
    /// Rises with every word on this image and kind of root cause. A notice is sent at least once, and a late one may come
    /// after its successor: the highest revision counts.
    pub revision: u32,
    /// Where its story stands.
    pub state: NoticeState,
    /// What it is about.
    pub root_cause: RootCause,
    /// The image that introduced it.
    pub image: ImageId,
    pub tier: Tier,
    /// Whose it is, if the hierarchy says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The SNS topic that its owner wants to be told at, for a rule that sends it there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<String>,
    pub since: Timestamp,
    /// What it asks.
    #[serde(flatten)]
    pub asked: Asked,
    /// The findings, the worst [`MOST_FINDINGS`] of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<FindingKey>,
    /// How many findings there are.
    pub finding_count: usize,
    /// How many images carry it or may: this one and all that are built on it.
    pub affected_images: usize,
}

impl Notice {
    /// Names the story of a root cause.
    pub fn id(image: &ImageId, root_cause: RootCause, since: Timestamp) -> String {
        format!("{image}/{}/{since:.0}", root_cause.name())
    }
}
