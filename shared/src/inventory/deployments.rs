//! Which version of an image an environment runs, for the planner.

use std::collections::{BTreeMap, BTreeSet};

use super::state::{Entry, Inventory};
use super::survey::ConsumerKind;
use crate::facts::{DeployedVersion, Deployments, RunningVersion};
use crate::image::{Digest, ImageId};
use crate::time::Timestamp;

/// The most workloads that are stored of one image in one environment, so that an item of the table
/// stays below its limit of 400 kB.
const MOST_WORKLOADS: usize = 1_000;
/// The most versions.
const MOST_VERSIONS: usize = 50;

impl Inventory {
    /// Returns which version of each image each environment runs: of several, the one that began to
    /// run last. Beside it stands everything that says which version is deployed.
    pub fn deployments(&self) -> BTreeMap<ImageId, Deployments> {
        let mut first: BTreeMap<(ImageId, &str, Digest), (Timestamp, Timestamp)> = BTreeMap::new();
        for entry in self.entries.values().filter(|entry| entry.runs) {
            let (Some(environment), Some((image, version))) = (&entry.place.environment, entry.known())
            else {
                continue;
            };
            let (since, last_seen) =
                first.entry((image, environment, version)).or_insert((entry.since, entry.last_seen));
            *since = entry.since.min(*since);
            *last_seen = entry.last_seen.max(*last_seen);
        }
        let mut deployments: BTreeMap<ImageId, Deployments> = BTreeMap::new();
        for ((image, environment, version), (since, last_seen)) in first {
            let environments = &mut deployments.entry(image).or_default().environments;
            let deployed = DeployedVersion { version, since, last_seen };
            match environments.get_mut(environment) {
                Some(other) if other.since >= since => {}
                Some(other) => *other = deployed,
                None => {
                    environments.insert(environment.to_owned(), deployed);
                }
            }
        }
        for (image, running) in self.running() {
            deployments.entry(image).or_default().running = running;
        }
        for (image, ran) in &self.ran {
            deployments.entry(image.clone()).or_default().ran.clone_from(ran);
        }
        deployments
    }

    /// Returns the services and workloads of each image, by environment and version.
    fn running(&self) -> BTreeMap<ImageId, BTreeMap<String, Vec<RunningVersion>>> {
        let mut running: BTreeMap<ImageId, BTreeMap<String, BTreeMap<Digest, RunningVersion>>> =
            BTreeMap::new();
        for entry in self.entries.values().filter(|entry| entry.runs && entry.started) {
            let (Some(environment), Some((image, version)), Some(service)) =
                (&entry.place.environment, entry.known(), service(entry))
            else {
                continue;
            };
            let revision = self.versions.get(&(image.clone(), version.clone()));
            let revision = revision.and_then(|assessed| assessed.revision.clone());
            let versions = running.entry(image).or_default().entry(environment.clone()).or_default();
            let of_version = versions.entry(version.clone()).or_insert_with(|| RunningVersion {
                version,
                revision,
                since: entry.since,
                last_seen: entry.last_seen,
                workloads: BTreeSet::new(),
                left_out: 0,
            });
            of_version.since = entry.since.min(of_version.since);
            of_version.last_seen = entry.last_seen.max(of_version.last_seen);
            of_version.workloads.insert(service);
        }
        let bounded = |versions| bounded(BTreeMap::into_values(versions).collect());
        let of_image = |environments: BTreeMap<String, BTreeMap<Digest, RunningVersion>>| {
            environments.into_iter().map(|(name, versions)| (name, bounded(versions))).collect()
        };
        running.into_iter().map(|(image, environments)| (image, of_image(environments))).collect()
    }

    /// Returns the images that have an entry or an exposure.
    pub fn images(&self) -> BTreeSet<ImageId> {
        let known = self.entries.values().filter_map(|entry| entry.resolution.image());
        known.chain(self.exposures.keys()).cloned().collect()
    }
}

/// Names the service or the workload that an entry belongs to. Jobs, pods without a workload and
/// tasks without a service are none: whoever may start one says nothing about what is deployed.
pub(super) fn service(entry: &Entry) -> Option<String> {
    let (account, cluster) = (&entry.place.account, entry.place.cluster.as_deref().unwrap_or_default());
    let workload = &entry.workload;
    match entry.place.kind {
        ConsumerKind::Ecs => {
            let name = workload.strip_prefix("service:")?;
            Some(format!("{account}/{cluster}/service/{name}"))
        }
        ConsumerKind::Eks => {
            let kind = workload.split('/').nth(1)?;
            (!matches!(kind, "Pod" | "Job" | "CronJob")).then(|| format!("{account}/{cluster}/{workload}"))
        }
        ConsumerKind::Lambda => Some(format!("{account}/lambda/function/{workload}")),
        _ => None,
    }
}

/// Leaves out what an item of the table has no room for, and says so.
fn bounded(mut versions: Vec<RunningVersion>) -> Vec<RunningVersion> {
    let unnamed = versions.len().saturating_sub(MOST_VERSIONS);
    versions.truncate(MOST_VERSIONS);
    let most = MOST_WORKLOADS / versions.len().max(1);
    for version in &mut versions {
        version.left_out = unnamed + version.workloads.len().saturating_sub(most);
        version.workloads = std::mem::take(&mut version.workloads).into_iter().take(most).collect();
    }
    versions
}
