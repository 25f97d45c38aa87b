//! The compiled functions, when they have to look again before a schedule would have them look: they ask to be woken.

use jiff::SignedDuration;
use patchwave_tests::estate::{EcsCluster, Region};
use patchwave_tests::organisation::HIERARCHY;
use patchwave_tests::runtime::{Deadline, Function};
use patchwave_tests::schedules;
use patchwave_tests::world::{ACCOUNT, Setup, World};
use serde_json::{Value, json};

fn setup() -> Setup {
    let keys = "inventory: { regions: [us-east-1], accounts: [{ id: '123456789012', environment: prod }] }";
    Setup { hierarchy: format!("{HIERARCHY}\n{keys}\n"), ..Setup::default() }
}

/// A cluster that runs the cart by this digest.
fn shop(digest: &str) -> Region {
    let arn = |what: &str| format!("arn:aws:ecs:us-east-1:123456789012:{what}");
    let image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/apps/cart:live";
    let container = json!({ "name": "app", "image": image, "imageDigest": digest, "lastStatus": "RUNNING" });
    let task = json!({
        "taskArn": arn("task/shop/0001"), "taskDefinitionArn": arn("task-definition/cart:7"),
        "group": "service:cart", "lastStatus": "RUNNING", "containers": [container],
    });
    let cluster = EcsCluster { arn: arn("cluster/shop"), tasks: vec![task], ..EcsCluster::default() };
    Region { ecs: vec![cluster], ..Region::default() }
}

#[tokio::test]
async fn a_survey_that_an_invocation_cannot_end_goes_on_at_the_next_minute() {
    let world = World::start(setup()).await;
    world.estate.set(ACCOUNT, "us-east-1", shop(&world.current("apps/cart:live").await));
    schedules::regular(world.moto(), "daily").await;
    let mut settings = world.settings().clone();
    settings.insert("PATCHWAVE_SWEEP".to_owned(), "patchwave/daily".to_owned());
    // Of seven seconds half are the survey's. The fourth answer that is none is after two, and the next call would be due two
    // seconds later.
    world.estate.refuse("ListTasks", "ThrottlingException", 4);
    let time = Deadline::In(SignedDuration::from_secs(7));
    let mut function = Function::start("inventory", &settings, time).await;
    let event: Value =
        serde_json::from_str(include_str!("../fixtures/events/scheduler-universal-input.json")).unwrap();

    let report = function.invoke(&event).await.unwrap();
    assert_eq!(report["errors"], json!([]));
    assert_eq!(report["inventory"]["running"], 0, "{report}");
    let made = schedules::once(world.moto()).await;
    assert_eq!(made.len(), 1, "{made:?}");
    let name = made[0]["Name"].as_str().unwrap();
    let whole = world.moto().get("scheduler", &format!("schedules/{name}?groupName=patchwave")).await;
    assert_eq!(whole["ActionAfterCompletion"], "DELETE");

    // What Scheduler then delivers is the schedule's own input.
    function.must_end(Deadline::Far);
    let input: Value = serde_json::from_str(whole["Target"]["Input"].as_str().unwrap()).unwrap();
    let clusters = world.estate.calls("ListClusters");
    let report = function.invoke(&input).await.unwrap();
    assert_eq!(report["inventory"]["running"], 1, "{report}");
    assert_eq!(world.estate.calls("ListClusters"), clusters, "what was read is not read again");
    assert_eq!(schedules::once(world.moto()).await.len(), 1, "nothing is left to wake for");
}

#[tokio::test]
async fn who_starts_a_build_asks_for_one_tick_that_looks_for_its_end() {
    let world = World::start(Setup::default()).await;
    schedules::regular(world.moto(), "tick").await;
    let mut settings = world.settings().clone();
    settings.insert("PATCHWAVE_TICK".to_owned(), "patchwave/tick".to_owned());
    let mut function = Function::start("inventory", &settings, Deadline::Far).await;
    let event: Value =
        serde_json::from_str(include_str!("../fixtures/events/scheduler-universal-input.json")).unwrap();
    let report = function.invoke(&event).await.unwrap();
    assert_eq!(report["started"], json!([]));
    assert_eq!(schedules::once(world.moto()).await.len(), 0, "nothing is under way");

    world.disclose("CVE-2026-1000", "openssl", Some("1.0.1"));
    let report = function.invoke(&event).await.unwrap();
    assert_eq!(report["started"][0]["image"], "base/os", "{report}");
    let made = schedules::once(world.moto()).await;
    assert_eq!(made.len(), 1, "{made:?}");
    assert!(made[0]["Name"].as_str().unwrap().starts_with("tick-"), "{made:?}");
}
