//! Messages that cannot be acted on: each is delivered again, ends among the dead letters, and the log says why.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use patchwave_tests::queue::{DELIVERIES, Queue};
use patchwave_tests::runtime::{Deadline, Function};
use patchwave_tests::world::{Setup, World};
use serde_json::Value;

/// Hands the queue's messages to the function until the queue is empty, as Lambda's poller does.
async fn drain(world: &mut World, queue: &Queue, function: &mut Function) -> u32 {
    for batches in 0..2 * DELIVERIES {
        let Some(batch) = queue.take(world.moto()).await else { return batches };
        let answer = function.invoke(&batch).await.unwrap();
        queue.finish(world.moto(), &batch, &answer).await;
    }
    panic!("messages come back for ever");
}

/// The lines that the function wrote about one message.
fn about(function: &Function, message_id: &str) -> Vec<Value> {
    let lines = function.log().into_iter().map(|line| serde_json::from_str::<Value>(&line).unwrap());
    lines.filter(|line| line["message_id"] == message_id).collect()
}

#[tokio::test]
async fn of_ten_messages_nine_are_done_and_one_is_a_dead_letter_with_its_reason() {
    let mut world = World::start(Setup::default()).await;
    let queue = Queue::create(world.moto()).await;
    let mut function = Function::start("scan-complete", world.settings(), Deadline::Far).await;
    world.disclose("CVE-2026-1000", "openssl", Some("1.0.1"));
    let poison = r#"{"detail-type": "Inspector2 Finding", "source": "aws.inspector2", "detail": 7}"#;
    let events: Vec<String> = world.bus.take().iter().map(Value::to_string).take(9).collect();
    assert_eq!(events.len(), 9);
    for event in &events[..4] {
        queue.send(world.moto(), event).await;
    }
    let poisoned = queue.send(world.moto(), poison).await;
    for event in &events[4..] {
        queue.send(world.moto(), event).await;
    }

    let batches = drain(&mut world, &queue, &mut function).await;
    assert_eq!(batches, DELIVERIES, "the poison alone came back");
    assert_eq!(world.builds(), [("base/os".to_owned(), 1)].into(), "the nine were acted on, together");
    let letters = queue.dead_letters(world.moto()).await;
    assert_eq!(letters, [(poisoned.clone(), poison.to_owned())].into());
    let lines = about(&function, &poisoned);
    assert_eq!(u32::try_from(lines.len()).unwrap(), DELIVERIES);
    for (delivery, line) in (1..).zip(&lines) {
        assert_eq!((&line["level"], &line["receive_count"]), (&"ERROR".into(), &delivery.into()), "{line}");
        let reason = line["message"].as_str().unwrap();
        assert!(reason.contains("detail"), "{reason}");
        assert_eq!(line["span"]["function"], "scan-complete");
    }
}

#[tokio::test]
async fn a_message_that_is_dead_because_nothing_answered_says_so() {
    let mut world = World::start(Setup::default()).await;
    let queue = Queue::create(world.moto()).await;
    let mut settings = world.settings().clone();
    settings.insert("PATCHWAVE_TABLE".to_owned(), "nobody-made-it".to_owned());
    let mut function = Function::start("scan-complete", &settings, Deadline::Far).await;
    world.disclose("CVE-2026-1000", "openssl", Some("1.0.1"));
    let event = world.bus.take().swap_remove(0).to_string();
    let message = queue.send(world.moto(), &event).await;

    assert_eq!(drain(&mut world, &queue, &mut function).await, DELIVERIES);
    assert_eq!(queue.dead_letters(world.moto()).await, [(message.clone(), event)].into());
    let reason = about(&function, &message).pop().unwrap()["message"].to_string();
    assert!(reason.contains("nobody-made-it") && reason.contains("PATCHWAVE_TABLE"), "{reason}");
}
