//! DynamoDB: the ledger of records, slots and starts. [`patchwave::table`] describes its layout.

mod inventory;
mod transactions;
mod upstreams;

use std::collections::BTreeSet;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use futures::stream::{self, StreamExt, TryStreamExt};
use patchwave::facts::Slots;
use patchwave::image::ImageId;
use patchwave::record::Record;
use patchwave::table::{self, Key};
use patchwave::time::{Span, Timestamp};
use patchwave_converge::{Due, Fault, FaultKind, NotSaved, Records};
use tracing::warn;

use crate::fault::{fault, invalid};
use crate::settings;

/// Most keys that one call takes.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html>
const MOST_KEYS: usize = 100;
/// How often Patchwave asks for the keys that a call left unread. Each pause is twice as long as
/// the one before.
const ROUNDS: u32 = 8;
/// The first pause, in milliseconds.
const PAUSE: u64 = 50;
/// Calls that are under way at once.
const AT_ONCE: usize = 8;
/// Most pages of the index to read. More pages mean an endless loop.
const MOST_PAGES: usize = 1_000;

/// An item, as the SDK returns it. Patchwave gets its attributes by name and never iterates over
/// it.
#[expect(clippy::disallowed_types, reason = "the SDK's own type")]
type Item = std::collections::HashMap<String, AttributeValue>;

/// The table.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    client: Client,
    table: String,
}

impl Ledger {
    pub(crate) fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    /// Reads what is due, the longest due first, and when the next image will be.
    pub(crate) async fn due(&self, now: Timestamp, most: usize) -> Result<Due, Fault> {
        let now = table::rank(now);
        let mut due = Due::default();
        // One more than wanted shows when the next one is due.
        for (rank, image) in self.scheduled(table::RECHECK, most.saturating_add(1)).await? {
            if rank > now {
                due.next = rank.parse().ok();
                break;
            }
            if due.images.len() < most {
                due.images.push(image);
            }
        }
        Ok(due)
    }

    /// Reads the first images of an owner's queue, or of the queue of all others.
    pub(crate) async fn ready(&self, owner: Option<&str>, most: usize) -> Result<Vec<ImageId>, Fault> {
        let queue = self.scheduled(&table::ready(owner), most).await?;
        Ok(queue.into_iter().map(|(_, image)| image).collect())
    }

    /// Reads the first images of a queue, each with its rank.
    async fn scheduled(&self, queue: &str, most: usize) -> Result<Vec<(String, ImageId)>, Fault> {
        let operation = "read the schedule";
        let call = self.client.query().table_name(&self.table).index_name(table::SCHEDULE_INDEX);
        let mut pages = call
            .key_condition_expression("#queue = :queue")
            .expression_attribute_names("#queue", table::QUEUE)
            .expression_attribute_values(":queue", text(queue))
            .limit(i32::try_from(most).unwrap_or(i32::MAX))
            .into_paginator()
            .send();
        let mut images = Vec::new();
        for _ in 0..MOST_PAGES {
            let Some(page) = pages.next().await else { return Ok(images) };
            for item in page.map_err(|e| self.fault(operation, &e))?.items() {
                let rank = item.get(table::RANK).and_then(|rank| rank.as_s().ok());
                match image_of(operation, item) {
                    Ok(image) => images.push((rank.cloned().unwrap_or_default(), image)),
                    // The item is about no image, so no image is lost without it.
                    Err(fault) => warn!(target: "patchwave", "{fault}"),
                }
                if images.len() == most {
                    return Ok(images);
                }
            }
        }
        Err(invalid(operation, format!("the index does not end after {MOST_PAGES} pages")))
    }

    /// Reads the records of these images. A malformed record stays unchanged, so that a person can
    /// inspect it.
    pub(crate) async fn records(&self, images: &BTreeSet<ImageId>) -> Result<Records, Fault> {
        let operation = "read records";
        let keys = images.iter().map(Key::record).collect();
        let mut records = Records::default();
        for item in self.read(operation, keys).await? {
            let image = image_of(operation, &item)?;
            match record_of(operation, &item) {
                Ok(record) => drop(records.read.insert(image, record)),
                Err(fault) => drop(records.unreadable.insert(image, fault)),
            }
        }
        Ok(records)
    }

    /// Reads how much of the limits is used on the day of `now`.
    pub(crate) async fn slots(&self, now: Timestamp) -> Result<Slots, Fault> {
        let operation = "read the slots";
        let mut slots = Slots::default();
        for item in self.read(operation, vec![Key::slots(), Key::day(now), Key::sweep()]).await? {
            if let Some(set) = item.get(table::HELD_BY) {
                let set = set.as_ss().map_err(|_| malformed(operation, &item, table::HELD_BY))?;
                let images = set.iter().map(|id| id.parse()).collect::<Result<_, _>>();
                slots.held_by = images.map_err(|_| malformed(operation, &item, table::HELD_BY))?;
            }
            if let Some(image) = item.get(table::SWEPT_TO) {
                let image = image.as_s().ok().and_then(|id| id.parse().ok());
                slots.swept_to = Some(image.ok_or_else(|| malformed(operation, &item, table::SWEPT_TO))?);
            }
            if item.contains_key(table::STARTS) {
                slots.started_today = number(operation, &item, table::STARTS)?;
            }
        }
        Ok(slots)
    }

    /// Writes where a sweep was cut off, or that it has ended.
    pub(crate) async fn keep_sweep(&self, swept_to: Option<&ImageId>) -> Result<(), Fault> {
        let mut item = item_of(&Key::sweep());
        item.extend(swept_to.map(|image| (table::SWEPT_TO.to_owned(), text(image.to_string()))));
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item)).send().await;
        put.map(|_| ()).map_err(|e| self.fault("write where the sweep was cut off", &e))
    }

    /// Writes a record if its fence is the stored one.
    pub(crate) async fn save(&self, image: &ImageId, record: &Record) -> Result<(), NotSaved> {
        let operation = format!("write the record of {image}");
        let put = record_put(image, record).map_err(|problem| invalid(&operation, problem))?;
        let call = self.client.put_item().table_name(&self.table).set_item(Some(put.item));
        let call = call
            .condition_expression(put.condition)
            .expression_attribute_names("#fence", table::FENCE)
            .expression_attribute_values(":read", put.read);
        let is_contended = |error: &PutItemError| {
            error.is_transaction_conflict_exception() || error.is_replicated_write_conflict_exception()
        };
        match transactions::uncontended(is_contended, || call.clone().send()).await {
            Ok(_) => Ok(()),
            Err(e)
                if e.as_service_error().is_some_and(PutItemError::is_conditional_check_failed_exception) =>
            {
                Err(NotSaved::Conflict)
            }
            Err(e) => Err(self.fault(operation, &e).into()),
        }
    }

    /// Reads items consistently. Items that do not exist are left out.
    async fn read(&self, operation: &str, keys: Vec<Key>) -> Result<Vec<Item>, Fault> {
        let keys: Vec<Item> = keys.iter().map(item_of).collect();
        let calls = keys.chunks(MOST_KEYS).map(|chunk| self.batch(operation, chunk));
        stream::iter(calls).buffer_unordered(AT_ONCE).try_concat().await
    }

    async fn batch(&self, operation: &str, keys: &[Item]) -> Result<Vec<Item>, Fault> {
        let keys = KeysAndAttributes::builder().set_keys(Some(keys.to_vec())).consistent_read(true).build();
        let mut asked = keys.map_err(|e| invalid(operation, e.to_string()))?;
        let mut items = Vec::new();
        for round in 0..ROUNDS {
            let call = self.client.batch_get_item().request_items(&self.table, asked);
            let output = call.send().await.map_err(|e| self.fault(operation, &e))?;
            items.extend(
                output.responses.and_then(|mut tables| tables.remove(&self.table)).unwrap_or_default(),
            );
            match output.unprocessed_keys.and_then(|mut tables| tables.remove(&self.table)) {
                Some(left) if !left.keys.is_empty() => asked = left,
                _ => return Ok(items),
            }
            tokio::time::sleep(std::time::Duration::from_millis(PAUSE << round)).await;
        }
        let message = format!("DynamoDB left keys unread {ROUNDS} times");
        Err(Fault { kind: FaultKind::Throttled, ..invalid(operation, message) })
    }

    /// Makes a fault. If the table does not exist, the message says what to do.
    fn fault<E>(&self, operation: impl Into<String>, error: &SdkError<E>) -> Fault
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        if error.code() != Some("ResourceNotFoundException") {
            return fault(operation, error);
        }
        let missing = format!(
            "the table {:?} does not exist in this account and region, or lacks its index; create it as `patchwave table` \
             says, or set {} to the one that does",
            self.table,
            settings::TABLE.name
        );
        invalid(operation, missing)
    }
}

/// A fenced write of a record.
struct RecordPut {
    item: Item,
    condition: &'static str,
    read: AttributeValue,
}

fn record_put(image: &ImageId, record: &Record) -> Result<RecordPut, String> {
    let next = Record { fence: record.fence + 1, ..record.clone() };
    let json = serde_json::to_string(&next).map_err(|e| format!("the record cannot be written: {e}"))?;
    let mut item = item_of(&Key::record(image));
    item.insert(table::FENCE.into(), numeral(next.fence));
    item.insert(table::FORMAT.into(), numeral(table::CURRENT_FORMAT));
    item.insert(table::RECORD.into(), text(json));
    if let Some((queue, rank)) = table::scheduled(image, &next) {
        item.insert(table::QUEUE.into(), text(queue));
        item.insert(table::RANK.into(), text(rank));
    }
    Ok(RecordPut { item, condition: condition(record.fence), read: numeral(record.fence) })
}

/// The condition that the stored fence is still this one. A record that was never written has no
/// fence.
fn condition(fence: u64) -> &'static str {
    if fence == 0 { "attribute_not_exists(#fence) OR #fence = :read" } else { "#fence = :read" }
}

fn item_of(key: &Key) -> Item {
    Item::from([
        (table::PARTITION.to_owned(), text(&key.partition)),
        (table::SORT.to_owned(), text(&key.sort)),
    ])
}

fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

fn numeral(n: impl std::fmt::Display) -> AttributeValue {
    AttributeValue::N(n.to_string())
}

fn expiry(now: Timestamp, retention: Span) -> AttributeValue {
    numeral(retention.after(now).as_second())
}

fn image_of(operation: &str, item: &Item) -> Result<ImageId, Fault> {
    let partition = item.get(table::PARTITION).and_then(|value| value.as_s().ok());
    partition.and_then(|key| Key::image(key)).ok_or_else(|| malformed(operation, item, table::PARTITION))
}

fn record_of(operation: &str, item: &Item) -> Result<Record, Fault> {
    let format = if item.contains_key(table::FORMAT) { number(operation, item, table::FORMAT)? } else { 1 };
    if format > table::CURRENT_FORMAT {
        let newer =
            format!("a newer Patchwave wrote it ({} {format}); deploy that version again", table::FORMAT);
        return Err(unreadable(operation, item, &newer));
    }
    if format + 1 < table::CURRENT_FORMAT {
        let older = format!(
            "a Patchwave before its first release wrote it ({} {format}); delete it, and the next sweep writes it again",
            table::FORMAT
        );
        return Err(unreadable(operation, item, &older));
    }
    let json = item.get(table::RECORD).and_then(|value| value.as_s().ok());
    let json = json.ok_or_else(|| malformed(operation, item, table::RECORD))?;
    let record: Record = serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(json))
        .map_err(|e| malformed(operation, item, &format!("{}: {e}", table::RECORD)))?;
    // Conditions use the attribute, so the attribute counts and not the JSON.
    let fence = number(operation, item, table::FENCE)?;
    // Format 2 said only that each tick looks at the image.
    let was_unsettled = format < table::CURRENT_FORMAT && item.contains_key(table::UNSETTLED);
    let recheck_at = if was_unsettled { Some(Timestamp::UNIX_EPOCH) } else { record.recheck_at };
    Ok(Record { fence, recheck_at, ..record })
}

fn number<N: std::str::FromStr>(operation: &str, item: &Item, field: &str) -> Result<N, Fault> {
    let number = item.get(field).and_then(|value| value.as_n().ok()).and_then(|text| text.parse().ok());
    number.ok_or_else(|| malformed(operation, item, field))
}

fn malformed(operation: &str, item: &Item, field: &str) -> Fault {
    unreadable(operation, item, &format!("it is malformed: {field}; repair or delete it"))
}

fn unreadable(operation: &str, item: &Item, why: &str) -> Fault {
    let part = |name| item.get(name).and_then(|v: &AttributeValue| v.as_s().ok()).map_or("?", String::as_str);
    invalid(operation, format!("item {} / {}: {why}", part(table::PARTITION), part(table::SORT)))
}

#[cfg(test)]
mod contract;
#[cfg(test)]
mod inventory_contract;
#[cfg(test)]
pub(crate) mod tests;
