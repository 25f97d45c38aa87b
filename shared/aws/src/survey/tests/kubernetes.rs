//! EKS: Kubernetes behind TLS.

use std::collections::BTreeSet;

use patchwave::inventory::{ConsumerKind, Sighting, Survey, Use};
use patchwave_tests::accounts::{Kubernetes, Region, Trust};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{Fixture, at, digest, place, reason, seen, unread};

const PODS: &str = "/api/v1/pods";
const NODES: &str = "/api/v1/nodes";
const DEPLOYMENTS: &str = "/apis/apps/v1/deployments";
const CRON_JOBS: &str = "/apis/batch/v1/cronjobs";

/// A pod with one container.
fn pod(name: &str, owner: Option<(&str, &str)>, image_id: &str) -> Value {
    let mut pod = json!({
        "metadata": { "name": name, "namespace": "shop", "labels": { "pod-template-hash": "5d8f" } },
        "spec": { "nodeName": "fargate-ip-10-0-0-1", "containers": [{ "name": "app", "image": "r/app:1" }] },
        "status": { "phase": "Running", "containerStatuses": [{
            "name": "app", "image": "docker.io/r/app:1", "imageID": image_id,
            "state": { "running": { "startedAt": "2026-01-01T09:00:00Z" } } }] },
    });
    if let Some((kind, name)) = owner {
        pod["metadata"]["ownerReferences"] = json!([{ "kind": kind, "name": name, "controller": true }]);
    }
    pod
}

fn deployment(name: &str, image: &str) -> Value {
    json!({ "metadata": { "name": name, "namespace": "shop" },
        "spec": { "replicas": 0, "template": { "spec": { "containers": [{ "name": "app", "image": image }] } } } })
}

async fn fixture(clusters: Vec<Value>) -> Fixture {
    Fixture::of(Region { eks: clusters, ..Region::default() }).await
}

/// A fixture with one cluster, `shop`, and these pods in it.
async fn shop(pods: Vec<Value>) -> (Fixture, Kubernetes) {
    let kubernetes = Kubernetes::start().await;
    kubernetes.put("shop", PODS, pods);
    (fixture(vec![kubernetes.described("shop", Trust::Ours)]).await, kubernetes)
}

fn of_shop(survey: &Survey) -> Option<&str> {
    unread(survey, &place(ConsumerKind::Eks, Some("shop")))
}

fn reason_of_shop(survey: &Survey) -> String {
    reason(survey, &place(ConsumerKind::Eks, Some("shop")))
}

#[tokio::test]
async fn every_pod_is_seen_however_small_the_pages_and_with_the_image_id_of_any_runtime() {
    let resolved = [
        format!("r/app@{}", digest(1)),
        format!("docker-pullable://r/app@{}", digest(2)),
        digest(3),
        String::new(),
    ];
    let pods = resolved.iter().enumerate().map(|(n, id)| pod(&format!("p{n}"), None, id)).collect();
    let (fixture, kubernetes) = shop(pods).await;
    kubernetes.page(1);

    let survey = fixture.survey().await;

    assert_eq!(of_shop(&survey), None);
    let app = |n: usize| resolved.get(n).map(String::as_str).filter(|id| !id.is_empty());
    let expected =
        [("shop/Pod/p0", app(0)), ("shop/Pod/p1", app(1)), ("shop/Pod/p2", app(2)), ("shop/Pod/p3", None)];
    assert_eq!(seen(&survey), expected.map(|(workload, id)| (workload, "app", id)));
    let first = &survey.sightings[0];
    assert_eq!((first.unit.as_str(), first.image.as_str()), ("p0", "r/app:1"));
    assert_eq!(first.used, Use::Running { since: Some(at("2026-01-01T09:00:00Z")) });
    // One token for all pages, bound to the cluster.
    assert_eq!(kubernetes.tokens().len(), 1);
    assert!(kubernetes.tokens()[0].contains("X-Amz-Date=20260101T120000Z"));
}

#[tokio::test]
async fn containers_of_every_kind_are_seen() {
    let mut mixed = pod("p", None, &digest(1));
    mixed["spec"]["initContainers"] = json!([
        { "name": "prepare", "image": "r/prepare:1" }, { "name": "mesh", "image": "r/mesh:1", "restartPolicy": "Always" }]);
    mixed["spec"]["ephemeralContainers"] = json!([{ "name": "debug", "image": "r/debug:1" }]);
    mixed["spec"]["nodeSelector"] = json!({ "kubernetes.io/arch": "arm64" });
    mixed["status"]["initContainerStatuses"] = json!([
        { "name": "prepare", "imageID": digest(2), "state": { "terminated": { "exitCode": 0 } } },
        { "name": "mesh", "imageID": digest(3), "state": { "running": {} } }]);
    mixed["status"]["ephemeralContainerStatuses"] = json!([{ "name": "debug", "imageID": "", "state": { "waiting": { "reason": "ContainerCreating" } } }]);
    let mut starting = pod("q", None, "");
    starting["status"] = json!({ "phase": "Pending" });
    let mut ended = pod("r", None, &digest(4));
    ended["status"]["phase"] = json!("Succeeded");
    let (fixture, _kubernetes) = shop(vec![mixed, starting, ended]).await;

    let survey = fixture.survey().await;

    let uses: Vec<(&str, bool)> =
        survey.sightings.iter().map(|s| (s.container.as_str(), s.used != Use::Referenced)).collect();
    assert_eq!(uses, [("app", true), ("debug", true), ("mesh", true), ("prepare", false), ("app", true)]);
    assert_eq!(survey.sightings[0].architecture.as_deref(), Some("arm64"));
    let [.., Sighting { workload, resolved, .. }] = &survey.sightings[..] else { panic!("nothing") };
    assert_eq!((workload.as_str(), resolved), ("shop/Pod/q", &None));
}

#[tokio::test]
async fn a_node_says_on_which_platform_a_pod_runs_and_unlisted_nodes_are_no_gap() {
    let mut scheduled = pod("p", None, &digest(1));
    scheduled["spec"]["nodeName"] = json!("arm");
    scheduled["spec"]["nodeSelector"] = json!({ "kubernetes.io/arch": "amd64" });
    let mut waiting = pod("q", None, &digest(1));
    waiting["spec"]["nodeName"] = json!("gone");
    let mut windows = pod("w", None, &digest(1));
    windows["spec"]["nodeName"] = json!("win");
    windows["spec"]["os"] = json!({ "name": "windows" });
    let (fixture, kubernetes) = shop(vec![scheduled, waiting, windows]).await;
    let node = |name: &str, os: &str, arch: &str| json!({ "metadata": { "name": name, "labels": { "kubernetes.io/os": os, "kubernetes.io/arch": arch } } });
    kubernetes.put(
        "shop",
        NODES,
        vec![node("intel", "linux", "amd64"), node("arm", "linux", "arm64"), node("win", "windows", "amd64")],
    );
    kubernetes.page(1);
    let on = |survey: &Survey| -> Vec<String> {
        let part = |of: &Option<String>| of.clone().unwrap_or_else(|| "any".to_owned());
        survey
            .sightings
            .iter()
            .map(|seen| format!("{}/{}", part(&seen.os), part(&seen.architecture)))
            .collect()
    };
    assert_eq!(on(&fixture.survey().await), ["linux/arm64", "any/any", "windows/amd64"]);

    kubernetes.forbid(NODES);
    let survey = fixture.survey().await;
    assert_eq!(on(&survey), ["any/amd64", "any/any", "windows/any"], "then pods say what they ask for");
    assert_eq!(of_shop(&survey), None, "nodes start no image");
    assert!(survey.places.iter().all(|read| !read.not_inspected.contains("nodes")));
}

#[tokio::test]
async fn pods_belong_to_what_people_deployed_and_what_runs_nothing_refers() {
    let pods = vec![
        pod("web-5d8f-x", Some(("ReplicaSet", "web-5d8f")), &digest(1)),
        pod("other-x", Some(("ReplicaSet", "other")), &digest(1)),
        pod("db-0", Some(("StatefulSet", "db")), &digest(1)),
        pod("report-28391234-x", Some(("Job", "report-28391234")), &digest(1)),
        pod("once-28391234-x", Some(("Job", "once-28391234")), &digest(1)),
    ];
    let (fixture, kubernetes) = shop(pods).await;
    let cron_job = |name: &str| {
        let pod = json!({ "containers": [{ "name": "app", "image": "r/cron:1" }] });
        json!({ "metadata": { "name": name, "namespace": "shop" },
            "spec": { "jobTemplate": { "spec": { "template": { "spec": pod } } } } })
    };
    kubernetes.put("shop", DEPLOYMENTS, vec![deployment("web", "r/app:1"), deployment("resting", "r/old:1")]);
    kubernetes.put("shop", CRON_JOBS, vec![cron_job("report"), cron_job("nightly")]);

    let survey = fixture.survey().await;

    let workloads: Vec<(&str, bool)> =
        survey.sightings.iter().map(|s| (s.workload.as_str(), s.used != Use::Referenced)).collect();
    let expected = [
        ("shop/CronJob/nightly", false),
        ("shop/CronJob/report", true),
        ("shop/Deployment/resting", false),
        ("shop/Deployment/web", true),
        ("shop/Job/once-28391234", true),
        ("shop/ReplicaSet/other", true),
        ("shop/StatefulSet/db", true),
    ];
    assert_eq!(workloads, expected);
}

fn not_inspected(survey: &Survey) -> Vec<&str> {
    let shop = place(ConsumerKind::Eks, Some("shop"));
    let read = survey.places.iter().find(|read| read.place == shop).unwrap();
    read.not_inspected.iter().map(String::as_str).collect()
}

#[tokio::test]
async fn what_a_roll_back_or_an_operator_would_start_is_seen_and_other_kinds_are_named() {
    let mut web = pod("web-5d8f-x", Some(("ReplicaSet", "web-5d8f")), &digest(1));
    web["spec"]["volumes"] = json!([{ "name": "model", "image": { "reference": "r/model:1" } }, { "name": "tmp", "emptyDir": {} }]);
    let (fixture, kubernetes) = shop(vec![web]).await;
    let template = |image: &str| json!({ "spec": { "containers": [{ "name": "app", "image": image }] } });
    let object =
        |name: &str, spec: Value| json!({ "metadata": { "name": name, "namespace": "shop" }, "spec": spec });
    let version = |number: u32, replicas: u32| {
        let image = format!("r/app:{number}");
        let mut set =
            object(&format!("web-{number}"), json!({ "replicas": replicas, "template": template(&image) }));
        set["metadata"]["annotations"] = json!({ "deployment.kubernetes.io/revision": number.to_string() });
        set["metadata"]["ownerReferences"] =
            json!([{ "kind": "Deployment", "name": "web", "controller": true }]);
        set
    };
    let sets =
        [(9, 0), (12, 1), (7, 0), (10, 0), (11, 0)].map(|(number, replicas)| version(number, replicas));
    kubernetes.put("shop", "/apis/apps/v1/replicasets", sets.into());
    let suspended = |suspend: bool, image: &str| json!({ "suspend": suspend, "template": template(image) });
    let jobs =
        vec![object("later", suspended(true, "r/later:1")), object("now", suspended(false, "r/now:1"))];
    kubernetes.put("shop", "/apis/batch/v1/jobs", jobs);
    let rollout = object("canary", json!({ "template": template("r/canary:1") }));
    let by_reference = object("other", json!({ "workloadRef": { "kind": "Deployment", "name": "web" } }));
    kubernetes.put("shop", "/apis/argoproj.io/v1alpha1/rollouts", vec![rollout, by_reference]);
    let scaled = object("scaled", json!({ "jobTargetRef": { "template": template("r/scaled:1") } }));
    kubernetes.put("shop", "/apis/keda.sh/v1alpha1/scaledjobs", vec![scaled]);
    kubernetes.serve(&["argoproj.io", "cert-manager.io", "keda.sh", "karpenter.k8s.aws", "tekton.dev"]);

    let survey = fixture.survey().await;

    assert_eq!(of_shop(&survey), None);
    let used: BTreeSet<(&str, &str, bool)> = survey
        .sightings
        .iter()
        .map(|s| (s.workload.as_str(), s.image.as_str(), s.used != Use::Referenced))
        .collect();
    let expected = [
        ("shop/Deployment/web", "r/app:1", true),
        ("shop/Deployment/web", "r/model:1", true),
        // The three versions before the one that runs.
        ("shop/Deployment/web", "r/app:9", false),
        ("shop/Deployment/web", "r/app:10", false),
        ("shop/Deployment/web", "r/app:11", false),
        ("shop/Job/later", "r/later:1", false),
        ("shop/Rollout/canary", "r/canary:1", false),
        ("shop/ScaledJob/scaled", "r/scaled:1", false),
    ];
    assert_eq!(used, expected.into());
    assert_eq!(not_inspected(&survey), ["argoproj.io", "tekton.dev"]);

    kubernetes.forbid("/apis/apps/v1/replicasets");
    kubernetes.forbid("/apis/keda.sh/v1alpha1/scaledjobs");
    let survey = fixture.survey().await;
    assert_eq!(of_shop(&survey), None, "what is new to a role is no reason to call the cluster unread");
    assert_eq!(
        not_inspected(&survey),
        ["argoproj.io", "replicasets.apps", "scaledjobs.keda.sh", "tekton.dev"]
    );
}

#[tokio::test]
async fn a_token_that_is_no_longer_accepted_is_signed_again() {
    let (fixture, kubernetes) = shop(vec![pod("p", None, &digest(1))]).await;
    kubernetes.expire_tokens(1);
    let survey = fixture.survey().await;
    assert_eq!((of_shop(&survey), survey.sightings.len()), (None, 1));
}

#[tokio::test]
async fn a_server_that_throttles_is_asked_again_later() {
    let (fixture, kubernetes) = shop(vec![pod("p", None, &digest(1))]).await;
    kubernetes.be_busy(3);
    let survey = fixture.survey().await;
    assert_eq!((of_shop(&survey), survey.sightings.len()), (None, 1));
    assert!(fixture.clock.waited() >= 0.25 + 0.5 + 1.0, "{}", fixture.clock.waited());
}

#[tokio::test]
async fn a_cluster_that_accepts_no_token_is_unread() {
    let (fixture, kubernetes) = shop(vec![pod("p", None, &digest(1))]).await;
    // Two for the nodes, without which the survey goes on, and two for the pods.
    kubernetes.expire_tokens(4);
    let why = reason_of_shop(&fixture.survey().await);
    assert_eq!(why, "cannot list the pods of the cluster shop: 401 Unauthorized: Unauthorized");
}

#[tokio::test]
async fn a_list_whose_position_expired_is_begun_again_once() {
    let pods = || (0..5).map(|n| pod(&format!("p{n}"), None, &digest(n))).collect();
    let (fixture, kubernetes) = shop(pods()).await;
    kubernetes.page(2);
    kubernetes.expire_lists(1);
    let survey = fixture.survey().await;
    assert_eq!((of_shop(&survey), survey.sightings.len()), (None, 5));

    kubernetes.expire_lists(9);
    let survey = fixture.survey().await;
    assert!(reason_of_shop(&survey).contains("pages expire faster than they are read"));
    assert_eq!(survey.sightings.len(), 2);
}

#[tokio::test]
async fn what_a_cluster_forbids_is_unread_and_the_rest_is_kept() {
    let (fixture, kubernetes) = shop(vec![pod("p", None, &digest(1))]).await;
    kubernetes.forbid(DEPLOYMENTS);
    let survey = fixture.survey().await;
    assert!(
        reason_of_shop(&survey).starts_with("cannot list the deployments of the cluster shop: 403 Forbidden")
    );
    assert_eq!(survey.sightings.len(), 1);

    kubernetes.forbid(PODS);
    let survey = fixture.survey().await;
    assert!(reason_of_shop(&survey).starts_with("cannot list the pods of the cluster shop: 403 Forbidden"));
    assert_eq!(survey.sightings.len(), 0);
}

#[tokio::test]
async fn a_server_without_a_certificate_of_the_clusters_authority_receives_nothing() {
    let kubernetes = Kubernetes::start().await;
    let fixture = fixture(vec![kubernetes.described("shop", Trust::Others)]).await;
    let why = reason_of_shop(&fixture.survey().await);
    assert!(why.contains("invalid peer certificate"), "{why}");
    assert_eq!(kubernetes.calls(), 0);
}

#[tokio::test]
async fn a_cluster_that_does_not_answer_is_unread_and_hides_no_other() {
    let kubernetes = Kubernetes::start().await;
    kubernetes.put("shop", PODS, vec![pod("p", None, &digest(1))]);
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = silent.local_addr().unwrap();
    // One address has no listener. At the other the listener closes every connection.
    let closing = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hangs_up = closing.local_addr().unwrap();
    drop(silent);
    let accepting = tokio::spawn(async move {
        while let Ok(connection) = closing.accept().await {
            drop(connection);
        }
    });
    let elsewhere = |name: &str, address: std::net::SocketAddr, public: bool| {
        let mut cluster = kubernetes.described(name, Trust::Ours);
        cluster["endpoint"] = json!(format!("https://{address}"));
        cluster["resourcesVpcConfig"] =
            json!({ "endpointPublicAccess": public, "endpointPrivateAccess": true });
        cluster
    };
    let fixture = fixture(vec![
        elsewhere("closed", closed, false),
        elsewhere("closing", hangs_up, true),
        kubernetes.described("shop", Trust::Ours),
    ])
    .await;

    let survey = fixture.survey().await;

    let why = reason(&survey, &place(ConsumerKind::Eks, Some("closed")));
    assert!(why.starts_with("cannot list the pods of the cluster closed: "), "{why}");
    assert!(why.ends_with("its endpoint is private: run the function in its VPC"), "{why}");
    let why = reason(&survey, &place(ConsumerKind::Eks, Some("closing")));
    assert!(
        why.starts_with("cannot list the pods of the cluster closing: ") && !why.contains("private"),
        "{why}"
    );
    assert_eq!((of_shop(&survey), survey.sightings.len()), (None, 1));
    accepting.abort();
}

#[tokio::test]
async fn a_cluster_without_an_endpoint_is_unread_and_one_that_is_gone_is_empty() {
    let creating = json!({ "name": "shop", "status": "CREATING" });
    let fixture = fixture(vec![creating]).await;
    assert_eq!(reason_of_shop(&fixture.survey().await), "the cluster shop is CREATING and has no endpoint");
    fixture.accounts.refuse("DescribeCluster", "ResourceNotFoundException", 1);
    assert_eq!(of_shop(&fixture.survey().await), None);
}

#[tokio::test]
async fn clusters_are_listed_page_by_page_and_a_nonsensical_authority_is_unread() {
    let kubernetes = Kubernetes::start().await;
    let mut clusters: Vec<Value> =
        (0..5).map(|n| kubernetes.described(&format!("c{n}"), Trust::Ours)).collect();
    clusters[4]["certificateAuthority"]["data"] = json!("bm90IGEgY2VydGlmaWNhdGU=");
    let fixture = fixture(clusters).await;
    fixture.accounts.page(2);
    let survey = fixture.survey().await;
    assert_eq!(fixture.accounts.calls("ListEksClusters"), 3);
    assert_eq!(unread(&survey, &place(ConsumerKind::Eks, Some("c3"))), None);
    let why = reason(&survey, &place(ConsumerKind::Eks, Some("c4")));
    assert!(why.ends_with("its certificate authority is not a certificate"), "{why}");
}
