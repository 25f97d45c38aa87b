//! The README's local invocation, as a person types it.

use patchwave_tests::cargo_lambda::{Watch, workspace};
use patchwave_tests::world::{Setup, World};
use serde_json::{Value, json};

#[tokio::test]
async fn a_person_watches_and_invokes() {
    let world = World::start(Setup { mode: "observe", ..Setup::default() }).await;
    let watch = Watch::start(world.settings()).await;
    let event = workspace().join("tests/fixtures/events/ecr-image-scan-complete.json");
    let output = watch.invoke("scan-complete", &event).await;
    watch.stop().await;

    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["trigger"][0]["repository"], "apps/checkout");
    assert_eq!(report["errors"], json!([]));
}
