//! The compiled inventory function with Kubernetes behind TLS, and with a role in another account.

use std::collections::BTreeSet;
use std::sync::Arc;

use patchwave_tests::accounts::{EcsCluster, FakeAccounts, Kubernetes, Region, Trust, access_key};
use patchwave_tests::harness::{Harness, Setup};
use patchwave_tests::hierarchy::SAMPLE;
use patchwave_tests::moto::{ACCOUNT, REGION};
use patchwave_tests::run_until_idle::{Delivery, run_until_idle};
use patchwave_tests::runtime::{Deadline, Function};
use serde_json::{Value, json};

const OTHER: &str = "444455556666";
const REGISTRY: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";

fn setup() -> Setup {
    let inspected = format!(
        "inventory:\n  regions: [{REGION}]\n  accounts:\n    - {{ id: \"{ACCOUNT}\", environment: prod }}\n    \
         - {{ id: \"{OTHER}\", role: look, externalId: shared-word, environment: dev }}\n"
    );
    Setup { hierarchy: format!("{SAMPLE}{inspected}"), ..Setup::default() }
}

fn task(account: &str, image: &str, digest: &str) -> EcsCluster {
    let arn = |resource: &str| format!("arn:aws:ecs:{REGION}:{account}:{resource}");
    let container = json!({ "name": "app", "image": image, "imageDigest": digest, "lastStatus": "RUNNING" });
    let task = json!({
        "taskArn": arn("task/web/0001"), "taskDefinitionArn": arn("task-definition/shop:1"), "group": "service:shop",
        "startedAt": 1_767_225_600.0, "containers": [container],
    });
    EcsCluster { arn: arn("cluster/web"), tasks: vec![task], ..EcsCluster::default() }
}

/// What Inspector says about an image that a workload of an EKS cluster runs now.
fn in_use(harness: &Harness, cluster: &str, workload: &str) -> Value {
    let metadata = json!({ "awsEksMetadataDetails": { "namespace": "shop", "workloadInfoList": [
        { "name": workload, "type": "Deployment" }] } });
    let details = json!({ "lastInUse": harness.clock.now().as_second(), "runningUnitCount": 2, "stoppedUnitCount": 0,
        "clusterMetadata": metadata });
    json!({ "clusterArn": format!("arn:aws:eks:{REGION}:{ACCOUNT}:cluster/{cluster}"), "clusterDetails": [details] })
}

fn pod(image: &str, digest: &str) -> Value {
    json!({
        "metadata": { "name": "cart-1", "namespace": "shop" },
        "spec": { "containers": [{ "name": "app", "image": image }] },
        "status": { "phase": "Running", "containerStatuses": [{ "name": "app", "imageID": format!("{image}@{digest}"),
            "state": { "running": { "startedAt": "2026-01-01T09:00:00Z" } } }] },
    })
}

/// Starts the function, with the services that it surveys at `accounts`.
async fn inventory(harness: &Harness, accounts: &str) -> Function {
    let credentials = [("AWS_ACCESS_KEY_ID", access_key(ACCOUNT))];
    inventory_with(harness, accounts, credentials).await
}

/// The same, with some other settings.
async fn inventory_with<const N: usize>(
    harness: &Harness,
    accounts: &str,
    others: [(&str, String); N],
) -> Function {
    let mut settings = harness.settings().clone();
    settings.extend(others.map(|(name, value)| (name.to_owned(), value)));
    for service in ["ECS", "EKS", "LAMBDA", "BATCH", "STS", "INSPECTOR2"] {
        settings.insert(format!("AWS_ENDPOINT_URL_{service}"), accounts.to_owned());
    }
    Function::start("inventory", &settings, Deadline::LongPast).await
}

#[tokio::test]
async fn a_sweep_reports_what_runs_and_which_places_it_could_not_read() {
    let harness = Harness::start(setup()).await;
    let accounts = Arc::new(FakeAccounts::default());
    let server = accounts.serve().await;
    let kubernetes = Kubernetes::start().await;
    let checkout = harness.current("apps/checkout").await;
    let cart = harness.current("apps/cart:live").await;
    kubernetes.put("pods", "/api/v1/pods", vec![pod(&format!("{REGISTRY}/apps/cart"), &cart)]);
    let ecs = vec![task(ACCOUNT, &format!("{REGISTRY}/apps/checkout:main-1"), &checkout)];
    let eks = vec![kubernetes.described("pods", Trust::Ours), kubernetes.described("odd", Trust::Others)];
    accounts.set(ACCOUNT, REGION, Region { ecs, eks, ..Region::default() });
    let nginx = format!("sha256:{}", "77".repeat(32));
    let ecs = vec![task(OTHER, "docker.io/library/nginx:1", &nginx)];
    accounts.set(OTHER, REGION, Region { ecs, ..Region::default() });
    let mut function = inventory(&harness, &server.url()).await;
    let schedule = include_str!("../fixtures/events/scheduled-event-rule.json");
    let schedule: Value = serde_json::from_str(schedule).unwrap();

    // No role of the other account can be assumed yet.
    let report = function.invoke(&schedule).await.unwrap();
    let totals = &report["inventory"];
    assert_eq!(totals["running"], 2, "{report}");
    assert!(accounts.sessions().is_empty());
    let unread = totals["unreadPlaces"].as_u64().unwrap();
    assert_eq!(kubernetes.tokens().len(), 1);

    accounts.trust(&format!("arn:aws:iam::{OTHER}:role/look"), Some("shared-word"));
    let report = function.invoke(&schedule).await.unwrap();
    let totals = &report["inventory"];
    assert_eq!((totals["running"].as_u64(), totals["strangers"].as_u64()), (Some(3), Some(1)), "{report}");
    // ECS, EKS, Lambda, Batch and schedules of the other account are read now.
    assert_eq!(totals["unreadPlaces"].as_u64().unwrap(), unread - 5, "{report}");
    assert_eq!(accounts.sessions(), ["patchwave-inventory"]);
}

/// An object with a pod template of this image.
fn object(name: &str, image: &str) -> Value {
    let template = json!({ "spec": { "containers": [{ "name": "app", "image": image }] } });
    json!({ "metadata": { "name": name, "namespace": "shop" }, "spec": { "template": template } })
}

/// A version of the Deployment `web`.
fn version(number: u32, replicas: u32, image: &str) -> Value {
    let mut set = object(&format!("web-{number}"), image);
    set["spec"]["replicas"] = replicas.into();
    set["metadata"]["annotations"] = json!({ "deployment.kubernetes.io/revision": number.to_string() });
    set["metadata"]["ownerReferences"] = json!([{ "kind": "Deployment", "name": "web", "controller": true }]);
    set
}

/// The images that the table says a cluster runs, or would start, by their tags.
async fn asked(harness: &Harness, runs: bool) -> BTreeSet<String> {
    let items = harness.items().await;
    let text = |item: &Value, name: &str| item[name]["S"].as_str().unwrap_or_default().to_owned();
    let states = items.iter().filter(|item| text(item, "pk").starts_with("place#"));
    let states = states.filter_map(|item| serde_json::from_str::<Value>(&text(item, "state")).ok());
    let asked = states.filter(|state| state["runs"] == runs).filter_map(|state| {
        let asked = state["asked"].as_str()?.to_owned();
        asked.rsplit(':').next().map(str::to_owned)
    });
    asked.collect()
}

#[tokio::test]
async fn every_image_that_a_cluster_runs_or_would_start_is_in_the_table() {
    let harness = Harness::start(setup()).await;
    let accounts = Arc::new(FakeAccounts::default());
    let server = accounts.serve().await;
    let kubernetes = Kubernetes::start().await;
    let image = |letter: &str| format!("{REGISTRY}/apps/checkout:main-{letter}");
    let mut running = pod(&image("h"), &harness.current("apps/checkout").await);
    running["metadata"]["labels"] = json!({ "pod-template-hash": "2" });
    running["metadata"]["ownerReferences"] =
        json!([{ "kind": "ReplicaSet", "name": "web-2", "controller": true }]);
    running["spec"]["initContainers"] =
        json!([{ "name": "mesh", "image": image("g"), "restartPolicy": "Always" }]);
    running["spec"]["ephemeralContainers"] = json!([{ "name": "debug", "image": image("f") }]);
    running["spec"]["volumes"] = json!([{ "name": "model", "image": { "reference": image("e") } }]);
    kubernetes.put("shop", "/api/v1/pods", vec![running]);
    kubernetes.put("shop", "/apis/apps/v1/deployments", vec![object("web", &image("h"))]);
    let sets = vec![version(1, 0, &image("a")), version(2, 1, &image("h"))];
    kubernetes.put("shop", "/apis/apps/v1/replicasets", sets);
    let mut suspended = object("later", &image("b"));
    suspended["spec"]["suspend"] = json!(true);
    kubernetes.put("shop", "/apis/batch/v1/jobs", vec![suspended]);
    let mut rollout = object("canary", &image("c"));
    rollout["spec"]["replicas"] = json!(0);
    kubernetes.put("shop", "/apis/argoproj.io/v1alpha1/rollouts", vec![rollout]);
    let scaled = object("scaled", &image("d"));
    let scaled = json!({ "metadata": scaled["metadata"], "spec": { "jobTargetRef": { "template": scaled["spec"]["template"] } } });
    kubernetes.put("shop", "/apis/keda.sh/v1alpha1/scaledjobs", vec![scaled]);
    kubernetes.serve(&["argoproj.io", "keda.sh", "tekton.dev"]);
    let eks = vec![kubernetes.described("shop", Trust::Ours)];
    accounts.set(ACCOUNT, REGION, Region { eks, ..Region::default() });
    let mut function = inventory(&harness, &server.url()).await;
    let schedule = include_str!("../fixtures/events/scheduled-event-rule.json");
    function.invoke(&serde_json::from_str(schedule).unwrap()).await.unwrap();

    let names = |letters: &str| -> BTreeSet<String> {
        letters.chars().map(|letter| format!("main-{letter}")).collect()
    };
    assert_eq!(asked(&harness, true).await, names("hgfe"));
    assert_eq!(asked(&harness, false).await, names("abcd"));
    let items = harness.items().await;
    let places = items.iter().filter(|item| item["pk"]["S"] == "places");
    let states: Vec<&str> = places.map(|item| item["state"]["S"].as_str().unwrap()).collect();
    let is_named = states.iter().any(|state| state.contains("shop") && state.contains("tekton.dev"));
    assert!(is_named, "what is not inspected is named: {states:#?}");
}

#[tokio::test]
async fn what_a_job_or_a_person_starts_is_not_what_an_environment_runs() {
    let mut harness = Harness::start(setup()).await;
    let old = harness.current("apps/cart:live").await;
    harness.disclose("CVE-2026-1000", "openssl", Some("1.0.1"));
    harness.sweep().await;
    run_until_idle(&mut harness, Delivery::Dropped).await;
    let new = harness.current("apps/cart:live").await;
    assert_ne!(new, old);
    let accounts = Arc::new(FakeAccounts::default());
    let server = accounts.serve().await;
    let kubernetes = Kubernetes::start().await;
    let image = format!("{REGISTRY}/apps/cart");
    let begun = |name: &str, owner: Option<&str>, digest: &str, at: &str| {
        let mut pod = pod(&image, digest);
        pod["metadata"]["name"] = json!(name);
        let owner = owner.map(|kind| json!([{ "kind": kind, "name": name, "controller": true }]));
        pod["metadata"]["ownerReferences"] = owner.unwrap_or_else(|| json!([]));
        pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"] = json!(at);
        pod
    };
    let mut stuck = begun("next", Some("StatefulSet"), &old, "");
    stuck["status"]["containerStatuses"][0]["state"] = json!({ "waiting": { "reason": "ImagePullBackOff" } });
    let pods = vec![
        begun("web", Some("StatefulSet"), &new, "2026-01-01T09:00:00Z"),
        begun("nightly", Some("Job"), &old, "2026-01-02T02:00:00Z"),
        begun("debug", None, &old, "2026-01-03T02:00:00Z"),
        stuck,
    ];
    kubernetes.put("shop", "/api/v1/pods", pods);
    let eks = vec![kubernetes.described("shop", Trust::Ours)];
    accounts.set(ACCOUNT, REGION, Region { eks, ..Region::default() });
    let mut function = inventory(&harness, &server.url()).await;
    let schedule = include_str!("../fixtures/events/scheduled-event-rule.json");
    function.invoke(&serde_json::from_str(schedule).unwrap()).await.unwrap();

    let items = harness.items().await;
    let is_it = |item: &&Value| item["pk"]["S"] == "image#apps/cart:live" && item["sk"]["S"] == "deployments";
    let item = items.iter().find(is_it).unwrap();
    let deployments: Value = serde_json::from_str(item["state"]["S"].as_str().unwrap()).unwrap();
    let running = deployments["running"]["prod"].as_array().unwrap();
    let versions: Vec<&Value> = running.iter().map(|running| &running["version"]).collect();
    assert_eq!(versions, [&json!(new)], "{deployments}");
}

#[tokio::test]
async fn an_entry_that_inspector_reported_ends_only_when_its_cluster_is_read() {
    let harness = Harness::start(setup()).await;
    let accounts = Arc::new(FakeAccounts::default());
    let server = accounts.serve().await;
    let kubernetes = Kubernetes::start().await;
    let eks = vec![kubernetes.described("pods", Trust::Ours), kubernetes.described("private", Trust::Others)];
    let manifest = harness.manifests("apps/checkout").await.pop().unwrap();
    let image = format!("arn:aws:ecr:{REGION}:{ACCOUNT}:repository/apps/checkout/{manifest}");
    // Inspector also names the cluster that can be read. That report does not count, because
    // nothing runs there.
    let clusters = vec![in_use(&harness, "private", "web"), in_use(&harness, "pods", "web")];
    let seen = Region { eks: eks.clone(), clusters_of: [(image, clusters)].into(), ..Region::default() };
    accounts.set(ACCOUNT, REGION, seen);
    accounts.page(1);
    let mut function = inventory(&harness, &server.url()).await;
    let schedule: Value =
        serde_json::from_str(include_str!("../fixtures/events/scheduled-event-rule.json")).unwrap();

    let report = function.invoke(&schedule).await.unwrap();
    let totals = &report["inventory"];
    assert_eq!((&totals["running"], &totals["unknown"]), (&1.into(), &1.into()), "{report}");
    assert_eq!(report["errors"], json!([]));

    // Inspector reports no cluster any more, and then refuses to answer.
    accounts.set(ACCOUNT, REGION, Region { eks: eks.clone(), ..Region::default() });
    let report = function.invoke(&schedule).await.unwrap();
    assert_eq!(report["inventory"]["running"], 1, "{report}");
    accounts.refuse("GetClustersForImage", "AccessDeniedException", 1_000);
    let report = function.invoke(&schedule).await.unwrap();
    assert_eq!(report["inventory"]["running"], 1, "{report}");
    let errors = report["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 1, "one error: {errors:?}");
    assert!(errors[0]["message"].as_str().unwrap().contains("ask Inspector where"), "{errors:?}");

    // The cluster can be read now, and nothing runs there.
    let eks = vec![kubernetes.described("pods", Trust::Ours), kubernetes.described("private", Trust::Ours)];
    accounts.set(ACCOUNT, REGION, Region { eks, ..Region::default() });
    let report = function.invoke(&schedule).await.unwrap();
    assert_eq!(report["inventory"]["running"], 0, "{report}");
}

#[tokio::test]
async fn credentials_come_from_the_default_sources_of_the_sdk() {
    let harness = Harness::start(setup()).await;
    let accounts = Arc::new(FakeAccounts::default());
    let server = accounts.serve().await;
    let checkout = harness.current("apps/checkout").await;
    let ecs = vec![task(ACCOUNT, &format!("{REGISTRY}/apps/checkout:main-1"), &checkout)];
    accounts.set(ACCOUNT, REGION, Region { ecs, ..Region::default() });
    let file = concat!(env!("CARGO_TARGET_TMPDIR"), "/credentials");
    let key = access_key(ACCOUNT);
    std::fs::write(file, format!("[default]\naws_access_key_id = {key}\naws_secret_access_key = secret\n"))
        .unwrap();
    let nowhere_else =
        [("AWS_ACCESS_KEY_ID", String::new()), ("AWS_SHARED_CREDENTIALS_FILE", file.to_owned())];
    let mut function = inventory_with(&harness, &server.url(), nowhere_else).await;
    let schedule = include_str!("../fixtures/events/scheduled-event-rule.json");
    let report = function.invoke(&serde_json::from_str(schedule).unwrap()).await.unwrap();
    assert_eq!(report["inventory"]["running"], 1, "{report}");
}
