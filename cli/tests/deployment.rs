//! `approve`, `rebuild`, `freeze`, `release` and `facts`: the compiled command on a deployment, between passes of the functions.

#![cfg(feature = "aws")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::collections::BTreeMap;

use patchwave_tests::harness::{Harness, Setup};
use patchwave_tests::run_until_idle::{Delivery, run_until_idle};
use patchwave_tests::schedules;
use serde_json::{Value, json};
use support::{Ran, Scratch, patchwave, patchwave_with};

const HIERARCHY: &str = r#"
version: 1
registry: 123456789012.dkr.ecr.us-east-1.amazonaws.com
policy: { mode: enforce }
tiers: { application: { rebuild: approval } }
images:
  - { id: base/os, tier: base, repository: base/os, tags: ["1"], from: "public.ecr.aws/os/os:1", pipeline: base-os }
  - { tier: application, repository: apps/cart, tags: [live], from: base/os, pipeline: apps-cart }
"#;

const CART: &str = "apps/cart:live";

async fn decide(harness: &Harness, verb: &'static str, image: &'static str) -> Ran {
    decide_with(harness.settings().clone(), verb, image).await
}

async fn decide_with(settings: BTreeMap<String, String>, verb: &'static str, image: &'static str) -> Ran {
    run(settings, &[verb, image, "--by", "jo", "--format", "json"]).await
}

/// Runs the command beside the test, in which the fakes answer it.
async fn run(settings: BTreeMap<String, String>, arguments: &[&'static str]) -> Ran {
    let arguments = arguments.to_vec();
    let run = move || {
        let settings: Vec<(&str, &str)> = settings.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        patchwave_with(&arguments, &settings)
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

async fn done(harness: &Harness, verb: &'static str, image: &'static str) {
    let ran = decide(harness, verb, image).await;
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{verb} {image}");
    assert_eq!(ran.json()["by"], "jo", "{verb} {image}");
}

fn why<'r>(report: &'r Value, image: &str) -> &'r str {
    let held = report["held"].as_array().unwrap().iter().find(|held| held["image"] == image);
    held.unwrap_or_else(|| panic!("{image} is not held: {report}"))["why"].as_str().unwrap()
}

#[tokio::test]
async fn people_approve_rebuild_freeze_and_release() {
    let mut harness = Harness::start(Setup { hierarchy: HIERARCHY.to_owned(), ..Setup::default() }).await;
    harness.disclose("CVE-2026-1000", "openssl", Some("1.0.1"));
    run_until_idle(&mut harness, Delivery::Batched).await;
    assert_eq!(harness.builds(), [("base/os".to_owned(), 1)].into());
    assert_eq!(why(&harness.sweep().await, CART), "NeedsApproval");

    done(&harness, "approve", CART).await;
    run_until_idle(&mut harness, Delivery::Batched).await;
    assert_eq!(harness.builds()[CART], 1, "it was approved");
    assert!(harness.findings(CART).await.is_empty());

    done(&harness, "freeze", "base/os").await;
    done(&harness, "rebuild", "base/os:1").await;
    run_until_idle(&mut harness, Delivery::Batched).await;
    assert_eq!(why(&harness.sweep().await, "base/os"), "Frozen");
    assert_eq!(harness.builds()["base/os"], 1);

    done(&harness, "release", "base/os").await;
    run_until_idle(&mut harness, Delivery::Batched).await;
    assert_eq!(harness.builds()["base/os"], 2, "the request outlived the freeze");
    let request = harness.reported("started").into_iter().next_back().unwrap()["reasons"][0].clone();
    assert_eq!((&request["code"], &request["by"]), (&json!("Requested"), &json!("jo")));
    run_until_idle(&mut harness, Delivery::Batched).await;
    assert_eq!(harness.builds()["base/os"], 2, "a request is served once");
    assert_eq!(why(&harness.sweep().await, CART), "NeedsApproval", "an approval is void once it was used");
    assert_eq!(harness.builds()[CART], 1);
}

#[tokio::test]
async fn a_decision_that_cannot_be_written_says_why() {
    let harness = Harness::start(Setup { hierarchy: HIERARCHY.to_owned(), ..Setup::default() }).await;
    let unknown = decide(&harness, "approve", "apps/kart:live").await;
    assert_eq!(unknown.code, 2, "{unknown:?}");
    assert!(unknown.stderr.contains("apps/kart:live"), "{}", unknown.stderr);
    let nowhere = patchwave_with(&["freeze", CART, "--by", "jo"], &[]);
    assert_eq!(nowhere.code, 2, "{nowhere:?}");
    assert!(nowhere.stderr.contains("PATCHWAVE_HIERARCHY"), "{}", nowhere.stderr);
    assert_eq!(harness.builds(), [].into());
}

#[tokio::test]
async fn a_decision_schedules_a_recheck_and_is_written_whether_or_not_it_can() {
    let harness = Harness::start(Setup { hierarchy: HIERARCHY.to_owned(), ..Setup::default() }).await;
    schedules::create(harness.moto(), "tick").await;
    let decided = async |verb, tick: &str| {
        let mut settings = harness.settings().clone();
        settings.insert("PATCHWAVE_TICK".to_owned(), format!("patchwave/{tick}"));
        let ran = decide_with(settings, verb, CART).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.json()
    };
    let frozen = decided("freeze", "tick").await;
    assert_eq!((&frozen["recheck"], &frozen["noRecheck"]), (&json!(true), &Value::Null));
    assert_eq!(schedules::rechecks(harness.moto()).await.len(), 1, "one recheck");

    let released = decided("release", "nowhere").await;
    assert_eq!(released["recheck"], false);
    let because = released["noRecheck"].as_str().unwrap();
    assert!(because.contains("read the schedule patchwave/nowhere"), "{because}");
    assert_eq!(schedules::rechecks(harness.moto()).await.len(), 1, "and no other");
    let unasked = decide(&harness, "freeze", CART).await.json();
    assert_eq!((&unasked["recheck"], &unasked["noRecheck"]), (&json!(false), &Value::Null));
}

#[tokio::test]
async fn a_snapshot_of_a_deployment_plans_what_a_pass_would_start() {
    let mut harness = Harness::start(Setup { hierarchy: HIERARCHY.to_owned(), ..Setup::default() }).await;
    harness.disclose("CVE-2026-1000", "openssl", Some("1.0.1"));
    let scratch = Scratch::new("snapshot");
    let hierarchy = scratch.write("hierarchy.yaml", HIERARCHY);
    let facts = run(harness.settings().clone(), &["observe"]).await;
    assert_eq!(
        (facts.code, facts.stderr.as_str()),
        (0, "Read with the ledger in the table patchwave.\n"),
        "everything could be read"
    );
    assert_eq!(
        facts.json()["pipelines"].as_object().unwrap().len(),
        1,
        "asked of what would start: {facts:?}"
    );
    let snapshot = scratch.write("facts.json", &facts.stdout);

    let planned =
        patchwave(&["plan", "--hierarchy", &hierarchy, "--facts", &snapshot, "--format", "json"]).json();
    let starts = planned["starts"].as_array().unwrap();
    assert_eq!(starts.iter().map(|start| &start["image"]).collect::<Vec<_>>(), ["base/os"]);
    assert_eq!(harness.builds(), [].into(), "nothing is started");
    let swept = harness.sweep().await;
    assert_eq!(swept["started"][0]["buildKey"], starts[0]["key"], "and a pass starts the same");
}

/// A newcomer has a hierarchy file and credentials, and nothing is deployed.
#[tokio::test]
async fn without_a_table_the_ledger_is_empty_and_what_runs_is_surveyed() {
    let harness = Harness::start(Setup { hierarchy: HIERARCHY.to_owned(), ..Setup::default() }).await;
    harness.disclose("CVE-2026-1000", "openssl", Some("1.0.1"));
    let mut settings = harness.settings().clone();
    settings.remove("PATCHWAVE_TABLE");
    let observed = run(settings.clone(), &["facts"]).await;
    assert_eq!(observed.code, 0, "{observed:?}");
    let note = "Read with an empty ledger, because PATCHWAVE_TABLE does not name a table.";
    assert!(observed.stderr.starts_with(note), "{}", observed.stderr);
    assert_eq!(observed.json()["withoutLedger"], true);

    let plan = run(settings.clone(), &["plan", "--format", "json"]).await;
    assert_eq!(plan.code, 0, "{plan:?}");
    assert!(plan.stderr.starts_with(note), "{}", plan.stderr);
    let (starts, predicted) = (&plan.json()["starts"], &plan.json()["prediction"]);
    assert_eq!(starts[0]["image"], "base/os");
    assert_eq!((&predicted["first"], &predicted["cleared"]), (&json!(["base/os"]), &json!(1)), "{predicted}");
    assert_eq!(predicted["stay"]["NeedsApproval"], json!([CART]), "it inherits the finding: {predicted}");
    let impact = run(settings.clone(), &["impact", "CVE-2026-1000", "--format", "json"]).await;
    let carriers = impact.json()["carriers"].as_array().unwrap().len();
    assert_eq!((impact.code, carriers), (1, 2), "{impact:?}");

    let inventory = run(settings.clone(), &["inventory", "--format", "json"]).await;
    assert_eq!(inventory.code, 1, "the file names no account: {inventory:?}");
    assert!(inventory.stderr.starts_with("Surveyed now,"), "{}", inventory.stderr);
    let decided = decide_with(settings, "freeze", "base/os").await;
    assert_eq!(decided.code, 2, "there is nothing to decide about: {decided:?}");
    assert!(decided.stderr.starts_with("PATCHWAVE_TABLE is not set"), "{}", decided.stderr);
    assert_eq!(harness.builds(), [].into(), "nothing is started");
}

#[tokio::test]
async fn slots_that_are_stuck_are_listed_and_given_back_on_request() {
    let harness = Harness::start(Setup { hierarchy: HIERARCHY.to_owned(), ..Setup::default() }).await;
    let release = async |more: &[&'static str]| {
        let arguments = [&["release", "--format", "json"], more].concat();
        run(harness.settings().clone(), &arguments).await
    };
    let none = release(&[]).await;
    assert_eq!((none.code, none.json()), (0, json!({"stuck": []})));

    let put = async |item: Value| {
        let input = json!({"TableName": harness.settings()["PATCHWAVE_TABLE"], "Item": item});
        harness.moto().call("dynamodb", "DynamoDB_20120810.PutItem", &input).await.unwrap();
    };
    put(json!({"pk": {"S": "slots"}, "sk": {"S": "held-by"}, "images": {"SS": ["apps/old:1", "base/os"]}}))
        .await;
    put(json!({"pk": {"S": "image#apps/old:1"}, "sk": {"S": "record"}, "fence": {"N": "3"},
               "format": {"N": "2"}, "record": {"S": "nonsense"}}))
    .await;
    let stuck = release(&[]).await;
    assert_eq!(stuck.code, 1, "{stuck:?}");
    let because = |n: usize| stuck.json()["stuck"][n]["because"].as_str().unwrap().to_owned();
    assert!(because(0).starts_with("it left the hierarchy, and its record cannot be read"), "{}", because(0));
    assert_eq!(because(1), "it has no record");

    let unasked = release(&["--slot", "apps/old:1"]).await;
    assert_eq!(unasked.code, 2, "nobody answers here: {unasked:?}");
    assert!(unasked.stderr.contains("--yes"), "{}", unasked.stderr);
    for image in ["apps/old:1", "base/os"] {
        let freed = release(&["--yes", "--slot", image]).await;
        assert_eq!((freed.code, &freed.json()["freed"]["image"]), (0, &json!(image)), "{freed:?}");
    }
    assert_eq!(release(&[]).await.json(), json!({"stuck": []}));
    let free = release(&["--yes", "--slot", "base/os"]).await;
    assert_eq!(free.code, 2, "{free:?}");
}
