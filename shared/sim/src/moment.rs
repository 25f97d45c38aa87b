//! What a simulation tells whoever watches it.

use std::collections::BTreeMap;

use patchwave::image::{Digest, ImageId};
use patchwave::plan::{BuildKey, Reason};
use patchwave::time::Timestamp;
use patchwave_converge::Report;
use serde::Serialize;
use serde_json::Value;

use crate::clusters::Workload;

/// One of Patchwave's functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Function {
    /// Scans and findings reach it.
    ScanComplete,
    /// Pushes, pipelines' results and the tick reach it.
    RebuildFanout,
    /// The daily sweep reaches it.
    Inventory,
}

/// A build that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Build {
    /// What was built.
    pub image: ImageId,
    /// By which pipeline.
    pub pipeline: String,
    /// The execution.
    pub execution_id: String,
    /// The intent.
    pub build_key: BuildKey,
    /// Why.
    pub reasons: Vec<Reason>,
    /// When it started.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
    /// The version that was current before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Digest>,
    /// The version that it pushed.
    pub version: Digest,
    /// The versions of its parents that it was really built on.
    pub parents: BTreeMap<ImageId, Digest>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moment {
    /// An event reached its function.
    Delivered {
        /// When.
        at: Timestamp,
        /// To which.
        to: Function,
        /// The event, as EventBridge wrote it.
        event: Value,
    },
    /// A function observed, planned and applied.
    Passed {
        /// When.
        at: Timestamp,
        /// Which.
        function: Function,
        /// What it did.
        report: Box<Report>,
    },
    /// A pipeline's execution ended.
    Built(Box<Build>),
    /// The last task that ran a workload's old version stopped.
    Deployed {
        /// When.
        at: Timestamp,
        /// The workload, as it is now.
        workload: Workload,
        /// What it ran before.
        replaced: Digest,
    },
}
