//! The compiled inventory function: from what ECS shows to the table, the figures and the report.

use std::sync::Arc;

use patchwave_tests::estate::{EcsCluster, Estate, Region};
use patchwave_tests::organisation;
use patchwave_tests::settle::{Delivery, settle};
use patchwave_tests::world::{ACCOUNT, Setup, World};
use serde_json::{Value, json};

const REGISTRY: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";
const CVE: &str = "CVE-2026-1000";

fn setup() -> Setup {
    let keys = "inventory: { regions: [us-east-1], accounts: [{ id: '123456789012', environment: prod }] }";
    Setup { hierarchy: format!("{}\n{keys}\n", organisation::HIERARCHY), ..Setup::default() }
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

/// What runs in the one cluster: the cart, by this digest, and a proxy that nobody approved.
fn shop(digest: &str) -> Region {
    let tasks = vec![
        task("cart", &format!("{REGISTRY}/apps/cart:live"), Some(digest)),
        task("proxy", "nginx:1.27", Some(&format!("sha256:{}", "77".repeat(32)))),
    ];
    let arn = "arn:aws:ecs:us-east-1:123456789012:cluster/shop".to_owned();
    Region { ecs: vec![EcsCluster { arn, tasks, ..EcsCluster::default() }], ..Region::default() }
}

/// The lines that CloudWatch makes metrics of, since `from`.
fn figures(world: &World, from: usize) -> Vec<Value> {
    let lines = world.log("inventory");
    let json = lines.iter().skip(from).filter_map(|line| serde_json::from_str::<Value>(line).ok());
    json.filter(|line| line["_aws"].is_object()).collect()
}

#[tokio::test]
async fn what_runs_is_vulnerable_until_its_last_task_has_stopped() {
    let mut world = World::start(setup()).await;
    let estate = Arc::clone(&world.estate);
    let old = world.current("apps/cart:live").await;
    estate.set(ACCOUNT, "us-east-1", shop(&old));
    estate.page(1);

    world.disclose(CVE, "openssl", Some("1.0.1"));
    let sweep = world.sweep().await;
    let totals = &sweep["inventory"];
    assert_eq!(
        (&totals["running"], &totals["vulnerable"], &totals["strangers"], &totals["behind"]),
        (&2.into(), &1.into(), &1.into(), &0.into()),
        "{sweep}"
    );
    let figure = |lines: &[Value], name: &str| lines.iter().find_map(|line| line.get(name).cloned());
    let first = figures(&world, 0);
    assert_eq!(figure(&first, "RunningImages"), Some(json!(2)));
    let critical = first.iter().find(|line| line["Severity"] == "critical").unwrap();
    assert_eq!(critical["VulnerableRunningImages"], 1);
    assert_eq!(figure(&first, "MeanTimeToPatched"), None);

    settle(&mut world, Delivery::InOrder).await;
    let new = world.current("apps/cart:live").await;
    assert_ne!(new, old, "the fix was built");
    let sweep = world.sweep().await;
    let totals = &sweep["inventory"];
    assert_eq!((&totals["vulnerable"], &totals["behind"]), (&1.into(), &1.into()), "pushed is not patched");
    assert_eq!(totals["unreadPlaces"], 0, "{sweep}");

    // The cluster cannot be read: what ran there may still run.
    estate.refuse("ListTasks", "AccessDeniedException", 1);
    let sweep = world.sweep().await;
    let totals = &sweep["inventory"];
    assert_eq!(totals["vulnerable"], 1, "{sweep}");
    assert_eq!(totals["unreadPlaces"], 1, "the cluster, and not what nobody looks at: {sweep}");

    estate.set(ACCOUNT, "us-east-1", shop(&new));
    let before = world.log("inventory").len();
    let sweep = world.sweep().await;
    let totals = &sweep["inventory"];
    assert_eq!((&totals["vulnerable"], &totals["behind"]), (&0.into(), &0.into()), "{sweep}");
    assert!(figure(&figures(&world, before), "MeanTimeToPatched").is_some());
}

#[tokio::test]
async fn a_survey_that_fails_stops_no_sweep() {
    let mut world = World::start(setup()).await;
    // Nobody listens where ECS and the others are said to be.
    let server = Arc::new(Estate::default()).serve().await;
    world.look_at(&server.url());
    drop(server);
    world.disclose(CVE, "openssl", Some("1.0.1"));
    let sweep = world.sweep().await;
    assert_eq!(sweep["started"][0]["image"], "base/os", "{sweep}");
    assert!(sweep["inventory"]["unreadPlaces"].as_u64().unwrap() > 0, "{sweep}");
}
