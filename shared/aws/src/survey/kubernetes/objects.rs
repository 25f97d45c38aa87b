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
    pub(super) annotations: Option<Annotations>,
}

/// The one annotation that is read: a Deployment numbers its versions with it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Annotations {
    #[serde(rename = "deployment.kubernetes.io/revision")]
    pub(super) revision: Option<String>,
}

impl Metadata {
    /// Returns what controls the object, or else its first owner.
    pub(super) fn controller(&self) -> Option<&Owner> {
        let mut owners = self.owner_references.iter();
        let first = owners.clone().next();
        owners.find(|owner| owner.controller).or(first)
    }
}

/// The labels that are read: of pods, and of nodes.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Labels {
    #[serde(rename = "pod-template-hash")]
    pub(super) hash: Option<String>,
    #[serde(rename = "kubernetes.io/arch")]
    pub(super) architecture: Option<String>,
    #[serde(rename = "kubernetes.io/os")]
    pub(super) os: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Node {
    pub(super) metadata: Metadata,
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
    pub(super) node_name: String,
    pub(super) node_selector: Option<NodeSelector>,
    pub(super) os: Option<PodOs>,
    pub(super) containers: Few<Container, MOST>,
    pub(super) init_containers: Few<Container, MOST>,
    pub(super) ephemeral_containers: Few<Container, MOST>,
    pub(super) volumes: Few<Volume, MOST>,
}

/// A volume. One may hold the files of an image.
/// <https://kubernetes.io/docs/tasks/configure-pod-container/image-volumes/>
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Volume {
    pub(super) name: String,
    pub(super) image: Option<VolumeImage>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct VolumeImage {
    pub(super) reference: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct NodeSelector {
    #[serde(rename = "kubernetes.io/arch")]
    pub(super) architecture: Option<String>,
    #[serde(rename = "kubernetes.io/os")]
    pub(super) os: Option<String>,
}

/// The operating system that a pod says it is for.
/// <https://kubernetes.io/docs/concepts/workloads/pods/#pod-os>
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PodOs {
    pub(super) name: Option<String>,
}

impl PodSpec {
    /// Returns the containers of every kind.
    pub(super) fn all(&self) -> impl Iterator<Item = &Container> {
        [&self.containers, &self.init_containers, &self.ephemeral_containers].into_iter().flat_map(Few::iter)
    }

    /// Returns the volumes that hold an image, each with the image's reference.
    pub(super) fn image_volumes(&self) -> impl Iterator<Item = (&str, &str)> {
        let named =
            |volume: &'_ Volume| volume.image.as_ref().is_some_and(|image| !image.reference.is_empty());
        let volumes = self.volumes.iter().filter(move |volume| named(volume));
        volumes.filter_map(|volume| Some((volume.name.as_str(), volume.image.as_ref()?.reference.as_str())))
    }

    /// Returns the name and the image of everything that the pod would use.
    pub(super) fn images(&self) -> impl Iterator<Item = (&str, &str)> {
        let containers = self.all().map(|container| (container.name.as_str(), container.image.as_str()));
        containers.chain(self.image_volumes())
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
    /// A Rollout may refer to a Deployment instead.
    #[serde(default)]
    pub(super) template: Template,
    /// How many pods a `ReplicaSet` has.
    #[serde(default)]
    pub(super) replicas: Option<u32>,
    /// Whether a Job starts no pods.
    #[serde(default)]
    pub(super) suspend: Option<bool>,
}

/// A `ScaledJob` of KEDA.
#[derive(Debug, Deserialize)]
pub(super) struct ScaledJob {
    #[serde(default)]
    pub(super) metadata: Metadata,
    pub(super) spec: ScaledJobSpec,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ScaledJobSpec {
    pub(super) job_target_ref: WorkloadSpec,
}

/// The groups of the API.
/// <https://kubernetes.io/docs/reference/kubernetes-api/definitions/api-group-list-v1-meta/>
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Groups {
    pub(super) groups: Few<Group, MOST>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Group {
    pub(super) name: String,
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
