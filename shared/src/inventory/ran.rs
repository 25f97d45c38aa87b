//! Remembers which versions an environment ran before, because a roll-back starts one of them.
//!
//! Only what was seen to stop is remembered, and only of services and workloads: a job or a pod
//! that a person starts is no deployment. What could not be read has not stopped.

use std::collections::BTreeSet;

use super::deployments::service;
use super::folded::Folded;
use super::state::Entry;
use crate::facts::DeployedVersion;
use crate::image::{Digest, ImageId};

/// How many versions before what runs are remembered of an image in one environment.
const KEPT: usize = 3;

/// Adds what stopped to what ran before, and takes out what runs again.
pub(super) fn note(folded: &mut Folded) {
    for entry in folded.ended.values() {
        let Some((image, environment, version)) = deployment(entry) else { continue };
        let ran = folded.inventory.ran.entry(image).or_default().entry(environment).or_default();
        let stopped = DeployedVersion { version, since: entry.since, last_seen: entry.last_seen };
        match ran.iter_mut().find(|before| before.version == stopped.version) {
            Some(before) => {
                before.since = before.since.min(stopped.since);
                before.last_seen = before.last_seen.max(stopped.last_seen);
            }
            None => ran.push(stopped),
        }
    }
    let runs: BTreeSet<(ImageId, String, Digest)> =
        folded.inventory.entries.values().filter_map(deployment).collect();
    for (image, environments) in &mut folded.inventory.ran {
        for (environment, ran) in &mut *environments {
            ran.retain(|ran| !runs.contains(&(image.clone(), environment.clone(), ran.version.clone())));
            ran.sort_by(|a, b| (b.last_seen, &b.version).cmp(&(a.last_seen, &a.version)));
            ran.truncate(KEPT);
        }
        environments.retain(|_, ran| !ran.is_empty());
    }
    folded.inventory.ran.retain(|_, environments| !environments.is_empty());
}

/// Returns what a workload deploys. An account without an environment is one of its own.
fn deployment(entry: &Entry) -> Option<(ImageId, String, Digest)> {
    if !entry.runs || !entry.started {
        return None;
    }
    service(entry)?;
    let (image, version) = entry.known()?;
    let place = &entry.place;
    Some((image, place.environment.clone().unwrap_or_else(|| place.account.clone()), version))
}
