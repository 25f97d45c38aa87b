//! Messages that no function can act on. Each is delivered again, becomes a dead letter, and the
//! log says why.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use patchwave_tests::harness::{Harness, Setup};
use patchwave_tests::queue::{DELIVERIES, Queue};
use patchwave_tests::runtime::{Deadline, Function};
use serde_json::Value;

/// Passes the messages of the queue to the function until the queue is empty, as the poller of
/// Lambda does.
async fn drain(harness: &mut Harness, queue: &Queue, function: &mut Function) -> u32 {
    for batches in 0..2 * DELIVERIES {
        let Some(batch) = queue.take(harness.moto()).await else { return batches };
        let answer = function.invoke(&batch).await.unwrap();
        queue.finish(harness.moto(), &batch, &answer).await;
    }
    panic!("messages come back for ever");
}

/// The log lines about one message.
fn about(function: &Function, message_id: &str) -> Vec<Value> {
    let lines = function.log().into_iter().map(|line| serde_json::from_str::<Value>(&line).unwrap());
    lines.filter(|line| line["message_id"] == message_id).collect()
}

#[tokio::test]
async fn of_ten_messages_nine_are_done_and_one_is_a_dead_letter_with_its_reason() {
    let mut harness = Harness::start(Setup::default()).await;
    let queue = Queue::create(harness.moto()).await;
    let mut function = Function::start("scan-complete", harness.settings(), Deadline::Far).await;
    harness.disclose("CVE-2026-1000", "openssl", Some("1.0.1"));
    let unreadable = r#"{"detail-type": "Inspector2 Finding", "source": "aws.inspector2", "detail": 7}"#;
    let events: Vec<String> = harness.bus.take().iter().map(Value::to_string).take(9).collect();
    assert_eq!(events.len(), 9);
    for event in &events[..4] {
        queue.send(harness.moto(), event).await;
    }
    let unreadable_id = queue.send(harness.moto(), unreadable).await;
    for event in &events[4..] {
        queue.send(harness.moto(), event).await;
    }

    let batches = drain(&mut harness, &queue, &mut function).await;
    assert_eq!(batches, DELIVERIES, "only the unreadable message came back");
    assert_eq!(harness.builds(), [("base/os".to_owned(), 1)].into(), "one pass acted on the nine others");
    let letters = queue.dead_letters(harness.moto()).await;
    assert_eq!(letters, [(unreadable_id.clone(), unreadable.to_owned())].into());
    let lines = about(&function, &unreadable_id);
    assert_eq!(u32::try_from(lines.len()).unwrap(), DELIVERIES);
    for (delivery, line) in (1..).zip(&lines) {
        assert_eq!((&line["level"], &line["receive_count"]), (&"ERROR".into(), &delivery.into()), "{line}");
        let reason = line["message"].as_str().unwrap();
        assert!(reason.contains("detail"), "{reason}");
        assert_eq!(line["span"]["function"], "scan-complete");
    }
}

#[tokio::test]
async fn the_log_says_that_a_message_became_a_dead_letter_because_the_table_is_missing() {
    let mut harness = Harness::start(Setup::default()).await;
    let queue = Queue::create(harness.moto()).await;
    let mut settings = harness.settings().clone();
    settings.insert("PATCHWAVE_TABLE".to_owned(), "nobody-made-it".to_owned());
    let mut function = Function::start("scan-complete", &settings, Deadline::Far).await;
    harness.disclose("CVE-2026-1000", "openssl", Some("1.0.1"));
    let event = harness.bus.take().swap_remove(0).to_string();
    let message = queue.send(harness.moto(), &event).await;

    assert_eq!(drain(&mut harness, &queue, &mut function).await, DELIVERIES);
    assert_eq!(queue.dead_letters(harness.moto()).await, [(message.clone(), event)].into());
    let reason = about(&function, &message).pop().unwrap()["message"].to_string();
    assert!(reason.contains("nobody-made-it") && reason.contains("PATCHWAVE_TABLE"), "{reason}");
}
