//! The local invocation in the README, as a person types it.

use patchwave_tests::cargo_lambda::{Watch, workspace};
use patchwave_tests::harness::{Harness, Setup};
use serde_json::{Value, json};

#[tokio::test]
async fn cargo_lambda_watches_and_invokes_a_function() {
    let harness = Harness::start(Setup { mode: "observe", ..Setup::default() }).await;
    let watch = Watch::start(harness.settings()).await;
    let event = workspace().join("tests/fixtures/events/ecr-image-scan-complete.json");
    let output = watch.invoke("scan-complete", &event).await;
    watch.stop().await;

    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["trigger"][0]["repository"], "apps/checkout");
    assert_eq!(report["errors"], json!([]));
}
