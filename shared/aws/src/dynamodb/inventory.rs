//! What runs where, as the table holds it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use futures::stream::{self, StreamExt, TryStreamExt};
use patchwave::facts::Deployments;
use patchwave::image::{Digest, ImageId};
use patchwave::inventory::{Assessment, Entry, EntryKey, Exposures, Inventory, PlaceState, Ran};
use patchwave::notice::{OwnerNotified, OwnersNotified};
use patchwave::table::{self, Item as StateItem, Key};
use patchwave_converge::{Fault, FaultKind};
use serde::de::DeserializeOwned;

use super::{AT_ONCE, Item, Ledger, MOST_PAGES, PAUSE, ROUNDS, image_of, item_of, malformed, numeral, text};
use crate::fault::invalid;

/// Most items that one call writes.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html>
const MOST_WRITES: usize = 25;

impl Ledger {
    /// Reads everything that is known of what runs. `images` are the hierarchy's images: their
    /// exposures are read even if nothing runs.
    pub(crate) async fn inventory(&self, images: &BTreeSet<ImageId>) -> Result<Inventory, Fault> {
        self.inventory_with(images, |_| ()).await
    }

    /// Like [`Self::inventory`]. After each place it passes to `progress` how many entries were
    /// read.
    pub(crate) async fn inventory_with(
        &self,
        images: &BTreeSet<ImageId>,
        progress: impl Fn(usize),
    ) -> Result<Inventory, Fault> {
        let places = self.places().await?;
        let entries = self.all_entries(&places, progress).await?;
        let known: BTreeSet<(ImageId, Digest)> = entries.values().filter_map(Entry::known).collect();
        let images: BTreeSet<&ImageId> = images.iter().chain(known.iter().map(|(image, _)| image)).collect();
        let (versions, exposures) = (self.assessments(&known).await?, self.exposures(&images).await?);
        let (ran, notified) = (self.ran(&images).await?, self.notified().await?);
        Ok(Inventory { places, entries, versions, exposures, ran, notified })
    }

    async fn ran(&self, images: &BTreeSet<&ImageId>) -> Result<BTreeMap<ImageId, Ran>, Fault> {
        let images = images.iter().map(|image| (*image).clone()).collect();
        let deployments = self.deployments(&images).await?.into_iter();
        Ok(deployments.map(|(image, of)| (image, of.ran)).filter(|(_, ran)| !ran.is_empty()).collect())
    }

    async fn notified(&self) -> Result<OwnersNotified, Fault> {
        let states = self.states("read the notices of owners", Key::all_notified()).await?;
        Ok(states.into_iter().map(|OwnerNotified { owner, notified }| (owner, notified)).collect())
    }

    async fn all_entries(
        &self,
        places: &BTreeMap<String, PlaceState>,
        progress: impl Fn(usize),
    ) -> Result<BTreeMap<EntryKey, Entry>, Fault> {
        let mut reads = stream::iter(places.keys().map(|id| self.entries(id))).buffer_unordered(AT_ONCE);
        let mut entries = BTreeMap::new();
        while let Some(more) = reads.try_next().await? {
            entries.extend(more);
            progress(entries.len());
        }
        Ok(entries)
    }

    async fn places(&self) -> Result<BTreeMap<String, PlaceState>, Fault> {
        let operation = "read the places of the inventory";
        let mut places = BTreeMap::new();
        for item in self.partition(operation, Key::places()).await? {
            let state: PlaceState = state_of(operation, &item)?;
            places.insert(state.place.id(), state);
        }
        Ok(places)
    }

    async fn entries(&self, place: &str) -> Result<BTreeMap<EntryKey, Entry>, Fault> {
        let operation = format!("read what runs in {place}");
        let mut entries = BTreeMap::new();
        for item in self.partition(&operation, &Key::in_place(place)).await? {
            let entry: Entry = state_of(&operation, &item)?;
            entries.insert(entry.key(), entry);
        }
        Ok(entries)
    }

    async fn assessments(
        &self,
        known: &BTreeSet<(ImageId, Digest)>,
    ) -> Result<BTreeMap<(ImageId, Digest), Assessment>, Fault> {
        let operation = "read what is known of the versions that run";
        let keys = known.iter().map(|(image, version)| Key::version(image, version)).collect();
        let mut versions = BTreeMap::new();
        for item in self.read(operation, keys).await?.iter().filter(|item| is_there(item)) {
            let state: Assessment = state_of(operation, item)?;
            versions.insert((state.image.clone(), state.version.clone()), state);
        }
        Ok(versions)
    }

    async fn exposures(&self, images: &BTreeSet<&ImageId>) -> Result<BTreeMap<ImageId, Exposures>, Fault> {
        let operation = "read the exposures of what runs";
        let keys = images.iter().map(|image| Key::exposures(image)).collect();
        let items = self.read(operation, keys).await?;
        let there = items.iter().filter(|item| is_there(item));
        there.map(|item| Ok((image_of(operation, item)?, state_of(operation, item)?))).collect()
    }

    /// Reads where these images run. Images that the inventory does not know are left out.
    pub(crate) async fn deployments(
        &self,
        images: &BTreeSet<ImageId>,
    ) -> Result<BTreeMap<ImageId, Deployments>, Fault> {
        let operation = "read where images run";
        let items = self.read(operation, images.iter().map(Key::deployments).collect()).await?;
        let there = items.iter().filter(|item| is_there(item));
        there.map(|item| Ok((image_of(operation, item)?, state_of(operation, item)?))).collect()
    }

    /// Reads one item's state; `None` if there is no such item.
    pub(crate) async fn state<T: DeserializeOwned>(&self, key: Key) -> Result<Option<T>, Fault> {
        let operation = format!("read {} / {}", key.partition, key.sort);
        let items = self.read(&operation, vec![key]).await?;
        items.iter().find(|item| is_there(item)).map(|item| state_of(&operation, item)).transpose()
    }

    /// Reads the states of a whole partition.
    pub(crate) async fn states<T: DeserializeOwned>(
        &self,
        operation: &str,
        partition: &str,
    ) -> Result<Vec<T>, Fault> {
        self.partition(operation, partition).await?.iter().map(|item| state_of(operation, item)).collect()
    }

    /// Reads the states of a whole partition, with those that expire: an entry of the audit trail
    /// does so from its first day.
    pub(crate) async fn trail<T: DeserializeOwned>(
        &self,
        operation: &str,
        partition: &str,
    ) -> Result<Vec<T>, Fault> {
        self.whole(operation, partition).await?.iter().map(|item| state_of(operation, item)).collect()
    }

    /// Writes items, places last.
    pub(crate) async fn write(&self, items: &[StateItem]) -> Result<(), Fault> {
        // A place says how current its entries are, so it is written after all of them.
        let (places, rest): (Vec<_>, Vec<_>) =
            items.iter().partition(|item| item.key.partition == Key::places());
        for part in [rest, places] {
            let calls = part.chunks(MOST_WRITES).map(|chunk| self.write_batch(chunk));
            stream::iter(calls).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        }
        Ok(())
    }

    async fn write_batch(&self, items: &[&StateItem]) -> Result<(), Fault> {
        let operation = "write the inventory";
        let writes: Result<Vec<WriteRequest>, BuildError> = items.iter().map(|item| put(item)).collect();
        let mut asked = writes.map_err(|e| invalid(operation, e.to_string()))?;
        for round in 0..ROUNDS {
            let call = self.client.batch_write_item().request_items(&self.table, asked);
            let output = call.send().await.map_err(|e| self.fault(operation, &e))?;
            match output.unprocessed_items.and_then(|mut tables| tables.remove(&self.table)) {
                Some(left) if !left.is_empty() => asked = left,
                _ => return Ok(()),
            }
            tokio::time::sleep(Duration::from_millis(PAUSE << round)).await;
        }
        let message = format!("DynamoDB left items unwritten {ROUNDS} times");
        Err(Fault { kind: FaultKind::Throttled, ..invalid(operation, message) })
    }

    /// Reads a whole partition, except for items that are gone and kept only for people.
    async fn partition(&self, operation: &str, partition: &str) -> Result<Vec<Item>, Fault> {
        Ok(self.whole(operation, partition).await?.into_iter().filter(is_there).collect())
    }

    /// Reads a whole partition.
    async fn whole(&self, operation: &str, partition: &str) -> Result<Vec<Item>, Fault> {
        let call = self.client.query().table_name(&self.table).consistent_read(true);
        let mut pages = call
            .key_condition_expression("#pk = :pk")
            .expression_attribute_names("#pk", table::PARTITION)
            .expression_attribute_values(":pk", text(partition))
            .into_paginator()
            .send();
        let mut items = Vec::new();
        for _ in 0..MOST_PAGES {
            let Some(page) = pages.next().await else { return Ok(items) };
            let page = page.map_err(|e| self.fault(operation, &e))?;
            items.extend(page.items.unwrap_or_default());
        }
        Err(invalid(operation, format!("the list does not end after {MOST_PAGES} pages")))
    }
}

fn put(item: &StateItem) -> Result<WriteRequest, BuildError> {
    let mut attributes = item_of(&item.key);
    attributes.insert(table::STATE.to_owned(), text(&item.state));
    if let Some(expires_at) = item.expires_at {
        attributes.insert(table::EXPIRES_AT.to_owned(), numeral(expires_at.as_second()));
    }
    let put = PutRequest::builder().set_item(Some(attributes)).build()?;
    Ok(WriteRequest::builder().put_request(put).build())
}

/// Returns whether an item is about something that is still there.
fn is_there(item: &Item) -> bool {
    !item.contains_key(table::EXPIRES_AT)
}

pub(super) fn state_of<T: DeserializeOwned>(operation: &str, item: &Item) -> Result<T, Fault> {
    let json = item.get(table::STATE).and_then(|value: &AttributeValue| value.as_s().ok());
    let json = json.ok_or_else(|| malformed(operation, item, table::STATE))?;
    serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(json))
        .map_err(|e| malformed(operation, item, &format!("{}: {e}", table::STATE)))
}
