//! What a pass did, as the functions return it: the contract's JSON.

use patchwave::image::ImageId;
use patchwave::inventory::Totals;
use patchwave::notice::Notice;
use patchwave::plan::{AwaitedScan, BuildKey, Hold, Proof, Reason, Unknown};
use patchwave::trigger::Trigger;
use serde::Serialize;

/// A build that was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Started {
    /// What is built.
    pub image: ImageId,
    /// By which pipeline.
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
    /// Why not: `why` and its details.
    #[serde(flatten)]
    pub hold: Hold,
    /// What ends the hold, and who can.
    pub lifted_by: String,
    /// The reasons that are waiting.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Reason>,
}

/// Something that went wrong, with the image that it was about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// About which image, if about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageId>,
    /// What went wrong.
    pub message: String,
}

/// What one pass did and did not do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// What it was about.
    pub trigger: Vec<Trigger>,
    /// Builds that were started.
    pub started: Vec<Started>,
    /// Images that were not, each with its one hold.
    pub held: Vec<Held>,
    /// What became of findings.
    pub proofs: Vec<Proof>,
    /// What is not known.
    pub unknown: Vec<Unknown>,
    /// Scans that were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scans_requested: Vec<AwaitedScan>,
    /// What people were told.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notified: Vec<Notice>,
    /// What runs, at a sweep: how much of what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inventory: Option<Totals>,
    /// What should not be as it is, and is nobody's error.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<String>,
    /// What went wrong.
    pub errors: Vec<Failure>,
    /// Whether everything that was to be written was. If not, what asked for the pass must ask again: only then is nothing
    /// left to the next sweep.
    #[serde(skip)]
    pub is_whole: bool,
}

impl Report {
    /// Returns what something holds, without the images that there is no reason to rebuild: most of what is looked at.
    pub fn waiting(&self) -> impl Iterator<Item = &Held> {
        self.held.iter().filter(|held| held.hold != Hold::Fresh)
    }
}
