//! What one survey saw where containers run, in the services' words. Nothing is concluded yet.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// A service that runs containers, or refers to images that it will run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ConsumerKind {
    /// Amazon ECS: tasks run images, and services and task definitions refer to them.
    Ecs,
    /// Amazon EKS: pods run images, and workload objects refer to them.
    Eks,
    /// AWS Lambda functions packaged as images.
    Lambda,
    /// AWS Batch job definitions.
    Batch,
    /// Amazon `SageMaker` models.
    SageMaker,
    /// Rules and schedules of Amazon EventBridge that start ECS tasks. They refer to task
    /// definitions.
    Schedules,
    /// AWS Organizations. It runs nothing; its place is the list of the organisation's accounts.
    Organization,
    /// AWS App Runner services. Patchwave reads neither these nor those that follow.
    AppRunner,
    /// Images of AWS `CodeBuild` projects.
    CodeBuild,
    /// Images of Amazon EMR.
    Emr,
    /// AWS Lambda `MicroVMs`.
    MicroVms,
    /// Pipes of Amazon EventBridge that start ECS tasks.
    Pipes,
    /// State machines of AWS Step Functions that start ECS tasks.
    StateMachines,
}

/// What a survey reads in one go: a cluster, or a service without clusters in one account and
/// region.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// Twelve digits.
    pub account: String,
    pub region: String,
    pub kind: ConsumerKind,
    /// The cluster's name, if the service has clusters. A place of such a service without a name
    /// represents the list of its clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// The environment that the hierarchy assigns to the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
}

/// How an image is used.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Use {
    /// A container runs it.
    Running {
        /// When it started, if the service says so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<Timestamp>,
    },
    /// An enhanced scanner reports that containers ran it in a place that could not be read.
    Reported {
        /// When the scanner last saw them.
        at: Timestamp,
        /// How many tasks or pods ran it, of all workloads that the scanner counts together.
        units: u32,
    },
    /// Something that does not run now would start it: a service scaled to zero, a schedule, a job
    /// definition.
    Referenced,
}

/// One container that was seen, or one reference to an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sighting {
    pub place: Place,
    /// An ECS service or task family, `namespace/kind/name` in Kubernetes, or a function's name.
    pub workload: String,
    /// A task's or pod's id; empty for a reference.
    pub unit: String,
    /// By name.
    pub container: String,
    /// The image reference, as the workload asks for it.
    pub image: String,
    /// What ran, in the service's words: a digest, `repository@digest`, `docker-pullable://…`, or
    /// nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved: Option<String>,
    /// The architecture it runs on (`amd64`, `arm64`), if the service says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// The operating system it runs on (`linux`, `windows`), if the service says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    pub used: Use,
}

/// Whether a place was read completely.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlaceRead {
    pub place: Place,
    pub at: Timestamp,
    /// Why it could not be read completely, if so. Then what was not seen there may still run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
    /// The kinds of objects there that Patchwave does not read, or may not list. They may start
    /// images too.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub not_inspected: BTreeSet<String>,
}

/// What one survey saw.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Survey {
    /// The places that it tried to read, each once.
    pub places: Vec<PlaceRead>,
    /// What it saw there. This includes what an unread place showed before reading failed.
    pub sightings: Vec<Sighting>,
}
