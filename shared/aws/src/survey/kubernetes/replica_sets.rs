//! The versions of a Deployment to which it can roll back. Kubernetes keeps each as a `ReplicaSet`
//! without pods, ten by default:
//! <https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#clean-up-policy>.

use std::collections::BTreeMap;

use super::objects::Workload;
use super::server::Server;
use super::workload;
use crate::survey::budget::bounded;
use crate::survey::pace::Pace;
use crate::survey::reading::Reading;

const REPLICA_SETS: &str = "/apis/apps/v1/replicasets";
/// How many of the latest are noted of each owner: who rolls back further back starts an old image.
const LATEST: usize = 3;

/// The images of one version, by container.
type Images = Vec<(String, String)>;
/// The latest versions without pods of each owner, by number.
type Versions = BTreeMap<String, BTreeMap<u64, Images>>;

/// Notes what a roll-back of each Deployment would start.
pub(super) async fn note(server: &Server, pace: &Pace, reading: &mut Reading) {
    let keep = |versions: &mut Versions, set: Workload, _: &mut Reading| {
        if set.spec.replicas != Some(0) {
            return;
        }
        let of = |kind: &str, name: &str| bounded(workload(&set.metadata.namespace, kind, name));
        let owner = match set.metadata.controller() {
            Some(owner) => of(&owner.kind, &owner.name),
            None => of("ReplicaSet", &set.metadata.name),
        };
        let revision = set.metadata.annotations.as_ref().and_then(|known| known.revision.as_deref());
        let number = revision.and_then(|revision| revision.parse().ok()).unwrap_or(0);
        let images = set.spec.template.spec.images();
        let images = images.map(|(name, image)| (bounded(name.to_owned()), bounded(image.to_owned())));
        let versions = versions.entry(owner).or_default();
        versions.entry(number).or_default().extend(images);
        if versions.len() > LATEST {
            versions.pop_first();
        }
    };
    let (versions, end) = server.list(pace, REPLICA_SETS, reading, keep).await;
    for (owner, versions) in versions {
        for (name, image) in versions.into_values().flatten() {
            reading.refers(&owner, &name, &image, None);
        }
    }
    end.unwrap_or_else(|missed| reading.miss_kind("replicasets.apps", missed));
}
