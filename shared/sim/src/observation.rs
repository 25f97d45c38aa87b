//! What a simulation reports to its caller as it happens.

use std::collections::BTreeMap;

use patchwave::image::{Digest, ImageId};
use patchwave::plan::{BuildKey, Reason};
use patchwave::time::Timestamp;
use patchwave_converge::Report;
use serde::Serialize;
use serde_json::Value;

use crate::clusters::Workload;

/// A Lambda function of the deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Function {
    /// Handles scans and findings.
    ScanComplete,
    /// Handles pushes, ends of executions and ticks.
    RebuildFanout,
    /// Handles the daily sweep.
    Inventory,
}

/// A build that succeeded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Build {
    pub image: ImageId,
    pub pipeline: String,
    pub execution_id: String,
    /// The idempotency key.
    pub build_key: BuildKey,
    pub reasons: Vec<Reason>,
    pub started_at: Timestamp,
    pub finished_at: Timestamp,
    /// The version that was current before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Digest>,
    /// The version that it pushed.
    pub version: Digest,
    /// The versions of the parents that the build pulled.
    pub parents: BTreeMap<ImageId, Digest>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// An event reached the queue of its function.
    Delivered {
        at: Timestamp,
        to: Function,
        /// As EventBridge writes it.
        event: Value,
    },
    /// A function observed, planned and applied.
    Passed { at: Timestamp, function: Function, report: Box<Report> },
    /// A build succeeded.
    Built(Box<Build>),
    /// The last task of a workload's old version stopped.
    Deployed {
        at: Timestamp,
        /// The workload, as it is now.
        workload: Workload,
        /// The version that it ran before.
        replaced: Digest,
    },
}
