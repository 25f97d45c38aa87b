//! What one look at the places where containers run brought back: as the services say it, nothing concluded yet.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// A service that runs containers, or keeps images to run them from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ConsumerKind {
    /// Amazon ECS: tasks run, services and task definitions refer.
    Ecs,
    /// Amazon EKS: pods run, workload objects refer.
    Eks,
    /// AWS Lambda functions packaged as images.
    Lambda,
    /// AWS Batch job definitions.
    Batch,
    /// Amazon `SageMaker` models.
    SageMaker,
    /// Rules and schedules of Amazon EventBridge that start ECS tasks: they refer to task definitions.
    Schedules,
}

/// Somewhere to look: a cluster, or a service of one account and region that has no clusters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// The account's twelve digits.
    pub account: String,
    pub region: String,
    pub kind: ConsumerKind,
    /// The cluster's name, where the service has clusters. A place without one, of a service that has clusters, stands for
    /// the list of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// The environment that the hierarchy gives the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
}

/// How an image is used.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Use {
    /// A container runs it, since then if the service says so.
    Running {
        /// When it started.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<Timestamp>,
    },
    /// An enhanced scanner says that containers ran it, where nobody could look.
    Reported {
        /// When it last saw them.
        at: Timestamp,
        /// How many tasks or pods they were, of all workloads that it counts together.
        units: u32,
    },
    /// Something that does not run now would run it: a service scaled to zero, a schedule, a job definition.
    Referenced,
}

/// One container that was seen, or one reference to an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sighting {
    pub place: Place,
    /// What it belongs to: an ECS service or task family, `namespace/kind/name` in Kubernetes, a function's name.
    pub workload: String,
    /// The one that runs: a task's or pod's id; empty for a reference.
    pub unit: String,
    /// The container's name within it.
    pub container: String,
    /// The image as it was asked for.
    pub image: String,
    /// What the service says was run, as it says it: a digest, `repository@digest`, `docker-pullable://…`, or nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved: Option<String>,
    /// The architecture it runs on (`amd64`, `arm64`), if the service says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// Running, or only referred to.
    pub used: Use,
}

/// Whether a place was read to its end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlaceRead {
    pub place: Place,
    pub at: Timestamp,
    /// Why it could not be read whole, if it could not: nothing may then be concluded from what was not seen there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
}

/// What one look brought back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Survey {
    /// The places that were looked at, each once.
    pub places: Vec<PlaceRead>,
    /// What was seen there. What an unread place showed before it failed is here too.
    pub sightings: Vec<Sighting>,
}
