//! What happened, as data: JSON prints it, and the text is made from it.

use std::collections::{BTreeMap, BTreeSet};

use patchwave::finding::Severity;
use patchwave::hierarchy::Tier;
use patchwave::image::{ImageId, Platform};
use patchwave::time::{Span, Timestamp};
use patchwave_converge::Held;
use patchwave_sim::{Build, Orchestrator, Workload};
use serde::Serialize;
use serde_json::Value;

use super::prediction::Prediction;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DemoReport {
    pub(crate) seed: u64,
    /// Whether the hierarchy enforces nothing and was simulated as if it did.
    pub(crate) as_if_enforced: bool,
    pub(crate) organisation: DemoHierarchy,
    pub(crate) incident: IncidentReport,
    pub(crate) prediction: Prediction,
    pub(crate) waves: Vec<Wave>,
    /// Images below the incident that were not rebuilt, each with its hold.
    pub(crate) held: Vec<Held>,
    /// Which images each hold held for a while.
    pub(crate) waited: BTreeMap<&'static str, BTreeSet<ImageId>>,
    pub(crate) proof: Proof,
    pub(crate) running: Running,
    pub(crate) summary: Summary,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DemoHierarchy {
    pub(crate) registry: String,
    pub(crate) images: usize,
    pub(crate) tiers: BTreeMap<Tier, usize>,
    /// Images that have one ancestor by more than one path.
    pub(crate) diamonds: usize,
    pub(crate) waves: usize,
    pub(crate) workloads: BTreeMap<Orchestrator, usize>,
    pub(crate) tasks: u32,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IncidentReport {
    pub(crate) image: ImageId,
    pub(crate) tier: Tier,
    pub(crate) vulnerability: String,
    pub(crate) package: String,
    pub(crate) severity: Severity,
    pub(crate) exploited: bool,
    pub(crate) published_at: Timestamp,
    pub(crate) arrived_at: Timestamp,
    /// The first event about it.
    pub(crate) event: Value,
    /// Events about scans and findings that arrived after it, before the fix was pushed.
    pub(crate) more_scan_events: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Wave {
    pub(crate) number: usize,
    pub(crate) planned: usize,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) finished_at: Option<Timestamp>,
    /// By start.
    pub(crate) builds: Vec<Build>,
}

/// What the scans of the new versions say.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Proof {
    /// Platform manifests of rebuilt images that were scanned and do not list it.
    pub(crate) fixed: usize,
    /// Those that still list it.
    pub(crate) ineffective: usize,
    /// Those without a completed scan: unknown is never clean.
    pub(crate) unscanned: usize,
    /// How many images are fixed on all their platforms.
    pub(crate) images: usize,
    /// How many are fixed on each platform.
    pub(crate) platforms: BTreeMap<Platform, usize>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Running {
    /// Workloads that ran a vulnerable digest when it began.
    pub(crate) exposed: usize,
    /// When the last task of those that were replaced stopped.
    pub(crate) last_stopped_at: Option<Timestamp>,
    pub(crate) last_stopped: Option<Workload>,
    /// Workloads that still run one.
    pub(crate) still: Vec<Workload>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Summary {
    pub(crate) affected: usize,
    pub(crate) builds: usize,
    /// Builds for each affected image, in two decimals.
    pub(crate) builds_per_image: String,
    /// Affected images that were not built.
    pub(crate) lost: Vec<ImageId>,
    /// Images that were built more than once.
    pub(crate) duplicates: Vec<ImageId>,
    pub(crate) predicted_finish: Timestamp,
    pub(crate) finished_at: Option<Timestamp>,
    pub(crate) events: BTreeMap<String, usize>,
    pub(crate) passes: usize,
    pub(crate) errors: Vec<String>,
    pub(crate) is_quiet: bool,
    /// How many builds another plan would start now.
    pub(crate) starts_again: usize,
}

impl DemoReport {
    /// Tells whether every image that could be fixed was fixed by one build.
    pub(crate) fn is_clean(&self) -> bool {
        let Summary { lost, duplicates, errors, is_quiet, starts_again, .. } = &self.summary;
        let settled = *is_quiet && *starts_again == 0 && errors.is_empty();
        let proven = self.proof.ineffective == 0 && self.proof.unscanned == 0;
        lost.is_empty() && duplicates.is_empty() && settled && proven
    }
}

impl Summary {
    /// Returns how far the prediction was off, and whether reality was later.
    pub(crate) fn error(&self) -> Option<(Span, bool)> {
        let finished = self.finished_at?;
        let late = Span::between(self.predicted_finish, finished);
        let early = Span::between(finished, self.predicted_finish);
        Some((late.max(early), late > Span::ZERO))
    }
}
