//! What a pass could not do reaches people: as a metric that an alarm watches, or as an invocation
//! that fails.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;

use patchwave_tests::codepipeline::Order;
use patchwave_tests::harness::{Harness, Setup};
use patchwave_tests::hierarchy::SAMPLE;
use patchwave_tests::runtime::{Deadline, Function, FunctionError};
use patchwave_tests::scanner::Scanning;
use serde_json::{Value, json};

const INVENTORY: &str = "inventory: { regions: [us-east-1], accounts: [{ id: '123456789012' }] }";

/// An account with a finding in the base image.
async fn vulnerable(scanning: Scanning) -> Harness {
    let setup = Setup { hierarchy: format!("{SAMPLE}\n{INVENTORY}\n"), scanning, ..Setup::default() };
    let harness = Harness::start(setup).await;
    harness.disclose("CVE-2026-1000", "openssl", Some("1.0.1"));
    harness
}

/// Sweeps with these settings beside the harness's own, and returns the answer and the counted errors:
/// each a kind, or `None` for all together, and how many there are.
async fn sweep(
    harness: &Harness,
    more: &[(&str, &str)],
) -> (Result<Value, FunctionError>, Vec<(Option<String>, u64)>) {
    let events = harness.moto().front("events", Arc::clone(&harness.traffic)).await;
    let mut settings = harness.settings().clone();
    settings.insert("AWS_ENDPOINT_URL_EVENTBRIDGE".to_owned(), events.url());
    settings.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let mut function = Function::start("inventory", &settings, Deadline::Far).await;
    let event: Value =
        serde_json::from_str(include_str!("../fixtures/events/scheduler-universal-input.json")).unwrap();
    let answer = function.invoke(&event).await;
    let lines = function.log();
    let counted = lines.iter().filter_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        let is_metric = line["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Patchwave";
        let count = line["Errors"].as_u64().filter(|_| is_metric)?;
        Some((line["Kind"].as_str().map(str::to_owned), count))
    });
    (answer, counted.collect())
}

fn counted(kind: &str, count: u64) -> Vec<(Option<String>, u64)> {
    vec![(None, count), (Some(kind.to_owned()), count)]
}

#[tokio::test]
async fn a_pass_that_did_everything_counts_no_errors() {
    let harness = vulnerable(Scanning::Enhanced).await;
    let (report, errors) = sweep(&harness, &[]).await;
    assert_eq!((&report.unwrap()["errors"], errors), (&json!([]), vec![]));
}

#[tokio::test]
async fn a_refused_notice_is_counted() {
    let harness = vulnerable(Scanning::Enhanced).await;
    harness.traffic.refuse("PutEvents", "AccessDeniedException");
    let (report, errors) = sweep(&harness, &[]).await;
    let report = report.unwrap();
    assert_eq!(report["started"][0]["image"], "base/os", "{report}");
    assert_eq!(report["errors"][0]["kind"], "notice", "{report}");
    assert_eq!(errors, counted("notice", 1));
}

#[tokio::test]
async fn a_refused_recheck_is_counted() {
    let harness = vulnerable(Scanning::Enhanced).await;
    let (report, _) = sweep(&harness, &[]).await;
    assert_eq!(report.unwrap()["errors"], json!([]));
    // The children of what a person pushed wait for its quiet period, which ends without an event.
    let push = Order { execution: "push".into(), ..Order::default() };
    harness.pipelines.builder().build(harness.recipe("base/slim"), &push).await.unwrap();
    // Nobody made the schedule.
    let (report, errors) = sweep(&harness, &[("PATCHWAVE_TICK", "patchwave/tick")]).await;
    assert_eq!(report.unwrap()["errors"][0]["kind"], "schedule");
    assert_eq!(errors, counted("schedule", 1));
}

#[tokio::test]
async fn a_refused_scan_is_counted() {
    let harness = vulnerable(Scanning::Basic).await;
    harness.traffic.refuse("StartImageScan", "AccessDeniedException");
    let (report, errors) = sweep(&harness, &[]).await;
    let report = report.unwrap();
    let failed = report["errors"].as_array().unwrap();
    assert!(!failed.is_empty() && failed.iter().all(|failure| failure["kind"] == "scan"), "{report}");
    assert_eq!(errors, counted("scan", failed.len() as u64));
}

#[tokio::test]
async fn a_sweep_that_could_not_write_what_it_saw_fails() {
    for write in ["BatchWriteItem", "PutItem"] {
        let harness = vulnerable(Scanning::Enhanced).await;
        harness.traffic.refuse(write, "AccessDeniedException");
        let (answer, errors) = sweep(&harness, &[]).await;
        let error = answer.unwrap_err();
        assert_eq!(error.kind, "NotWhole", "{write}: {}", error.message);
        assert!(error.message.contains("AccessDeniedException"), "{write}: {}", error.message);
        assert!(errors.iter().any(|(kind, _)| kind.as_deref() == Some("write")), "{write}: {errors:?}");
    }
}
