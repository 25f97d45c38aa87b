//! An SQS batch: its messages, and which of them SQS must deliver again.

use std::collections::BTreeSet;

use aws_lambda_events::event::sqs::{BatchItemFailure, SqsBatchResponse, SqsMessage};
use patchwave::trigger::{self, Event, InvalidEvent, ScheduleKind, Trigger};
use tracing::{error, info};

use super::Failed;
use crate::sqs;

/// The records of an SQS batch, each read separately.
///
/// SQS moves a message that failed too often to the dead-letter queue, with its body and its id but
/// without a reason. So the reason of every failure is logged under `message_id`.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Messages that trigger the pass.
    triggers: Vec<(Message, Trigger)>,
    /// Messages that cannot be read. Each of them fails alone.
    bad: Vec<Message>,
    /// The highest number of a message that continues a pass; 0 without one.
    pub(super) continues: u32,
}

/// Identifies a message, and counts its deliveries.
#[derive(Debug)]
struct Message {
    id: String,
    receive_count: Option<u32>,
}

impl Message {
    fn new(record: &mut SqsMessage) -> Self {
        let receive_count = record.attributes.get("ApproximateReceiveCount");
        Self {
            receive_count: receive_count.and_then(|count| count.parse().ok()),
            id: record.message_id.take().unwrap_or_default(),
        }
    }

    /// Logs why the message failed.
    fn log(&self, why: &dyn std::error::Error) {
        error!(target: "patchwave", message_id = self.id, receive_count = self.receive_count, "{why}");
    }
}

impl Batch {
    pub(super) fn read(records: Vec<SqsMessage>, schedule: ScheduleKind) -> Self {
        let mut batch = Self::default();
        for mut record in records {
            let message = Message::new(&mut record);
            match read_body(record.body.as_deref().unwrap_or_default(), schedule) {
                Ok((Event::Trigger(trigger), continues)) => {
                    batch.continues = batch.continues.max(continues);
                    batch.triggers.push((message, trigger));
                }
                Ok((Event::Ignored { because }, _)) => {
                    info!(target: "patchwave", message_id = message.id, because, "ignored");
                }
                Err(problem) => {
                    message.log(&problem);
                    batch.bad.push(message);
                }
            }
        }
        batch
    }

    /// Returns each trigger once. One scan of many platforms emits several equal events.
    pub(super) fn triggers(&self) -> Vec<Trigger> {
        let each: BTreeSet<&Trigger> = self.triggers.iter().map(|(_, trigger)| trigger).collect();
        each.into_iter().cloned().collect()
    }

    /// Names the messages that SQS must deliver again: bad ones, and all others if the pass failed.
    pub(super) fn response(self, passed: Result<(), Failed>) -> SqsBatchResponse {
        let mut again = self.bad;
        if let Err(failed) = passed {
            for (message, _) in self.triggers {
                match failed {
                    // Two invocations met, as they often do. It is no error.
                    Failed::Raced => info!(target: "patchwave", message_id = message.id, "{failed}"),
                    _ => message.log(&failed),
                }
                again.push(message);
            }
        }
        let mut response = SqsBatchResponse::default();
        response.batch_item_failures = again.into_iter().map(|message| failure(message.id)).collect();
        response
    }
}

fn failure(message_id: String) -> BatchItemFailure {
    let mut failure = BatchItemFailure::default();
    failure.item_identifier = message_id;
    failure
}

/// Reads an event, and its number among the messages that continue a pass.
fn read_body(body: &str, schedule: ScheduleKind) -> Result<(Event, u32), BadBody> {
    let body = serde_json::from_str(body)?;
    Ok((trigger::parse(&body, schedule)?, sqs::number_of(&body)))
}

#[derive(Debug, thiserror::Error)]
enum BadBody {
    #[error("the message's body is not JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Event(#[from] InvalidEvent),
}
