//! Which version of an image an environment runs: what the planner needs of the inventory.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::state::Inventory;
use crate::hierarchy::is_production;
use crate::image::{Digest, ImageId};
use crate::time::Timestamp;

/// What an environment runs of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deployed {
    /// The version that was deployed there last, of those that run.
    pub version: Digest,
    /// Since when it runs there.
    pub since: Timestamp,
    /// When it was last seen there.
    pub last_seen: Timestamp,
}

/// Where an image ran when it was last looked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Running {
    /// By environment.
    pub environments: BTreeMap<String, Deployed>,
}

impl Running {
    /// Tells whether customers meet it.
    pub fn in_production(&self) -> bool {
        self.environments.keys().any(|name| is_production(name))
    }
}

impl Inventory {
    /// Returns where each image runs, and in which version. Where several versions run side by side, the one that began to
    /// run there last is the one that is deployed: during a roll-out the new one, during a roll-back the old one.
    pub fn running(&self) -> BTreeMap<ImageId, Running> {
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
        let mut running: BTreeMap<ImageId, Running> = BTreeMap::new();
        for ((image, environment, version), (since, last_seen)) in first {
            let environments = &mut running.entry(image).or_default().environments;
            let deployed = Deployed { version, since, last_seen };
            match environments.get_mut(environment) {
                Some(other) if other.since >= since => {}
                Some(other) => *other = deployed,
                None => {
                    environments.insert(environment.to_owned(), deployed);
                }
            }
        }
        running
    }

    /// Returns the images about which anything is kept.
    pub fn images(&self) -> BTreeSet<ImageId> {
        let known = self.entries.values().filter_map(|entry| entry.resolution.image());
        known.chain(self.clocks.keys()).cloned().collect()
    }
}
