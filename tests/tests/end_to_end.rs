//! The compiled functions, from real events to real pipeline executions and back.
//!
//! `tests/fixtures/sample.yaml` is the hierarchy of these tests, with a picture of it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};

use patchwave_tests::codepipeline::{Recipe, Status};
use patchwave_tests::harness::{Harness, Setup, held};
use patchwave_tests::run_until_idle::{Delivery, run_until_idle};
use patchwave_tests::scanner::Scanning;
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

/// Each affected image was built once, on the final versions of its parents, and no other image was
/// built. No finding is left, and a sweep starts nothing.
async fn assert_the_wave_rolled_once(harness: &mut Harness) {
    assert_eq!(harness.builds(), each_once(&AFFECTED));
    for execution in harness.pipelines.executions() {
        assert_eq!(execution.status, Status::Succeeded);
        let build = execution.build.unwrap();
        let parent = match harness.parent(&build.image) {
            Some(parent) => Some(harness.current(&parent).await),
            None => None,
        };
        assert_eq!(build.sent_base, parent, "{} is on the current version of its parent", build.image);
        for (parent, digest) in &build.sent_parents {
            assert_eq!(*digest, harness.current(parent).await, "{} and its parent {parent}", build.image);
        }
        assert_eq!(build.pushed, harness.current(&build.image).await, "the line of {} follows", build.image);
        assert_eq!(harness.findings(&build.image).await, BTreeSet::new(), "{} is clean", build.image);
    }
    let sweep = harness.sweep().await;
    assert_eq!(sweep["started"], json!([]));
    assert!(sweep["held"].as_array().unwrap().iter().all(|held| held["why"] == "Fresh"), "{sweep}");
}

/// The notices on the bus, each once, in order.
async fn notices(harness: &Harness) -> Vec<String> {
    let received = harness.notices().await;
    let text = |notice: &Value, name: &str| notice[name].as_str().unwrap_or_default().to_owned();
    let in_order =
        |notice: &Value| (text(notice, "image"), notice["revision"].as_u64(), text(notice, "state"));
    let notices: BTreeSet<_> = received.iter().map(in_order).collect();
    notices.into_iter().map(|(image, _, state)| format!("{image} {state}")).collect()
}

/// The proofs in the reports: image, platform, verdict and coverage, each once.
fn proofs(harness: &Harness) -> BTreeSet<[String; 4]> {
    let field = |proof: &Value, name: &str| proof[name].as_str().unwrap_or_default().to_owned();
    let proof = |p: &&Value| ["image", "platform", "verdict", "coverage"].map(|name| field(p, name));
    harness.reported("proofs").iter().map(proof).collect()
}

fn all_fixed(coverage: &str) -> BTreeSet<[String; 4]> {
    let on = |image: &str, platform: &str| [image, platform, "fixed", coverage].map(str::to_owned);
    AFFECTED.iter().flat_map(|image| [on(image, "linux/amd64"), on(image, "linux/arm64")]).collect()
}

#[tokio::test]
async fn a_cve_in_a_base_rolls_to_the_applications_with_proof() {
    let mut harness = Harness::start(Setup::default()).await;
    harness.disclose(CVE, "openssl", Some("1.0.1"));
    run_until_idle(&mut harness, Delivery::InOrder).await;
    assert_the_wave_rolled_once(&mut harness).await;
    assert_eq!(proofs(&harness), all_fixed("osAndLanguages"));
    assert_eq!(
        notices(&harness).await,
        ["base/os opened", "base/os closed", "base/os closed"],
        "22 findings have one root cause, and the last notice says how the prediction came out"
    );

    let executions = harness.pipelines.executions();
    let reported: BTreeSet<&str> =
        harness.reported("started").iter().filter_map(|started| started["executionId"].as_str()).collect();
    assert_eq!(reported, executions.iter().map(|execution| execution.id.as_str()).collect());
    let pinned = executions.iter().find(|execution| execution.image == "apps/checkout").unwrap();
    assert_eq!(
        pinned.commit,
        Some(harness.recipe("apps/checkout").head()),
        "a rebuild ships the same commit"
    );
    let base = executions.iter().find(|execution| execution.image == "base/os").unwrap();
    assert_eq!(base.variables["PATCHWAVE_NO_CACHE"], "true", "a cache would return the old layer");
}

#[tokio::test]
async fn with_basic_scanning_a_fix_rolls_to_the_applications_too() {
    let mut harness = Harness::start(Setup { scanning: Scanning::Basic, ..Setup::default() }).await;
    harness.disclose(CVE, "openssl", Some("1.0.1"));
    harness.scan_everything().await;
    run_until_idle(&mut harness, Delivery::Batched).await;
    assert_the_wave_rolled_once(&mut harness).await;
    let sqs = harness.log("scan-complete");
    assert!(
        sqs.iter().any(|line| line.contains(r#""verdict":"Fixed""#) || line.contains("fixed")),
        "{sqs:#?}"
    );
}

#[tokio::test]
async fn the_parents_of_a_finding_are_scanned_before_anything_is_built() {
    let mut harness = Harness::start(Setup { scanning: Scanning::Basic, ..Setup::default() }).await;
    harness.disclose(CVE, "openssl", Some("1.0.1"));
    harness.registry.scan_version("apps/search", &harness.current("apps/search:live").await);
    let event = harness.bus.take().swap_remove(0);
    let report = harness.deliver(&event).await;
    assert_eq!(report["started"], json!([]), "the scans of the parents are older than the finding: {report}");
    let requested: BTreeSet<&str> =
        harness.reported("scansRequested").iter().filter_map(|scan| scan["image"].as_str()).collect();
    assert!(requested.contains("platform/java:21"), "{requested:?}");
    for _ in 0..2 {
        harness.registry.finish_scans();
        for event in harness.bus.take() {
            harness.deliver(&event).await;
        }
    }
    assert_eq!(harness.builds(), each_once(&["base/os"]), "the finding belongs to the base");
    run_until_idle(&mut harness, Delivery::Batched).await;
    assert_the_wave_rolled_once(&mut harness).await;
}

#[tokio::test]
async fn a_scan_event_of_every_image_at_once_gives_one_build_each() {
    let mut harness = Harness::start(Setup::default()).await;
    harness.disclose(CVE, "openssl", Some("1.0.1"));
    let events = harness.bus.take();
    assert_eq!(events.len(), 2 * AFFECTED.len(), "one for each platform of each image");
    harness.deliver_at_once(events).await;
    assert_eq!(harness.builds(), each_once(&["base/os"]));
    let calls = harness.traffic.calls_of("StartPipelineExecution");
    assert_eq!(calls, 1, "the claim allows one start, before the pipeline compares tokens");
    run_until_idle(&mut harness, Delivery::Batched).await;
    assert_the_wave_rolled_once(&mut harness).await;
}

async fn disorder_adds_no_build(seed: u64) {
    let mut harness = Harness::start(Setup::default()).await;
    harness.disclose(CVE, "openssl", Some("1.0.1"));
    run_until_idle(&mut harness, Delivery::Disordered(seed)).await;
    assert_the_wave_rolled_once(&mut harness).await;
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
async fn without_any_event_the_sweep_and_the_tick_roll_the_fix() {
    let mut harness = Harness::start(Setup::default()).await;
    harness.disclose(CVE, "openssl", Some("1.0.1"));
    harness.sweep().await;
    run_until_idle(&mut harness, Delivery::Dropped).await;
    assert_the_wave_rolled_once(&mut harness).await;
    assert_eq!(proofs(&harness), all_fixed("osAndLanguages"));
}

#[tokio::test]
async fn in_observe_mode_nothing_starts_and_the_report_says_what_would() {
    let mut harness = Harness::start(Setup { mode: "observe", ..Setup::default() }).await;
    harness.disclose(CVE, "openssl", Some("1.0.1"));
    run_until_idle(&mut harness, Delivery::Batched).await;
    let sweep = harness.sweep().await;
    assert_eq!(harness.builds(), BTreeMap::new());
    let base = held(&sweep, "base/os");
    assert_eq!(base["why"], "Observing");
    assert_eq!(base["reasons"][0]["code"], "Vulnerable");
    for image in AFFECTED.iter().filter(|image| **image != "base/os") {
        let waiting = held(&sweep, image);
        assert_eq!((&waiting["why"], &waiting["on"]), (&json!("WaitingOn"), &json!("base/os")), "{image}");
    }
}

#[tokio::test]
async fn a_pipeline_that_would_refuse_a_start_is_held_with_the_reason() {
    let undeclared = |recipe: &mut Recipe| {
        if recipe.image == "base/os" {
            recipe.variables.retain(|name| name != "PATCHWAVE_NO_CACHE");
        }
    };
    let mut harness = Harness::start_with(Setup::default(), undeclared).await;
    harness.disclose(CVE, "openssl", Some("1.0.1"));
    run_until_idle(&mut harness, Delivery::Batched).await;
    let sweep = harness.sweep().await;
    assert_eq!(harness.builds(), BTreeMap::new());
    let base = held(&sweep, "base/os");
    assert_eq!(base["why"], "NoPipeline");
    assert!(base["because"].as_str().unwrap().contains("PATCHWAVE_NO_CACHE"), "{base}");
}

#[tokio::test]
async fn a_failed_build_holds_its_branch_and_no_other() {
    let mut harness = Harness::start(Setup::default()).await;
    harness.failing_builds.insert("platform/java:21".to_owned());
    harness.disclose(CVE, "openssl", Some("1.0.1"));
    run_until_idle(&mut harness, Delivery::Batched).await;

    let mut expected = each_once(&AFFECTED);
    expected.retain(|image, _| !["apps/search:live", "apps/billing:live"].contains(&image.as_str()));
    expected.insert("platform/java:21".to_owned(), 2);
    assert_eq!(harness.builds(), expected, "one retry, then a back-off");

    let sweep = harness.sweep().await;
    let failed = held(&sweep, "platform/java:21");
    assert_eq!((&failed["why"], &failed["failures"]), (&json!("BackOff"), &json!(2)));
    for image in ["apps/search:live", "apps/billing:live"] {
        let waiting = held(&sweep, image);
        assert_eq!((&waiting["why"], &waiting["on"]), (&json!("WaitingOn"), &json!("platform/java:21")));
        assert!(!harness.findings(image).await.is_empty(), "{image} still has the finding");
    }
    assert_eq!(held(&sweep, "apps/landing:live")["why"], "Fresh");
}

#[tokio::test]
async fn a_failed_scan_is_unknown_and_never_clean() {
    let mut harness = Harness::start(Setup::default()).await;
    harness.registry.fail_scans_of("platform/python");
    harness.scan_everything().await;
    let events = harness.bus.take();
    let event = events.iter().find(|event| event.to_string().contains("platform/python")).unwrap();
    let report = harness.deliver(event).await;
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
async fn a_finding_that_no_rebuild_can_fix_starts_nothing() {
    let mut harness = Harness::start(Setup::default()).await;
    harness.disclose(CVE, "cart-library", Some("1.0.1"));
    harness.disclose("CVE-2026-1001", "openssl", None);
    run_until_idle(&mut harness, Delivery::Batched).await;
    assert_eq!(harness.builds(), BTreeMap::new());
    let sweep = harness.sweep().await;
    assert_eq!(held(&sweep, "apps/cart:live")["why"], "CannotHelp");
    assert_eq!(held(&sweep, "base/os")["why"], "CannotHelp");
}
