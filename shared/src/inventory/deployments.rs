//! Which version of an image an environment runs, for the planner.

use std::collections::{BTreeMap, BTreeSet};

use super::state::Inventory;
use crate::facts::{DeployedVersion, Deployments};
use crate::image::{Digest, ImageId};
use crate::time::Timestamp;

impl Inventory {
    /// Returns which version of each image each environment runs.
    ///
    /// Several versions can run side by side. The one that began to run last is the deployed one:
    /// the new one during a roll-out, the old one during a roll-back.
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

    /// Returns the images that have an entry or an exposure.
    pub fn images(&self) -> BTreeSet<ImageId> {
        let known = self.entries.values().filter_map(|entry| entry.resolution.image());
        known.chain(self.exposures.keys()).cloned().collect()
    }
}
