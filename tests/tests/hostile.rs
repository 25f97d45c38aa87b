//! Clusters whose owners mean harm, through the compiled inventory function.

use std::sync::Arc;

use patchwave_tests::accounts::{FakeAccounts, Kubernetes, Region, Trust, access_key};
use patchwave_tests::codepipeline::Order;
use patchwave_tests::harness::{Harness, Setup};
use patchwave_tests::hierarchy::SAMPLE;
use patchwave_tests::http::Server;
use patchwave_tests::moto::{ACCOUNT, REGION};
use patchwave_tests::runtime::{Deadline, Function};
use serde_json::{Value, json};

const REGISTRY: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";
const CVE: &str = "CVE-2026-1000";
/// The most memory that a sweep may take, in bytes. The function has 512 MB.
const MOST_MEMORY: u64 = 300_000_000;

/// An organisation with clusters of EKS.
struct Fixture {
    harness: Harness,
    server: Server,
    kubernetes: Kubernetes,
}

impl Fixture {
    async fn of(clusters: &[&str]) -> Self {
        let setup = Setup { hierarchy: hierarchy(), ..Setup::default() };
        let harness = Harness::start(setup).await;
        let accounts = Arc::new(FakeAccounts::default());
        let server = accounts.serve().await;
        let kubernetes = Kubernetes::start().await;
        let eks = clusters.iter().map(|name| kubernetes.described(name, Trust::Ours)).collect();
        accounts.set(ACCOUNT, REGION, Region { eks, ..Region::default() });
        Self { harness, server, kubernetes }
    }

    /// Starts the function as Lambda does for a retry: nothing is left in its memory.
    async fn inventory(&self) -> Function {
        let mut settings = self.harness.settings().clone();
        settings.insert("AWS_ACCESS_KEY_ID".to_owned(), access_key(ACCOUNT));
        for service in ["ECS", "EKS", "LAMBDA", "BATCH", "STS", "INSPECTOR2"] {
            settings.insert(format!("AWS_ENDPOINT_URL_{service}"), self.server.url());
        }
        Function::start("inventory", &settings, Deadline::LongPast).await
    }

    async fn pods(&self, many: usize) -> Vec<Value> {
        let checkout = self.harness.current("apps/checkout").await;
        (0..many).map(|n| pod(&format!("cart-{n}"), &checkout, 9)).collect()
    }

    /// Writes another hierarchy file, as the stack's bucket keeps it.
    async fn write(&self, hierarchy: &str) {
        let place = &self.harness.settings()["PATCHWAVE_HIERARCHY"];
        let place = place.strip_prefix("s3://").and_then(|place| place.split_once('/'));
        let (bucket, key) = place.unwrap_or_default();
        self.harness.moto().keep_versions(bucket).await;
        self.harness.moto().put_object(bucket, key, hierarchy).await;
    }
}

/// A pod without an owner that runs this version of the checkout since that hour.
fn pod(name: &str, digest: &str, hour: u32) -> Value {
    let image = format!("{REGISTRY}/apps/checkout");
    json!({
        "metadata": { "name": name, "namespace": "shop" },
        "spec": { "containers": [{ "name": "app", "image": image }] },
        "status": { "phase": "Running", "containerStatuses": [{ "name": "app",
            "imageID": format!("{image}@{digest}"),
            "state": { "running": { "startedAt": format!("2026-01-01T{hour:02}:00:00Z") } } }] },
    })
}

fn hierarchy() -> String {
    let account = format!("{{ id: \"{ACCOUNT}\", environment: prod }}");
    format!("{SAMPLE}inventory: {{ regions: [{REGION}], accounts: [{account}] }}\n")
}

fn sweep() -> Value {
    let schedule = include_str!("../fixtures/events/scheduled-event-rule.json");
    serde_json::from_str(schedule).unwrap_or_default()
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "figures for people")]
async fn pages_of_large_pods_are_read_within_bounded_memory() {
    let fixture = Fixture::of(&["shop"]).await;
    fixture.kubernetes.put("shop", "/api/v1/pods", fixture.pods(450).await);
    fixture.kubernetes.pad(1_000_000);
    let mut inventory = fixture.inventory().await;

    let report = inventory.invoke(&sweep()).await.expect("the sweep reports");

    let memory = inventory.peak_memory();
    println!("450 pods of 1 MB: the inventory held at most {} MB", memory / 1_000_000);
    let totals = &report["inventory"];
    assert_eq!((&totals["running"], &totals["unreadPlaces"]), (&450.into(), &0.into()), "{report}");
    assert!(memory < MOST_MEMORY, "{memory} bytes");
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "figures for people")]
async fn many_small_objects_and_many_clusters_are_read_within_bounded_memory() {
    let names: Vec<String> = (0..12).map(|n| format!("shop-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let fixture = Fixture::of(&names).await;
    let large = fixture.pods(40).await;
    for name in &names {
        fixture.kubernetes.put(name, "/api/v1/pods", large.clone());
    }
    // One cluster answers with as many empty objects as fit, whatever was asked for.
    let empty = json!({ "items": vec![json!({}); 2_000_000] }).to_string();
    fixture.kubernetes.answer("shop-0", empty);
    fixture.kubernetes.pad(1_000_000);
    let mut inventory = fixture.inventory().await;

    let report = inventory.invoke(&sweep()).await.expect("the sweep reports");

    let memory = inventory.peak_memory();
    println!("12 clusters of 40 pods of 1 MB: the inventory held at most {} MB", memory / 1_000_000);
    let totals = &report["inventory"];
    assert_eq!((&totals["running"], &totals["unreadPlaces"]), (&440.into(), &1.into()), "{report}");
    assert!(memory < MOST_MEMORY, "{memory} bytes");
}

#[tokio::test]
async fn a_place_that_ends_the_function_twice_is_unread_and_stops_no_plan() {
    let fixture = Fixture::of(&["good", "bad"]).await;
    fixture.kubernetes.put("good", "/api/v1/pods", fixture.pods(3).await);
    fixture.kubernetes.be_silent("bad");
    fixture.harness.disclose(CVE, "openssl", Some("1.0.1"));

    let inventory = fixture.inventory().await;
    inventory.invoke_and_kill(&sweep(), fixture.kubernetes.asked_in_vain()).await;
    assert!(!fixture.harness.builds().contains_key("base/os"), "the survey came first");

    // Lambda invokes a function again that ended without an answer.
    let inventory = fixture.inventory().await;
    inventory.invoke_and_kill(&sweep(), fixture.kubernetes.asked_in_vain()).await;
    assert!(fixture.harness.builds().contains_key("base/os"), "the plan comes first now");

    let mut inventory = fixture.inventory().await;
    let report = inventory.invoke(&sweep()).await.expect("the sweep reports");
    let totals = &report["inventory"];
    assert_eq!((&totals["running"], &totals["unreadPlaces"]), (&3.into(), &1.into()), "{report}");
    let log = inventory.log().join("\n");
    assert!(log.contains("reading it ended the function 2 times"), "{log}");

    // Nothing is begun that has not ended, so the next survey comes first again.
    let mut inventory = fixture.inventory().await;
    let report = inventory.invoke(&sweep()).await.expect("the sweep reports");
    assert_eq!(report["inventory"]["unreadPlaces"], 1, "{report}");
}

#[tokio::test]
async fn a_pod_of_another_version_moves_no_line_of_production() {
    let fixture = Fixture::of(&["shop"]).await;
    let harness = &fixture.harness;
    let recipe = harness.recipe("apps/checkout");
    let deployed = harness.current("apps/checkout").await;
    let push = Order { execution: "push".into(), commit: Some("c0ffee00".repeat(5)), ..Order::default() };
    let other = harness.pipelines.builder().build(recipe, &push).await;
    let other = other.map(|build| build.pushed).unwrap_or_default();
    let mut service = pod("checkout-0", &deployed, 9);
    service["metadata"]["ownerReferences"] =
        json!([{ "kind": "StatefulSet", "name": "checkout", "controller": true }]);
    // Whoever may start a pod, in any namespace, says that production runs another version.
    fixture.kubernetes.put("shop", "/api/v1/pods", vec![service, pod("attack", &other, 10)]);
    let lines =
        "lines: [{ environment: prod, current: deployed }, { tagPattern: \"main-*\", current: newest }]";
    fixture.write(&hierarchy().replace("tagPattern: \"main-*\"", lines)).await;

    let mut inventory = fixture.inventory().await;
    inventory.invoke(&sweep()).await.expect("the sweep reports");
    harness.disclose(CVE, "checkout", Some("1.0.1"));
    let report = inventory.invoke(&sweep()).await.expect("the sweep reports");

    let pinned = harness.pipelines.executions().into_iter().filter_map(|execution| execution.commit);
    assert_eq!(pinned.collect::<Vec<_>>(), [recipe.head()], "production's own commit: {report}");
}

#[tokio::test]
async fn a_typo_in_the_hierarchy_stops_no_message() {
    let mut fixture = Fixture::of(&[]).await;
    fixture.write(&hierarchy().replace("rebuildAt: high", "rebuildAt: hihg")).await;
    let harness = &mut fixture.harness;
    harness.disclose(CVE, "openssl", Some("1.0.1"));
    let bodies: Vec<String> = harness.bus.take().iter().map(Value::to_string).take(5).collect();
    assert_eq!(harness.deliver_batch("scan-complete", &bodies).await, Vec::<String>::new());
    assert!(harness.builds().contains_key("base/os"), "the edition before the typo is in force");
    let log = harness.log("scan-complete").join("\n");
    assert!(log.contains("stays in force until") && log.contains("hihg"), "{log}");

    let tick = harness.invoke("rebuild-fanout", &sweep()).await.expect("the tick reports");
    let error = tick["errors"][0]["message"].as_str().unwrap_or_default();
    assert!(error.contains("which was replaced"), "{tick}");
}
