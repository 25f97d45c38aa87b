//! What runs: ECS services and EKS workloads, each on one version of one image.

use std::fmt;

use patchwave::image::{Digest, ImageId};
use patchwave::time::{Span, Timestamp};
use serde::Serialize;

/// Which orchestrator runs a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Orchestrator {
    /// A service on Amazon ECS.
    #[serde(rename = "ECS")]
    Ecs,
    /// A deployment on Amazon EKS.
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

/// A service or deployment and what its tasks run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Workload {
    /// Its name, unique in the simulation.
    pub name: String,
    /// Which image it runs.
    pub image: ImageId,
    /// What runs it.
    pub orchestrator: Orchestrator,
    /// In which cluster.
    pub cluster: String,
    /// How many tasks or pods.
    pub tasks: u32,
    /// The version that its tasks run. While a deployment rolls: the old one, until its last task has stopped.
    pub digest: Digest,
    /// Since when all tasks run it.
    pub since: Timestamp,
    /// How long after a push its deployment starts.
    #[serde(skip)]
    pub(crate) follows_after: Span,
    /// How long its deployment takes until the last old task has stopped.
    #[serde(skip)]
    pub(crate) rolls_for: Span,
}
