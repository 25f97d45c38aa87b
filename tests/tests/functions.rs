//! What every function does with any event.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};

use patchwave_tests::harness::{Harness, Setup, batch};
use patchwave_tests::runtime::{Deadline, Function};
use serde_json::{Value, json};

const FUNCTIONS: [&str; 3] = ["inventory", "rebuild-fanout", "scan-complete"];

fn fixtures() -> impl Iterator<Item = (PathBuf, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/events");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "json")).map(|path| {
        let event = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        (path, event)
    })
}

fn fixture(name: &str) -> Value {
    fixtures().find(|(path, _)| path.file_stem().is_some_and(|stem| stem == name)).unwrap().1
}

#[tokio::test]
async fn every_function_answers_every_sample_event() {
    let mut harness = Harness::start(Setup::default()).await;
    for (path, event) in fixtures() {
        for function in FUNCTIONS {
            let answer = harness.invoke(function, &event).await;
            // AWS sends no response of SQS to a function.
            if path.ends_with("sqs-batch-response.json") {
                assert_eq!(answer.unwrap_err().kind, "InvalidEvent", "{function}");
            } else if event["Records"].is_array() {
                assert_eq!(answer.unwrap(), json!({ "batchItemFailures": [] }), "{function}: {path:?}");
            } else {
                let report = answer.unwrap_or_else(|error| panic!("{function}: {path:?}: {error:?}"));
                for field in ["trigger", "started", "held", "proofs", "unknown", "errors"] {
                    assert!(report[field].is_array(), "{function}: {path:?}: {report}");
                }
            }
        }
    }
    assert!(harness.builds().is_empty(), "the events are about other images");
}

#[tokio::test]
async fn an_unreadable_message_fails_alone_in_its_batch() {
    let mut harness = Harness::start(Setup::default()).await;
    harness.disclose("CVE-2026-1000", "openssl", Some("1.0.1"));
    let mut bodies: Vec<String> = harness.bus.take().iter().take(2).map(Value::to_string).collect();
    bodies.insert(1, "{ not JSON".to_owned());
    bodies.push(r#"{"detail-type": "Inspector2 Finding", "source": "aws.inspector2"}"#.to_owned());
    let failed = harness.deliver_batch("scan-complete", &bodies).await;
    assert_eq!(failed, ["1", "3"]);
    assert_eq!(harness.builds(), [("base/os".to_owned(), 1)].into(), "the others were acted on");
}

#[tokio::test]
async fn a_batch_that_cannot_be_acted_on_is_delivered_again() {
    let harness = Harness::start(Setup::default()).await;
    harness.disclose("CVE-2026-1000", "openssl", Some("1.0.1"));
    let bodies: Vec<String> = harness.bus.take().iter().take(2).map(Value::to_string).collect();
    let mut settings = harness.settings().clone();
    settings.insert("PATCHWAVE_TABLE".to_owned(), "nobody-made-it".to_owned());
    let mut function = Function::start("scan-complete", &settings, Deadline::Far).await;
    let answer = function.invoke(&batch(&bodies)).await.unwrap();
    let again = json!([{ "itemIdentifier": "0" }, { "itemIdentifier": "1" }]);
    assert_eq!(answer["batchItemFailures"], again);
}

#[tokio::test]
async fn a_missing_setting_is_named_to_the_caller() {
    let mut function = Function::start("inventory", &[].into(), Deadline::Far).await;
    let error = function.invoke(&fixture("scheduled-event-rule")).await.unwrap_err();
    assert_eq!(error.kind, "InvalidSettings");
    assert!(error.message.starts_with("PATCHWAVE_HIERARCHY is not set"), "{}", error.message);
    let log = function.log();
    assert_eq!(log.iter().filter(|line| line.contains("PATCHWAVE_HIERARCHY")).count(), 1, "once: {log:?}");
}

#[tokio::test]
async fn a_deadline_of_1970_is_ignored() {
    let harness = Harness::start(Setup::default()).await;
    let mut function = Function::start("rebuild-fanout", harness.settings(), Deadline::LongPast).await;
    let report = function.invoke(&fixture("scheduled-event-rule")).await.unwrap();
    assert_eq!(report["trigger"], json!([{ "kind": "tick" }]));
}

#[tokio::test]
async fn logs_are_json_and_name_the_request() {
    let mut harness = Harness::start(Setup::default()).await;
    harness.disclose("CVE-2026-1000", "openssl", Some("1.0.1"));
    let event = harness.bus.take().swap_remove(0);
    harness.deliver(&event).await;
    let log = harness.log("scan-complete");
    let lines: Vec<Value> = log.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let started = lines.iter().find(|line| line["message"] == "started").unwrap();
    assert_eq!(started["image"], "base/os");
    assert_eq!(started["span"]["request_id"], "scan-complete-1");
}
