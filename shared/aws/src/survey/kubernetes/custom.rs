//! Custom resources: those that start pods and that Patchwave knows are read. The groups of all
//! others are named, because they may start images too.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;

use super::objects::{Groups, Metadata, PodSpec, ScaledJob, Workload};
use super::server::Server;
use super::workloads::{name, refer};
use crate::survey::pace::Pace;
use crate::survey::reading::Reading;

const GROUPS: &str = "/apis";
const ROLLOUTS: &str = "/apis/argoproj.io/v1alpha1/rollouts";
const SCALED_JOBS: &str = "/apis/keda.sh/v1alpha1/scaledjobs";
const KNATIVE_SERVICES: &str = "/apis/serving.knative.dev/v1/services";

/// Groups of Kubernetes itself end so, and so do those of its own projects, which configure
/// networks, storage and nodes.
const OF_KUBERNETES: [&str; 4] = [".k8s.io", ".k8s.aws", ".x-k8s.io", ".amazonaws.com"];
/// Widespread groups that start no pods but through objects that are read.
const WITHOUT_PODS: [&str; 8] = [
    "acme.cert-manager.io",
    "cert-manager.io",
    "cilium.io",
    "crd.projectcalico.org",
    "external-secrets.io",
    "karpenter.sh",
    "kyverno.io",
    "policies.kyverno.io",
];

/// Notes what custom resources refer to, except those among the `running` ones.
pub(super) async fn note(server: &Server, pace: &Pace, running: &BTreeSet<String>, reading: &mut Reading) {
    let groups: Groups = match server.get(pace, GROUPS).await {
        Ok(groups) => groups,
        Err(missed) => return reading.miss_kind("custom resources", missed),
    };
    let groups: BTreeSet<String> = groups.groups.into_iter().map(|group| group.name).collect();
    for group in groups.iter().filter(|group| may_start_pods(group)) {
        match group.as_str() {
            "argoproj.io" => {
                list(server, pace, ("rollouts.argoproj.io", ROLLOUTS), running, reading, rollout).await;
                // Workflows and their templates.
                reading.not_inspected(group);
            }
            "keda.sh" => {
                let kind = ("scaledjobs.keda.sh", SCALED_JOBS);
                list(server, pace, kind, running, reading, scaled_job).await;
            }
            "serving.knative.dev" => {
                let kind = ("services.serving.knative.dev", KNATIVE_SERVICES);
                list(server, pace, kind, running, reading, knative).await;
            }
            other => reading.not_inspected(other),
        }
    }
}

/// Returns whether the objects of a group may start pods. Groups of Kubernetes' core have no dot.
fn may_start_pods(group: &str) -> bool {
    let is_kubernetes = !group.contains('.') || OF_KUBERNETES.iter().any(|end| group.ends_with(end));
    !is_kubernetes && !WITHOUT_PODS.contains(&group)
}

/// Lists the objects of one kind, and notes what those that run nothing refer to.
async fn list<T: DeserializeOwned>(
    server: &Server,
    pace: &Pace,
    (kind, path): (&str, &str),
    running: &BTreeSet<String>,
    reading: &mut Reading,
    pod_of: impl Fn(&T) -> (&'static str, &Metadata, &PodSpec),
) {
    let refer_object = |(): &mut (), object: T, reading: &mut Reading| {
        let (kind, metadata, pod) = pod_of(&object);
        let name = name(kind, metadata);
        if !running.contains(&name) {
            refer(&name, pod, reading);
        }
    };
    let ((), end) = server.list(pace, path, reading, refer_object).await;
    end.unwrap_or_else(|missed| reading.miss_kind(kind, missed));
}

fn rollout(rollout: &Workload) -> (&'static str, &Metadata, &PodSpec) {
    ("Rollout", &rollout.metadata, &rollout.spec.template.spec)
}

fn scaled_job(job: &ScaledJob) -> (&'static str, &Metadata, &PodSpec) {
    ("ScaledJob", &job.metadata, &job.spec.job_target_ref.template.spec)
}

fn knative(service: &Workload) -> (&'static str, &Metadata, &PodSpec) {
    ("Service", &service.metadata, &service.spec.template.spec)
}
