//! The whole template, deployed into a second emulator of AWS that evaluates IAM: its rules deliver,
//! and its roles may do what the compiled functions do.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use patchwave_tests::harness::{Harness, Setup};
use patchwave_tests::moto::venv;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Runs `infra/tests/second_oracle.py`, which says what came of the events.
async fn deploy(harness: &Harness, events: &[Value]) -> Value {
    let fakes =
        ["ECR", "CODEPIPELINE", "INSPECTOR2", "ECS", "EKS", "BATCH"].map(|s| format!("AWS_ENDPOINT_URL_{s}"));
    let endpoints: BTreeMap<_, _> =
        harness.settings().iter().filter(|(name, _)| fakes.contains(name)).collect();
    let input = json!({
        "hierarchy": patchwave_tests::hierarchy::SAMPLE, "events": events, "endpoints": endpoints,
    });
    let functions = std::env::current_exe().unwrap();
    let functions = functions.ancestors().nth(2).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/tests/second_oracle.py");
    let mut python = Command::new(venv().join("bin/python"))
        .arg("-B")
        .arg(script)
        .arg(functions)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(input.to_string().as_bytes()).await.unwrap();
    let output = python.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
#[ignore = "tests/run runs it as a step of its own"]
async fn the_deployed_stack_starts_a_build_and_notifies_people_with_the_permissions_that_it_has() {
    let harness = Harness::start(Setup::default()).await;
    harness.disclose("CVE-2026-1000", "openssl", Some("1.0.1"));
    let events = harness.bus.take();
    let found = deploy(&harness, &events).await;
    let log = found["log"].as_str().unwrap();
    assert_eq!(found["delivered"], json!({ "patchwave-scans": events.len() }), "each finding has one rule");

    // What the emulator does not know is named in the script, and is no more than that.
    let unknown = found["unknown"].as_str().unwrap();
    assert!(
        unknown.ends_with("[AWS::ECR::PullTimeUpdateExclusion, AWS::Events::EventBusPolicy]"),
        "{unknown}"
    );
    let insecure = found["insecure"].to_string();
    assert!(insecure.contains("explicit deny in a resource-based policy"), "{insecure}");
    let missing = &found["missing"];
    assert!(missing["failed"] == true && missing.to_string().contains("NoSuchKey"), "{missing}");

    assert_eq!(harness.builds(), [("base/os".to_owned(), 1)].into(), "{log}");
    assert_eq!(found["notices"][0]["image"], "base/os", "{log}");
    let swept = &found["swept"];
    assert!(swept["failed"] == false && swept["answer"]["errors"] == json!([]), "{swept}");
    let stripped = &found["stripped"];
    assert!(stripped["failed"] == true && stripped.to_string().contains("AccessDenied"), "{stripped}");
}
