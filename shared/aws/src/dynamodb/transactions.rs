//! Writes that succeed or fail together: claims, and what ends them.

use std::time::Duration;

use aws_sdk_dynamodb::error::{BuildError, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::{TransactWriteItemsError, TransactWriteItemsOutput};
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, ConditionCheck, Put, TransactWriteItem, Update,
};
use patchwave::image::ImageId;
use patchwave::plan::{Limit, Start};
use patchwave::policy::Limits;
use patchwave::record::{Claim, Record};
use patchwave::table::{self, Key};
use patchwave::time::Timestamp;
use patchwave_converge::{Fault, NotClaimed, NotSaved};

use super::{Item, Ledger, RecordPut, condition, expiry, item_of, numeral, record_put, text};
use crate::fault::{invalid, kind_of_code};

/// How often Patchwave writes again what another write to the same item cancelled. All claims write
/// the item of the slots.
const CONTENDED: u32 = 5;
/// The pause after the first cancelled write, in milliseconds. Each is up to twice as long as the
/// one before. Tests do not wait.
const PAUSE: u64 = if cfg!(test) { 0 } else { 20 };

impl Ledger {
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
        match self.transact(writes).await {
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
        let unwritable = |e: BuildError| e.to_string();
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
            self.put(record_put(image, record)?).map_err(unwritable)?,
            TransactWriteItem::builder().update(slot.build().map_err(unwritable)?).build(),
            TransactWriteItem::builder().update(day.build().map_err(unwritable)?).build(),
            TransactWriteItem::builder().put(audit.build().map_err(unwritable)?).build(),
        ])
    }

    /// Frees an image's slot if its record still has this fence.
    pub(crate) async fn free(&self, image: &ImageId, fence: u64) -> Result<(), NotSaved> {
        let operation = format!("free the slot of {image}");
        let writes = self.free_writes(image, fence).map_err(|e| invalid(&operation, e.to_string()))?;
        self.fenced(operation, writes).await
    }

    /// Frees an image's slot, whatever its record says: nobody can read it. A person decides that.
    pub(crate) async fn force_free(&self, image: &ImageId) -> Result<(), Fault> {
        let operation = format!("free the slot of {image}");
        let write = self.give_slot_back(image).map_err(|e| invalid(&operation, e.to_string()))?;
        self.transact(vec![write]).await.map(drop).map_err(|error| self.fault(operation, &error))
    }

    fn free_writes(&self, image: &ImageId, fence: u64) -> Result<Vec<TransactWriteItem>, BuildError> {
        let unchanged = ConditionCheck::builder()
            .table_name(&self.table)
            .set_key(Some(item_of(&Key::record(image))))
            .condition_expression(condition(fence))
            .expression_attribute_names("#fence", table::FENCE)
            .expression_attribute_values(":read", numeral(fence));
        Ok(vec![
            TransactWriteItem::builder().condition_check(unchanged.build()?).build(),
            self.give_slot_back(image)?,
        ])
    }

    /// Writes the record of a claim whose start was refused, and gives its slot and its share of
    /// the day back: all or nothing. The audit trail then says that it was refused, and why.
    pub(crate) async fn withdraw(
        &self,
        image: &ImageId,
        record: &Record,
        refused: &Claim,
        because: &str,
    ) -> Result<(), NotSaved> {
        let operation = format!("withdraw the claim of {image}");
        let writes = self
            .withdraw_writes(image, record, refused, because)
            .map_err(|problem| invalid(&operation, problem))?;
        self.fenced(operation, writes).await
    }

    fn withdraw_writes(
        &self,
        image: &ImageId,
        record: &Record,
        refused: &Claim,
        because: &str,
    ) -> Result<Vec<TransactWriteItem>, String> {
        let unwritable = |e: BuildError| e.to_string();
        let day = Update::builder()
            .table_name(&self.table)
            .set_key(Some(item_of(&Key::day(refused.claimed_at))))
            .update_expression("ADD #starts :back")
            .expression_attribute_names("#starts", table::STARTS)
            .expression_attribute_values(":back", numeral(-1));
        let audit = Update::builder()
            .table_name(&self.table)
            .set_key(Some(item_of(&Key::audit(&refused.start, refused.claimed_at))))
            .update_expression("SET #refused = :because")
            .expression_attribute_names("#refused", table::REFUSED)
            .expression_attribute_values(":because", text(because));
        Ok(vec![
            self.put(record_put(image, record)?).map_err(unwritable)?,
            self.give_slot_back(image).map_err(unwritable)?,
            TransactWriteItem::builder().update(day.build().map_err(unwritable)?).build(),
            TransactWriteItem::builder().update(audit.build().map_err(unwritable)?).build(),
        ])
    }

    /// Writes a record if its fence is the stored one.
    fn put(&self, put: RecordPut) -> Result<TransactWriteItem, BuildError> {
        let fenced = Put::builder()
            .table_name(&self.table)
            .set_item(Some(put.item))
            .condition_expression(put.condition)
            .expression_attribute_names("#fence", table::FENCE)
            .expression_attribute_values(":read", put.read);
        Ok(TransactWriteItem::builder().put(fenced.build()?).build())
    }

    fn give_slot_back(&self, image: &ImageId) -> Result<TransactWriteItem, BuildError> {
        let slot = Update::builder()
            .table_name(&self.table)
            .set_key(Some(item_of(&Key::slots())))
            .update_expression("DELETE #images :image")
            .expression_attribute_names("#images", table::HELD_BY)
            .expression_attribute_values(":image", AttributeValue::Ss(vec![image.to_string()]));
        Ok(TransactWriteItem::builder().update(slot.build()?).build())
    }

    /// Makes a transaction whose first write is the only one with a condition: the fence.
    async fn fenced(&self, operation: String, writes: Vec<TransactWriteItem>) -> Result<(), NotSaved> {
        match self.transact(writes).await {
            Ok(_) => Ok(()),
            Err(error) => Err(match error.as_service_error() {
                Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => {
                    let reasons = canceled.cancellation_reasons();
                    if is_refused(reasons, 0) {
                        NotSaved::Conflict
                    } else {
                        NotSaved::Fault(cancelled(&operation, reasons))
                    }
                }
                _ => self.fault(operation, &error).into(),
            }),
        }
    }

    async fn transact(
        &self,
        writes: Vec<TransactWriteItem>,
    ) -> Result<TransactWriteItemsOutput, SdkError<TransactWriteItemsError>> {
        let call = self.client.transact_write_items().set_transact_items(Some(writes));
        uncontended(is_contended, || call.clone().send()).await
    }
}

/// Repeats a write that DynamoDB cancelled because another write to the same item was under way.
///
/// The SDK does not repeat it. Such a write wrote nothing, so it is safe to repeat. Pauses are
/// drawn at random, so that writers that met once do not meet again.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html>
pub(super) async fn uncontended<O, E, F>(
    is_contended: impl Fn(&E) -> bool,
    write: impl Fn() -> F,
) -> Result<O, SdkError<E>>
where
    F: Future<Output = Result<O, SdkError<E>>>,
{
    for round in 0..CONTENDED {
        match write().await {
            Err(error) if error.as_service_error().is_some_and(&is_contended) => {
                let pause = fastrand::u64(PAUSE..=PAUSE << (round + 1));
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            answer => return answer,
        }
    }
    write().await
}

fn is_contended(error: &TransactWriteItemsError) -> bool {
    match error {
        TransactWriteItemsError::TransactionCanceledException(canceled) => {
            let reasons = canceled.cancellation_reasons();
            let conflicts = reasons.iter().any(|reason| reason.code() == Some("TransactionConflict"));
            conflicts && (0..reasons.len()).all(|at| !is_refused(reasons, at))
        }
        _ => false,
    }
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
    NotClaimed::Fault(cancelled(operation, reasons))
}

fn cancelled(operation: &str, reasons: &[CancellationReason]) -> Fault {
    let reason = reasons.iter().find(|reason| reason.code().is_some_and(|code| code != "None"));
    let code = reason.and_then(|reason| reason.code()).unwrap_or("no reason given");
    let why = reason.and_then(|reason| reason.message()).unwrap_or_default();
    let kind = kind_of_code(code, 400);
    Fault { kind, ..invalid(operation, format!("the transaction was cancelled: {code} {why}")) }
}
