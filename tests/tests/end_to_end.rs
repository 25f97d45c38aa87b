//! The compiled functions, from real events to real pipeline executions and back.
//!
//! `tests/fixtures/organisation.yaml` draws the organisation that all of this happens to.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};

use patchwave_tests::codepipeline::{Recipe, Status};
use patchwave_tests::scanner::Scanning;
use patchwave_tests::settle::{Delivery, settle};
use patchwave_tests::world::{Setup, World};
use serde_json::{Value, json};

/// `base/os` and everything on top of it.
const AFFECTED: [&str; 11] = [
    "apps/api:live",
    "apps/billing:live",
    "apps/cart:live",
    "apps/checkout",
    "apps/landing:live",
    "apps/search:live",
    "base/os",
    "platform/go:1.23",
    "platform/java:21",
    "platform/node:22",
    "platform/web:2",
];

const CVE: &str = "CVE-2026-1000";

fn each_once(images: &[&str]) -> BTreeMap<String, usize> {
    images.iter().map(|image| ((*image).to_owned(), 1)).collect()
}

/// Each affected image was built once, nothing else was, each on its parents' final versions, no finding is left, and
/// looking at everything again starts nothing.
async fn assert_the_wave_rolled_once(world: &mut World) {
    assert_eq!(world.builds(), each_once(&AFFECTED));
    for execution in world.pipelines.executions() {
        assert_eq!(execution.status, Status::Succeeded);
        let build = execution.build.unwrap();
        let parent = match world.parent(&build.image) {
            Some(parent) => Some(world.current(&parent).await),
            None => None,
        };
        assert_eq!(build.told_base, parent, "{} stands on its parent's current version", build.image);
        for (parent, digest) in &build.told_parents {
            assert_eq!(*digest, world.current(parent).await, "{} and its parent {parent}", build.image);
        }
        assert_eq!(build.pushed, world.current(&build.image).await, "{}'s line follows", build.image);
        assert_eq!(world.findings(&build.image).await, BTreeSet::new(), "{} is clean", build.image);
    }
    let sweep = world.sweep().await;
    assert_eq!(sweep["started"], json!([]));
    assert!(sweep["held"].as_array().unwrap().iter().all(|held| held["why"] == "Fresh"), "{sweep}");
}

/// What reached the bus: each story's notices, once, in order.
async fn stories(world: &World) -> Vec<String> {
    let received = world.told().await;
    let text = |notice: &Value, name: &str| notice[name].as_str().unwrap_or_default().to_owned();
    let in_order =
        |notice: &Value| (text(notice, "image"), notice["revision"].as_u64(), text(notice, "state"));
    let notices: BTreeSet<_> = received.iter().map(in_order).collect();
    notices.into_iter().map(|(image, _, state)| format!("{image} {state}")).collect()
}

/// What the reports say of the affected images' findings: image, platform, verdict and coverage, each once.
fn proofs(world: &World) -> BTreeSet<[String; 4]> {
    let field = |proof: &Value, name: &str| proof[name].as_str().unwrap_or_default().to_owned();
    let proof = |p: &&Value| ["image", "platform", "verdict", "coverage"].map(|name| field(p, name));
    world.reported("proofs").iter().map(proof).collect()
}

fn all_fixed(coverage: &str) -> BTreeSet<[String; 4]> {
    let on = |image: &str, platform: &str| [image, platform, "fixed", coverage].map(str::to_owned);
    AFFECTED.iter().flat_map(|image| [on(image, "linux/amd64"), on(image, "linux/arm64")]).collect()
}

/// Finds what a report says about an image that was not started.
fn held<'r>(report: &'r Value, image: &str) -> &'r Value {
    let held = report["held"].as_array().unwrap();
    held.iter().find(|held| held["image"] == image).unwrap_or_else(|| panic!("{image} is not held: {report}"))
}

#[tokio::test]
async fn a_cve_in_a_base_rolls_to_the_applications_with_proof() {
    let mut world = World::start(Setup::default()).await;
    world.disclose(CVE, "openssl", Some("1.0.1"));
    settle(&mut world, Delivery::InOrder).await;
    assert_the_wave_rolled_once(&mut world).await;
    assert_eq!(proofs(&world), all_fixed("osAndLanguages"));
    assert_eq!(stories(&world).await, ["base/os opened", "base/os closed"], "22 findings, one root cause");

    let executions = world.pipelines.executions();
    let reported: BTreeSet<&str> =
        world.reported("started").iter().filter_map(|started| started["executionId"].as_str()).collect();
    assert_eq!(reported, executions.iter().map(|execution| execution.id.as_str()).collect());
    let pinned = executions.iter().find(|execution| execution.image == "apps/checkout").unwrap();
    assert_eq!(pinned.commit, Some(world.recipe("apps/checkout").head()), "a patch ships no other commit");
    let base = executions.iter().find(|execution| execution.image == "base/os").unwrap();
    assert_eq!(base.variables["PATCHWAVE_NO_CACHE"], "true", "a cached layer is the old one");
}

#[tokio::test]
async fn basic_scanning_does_it_too() {
    let mut world = World::start(Setup { scanning: Scanning::Basic, ..Setup::default() }).await;
    world.disclose(CVE, "openssl", Some("1.0.1"));
    world.scan_everything().await;
    settle(&mut world, Delivery::Batched).await;
    assert_the_wave_rolled_once(&mut world).await;
    let sqs = world.log("scan-complete");
    assert!(
        sqs.iter().any(|line| line.contains(r#""verdict":"Fixed""#) || line.contains("fixed")),
        "{sqs:#?}"
    );
}

#[tokio::test]
async fn a_finding_asks_for_its_parents_scans_before_anything_is_built() {
    let mut world = World::start(Setup { scanning: Scanning::Basic, ..Setup::default() }).await;
    world.disclose(CVE, "openssl", Some("1.0.1"));
    world.registry.scan_version("apps/search", &world.current("apps/search:live").await);
    let event = world.bus.take().swap_remove(0);
    let report = world.deliver(&event).await;
    assert_eq!(report["started"], json!([]), "the parents' scans are older than the finding: {report}");
    let asked: BTreeSet<&str> =
        world.reported("scansRequested").iter().filter_map(|scan| scan["image"].as_str()).collect();
    assert!(asked.contains("platform/java:21"), "{asked:?}");
    for _ in 0..2 {
        world.registry.finish_scans();
        for event in world.bus.take() {
            world.deliver(&event).await;
        }
    }
    assert_eq!(world.builds(), each_once(&["base/os"]), "it is the base's finding");
    settle(&mut world, Delivery::Batched).await;
    assert_the_wave_rolled_once(&mut world).await;
}

#[tokio::test]
async fn a_scan_event_of_every_image_at_once_gives_one_build_each() {
    let mut world = World::start(Setup::default()).await;
    world.disclose(CVE, "openssl", Some("1.0.1"));
    let events = world.bus.take();
    assert_eq!(events.len(), 2 * AFFECTED.len(), "one for each platform of each image");
    world.deliver_at_once(events).await;
    assert_eq!(world.builds(), each_once(&["base/os"]));
    let calls = world.traffic.calls_of("StartPipelineExecution");
    assert_eq!(calls, 1, "the claim decides, and not the pipeline's memory for tokens");
    settle(&mut world, Delivery::Batched).await;
    assert_the_wave_rolled_once(&mut world).await;
}

async fn disorder_adds_no_build(seed: u64) {
    let mut world = World::start(Setup::default()).await;
    world.disclose(CVE, "openssl", Some("1.0.1"));
    settle(&mut world, Delivery::Disordered(seed)).await;
    assert_the_wave_rolled_once(&mut world).await;
}

#[tokio::test]
async fn duplicated_and_reordered_events_add_no_build_seed_1() {
    disorder_adds_no_build(1).await;
}

#[tokio::test]
async fn duplicated_and_reordered_events_add_no_build_seed_2() {
    disorder_adds_no_build(2).await;
}

#[tokio::test]
async fn duplicated_and_reordered_events_add_no_build_seed_3() {
    disorder_adds_no_build(3).await;
}

#[tokio::test]
async fn without_any_event_the_sweep_and_the_tick_do_it() {
    let mut world = World::start(Setup::default()).await;
    world.disclose(CVE, "openssl", Some("1.0.1"));
    world.sweep().await;
    settle(&mut world, Delivery::Dropped).await;
    assert_the_wave_rolled_once(&mut world).await;
    assert_eq!(proofs(&world), all_fixed("osAndLanguages"));
}

#[tokio::test]
async fn observe_starts_nothing_and_says_what_it_would() {
    let mut world = World::start(Setup { mode: "observe", ..Setup::default() }).await;
    world.disclose(CVE, "openssl", Some("1.0.1"));
    settle(&mut world, Delivery::Batched).await;
    let sweep = world.sweep().await;
    assert_eq!(world.builds(), BTreeMap::new());
    let base = held(&sweep, "base/os");
    assert_eq!(base["why"], "Observing");
    assert_eq!(base["reasons"][0]["code"], "Vulnerable");
    for image in AFFECTED.iter().filter(|image| **image != "base/os") {
        let waiting = held(&sweep, image);
        assert_eq!((&waiting["why"], &waiting["on"]), (&json!("WaitingOn"), &json!("base/os")), "{image}");
    }
}

#[tokio::test]
async fn a_pipeline_that_would_refuse_is_not_started_and_says_why() {
    let undeclared = |recipe: &mut Recipe| {
        if recipe.image == "base/os" {
            recipe.variables.retain(|name| name != "PATCHWAVE_NO_CACHE");
        }
    };
    let mut world = World::start_with(Setup::default(), undeclared).await;
    world.disclose(CVE, "openssl", Some("1.0.1"));
    settle(&mut world, Delivery::Batched).await;
    let sweep = world.sweep().await;
    assert_eq!(world.builds(), BTreeMap::new());
    let base = held(&sweep, "base/os");
    assert_eq!(base["why"], "NoPipeline");
    assert!(base["because"].as_str().unwrap().contains("PATCHWAVE_NO_CACHE"), "{base}");
}

#[tokio::test]
async fn a_failed_build_holds_its_branch_and_no_other() {
    let mut world = World::start(Setup::default()).await;
    world.broken.insert("platform/java:21".to_owned());
    world.disclose(CVE, "openssl", Some("1.0.1"));
    settle(&mut world, Delivery::Batched).await;

    let mut expected = each_once(&AFFECTED);
    expected.retain(|image, _| !["apps/search:live", "apps/billing:live"].contains(&image.as_str()));
    expected.insert("platform/java:21".to_owned(), 2);
    assert_eq!(world.builds(), expected, "one retry, then it waits");

    let sweep = world.sweep().await;
    let failed = held(&sweep, "platform/java:21");
    assert_eq!((&failed["why"], &failed["failures"]), (&json!("BackOff"), &json!(2)));
    for image in ["apps/search:live", "apps/billing:live"] {
        let waiting = held(&sweep, image);
        assert_eq!((&waiting["why"], &waiting["on"]), (&json!("WaitingOn"), &json!("platform/java:21")));
        assert!(!world.findings(image).await.is_empty(), "{image} is not clean, and nobody says so");
    }
    assert_eq!(held(&sweep, "apps/landing:live")["why"], "Fresh");
}

#[tokio::test]
async fn a_failed_scan_is_unknown_and_never_clean() {
    let mut world = World::start(Setup::default()).await;
    world.registry.fail_scans_of("platform/python");
    world.scan_everything().await;
    let events = world.bus.take();
    let event = events.iter().find(|event| event.to_string().contains("platform/python")).unwrap();
    let report = world.deliver(event).await;
    let unknown = |platform: &str| {
        json!({
            "image": "platform/python:3.13", "platform": platform, "because": "scan failed: FAILED",
        })
    };
    assert_eq!(report["unknown"], json!([unknown("linux/amd64"), unknown("linux/arm64")]));
    assert_eq!(held(&report, "platform/python:3.13")["why"], "Unknown");
    assert_eq!(report["started"], json!([]));
}

#[tokio::test]
async fn a_finding_that_no_rebuild_helps_starts_nothing() {
    let mut world = World::start(Setup::default()).await;
    world.disclose(CVE, "cart-library", Some("1.0.1"));
    world.disclose("CVE-2026-1001", "openssl", None);
    settle(&mut world, Delivery::Batched).await;
    assert_eq!(world.builds(), BTreeMap::new());
    let sweep = world.sweep().await;
    assert_eq!(held(&sweep, "apps/cart:live")["why"], "CannotHelp");
    assert_eq!(held(&sweep, "base/os")["why"], "CannotHelp");
}
