//! What upstream tags named, as the table holds it.

use std::collections::{BTreeMap, BTreeSet};

use patchwave::image::ImageId;
use patchwave::table::{self, Item as StateItem, Key};
use patchwave::upstream::Tracked;
use patchwave_converge::{Fault, Upstreams};
use serde::Serialize;

use super::inventory::state_of;
use super::{Item, Ledger};
use crate::fault::invalid;

/// How reads are named in faults.
const OPERATION: &str = "read the upstream tags";

impl Ledger {
    /// Reads all upstream tags and hosts.
    pub(crate) async fn upstreams(&self) -> Result<Upstreams, Fault> {
        let mut upstreams = Upstreams::default();
        for item in self.partition(OPERATION, Key::upstreams()).await? {
            let sort = sort_of(&item);
            if let Some(tag) = Key::tag_of(sort) {
                upstreams.tags.insert(tag, state_of(OPERATION, &item)?);
            } else if let Some(host) = Key::host_of(sort) {
                upstreams.hosts.insert(host, state_of(OPERATION, &item)?);
            }
        }
        Ok(upstreams)
    }

    /// Reads these upstream tags. Those that were never read are left out.
    pub(crate) async fn upstream_tags(
        &self,
        tags: &BTreeSet<ImageId>,
    ) -> Result<BTreeMap<ImageId, Tracked>, Fault> {
        let items = self.read(OPERATION, tags.iter().map(Key::upstream_tag).collect()).await?;
        let read = items.iter().filter_map(|item| Some((Key::tag_of(sort_of(item))?, item)));
        read.map(|(tag, item)| Ok((tag, state_of(OPERATION, item)?))).collect()
    }

    /// Writes upstream tags and hosts.
    pub(crate) async fn keep_upstreams(&self, changed: &Upstreams) -> Result<(), Fault> {
        let tags = changed.tags.iter().map(|(tag, state)| item(Key::upstream_tag(tag), state));
        let hosts = changed.hosts.iter().map(|(host, state)| item(Key::upstream_host(host), state));
        let items: Vec<StateItem> = tags.chain(hosts).collect::<Result<_, _>>()?;
        self.write(&items).await
    }
}

fn item(key: Key, state: &impl Serialize) -> Result<StateItem, Fault> {
    let state = serde_json::to_string(state);
    let state = state.map_err(|error| invalid("write the upstream tags", error.to_string()))?;
    Ok(StateItem { key, state, expires_at: None })
}

fn sort_of(item: &Item) -> &str {
    item.get(table::SORT).and_then(|sort| sort.as_s().ok()).map_or("", String::as_str)
}
