//! SQS as the event source of a function. moto holds the queue, its dead letters and the counts of
//! receipts.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::awsjson::text;
use crate::moto::{Moto, REGION};

/// After so many deliveries SQS moves a message to the dead letters.
pub const DELIVERIES: u32 = 3;

/// A queue with its dead letters, whose messages a function gets.
pub struct Queue {
    url: String,
    dead_letters: String,
}

impl Queue {
    /// Makes both queues.
    pub async fn create(moto: &Moto) -> Self {
        let dead_letters = create(moto, "events-dead-letters", json!({})).await;
        let asked = json!({ "QueueUrl": dead_letters, "AttributeNames": ["QueueArn"] });
        let arn = call(moto, "GetQueueAttributes", asked).await["Attributes"]["QueueArn"].clone();
        let policy = json!({ "deadLetterTargetArn": arn, "maxReceiveCount": DELIVERIES.to_string() });
        // No pause between deliveries: a test does not wait.
        let attributes = json!({ "VisibilityTimeout": "0", "RedrivePolicy": policy.to_string() });
        Self { url: create(moto, "events", attributes).await, dead_letters }
    }

    /// Puts a message into the queue and returns its id.
    pub async fn send(&self, moto: &Moto, body: &str) -> String {
        let sent = call(moto, "SendMessage", json!({ "QueueUrl": self.url, "MessageBody": body })).await;
        text(&sent, "MessageId").to_owned()
    }

    /// Receives up to ten messages as a Lambda event, or nothing if the queue is empty.
    pub async fn take(&self, moto: &Moto) -> Option<Value> {
        let messages = receive(moto, &self.url).await;
        let records: Vec<Value> = messages.iter().map(record).collect();
        (!records.is_empty()).then(|| json!({ "Records": records }))
    }

    /// Deletes the messages of a batch that did not fail, as Lambda does with
    /// `ReportBatchItemFailures`.
    pub async fn finish(&self, moto: &Moto, batch: &Value, answer: &Value) {
        let failures = answer["batchItemFailures"].as_array().map(Vec::as_slice).unwrap_or_default();
        for record in batch["Records"].as_array().into_iter().flatten() {
            if failures.iter().all(|failure| failure["itemIdentifier"] != record["messageId"]) {
                let handle = json!({ "QueueUrl": self.url, "ReceiptHandle": record["receiptHandle"] });
                call(moto, "DeleteMessage", handle).await;
            }
        }
    }

    /// Returns the bodies of the dead letters by message id.
    pub async fn dead_letters(&self, moto: &Moto) -> BTreeMap<String, String> {
        let messages = receive(moto, &self.dead_letters).await;
        let letter = |m: &Value| (text(m, "MessageId").to_owned(), text(m, "Body").to_owned());
        messages.iter().map(letter).collect()
    }
}

async fn create(moto: &Moto, name: &str, attributes: Value) -> String {
    let made = call(moto, "CreateQueue", json!({ "QueueName": name, "Attributes": attributes })).await;
    text(&made, "QueueUrl").to_owned()
}

async fn receive(moto: &Moto, url: &str) -> Vec<Value> {
    let asked = json!({ "QueueUrl": url, "MaxNumberOfMessages": 10, "AttributeNames": ["All"] });
    call(moto, "ReceiveMessage", asked).await["Messages"].as_array().cloned().unwrap_or_default()
}

async fn call(moto: &Moto, operation: &str, input: Value) -> Value {
    let answer = moto.call("sqs", &format!("AmazonSQS.{operation}"), &input).await;
    answer.unwrap_or_else(|refusal| panic!("{operation}: {refusal:?}"))
}

/// Writes a message as Lambda passes it to a function.
fn record(message: &Value) -> Value {
    json!({
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message["Attributes"],
        "messageAttributes": {},
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": format!("arn:aws:sqs:{REGION}:123456789012:events"),
        "awsRegion": REGION,
    })
}
