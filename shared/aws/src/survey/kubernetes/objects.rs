//! The few fields of Kubernetes' objects that matter here.
//!
//! <https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/>

use patchwave::time::Timestamp;
use serde::Deserialize;

use super::few::Few;

/// Most objects on a page, the number that `kubectl` asks for.
pub(super) const PAGE: usize = 500;
/// Most containers of one kind in a pod, and most owners of an object.
const MOST: usize = 1_000;

/// One page of a list.
#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
pub(super) struct Page<T> {
    #[serde(default)]
    pub(super) metadata: PageMetadata,
    #[serde(default)]
    pub(super) items: Few<T, PAGE>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct PageMetadata {
    #[serde(rename = "continue")]
    pub(super) next: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Metadata {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) labels: Option<Labels>,
    pub(super) owner_references: Few<Owner, MOST>,
}

/// The one label that is read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Labels {
    #[serde(rename = "pod-template-hash")]
    pub(super) hash: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Owner {
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) controller: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Pod {
    #[serde(default)]
    pub(super) metadata: Metadata,
    #[serde(default)]
    pub(super) spec: PodSpec,
    #[serde(default)]
    pub(super) status: PodStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodSpec {
    pub(super) node_selector: Option<NodeSelector>,
    pub(super) containers: Few<Container, MOST>,
    pub(super) init_containers: Few<Container, MOST>,
    pub(super) ephemeral_containers: Few<Container, MOST>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct NodeSelector {
    #[serde(rename = "kubernetes.io/arch")]
    pub(super) architecture: Option<String>,
}

impl PodSpec {
    /// Returns the containers of every kind.
    pub(super) fn all(&self) -> impl Iterator<Item = &Container> {
        [&self.containers, &self.init_containers, &self.ephemeral_containers].into_iter().flat_map(Few::iter)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Container {
    pub(super) name: String,
    pub(super) image: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodStatus {
    pub(super) phase: String,
    pub(super) container_statuses: Few<ContainerStatus, MOST>,
    pub(super) init_container_statuses: Few<ContainerStatus, MOST>,
    pub(super) ephemeral_container_statuses: Few<ContainerStatus, MOST>,
}

impl PodStatus {
    /// Returns a container's state. Names are unique among all kinds.
    pub(super) fn of(&self, container: &str) -> Option<&ContainerStatus> {
        [&self.container_statuses, &self.init_container_statuses, &self.ephemeral_container_statuses]
            .into_iter()
            .flat_map(Few::iter)
            .find(|status| status.name == container)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ContainerStatus {
    pub(super) name: String,
    #[serde(rename = "imageID")]
    pub(super) image_id: String,
    pub(super) state: State,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct State {
    pub(super) running: Option<Running>,
    pub(super) terminated: Option<serde::de::IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Running {
    pub(super) started_at: Option<Timestamp>,
}

/// A Deployment, `StatefulSet` or `DaemonSet`.
#[derive(Debug, Deserialize)]
pub(super) struct Workload {
    #[serde(default)]
    pub(super) metadata: Metadata,
    pub(super) spec: WorkloadSpec,
}

#[derive(Debug, Deserialize)]
pub(super) struct WorkloadSpec {
    pub(super) template: Template,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Template {
    pub(super) spec: PodSpec,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CronJob {
    #[serde(default)]
    pub(super) metadata: Metadata,
    pub(super) spec: CronJobSpec,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CronJobSpec {
    pub(super) job_template: JobTemplate,
}

#[derive(Debug, Deserialize)]
pub(super) struct JobTemplate {
    pub(super) spec: WorkloadSpec,
}
