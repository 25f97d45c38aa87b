//! Which version of an image an environment runs: what the planner needs of the inventory.

use std::collections::{BTreeMap, BTreeSet};

use super::state::Inventory;
use crate::facts::{DeployedVersion, Deployments};
use crate::image::{Digest, ImageId};
use crate::time::Timestamp;

impl Inventory {
    /// Returns where each image runs, and in which version. Where several versions run side by side, the one that began to
    /// run there last is the one that is deployed: during a roll-out the new one, during a roll-back the old one.
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
        deployments
    }

    /// Returns the images about which anything is kept.
    pub fn images(&self) -> BTreeSet<ImageId> {
        let known = self.entries.values().filter_map(|entry| entry.resolution.image());
        known.chain(self.exposures.keys()).cloned().collect()
    }
}
