//! `lifecycle`, `tags keep` and `promote`: the compiled command on a deployment, with the policies,
//! tags and layers of moto.

#![cfg(feature = "aws")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use patchwave_tests::accounts::{EcsCluster, Region};
use patchwave_tests::content::{self, Document};
use patchwave_tests::harness::{ACCOUNT, Harness, Setup};
use serde_json::{Value, json};
use support::{Ran, Scratch, patchwave_with};

const HIERARCHY: &str = r#"
version: 1
registries:
  home:
    host: 123456789012.dkr.ecr.us-east-1.amazonaws.com
    keepTags: true
inventory:
  regions: [us-east-1]
  accept: [sageMaker, appRunner, codeBuild, emr, microVms, pipes, stateMachines]
  accounts: [{ id: '123456789012', environment: prod }]
images:
  - { id: base/os, tier: base, repository: base/os, tags: ["1"], from: "public.ecr.aws/os/os:1", pipeline: base-os }
  - { tier: application, repository: apps/cart, tagPattern: "main-*", from: base/os, pipeline: apps-cart }
"#;
const REPOSITORY: &str = "apps/cart";

/// The same, with an environment that has repositories of its own.
fn promoting() -> String {
    let copies = "keepTags: true\n    copies: [{ from: \"apps/*\", to: \"live/*\", environment: live }]";
    HIERARCHY.replace("keepTags: true", copies) + "policy: { promotion: approval }\n"
}

async fn start(hierarchy: &str) -> Harness {
    let harness = Harness::start(Setup { hierarchy: hierarchy.to_owned(), ..Setup::default() }).await;
    harness.registry.create_repository("live/cart").await.unwrap();
    harness
}

/// Runs the command beside the test, in which the fakes answer it.
async fn run(harness: &Harness, arguments: &[&str]) -> Ran {
    let arguments: Vec<String> = arguments.iter().map(|one| (*one).to_owned()).collect();
    let settings = harness.settings().clone();
    let run = move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let settings: Vec<(&str, &str)> = settings.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        patchwave_with(&arguments, &settings)
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

/// Pushes a manifest whose blobs can be downloaded.
async fn push(harness: &Harness, layers: &[&str], tag: &str) -> String {
    let blob = |text: &str, kind: &str| {
        json!({ "mediaType": format!("application/vnd.oci.image.{kind}"), "size": text.len(),
            "digest": harness.registry.add_blob(text) })
    };
    let config = format!("a config of {layers:?}");
    let layers: Vec<Value> = layers.iter().map(|layer| blob(layer, "layer.v1.tar+gzip")).collect();
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let content = json!({ "schemaVersion": 2, "mediaType": media_type, "config": blob(&config, "config.v1+json"),
        "layers": layers });
    let text = content.to_string();
    let document = Document { digest: content::digest(&text), text, media_type };
    harness.registry.push(REPOSITORY, &document, Some(tag)).await.unwrap();
    document.digest
}

/// Lets a service of production run a version, and surveys it.
async fn runs(harness: &mut Harness, digest: &str) {
    let arn = |what: &str| format!("arn:aws:ecs:us-east-1:123456789012:{what}");
    let image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/apps/cart@".to_owned() + digest;
    let task = json!({
        "taskArn": arn("task/shop/cart0000000000000000"), "taskDefinitionArn": arn("task-definition/cart:7"),
        "group": "service:cart", "lastStatus": "RUNNING",
        "attributes": [{ "name": "ecs.cpu-architecture", "value": "x86_64" }],
        "containers": [{ "name": "app", "image": image, "imageDigest": digest, "lastStatus": "RUNNING" }],
    });
    let cluster = EcsCluster { arn: arn("cluster/shop"), tasks: vec![task], ..EcsCluster::default() };
    harness.accounts.set(ACCOUNT, "us-east-1", Region { ecs: vec![cluster], ..Region::default() });
    harness.sweep().await;
}

#[tokio::test]
async fn a_version_is_approved_copied_and_tagged_and_a_second_run_changes_nothing() {
    let harness = start(&promoting()).await;
    let digest = push(&harness, &["the first layer", "the second layer"], "main-8").await;
    harness.registry.retag(REPOSITORY, &digest, "staging-8").await.unwrap();
    let promote = [
        "promote", REPOSITORY, "--from", "staging", "--to", "live", "--yes", "--by", "jo", "--format", "json",
    ];
    let unapproved = run(&harness, &promote).await;
    assert_eq!(unapproved.code, 1, "{unapproved:?}");
    let unfit = unapproved.json()["unfit"].to_string();
    assert!(unfit.contains("no person approved it"), "{unfit}");
    assert_eq!(harness.registry.tagged("live/cart", "live-8").await, None);

    let approve =
        run(&harness, &["approve", REPOSITORY, "--from", "staging", "--to", "live", "--by", "ada"]).await;
    assert_eq!((approve.code, approve.stderr.as_str()), (0, ""), "{approve:?}");
    // A refused call ends it, and the next run goes on.
    harness.traffic.refuse("PutImage", "AccessDeniedException");
    let ended = run(&harness, &promote).await;
    assert_eq!(ended.code, 2, "{ended:?}");
    harness.traffic.admit_all();
    let promoted = run(&harness, &promote).await;
    assert_eq!(promoted.code, 0, "{promoted:?}");
    let answer = promoted.json();
    assert_eq!(
        answer["copied"],
        json!({ "manifests": 1, "blobs": 0, "bytes": 0, "mounted": 0 }),
        "the blobs were there: {answer}"
    );
    assert_eq!((&answer["digest"], &answer["repository"]), (&json!(digest), &json!("live/cart")));
    assert_eq!(harness.registry.tagged("live/cart", "live-8").await, Some(digest.clone()));
    let keep = format!("patchwave.keep.live.{}", &digest[7..19]);
    assert_eq!(harness.registry.tags_of("live/cart", &digest).await, ["live-8".to_owned(), keep].into());
    let again = run(&harness, &promote).await;
    assert_eq!((again.code, &again.json()["already"]), (0, &json!(true)), "{again:?}");

    // The approval is for that digest, and not for the next one.
    let next = push(&harness, &["the first layer", "a third layer"], "staging-9").await;
    let unapproved = run(&harness, &promote).await;
    assert_eq!((unapproved.code, &unapproved.json()["digest"]), (1, &json!(next)), "{unapproved:?}");
}

#[tokio::test]
async fn what_runs_keeps_a_tag_and_a_second_run_sets_none() {
    let mut harness = start(HIERARCHY).await;
    let old = push(&harness, &["old"], "main-1").await;
    push(&harness, &["new"], "main-2").await;
    runs(&mut harness, &old).await;
    let keep = ["tags", "keep", "--yes", "--format", "json"];
    let kept = run(&harness, &keep).await;
    assert_eq!(kept.code, 0, "{kept:?}");
    let tag = format!("patchwave.keep.prod.{}", &old[7..19]);
    assert!(harness.registry.tags_of(REPOSITORY, &old).await.contains(&tag));
    let again = run(&harness, &keep).await;
    assert_eq!(again.json()["repositories"][REPOSITORY]["set"], json!({}), "{again:?}");
    // What is refused is named, and the run is no success.
    let newest = push(&harness, &["newest"], "main-3").await;
    runs(&mut harness, &newest).await;
    harness.traffic.refuse("PutImage", "AccessDeniedException");
    let refused = run(&harness, &keep).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.json()["failed"][REPOSITORY].as_str().unwrap().contains("AccessDenied"), "{refused:?}");
}

#[tokio::test]
async fn a_policy_is_planned_previewed_written_and_put_back() {
    let mut harness = start(HIERARCHY).await;
    let scratch = Scratch::new("care");
    let digest = push(&harness, &["old"], "main-1").await;
    runs(&mut harness, &digest).await;
    run(&harness, &["tags", "keep", "--yes"]).await;
    let plan = run(&harness, &["lifecycle", "plan", "--format", "json"]).await;
    assert!(plan.code < 2, "{plan:?}");
    let (planned, previewed) = (scratch.write("plan.json", &plan.stdout), scratch.path("previewed.json"));
    let preview = run(&harness, &["lifecycle", "preview", &planned, "--save", &previewed]).await;
    assert!(preview.stdout.contains("ECR agrees"), "{preview:?}");
    let stored = async || {
        let target = "AmazonEC2ContainerRegistry_V20150921.GetLifecyclePolicy";
        let answer = harness.moto().call("ecr", target, &json!({ "repositoryName": REPOSITORY })).await;
        answer.ok().map(|answer| answer["lifecyclePolicyText"].as_str().unwrap().to_owned())
    };
    assert_eq!(stored().await, None, "a preview writes nothing");
    let apply = ["lifecycle", "apply", &previewed, "--yes", "--by", "jo", "--format", "json"];
    let applied = run(&harness, &apply).await;
    let written = applied.json()["written"].as_array().cloned().unwrap_or_default();
    assert!(written.contains(&json!(REPOSITORY)), "{applied:?} {plan:?}");
    assert!(stored().await.unwrap().contains("patchwave.keep.*"));
    let again = run(&harness, &apply).await;
    assert!(again.json()["already"].as_array().unwrap().contains(&json!(REPOSITORY)), "{again:?}");
    let undone =
        run(&harness, &["lifecycle", "undo", REPOSITORY, "--yes", "--by", "jo", "--format", "json"]).await;
    assert_eq!((undone.code, &undone.json()["undone"]), (0, &json!(true)), "{undone:?}");
    assert_eq!(stored().await, None, "there was none before");
}
