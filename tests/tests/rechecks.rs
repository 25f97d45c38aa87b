//! The compiled functions schedule a recheck when they must read again before the next schedule.

use jiff::SignedDuration;
use patchwave_tests::accounts::{EcsCluster, Region};
use patchwave_tests::codepipeline::Order;
use patchwave_tests::harness::{ACCOUNT, Harness, Setup};
use patchwave_tests::hierarchy::SAMPLE;
use patchwave_tests::runtime::{Deadline, Function};
use patchwave_tests::schedules;
use serde_json::{Value, json};

fn setup() -> Setup {
    let keys = "inventory: { regions: [us-east-1], accounts: [{ id: '123456789012', environment: prod }] }";
    Setup { hierarchy: format!("{SAMPLE}\n{keys}\n"), ..Setup::default() }
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
async fn an_unfinished_survey_continues_at_the_next_minute() {
    let harness = Harness::start(setup()).await;
    harness.accounts.set(ACCOUNT, "us-east-1", shop(&harness.current("apps/cart:live").await));
    schedules::create(harness.moto(), "daily").await;
    let mut settings = harness.settings().clone();
    settings.insert("PATCHWAVE_SWEEP".to_owned(), "patchwave/daily".to_owned());
    // The survey has half of the seven seconds. The fourth refusal comes after two of them, and the
    // next call would be made two seconds later.
    harness.accounts.refuse("ListTasks", "ThrottlingException", 4);
    let time = Deadline::In(SignedDuration::from_secs(7));
    let mut function = Function::start("inventory", &settings, time).await;
    let event: Value =
        serde_json::from_str(include_str!("../fixtures/events/scheduler-universal-input.json")).unwrap();

    let report = function.invoke(&event).await.unwrap();
    assert_eq!(report["errors"], json!([]));
    assert_eq!(report["inventory"]["running"], 0, "{report}");
    let made = schedules::rechecks(harness.moto()).await;
    assert_eq!(made.len(), 1, "{made:?}");
    let name = made[0]["Name"].as_str().unwrap();
    let whole = harness.moto().get("scheduler", &format!("schedules/{name}?groupName=patchwave")).await;
    assert_eq!(whole["ActionAfterCompletion"], "DELETE");

    // Scheduler delivers the input of the schedule.
    function.set_deadline(Deadline::Far);
    let input: Value = serde_json::from_str(whole["Target"]["Input"].as_str().unwrap()).unwrap();
    let clusters = harness.accounts.calls("ListClusters");
    let report = function.invoke(&input).await.unwrap();
    assert_eq!(report["inventory"]["running"], 1, "{report}");
    assert_eq!(harness.accounts.calls("ListClusters"), clusters, "the list of clusters is not read again");
    assert_eq!(schedules::rechecks(harness.moto()).await.len(), 1, "nothing is left to recheck");
}

#[tokio::test]
async fn a_quiet_period_schedules_one_recheck() {
    let harness = Harness::start(Setup::default()).await;
    schedules::create(harness.moto(), "tick").await;
    let mut settings = harness.settings().clone();
    settings.insert("PATCHWAVE_TICK".to_owned(), "patchwave/tick".to_owned());
    let mut function = Function::start("inventory", &settings, Deadline::Far).await;
    let event: Value =
        serde_json::from_str(include_str!("../fixtures/events/scheduler-universal-input.json")).unwrap();
    let report = function.invoke(&event).await.unwrap();
    assert_eq!(report["started"], json!([]));
    assert_eq!(schedules::rechecks(harness.moto()).await.len(), 0, "nothing waits");

    let push = Order { execution: "push".into(), ..Order::default() };
    harness.pipelines.builder().build(harness.recipe("base/os"), &push).await.unwrap();
    let report = function.invoke(&event).await.unwrap();
    assert!(report["held"].to_string().contains("QuietPeriod"), "{report}");
    let made = schedules::rechecks(harness.moto()).await;
    assert_eq!(made.len(), 1, "{made:?}");
    assert!(made[0]["Name"].as_str().unwrap().starts_with("tick-"), "{made:?}");
}
