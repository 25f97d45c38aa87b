//! DynamoDB: the ledger of records, slots and starts. [`patchwave::table`] describes its layout.

mod inventory;

use std::collections::BTreeSet;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{BuildError, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, ConditionCheck, KeysAndAttributes, Put, TransactWriteItem, Update,
};
use futures::stream::{self, StreamExt, TryStreamExt};
use patchwave::facts::Slots;
use patchwave::image::ImageId;
use patchwave::plan::{Limit, Start};
use patchwave::policy::Limits;
use patchwave::record::Record;
use patchwave::table::{self, Key};
use patchwave::time::{Span, Timestamp};
use patchwave_converge::{Fault, FaultKind, NotClaimed, NotSaved, Records};
use tracing::warn;

use crate::fault::{fault, invalid, kind_of_code};
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

    /// Reads the index of the unsettled images.
    pub(crate) async fn unsettled(&self) -> Result<BTreeSet<ImageId>, Fault> {
        let operation = "read the index of the unsettled images";
        let call = self.client.query().table_name(&self.table).index_name(table::UNSETTLED_INDEX);
        let mut pages = call
            .key_condition_expression("#unsettled = :yes")
            .expression_attribute_names("#unsettled", table::UNSETTLED)
            .expression_attribute_values(":yes", text(table::YES))
            .into_paginator()
            .send();
        let mut images = BTreeSet::new();
        for _ in 0..MOST_PAGES {
            let Some(page) = pages.next().await else { return Ok(images) };
            for item in page.map_err(|e| self.fault(operation, &e))?.items() {
                match image_of(operation, item) {
                    Ok(image) => drop(images.insert(image)),
                    // The item is about no image, so no image is lost without it.
                    Err(fault) => warn!(target: "patchwave", "{fault}"),
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
        for item in self.read(operation, vec![Key::slots(), Key::day(now)]).await? {
            if let Some(set) = item.get(table::HELD_BY) {
                let set = set.as_ss().map_err(|_| malformed(operation, &item, table::HELD_BY))?;
                let images = set.iter().map(|id| id.parse()).collect::<Result<_, _>>();
                slots.held_by = images.map_err(|_| malformed(operation, &item, table::HELD_BY))?;
            }
            if item.contains_key(table::STARTS) {
                slots.started_today = number(operation, &item, table::STARTS)?;
            }
        }
        Ok(slots)
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
        match call.send().await {
            Ok(_) => Ok(()),
            Err(e)
                if e.as_service_error().is_some_and(PutItemError::is_conditional_check_failed_exception) =>
            {
                Err(NotSaved::Conflict)
            }
            Err(e) => Err(self.fault(operation, &e).into()),
        }
    }

    /// Writes a record with a new claim, takes a slot and adds to the audit trail: all or nothing.
    ///
    /// The SDK sends its own token with the transaction. So a retry of a transaction that succeeded
    /// is no conflict.
    pub(crate) async fn claim(
        &self,
        image: &ImageId,
        record: &Record,
        limits: Limits,
        now: Timestamp,
    ) -> Result<(), NotClaimed> {
        let operation = format!("claim {image}");
        // The conditions let a missing item pass, so limits of zero are checked here.
        if limits.max_concurrent_builds == 0 {
            return Err(NotClaimed::AtLimit(Limit::ConcurrentBuilds));
        }
        if limits.max_starts_per_day == 0 {
            return Err(NotClaimed::AtLimit(Limit::StartsPerDay));
        }
        let writes =
            self.claim_writes(image, record, limits, now).map_err(|problem| invalid(&operation, problem))?;
        match self.client.transact_write_items().set_transact_items(Some(writes)).send().await {
            Ok(_) => Ok(()),
            Err(error) => Err(match error.as_service_error() {
                Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => {
                    not_claimed(&operation, canceled.cancellation_reasons())
                }
                _ => self.fault(operation, &error).into(),
            }),
        }
    }

    /// The order of these writes is that of the reasons in [`not_claimed`].
    fn claim_writes(
        &self,
        image: &ImageId,
        record: &Record,
        limits: Limits,
        now: Timestamp,
    ) -> Result<Vec<TransactWriteItem>, String> {
        let start = &record.claim.as_ref().ok_or("the record holds no claim")?.start;
        let put = record_put(image, record)?;
        let unwritable = |e: BuildError| e.to_string();
        let fenced = Put::builder()
            .table_name(&self.table)
            .set_item(Some(put.item))
            .condition_expression(put.condition)
            .expression_attribute_names("#fence", table::FENCE)
            .expression_attribute_values(":read", put.read);
        let slot = Update::builder()
            .table_name(&self.table)
            .set_key(Some(item_of(&Key::slots())))
            .update_expression("ADD #images :image")
            .condition_expression(
                "attribute_not_exists(#images) OR size(#images) < :most OR contains(#images, :id)",
            )
            .expression_attribute_names("#images", table::HELD_BY)
            .expression_attribute_values(":image", AttributeValue::Ss(vec![image.to_string()]))
            .expression_attribute_values(":id", text(image.as_str()))
            .expression_attribute_values(":most", numeral(limits.max_concurrent_builds));
        let day = Update::builder()
            .table_name(&self.table)
            .set_key(Some(item_of(&Key::day(now))))
            .update_expression("ADD #starts :one SET #expires = :expires")
            .condition_expression("attribute_not_exists(#starts) OR #starts < :most")
            .expression_attribute_names("#starts", table::STARTS)
            .expression_attribute_names("#expires", table::EXPIRES_AT)
            .expression_attribute_values(":one", numeral(1))
            .expression_attribute_values(":expires", expiry(now, table::DAY_KEPT))
            .expression_attribute_values(":most", numeral(limits.max_starts_per_day));
        let audit = Put::builder().table_name(&self.table).set_item(Some(audit_item(start, now)?));
        Ok(vec![
            TransactWriteItem::builder().put(fenced.build().map_err(unwritable)?).build(),
            TransactWriteItem::builder().update(slot.build().map_err(unwritable)?).build(),
            TransactWriteItem::builder().update(day.build().map_err(unwritable)?).build(),
            TransactWriteItem::builder().put(audit.build().map_err(unwritable)?).build(),
        ])
    }

    /// Frees an image's slot if its record still has this fence.
    pub(crate) async fn free(&self, image: &ImageId, fence: u64) -> Result<(), NotSaved> {
        let operation = format!("free the slot of {image}");
        let writes = self.free_writes(image, fence).map_err(|e| invalid(&operation, e.to_string()))?;
        match self.client.transact_write_items().set_transact_items(Some(writes)).send().await {
            Ok(_) => Ok(()),
            Err(error) => Err(match error.as_service_error() {
                Some(TransactWriteItemsError::TransactionCanceledException(canceled))
                    if is_refused(canceled.cancellation_reasons(), 0) =>
                {
                    NotSaved::Conflict
                }
                _ => self.fault(operation, &error).into(),
            }),
        }
    }

    fn free_writes(&self, image: &ImageId, fence: u64) -> Result<Vec<TransactWriteItem>, BuildError> {
        let unchanged = ConditionCheck::builder()
            .table_name(&self.table)
            .set_key(Some(item_of(&Key::record(image))))
            .condition_expression(condition(fence))
            .expression_attribute_names("#fence", table::FENCE)
            .expression_attribute_values(":read", numeral(fence));
        let slot = Update::builder()
            .table_name(&self.table)
            .set_key(Some(item_of(&Key::slots())))
            .update_expression("DELETE #images :image")
            .expression_attribute_names("#images", table::HELD_BY)
            .expression_attribute_values(":image", AttributeValue::Ss(vec![image.to_string()]));
        Ok(vec![
            TransactWriteItem::builder().condition_check(unchanged.build()?).build(),
            TransactWriteItem::builder().update(slot.build()?).build(),
        ])
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
    if next.unsettled {
        item.insert(table::UNSETTLED.into(), text(table::YES));
    }
    Ok(RecordPut { item, condition: condition(record.fence), read: numeral(record.fence) })
}

/// The condition that the stored fence is still this one. A record that was never written has no
/// fence.
fn condition(fence: u64) -> &'static str {
    if fence == 0 { "attribute_not_exists(#fence) OR #fence = :read" } else { "#fence = :read" }
}

/// Returns whether DynamoDB cancelled because the condition of this write did not hold.
fn is_refused(reasons: &[CancellationReason], at: usize) -> bool {
    reasons.get(at).and_then(|reason| reason.code()) == Some("ConditionalCheckFailed")
}

fn audit_item(start: &Start, now: Timestamp) -> Result<Item, String> {
    let json = serde_json::to_string(start).map_err(|e| format!("the start cannot be written: {e}"))?;
    let mut item = item_of(&Key::audit(start, now));
    item.insert(table::START.into(), text(json));
    item.insert(table::EXPIRES_AT.into(), expiry(now, table::AUDIT_KEPT));
    Ok(item)
}

/// Returns why a claim's transaction was cancelled. The reasons are in the order of its writes.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>
fn not_claimed(operation: &str, reasons: &[CancellationReason]) -> NotClaimed {
    match [0, 1, 2].map(|at| is_refused(reasons, at)) {
        [true, ..] => return NotClaimed::Conflict,
        [_, true, _] => return NotClaimed::AtLimit(Limit::ConcurrentBuilds),
        [_, _, true] => return NotClaimed::AtLimit(Limit::StartsPerDay),
        _ => {}
    }
    let reason = reasons.iter().find(|reason| reason.code().is_some_and(|code| code != "None"));
    let code = reason.and_then(|reason| reason.code()).unwrap_or("no reason given");
    let why = reason.and_then(|reason| reason.message()).unwrap_or_default();
    let kind = kind_of_code(code, 400);
    NotClaimed::Fault(Fault {
        kind,
        ..invalid(operation, format!("the transaction was cancelled: {code} {why}"))
    })
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
    if format < table::CURRENT_FORMAT {
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
    // Conditions and the index use the attributes, so the attributes count and not the JSON.
    let fence = number(operation, item, table::FENCE)?;
    Ok(Record { fence, unsettled: item.contains_key(table::UNSETTLED), ..record })
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
mod tests;
