//! Pods: their containers of every kind, and the workload that each pod belongs to.

use std::collections::BTreeSet;

use patchwave::inventory::{Sighting, Use};

use super::nodes::{Machine, Nodes, machine};
use super::objects::{Container, Metadata, Pod};
use super::workload;
use crate::survey::budget::bounded;
use crate::survey::reading::Reading;

/// Notes what a pod runs, and adds the workload that it belongs to. A pod that has ended runs
/// nothing.
pub(super) fn note(workloads: &mut BTreeSet<String>, pod: &Pod, nodes: &Nodes, reading: &mut Reading) {
    if matches!(pod.status.phase.as_str(), "Succeeded" | "Failed") {
        return;
    }
    let owner = owner(&pod.metadata);
    let machine = machine(&pod.spec, nodes);
    for container in pod.spec.all() {
        let sighting = sighting(pod, &owner, container, &machine, reading);
        reading.note(sighting);
    }
    for (name, image) in pod.spec.image_volumes() {
        reading.note(Sighting {
            place: reading.place().clone(),
            workload: owner.clone(),
            unit: pod.metadata.name.clone(),
            container: name.to_owned(),
            image: image.to_owned(),
            resolved: None,
            // A volume has files, and no process of it runs.
            architecture: None,
            os: None,
            used: Use::Running { since: None },
        });
    }
    workloads.insert(bounded(owner));
}

fn sighting(pod: &Pod, owner: &str, container: &Container, machine: &Machine, reading: &Reading) -> Sighting {
    let status = pod.status.of(&container.name);
    let resolved = status.map(|status| status.image_id.as_str()).filter(|id| !id.is_empty());
    let used = match status.map(|status| &status.state) {
        // A container that has ended beside running ones, such as an init container, does not run.
        Some(state) if state.terminated.is_some() => Use::Referenced,
        Some(state) => Use::Running { since: state.running.as_ref().and_then(|running| running.started_at) },
        // It is about to run.
        None => Use::Running { since: None },
    };
    Sighting {
        place: reading.place().clone(),
        workload: owner.to_owned(),
        unit: pod.metadata.name.clone(),
        container: container.name.clone(),
        image: container.image.clone(),
        resolved: resolved.map(str::to_owned),
        architecture: machine.architecture.clone(),
        os: machine.os.clone(),
        used,
    }
}

/// Returns what a pod belongs to: what controls it, or the pod itself.
///
/// A `ReplicaSet` controls the pods of a version of a Deployment. Its name ends with the hash of
/// that version's template.
fn owner(pod: &Metadata) -> String {
    let Some(owner) = pod.controller() else {
        return workload(&pod.namespace, "Pod", &pod.name);
    };
    let hash = pod.labels.as_ref().and_then(|labels| labels.hash.as_deref());
    let deployment = hash.and_then(|hash| owner.name.strip_suffix(hash)?.strip_suffix('-'));
    match deployment {
        Some(deployment) if owner.kind == "ReplicaSet" => workload(&pod.namespace, "Deployment", deployment),
        _ => workload(&pod.namespace, &owner.kind, &owner.name),
    }
}
