//! What runs: ECS services and EKS deployments, each on one version of one image.

use std::fmt;

use patchwave::image::{Digest, ImageId};
use patchwave::time::{Span, Timestamp};
use serde::Serialize;

/// Which orchestrator runs a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Orchestrator {
    #[serde(rename = "ECS")]
    Ecs,
    #[serde(rename = "EKS")]
    Eks,
}

impl fmt::Display for Orchestrator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ecs => "ECS",
            Self::Eks => "EKS",
        })
    }
}

/// A service or deployment, and the version that its tasks run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Workload {
    /// Unique in the simulation.
    pub name: String,
    pub image: ImageId,
    pub orchestrator: Orchestrator,
    pub cluster: String,
    /// The number of tasks or pods.
    pub tasks: u32,
    /// The version that its tasks run. While a deployment rolls, the old version counts until its
    /// last task has stopped.
    pub digest: Digest,
    /// Since when all tasks run that version.
    pub since: Timestamp,
    /// How long after a push the deployment starts.
    #[serde(skip)]
    pub(crate) follows_after: Span,
    /// How long the deployment takes until the last old task has stopped.
    #[serde(skip)]
    pub(crate) rolls_for: Span,
}
