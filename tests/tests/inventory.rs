//! The compiled inventory function, from the answers of ECS to the table, the metrics and the
//! report.

use std::sync::Arc;

use patchwave_tests::accounts::{EcsCluster, FakeAccounts, Region};
use patchwave_tests::harness::{ACCOUNT, Harness, Setup};
use patchwave_tests::hierarchy;
use patchwave_tests::run_until_idle::{Delivery, run_until_idle};
use serde_json::{Value, json};

const REGISTRY: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";
const CVE: &str = "CVE-2026-1000";
const NONE: [Value; 0] = [];

fn setup() -> Setup {
    let keys = "inventory: { regions: [us-east-1], accounts: [{ id: '123456789012', environment: prod }] }";
    Setup { hierarchy: format!("{}\n{keys}\n", hierarchy::SAMPLE), ..Setup::default() }
}

/// A task of a service that runs `image` by this digest.
fn task(service: &str, image: &str, digest: Option<&str>) -> Value {
    let arn = |what: &str| format!("arn:aws:ecs:us-east-1:123456789012:{what}");
    let mut container = json!({ "name": "app", "image": image, "lastStatus": "RUNNING" });
    if let Some(digest) = digest {
        container["imageDigest"] = json!(digest);
    }
    json!({
        "taskArn": arn(&format!("task/shop/{service}0000000000000000")),
        "taskDefinitionArn": arn(&format!("task-definition/{service}:7")),
        "group": format!("service:{service}"), "lastStatus": "RUNNING",
        "attributes": [{ "name": "ecs.cpu-architecture", "value": "x86_64" }],
        "containers": [container],
    })
}

/// One cluster that runs the cart by this digest, and an unapproved proxy.
fn shop(digest: &str) -> Region {
    let tasks = vec![
        task("cart", &format!("{REGISTRY}/apps/cart:live"), Some(digest)),
        task("proxy", "nginx:1.27", Some(&format!("sha256:{}", "77".repeat(32)))),
    ];
    let arn = "arn:aws:ecs:us-east-1:123456789012:cluster/shop".to_owned();
    Region { ecs: vec![EcsCluster { arn, tasks, ..EcsCluster::default() }], ..Region::default() }
}

/// The log lines from `from` on of which CloudWatch makes metrics.
fn metrics(harness: &Harness, from: usize) -> Vec<Value> {
    let lines = harness.log("inventory");
    let json = lines.iter().skip(from).filter_map(|line| serde_json::from_str::<Value>(line).ok());
    json.filter(|line| line["_aws"].is_object()).collect()
}

#[tokio::test]
async fn an_image_is_vulnerable_until_its_last_task_with_the_finding_has_stopped() {
    let mut harness = Harness::start(setup()).await;
    let accounts = Arc::clone(&harness.accounts);
    let old = harness.current("apps/cart:live").await;
    accounts.set(ACCOUNT, "us-east-1", shop(&old));
    accounts.page(1);

    harness.disclose(CVE, "openssl", Some("1.0.1"));
    let sweep = harness.sweep().await;
    let totals = &sweep["inventory"];
    assert_eq!(
        (&totals["running"], &totals["vulnerable"], &totals["strangers"], &totals["behind"]),
        (&2.into(), &1.into(), &1.into(), &0.into()),
        "{sweep}"
    );
    let metric = |lines: &[Value], name: &str| lines.iter().find_map(|line| line.get(name).cloned());
    let first = metrics(&harness, 0);
    assert_eq!(metric(&first, "RunningImages"), Some(json!(2)));
    let critical = first.iter().find(|line| line["Severity"] == "critical").unwrap();
    assert_eq!(critical["VulnerableRunningImages"], 1);
    assert_eq!(metric(&first, "MeanTimeToPatched"), None);

    run_until_idle(&mut harness, Delivery::InOrder).await;
    let new = harness.current("apps/cart:live").await;
    assert_ne!(new, old, "the fix was built");
    let sweep = harness.sweep().await;
    let totals = &sweep["inventory"];
    assert_eq!(
        (&totals["vulnerable"], &totals["behind"]),
        (&1.into(), &1.into()),
        "a pushed version is not deployed yet"
    );
    assert_eq!(totals["unreadPlaces"], 0, "{sweep}");

    // The cluster cannot be read, so what ran there may still run.
    accounts.refuse("ListTasks", "AccessDeniedException", 1);
    let sweep = harness.sweep().await;
    let totals = &sweep["inventory"];
    assert_eq!(totals["vulnerable"], 1, "{sweep}");
    assert_eq!(totals["unreadPlaces"], 1, "only the cluster, because its services are not surveyed: {sweep}");

    accounts.set(ACCOUNT, "us-east-1", shop(&new));
    let before = harness.log("inventory").len();
    let sweep = harness.sweep().await;
    let totals = &sweep["inventory"];
    assert_eq!((&totals["vulnerable"], &totals["behind"]), (&0.into(), &0.into()), "{sweep}");
    assert!(metric(&metrics(&harness, before), "MeanTimeToPatched").is_some());
}

/// The notices about what is rebuilt and not deployed that reached the bus since the last call.
async fn undeployed(harness: &Harness) -> Vec<Value> {
    let mut notices = harness.notices().await;
    notices.retain(|notice| notice["rootCause"] == "rebuiltNotDeployed");
    notices
}

#[tokio::test]
async fn an_owner_gets_one_notice_that_closes_with_the_last_container() {
    let mut harness = Harness::start(setup()).await;
    let accounts = Arc::clone(&harness.accounts);
    let old = harness.current("apps/cart:live").await;
    accounts.set(ACCOUNT, "us-east-1", shop(&old));
    harness.disclose(CVE, "openssl", Some("1.0.1"));
    harness.sweep().await;
    run_until_idle(&mut harness, Delivery::InOrder).await;
    let new = harness.current("apps/cart:live").await;
    assert_ne!(new, old, "the fix was built");
    harness.sweep().await;
    assert_eq!(undeployed(&harness).await, NONE, "a version has an hour to roll out");

    harness.registry.push_earlier("apps/cart", &new, 2);
    harness.sweep().await;
    let [opened] = &undeployed(&harness).await[..] else { panic!("one notice opens") };
    assert_eq!((&opened["state"], &opened["severity"]), (&json!("opened"), &json!("critical")), "{opened}");
    let [asked] = &opened["workloads"].as_array().unwrap()[..] else { panic!("one workload: {opened}") };
    assert_eq!(
        (&asked["workload"], &asked["image"], &asked["old"], &asked["new"]),
        (&json!("service:cart"), &json!("apps/cart:live"), &json!(old), &json!(new))
    );
    let command = asked["command"].as_str().unwrap();
    assert!(command.ends_with("--service cart --force-new-deployment"), "{command}");

    accounts.refuse("ListTasks", "AccessDeniedException", 1);
    harness.sweep().await;
    assert_eq!(undeployed(&harness).await, NONE, "what cannot be read has not stopped");
    let mut both = shop(&new);
    both.ecs[0].tasks.extend(shop(&old).ecs.remove(0).tasks.into_iter().take(1).map(second));
    accounts.set(ACCOUNT, "us-east-1", both);
    harness.sweep().await;
    assert_eq!(undeployed(&harness).await, NONE, "one container of two has stopped");

    accounts.set(ACCOUNT, "us-east-1", shop(&new));
    harness.sweep().await;
    let [closed] = &undeployed(&harness).await[..] else { panic!("it closes") };
    assert_eq!((&closed["state"], &closed["id"]), (&json!("closed"), &opened["id"]), "{closed}");
    harness.sweep().await;
    assert_eq!(undeployed(&harness).await, NONE, "it closes once");
}

/// The same task under another name.
fn second(mut task: Value) -> Value {
    task["taskArn"] = json!("arn:aws:ecs:us-east-1:123456789012:task/shop/second0000000000000000");
    task
}

#[tokio::test]
async fn a_failed_survey_does_not_stop_the_sweep() {
    let mut harness = Harness::start(setup()).await;
    // No server listens at the endpoints of ECS and the other services.
    let server = Arc::new(FakeAccounts::default()).serve().await;
    harness.set_survey_endpoint(&server.url());
    drop(server);
    harness.disclose(CVE, "openssl", Some("1.0.1"));
    let sweep = harness.sweep().await;
    assert_eq!(sweep["started"][0]["image"], "base/os", "{sweep}");
    assert!(sweep["inventory"]["unreadPlaces"].as_u64().unwrap() > 0, "{sweep}");
}
