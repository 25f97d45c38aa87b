//! What upstream tags named, as the table holds it.

use std::collections::BTreeSet;

use futures::stream::{self, StreamExt, TryStreamExt};
use patchwave::image::{ImageId, Registry};
use patchwave::table::{self, Key};
use patchwave_converge::{Fault, Upstreams};
use serde::Serialize;

use super::inventory::state_of;
use super::{AT_ONCE, Item, Ledger, item_of, text};
use crate::fault::invalid;

const READ: &str = "read the upstream tags";
const WRITE: &str = "write the upstream tags";

impl Ledger {
    /// Reads upstream tags and hosts. Those of which nothing is kept are left out.
    pub(crate) async fn upstreams(
        &self,
        tags: &BTreeSet<ImageId>,
        hosts: &BTreeSet<Registry>,
    ) -> Result<Upstreams, Fault> {
        let keys = tags.iter().map(Key::upstream_tag).chain(hosts.iter().map(Key::upstream_host));
        let mut upstreams = Upstreams::default();
        for item in self.read(READ, keys.collect()).await? {
            let sort = item.get(table::SORT).and_then(|sort| sort.as_s().ok()).map_or("", String::as_str);
            if let Some(tag) = Key::tag_of(sort) {
                upstreams.tags.insert(tag, state_of(READ, &item)?);
            } else if let Some(host) = Key::host_of(sort) {
                upstreams.hosts.insert(host, state_of(READ, &item)?);
            }
        }
        Ok(upstreams)
    }

    /// Writes upstream tags and hosts.
    pub(crate) async fn keep_upstreams(&self, changed: &Upstreams) -> Result<(), Fault> {
        let tags = changed.tags.iter().map(|(tag, state)| item(&Key::upstream_tag(tag), state));
        let hosts = changed.hosts.iter().map(|(host, state)| item(&Key::upstream_host(host), state));
        let items: Vec<Item> = tags.chain(hosts).collect::<Result<_, _>>()?;
        let puts = items.into_iter().map(|item| async {
            let put = self.client.put_item().table_name(&self.table).set_item(Some(item)).send().await;
            put.map(|_| ()).map_err(|error| self.fault(WRITE, &error))
        });
        stream::iter(puts).buffer_unordered(AT_ONCE).try_collect().await
    }
}

fn item(key: &Key, state: &impl Serialize) -> Result<Item, Fault> {
    let json = serde_json::to_string(state).map_err(|error| invalid(WRITE, error.to_string()))?;
    let mut item = item_of(key);
    item.insert(table::STATE.to_owned(), text(json));
    Ok(item)
}
