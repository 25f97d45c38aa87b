//! A record that cannot be read: it is named, left as it is, and stops no image but its own and those that stand on it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use patchwave::table::Key;
use patchwave_tests::settle::{Delivery, settle};
use patchwave_tests::world::{Setup, World};
use serde_json::{Value, json};

const JAVA: &str = "platform/java:21";

fn key(image: &str) -> Value {
    let key = Key::record(&image.parse().unwrap());
    json!({ "pk": { "S": key.partition }, "sk": { "S": key.sort } })
}

async fn table(world: &World, operation: &str, mut input: Value) -> Value {
    input["TableName"] = "patchwave".into();
    world.moto().call("dynamodb", &format!("DynamoDB_20120810.{operation}"), &input).await.unwrap()
}

async fn sweep(world: &mut World) -> Value {
    let event = world.bus.event("aws.events", "Scheduled Event", &[], json!({}));
    world.invoke("inventory", &event).await.unwrap()
}

#[tokio::test]
async fn a_record_that_makes_no_sense_stops_nobody_else_and_is_not_lost() {
    let mut world = World::start(Setup::default()).await;
    let mut garbage = key(JAVA);
    garbage["record"] = json!({ "S": "{\"claim\": {\"owner\": \"an older version\"}}" });
    garbage["fence"] = json!({ "N": "3" });
    garbage["unsettled"] = json!({ "S": "yes" });
    table(&world, "PutItem", json!({ "Item": garbage })).await;

    world.disclose("CVE-2026-1000", "openssl", Some("1.0.1"));
    for _ in 0..8 {
        let report = sweep(&mut world).await;
        let errors = report["errors"].as_array().unwrap();
        assert_eq!(errors.len(), 1, "{report}");
        assert_eq!(errors[0]["image"], JAVA);
        let message = errors[0]["message"].as_str().unwrap();
        assert!(
            message.contains("image#platform/java:21 / record") && message.contains("repair"),
            "{message}"
        );
        assert!(report["unknown"].to_string().contains(JAVA), "unknown is never clean: {report}");
        for execution in world.pipelines.running() {
            world.end(&execution).await;
        }
    }
    let builds = world.builds();
    assert_eq!(builds.len(), 8, "all but java and the two on it: {builds:?}");
    assert!([JAVA, "apps/search:live", "apps/billing:live"].iter().all(|image| !builds.contains_key(*image)));
    let stored = table(&world, "GetItem", json!({ "Key": key(JAVA) })).await;
    assert_eq!(stored["Item"], garbage, "it is as it was");

    table(&world, "DeleteItem", json!({ "Key": key(JAVA) })).await;
    world.bus.take();
    world.sweep().await;
    settle(&mut world, Delivery::Dropped).await;
    assert_eq!(world.builds().len(), 11, "once it is repaired, nothing is missing");
    assert!(world.builds().values().all(|builds| *builds == 1));
}
