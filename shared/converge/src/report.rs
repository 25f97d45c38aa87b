//! The report of a pass: the JSON that the Lambda functions return, which is part of the contract.

use std::collections::BTreeSet;

use patchwave::image::ImageId;
use patchwave::inventory::Totals;
use patchwave::notice::Notice;
use patchwave::plan::{AwaitedScan, BuildKey, Hold, Proof, Reason, Unknown};
use patchwave::predicted::Predicted;
use patchwave::trigger::Trigger;
use serde::Serialize;

/// A build that was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Started {
    pub image: ImageId,
    pub pipeline: String,
    pub execution_id: String,
    pub build_key: BuildKey,
    pub reasons: Vec<Reason>,
}

/// An image that was not started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    pub image: ImageId,
    /// Why it was not started: `why` and its details.
    #[serde(flatten)]
    pub hold: Hold,
    /// What to do about it.
    pub lifted_by: String,
    /// The reasons to rebuild it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Reason>,
}

impl Held {
    /// Holds `image` for `hold`, in spite of these reasons.
    pub fn new(image: ImageId, hold: Hold, reasons: Vec<Reason>) -> Self {
        Self { lifted_by: hold.lifted_by(&image), image, hold, reasons }
    }
}

/// What a failed call was to do. Each has a metric of its own, so there are few, and they are
/// fixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum FailureKind {
    /// Read a record, the hierarchy file, or what the inventory is made from.
    Read,
    /// Keep something in the table.
    Write,
    /// Start a build.
    Start,
    /// Request a scan.
    Scan,
    /// Notify people.
    Notice,
    /// Schedule another invocation.
    Schedule,
    /// Set or remove a keep tag.
    Tag,
}

impl FailureKind {
    /// Returns the word that the report and the metric have for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Start => "start",
            Self::Scan => "scan",
            Self::Notice => "notice",
            Self::Schedule => "schedule",
            Self::Tag => "tag",
        }
    }
}

/// A call that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    pub kind: FailureKind,
    /// The image that it was about, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageId>,
    pub message: String,
}

/// A prediction that is over: the findings are gone from all images that follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PredictionOver {
    /// The image that was rebuilt first.
    pub image: ImageId,
    #[serde(flatten)]
    pub predicted: Predicted,
}

/// What one pass did and did not do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub trigger: Vec<Trigger>,
    pub started: Vec<Started>,
    /// Images that were not started, each with its one hold.
    pub held: Vec<Held>,
    /// The verdicts on findings of rebuilt images.
    pub proofs: Vec<Proof>,
    pub unknown: Vec<Unknown>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scans_requested: Vec<AwaitedScan>,
    /// The notices that were sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notified: Vec<Notice>,
    /// Predictions that are over, with what happened; only at a sweep.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub predictions: Vec<PredictionOver>,
    /// Totals of what runs; only at a sweep.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inventory: Option<Totals>,
    /// What a person should check, although no call failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<String>,
    pub errors: Vec<Failure>,
    /// How many images the pass did not observe and would have had to, at least. `unknown` names
    /// the first.
    #[serde(skip)]
    pub unobserved: usize,
    /// The images that another invocation wrote first: no error, but this pass is not whole.
    #[serde(skip)]
    pub raced: BTreeSet<ImageId>,
    /// Whether the pass wrote everything that it had to write. If not, its caller must repeat the
    /// pass, or the rest waits for the next sweep.
    #[serde(skip)]
    pub is_whole: bool,
}

impl Report {
    /// Adds what a later page of the same pass did. What it says about an image replaces what the
    /// earlier one said.
    pub(crate) fn add(&mut self, later: Self) {
        let again: BTreeSet<&ImageId> = later.held.iter().map(|held| &held.image).collect();
        let started: BTreeSet<&ImageId> = later.started.iter().map(|started| &started.image).collect();
        self.held.retain(|held| !again.contains(&held.image) && !started.contains(&held.image));
        // What this pass started is under way for its later pages.
        let started = std::mem::take(&mut self.started);
        let is_ours = |held: &Held| started.iter().any(|started| started.image == held.image);
        self.held.extend(later.held.into_iter().filter(|held| !is_ours(held)));
        self.started = started;
        self.held.sort_by(|a, b| a.image.cmp(&b.image));
        self.unknown.extend(later.unknown);
        self.unknown.sort();
        self.unknown.dedup();
        self.started.extend(later.started);
        self.proofs.extend(later.proofs);
        self.scans_requested.extend(later.scans_requested);
        self.notified.extend(later.notified);
        self.predictions.extend(later.predictions);
        let known: BTreeSet<String> = self.doubts.iter().cloned().collect();
        self.doubts.extend(later.doubts.into_iter().filter(|doubt| !known.contains(doubt)));
        // A record that cannot be read is met by several pages.
        self.errors.extend(later.errors);
        let mut once = BTreeSet::new();
        self.errors.retain(|error| once.insert((error.kind, error.image.clone(), error.message.clone())));
        self.raced.extend(later.raced);
        self.is_whole &= later.is_whole;
    }

    /// Adds a record that exists and cannot be read.
    pub(crate) fn unreadable(&mut self, image: &ImageId, why: &str) {
        let (kind, image) = (FailureKind::Read, Some(image.clone()));
        self.errors.push(Failure { kind, image, message: why.to_owned() });
    }

    /// Adds a call that failed.
    pub(crate) fn failed(
        &mut self,
        kind: FailureKind,
        image: Option<&ImageId>,
        error: &dyn std::error::Error,
    ) {
        self.errors.push(Failure { kind, image: image.cloned(), message: error.to_string() });
    }

    /// Says that the pass ended before it observed these images.
    pub(crate) fn cut_off(&mut self, unobserved: &BTreeSet<ImageId>, goes_on: &str) {
        self.unobserved = unobserved.len();
        let Some(image) = unobserved.first().cloned() else { return };
        let others = match unobserved.len() - 1 {
            0 => String::new(),
            others => format!(" and at least {others} others"),
        };
        let because = format!("the pass ended before it observed this image{others}; {goes_on}");
        self.unknown.push(Unknown { image, platform: None, because, since: None });
    }

    /// Returns the first failure to keep what the pass saw or did.
    pub fn unwritten(&self) -> Option<&Failure> {
        self.errors.iter().find(|failure| failure.kind == FailureKind::Write)
    }

    /// Returns the held images that have something to wait for. It leaves out the images without a
    /// reason to rebuild them, which are most.
    pub fn waiting(&self) -> impl Iterator<Item = &Held> {
        self.held.iter().filter(|held| held.hold != Hold::Fresh)
    }
}
