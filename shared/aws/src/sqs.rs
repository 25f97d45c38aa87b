//! SQS: the message to the queue of the ticks that continues a pass at once.
//!
//! A pass that ends before it has done everything sends one tick to the queue. Scheduler is precise
//! to the minute only. Lambda counts how often functions and queues invoke each other, by a header
//! that the SDK sends along. It stops such a chain after about sixteen times. So each message says
//! its number in the chain, and a chain ends long before that. Then Scheduler makes the next tick,
//! which begins a new chain.
//! <https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html>

use aws_sdk_sqs::Client;
use patchwave::time::Timestamp;
use patchwave_converge::Fault;
use serde_json::{Value, json};

use crate::fault::fault;

/// Most messages of one chain.
const MOST: u32 = 10;

/// What continues a pass.
#[derive(Debug, Clone)]
pub(crate) struct Continuation {
    client: Client,
    /// The URL of the queue that ticks are sent to.
    queue: String,
    /// The number in its chain of the message that caused this invocation; 0 if another cause did.
    number: u32,
}

impl Continuation {
    pub(crate) fn new(client: Client, queue: String) -> Self {
        Self { client, queue, number: 0 }
    }

    /// Returns the continuation of an invocation that this message of a chain caused.
    pub(crate) fn after(self, number: u32) -> Self {
        Self { number, ..self }
    }

    /// Sends a tick. Returns whether it did: a chain has an end.
    pub(crate) async fn send(&self, now: Timestamp) -> Result<bool, Fault> {
        if self.number >= MOST {
            return Ok(false);
        }
        let body = json!({
            "kind": "rebuild-fanout.tick", "schedule_arn": "patchwave:continuation", "scheduled_time": now,
            CONTINUES: self.number + 1,
        });
        let sent =
            self.client.send_message().queue_url(&self.queue).message_body(body.to_string()).send().await;
        sent.map(|_| true).map_err(|error| fault("send the message that continues the pass", &error))
    }
}

/// The field of a message that has its number in the chain.
const CONTINUES: &str = "continues";

/// Returns the number of a message in its chain; 0 if it is of none.
pub(crate) fn number_of(body: &Value) -> u32 {
    let number = body.get(CONTINUES).and_then(Value::as_u64);
    number.map_or(0, |number| u32::try_from(number).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use patchwave::trigger::{Event, ScheduleKind, Trigger, parse};

    use super::*;
    use crate::fake;

    #[tokio::test]
    async fn a_chain_of_messages_counts_itself_and_ends() {
        let (config, asked) = fake::config(1, |_, _| (200, json!({ "MessageId": "m" })));
        let queue = "https://sqs.us-east-1.amazonaws.com/111122223333/changes";
        let first = Continuation::new(Client::new(&config), queue.into());
        let now = "2026-01-01T12:00:00Z".parse().unwrap();
        let mut number = 0;
        while first.clone().after(number).send(now).await.unwrap() {
            let (operation, message) = asked.lock().unwrap().last().cloned().unwrap();
            assert_eq!((operation.as_str(), &message["QueueUrl"]), ("SendMessage", &json!(queue)));
            let body: Value = serde_json::from_str(message["MessageBody"].as_str().unwrap()).unwrap();
            assert_eq!(parse(&body, ScheduleKind::Tick).unwrap(), Event::Trigger(Trigger::Tick));
            assert_eq!(number_of(&body), number + 1);
            number = number_of(&body);
        }
        assert_eq!((number, fake::count(&asked, "SendMessage")), (MOST, MOST as usize));
        assert_eq!(number_of(&json!({ "detail-type": "Scheduled Event" })), 0, "a new chain");
    }
}
