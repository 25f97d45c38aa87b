//! A record that cannot be read is reported and left unchanged. It stops only its image and the
//! children of that.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use patchwave::table::Key;
use patchwave_tests::harness::{Harness, Setup};
use patchwave_tests::run_until_idle::{Delivery, run_until_idle};
use serde_json::{Value, json};

const JAVA: &str = "platform/java:21";

fn key(image: &str) -> Value {
    let key = Key::record(&image.parse().unwrap());
    json!({ "pk": { "S": key.partition }, "sk": { "S": key.sort } })
}

async fn table(harness: &Harness, operation: &str, mut input: Value) -> Value {
    input["TableName"] = "patchwave".into();
    harness.moto().call("dynamodb", &format!("DynamoDB_20120810.{operation}"), &input).await.unwrap()
}

async fn sweep(harness: &mut Harness) -> Value {
    let event = harness.bus.event("aws.events", "Scheduled Event", &[], json!({}));
    harness.invoke("inventory", &event).await.unwrap()
}

#[tokio::test]
async fn an_unreadable_record_stops_only_its_image_and_its_children_and_is_not_lost() {
    let mut harness = Harness::start(Setup::default()).await;
    let mut garbage = key(JAVA);
    garbage["record"] = json!({ "S": "{\"claim\": {\"owner\": \"an older version\"}}" });
    garbage["fence"] = json!({ "N": "3" });
    garbage["queue"] = json!({ "S": "recheck" });
    garbage["rank"] = json!({ "S": "2026-01-01T00:00:00.000Z" });
    table(&harness, "PutItem", json!({ "Item": garbage })).await;

    harness.disclose("CVE-2026-1000", "openssl", Some("1.0.1"));
    for _ in 0..8 {
        let report = sweep(&mut harness).await;
        let errors = report["errors"].as_array().unwrap();
        assert_eq!(errors.len(), 1, "{report}");
        assert_eq!(errors[0]["image"], JAVA);
        let message = errors[0]["message"].as_str().unwrap();
        assert!(
            message.contains("image#platform/java:21 / record") && message.contains("delete it"),
            "{message}"
        );
        assert!(report["unknown"].to_string().contains(JAVA), "unknown is never clean: {report}");
        for execution in harness.pipelines.running() {
            harness.end_build(&execution).await;
        }
    }
    let builds = harness.builds();
    assert_eq!(builds.len(), 8, "all but java and its two children: {builds:?}");
    assert!([JAVA, "apps/search:live", "apps/billing:live"].iter().all(|image| !builds.contains_key(*image)));
    let stored = table(&harness, "GetItem", json!({ "Key": key(JAVA) })).await;
    assert_eq!(stored["Item"], garbage, "the record is unchanged");

    table(&harness, "DeleteItem", json!({ "Key": key(JAVA) })).await;
    harness.bus.take();
    harness.sweep().await;
    run_until_idle(&mut harness, Delivery::Dropped).await;
    assert_eq!(harness.builds().len(), 11, "after the repair every image is built");
    assert!(harness.builds().values().all(|builds| *builds == 1));
}
