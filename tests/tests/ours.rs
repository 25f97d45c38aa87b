//! What a build's success stands for, and which code a build runs: nobody who may only push to a
//! repository decides that.

use patchwave_tests::content::{self, Annotations};
use patchwave_tests::harness::{Harness, Setup, held};
use patchwave_tests::hierarchy;
use serde_json::{Value, json};

const CVE: &str = "CVE-2026-1000";

/// An account whose base has a critical finding, with the base's build under way.
async fn building() -> Harness {
    let mut harness = Harness::start(Setup::default()).await;
    harness.disclose(CVE, "openssl", Some("1.0.1"));
    let event = harness.bus.take().swap_remove(0);
    let report = harness.deliver(&event).await;
    assert_eq!(report["started"][0]["image"], "base/os", "{report}");
    harness
}

#[tokio::test]
async fn a_roll_back_before_the_success_was_seen_is_not_undone() {
    let mut harness = building().await;
    let before = harness.current("base/os").await;
    let execution = harness.pipelines.running().swap_remove(0);
    harness.end_build(&execution).await;
    let ours = harness.current("base/os").await;
    assert_ne!(before, ours);
    // A person moves the tags back before any function hears of the success.
    for tag in harness.recipe("base/os").tags("", "") {
        harness.registry.retag("base/os", &before, &tag).await.unwrap();
    }
    assert_eq!(harness.current("base/os").await, before);
    let tick = harness.tick().await;
    assert_eq!(held(&tick, "base/os")["why"], "RolledBack", "{tick}");
    let sweep = harness.sweep().await;
    assert_eq!(held(&sweep, "base/os")["why"], "RolledBack", "{sweep}");
    assert_eq!(harness.builds()["base/os"], 1);
}

#[tokio::test]
async fn a_pushed_annotation_does_not_choose_the_commit_that_is_built() {
    let pinned = "pipeline: { name: base-os, sources: [{ action: Source, type: COMMIT_ID }] }";
    let hierarchy = hierarchy::SAMPLE.replacen("pipeline: base-os", pinned, 1);
    assert_ne!(hierarchy, hierarchy::SAMPLE);
    let mut harness = Harness::start(Setup { hierarchy, ..Setup::default() }).await;
    harness.disclose(CVE, "openssl", Some("1.0.1"));
    let tag = harness.recipe("base/os").line().to_owned();
    let layers = {
        let manifest = harness.manifests("base/os").await.swap_remove(0);
        content::layers(&harness.registry.document("base/os", &manifest).unwrap())
    };
    for revision in ["6".repeat(40), "refs/pull/666/head".to_owned(), "../x.zip".to_owned()] {
        let name = "org.opencontainers.image.revision".to_owned();
        let annotations = Annotations::from([(name, revision.clone())]);
        let pushed = content::manifest(&revision, &layers, &annotations);
        harness.registry.push("base/os", &pushed, Some(&tag)).await.unwrap();
        let sweep = harness.sweep().await;
        assert_eq!(held(&sweep, "base/os")["why"], "UnknownRevision", "{revision}: {sweep}");
    }
    assert!(!harness.builds().contains_key("base/os"));
}

#[tokio::test]
async fn a_pipeline_that_is_busy_is_no_failure_and_its_start_comes_back() {
    let mut harness = Harness::start(Setup::default()).await;
    harness.disclose(CVE, "openssl", Some("1.0.1"));
    let event = harness.bus.take().swap_remove(0);
    harness.traffic.refuse("StartPipelineExecution", "ConflictException");
    let report = harness.invoke("scan-complete", &event).await.unwrap();
    let held = held(&report, "base/os");
    assert_eq!((&held["why"], &held["limit"]), (&json!("AtLimit"), &json!("pipeline")), "{report}");
    let items = harness.items().await;
    let day = items.iter().find(|item| item["sk"]["S"].as_str().unwrap().starts_with("day#")).unwrap();
    assert_eq!(day["starts"]["N"], "0", "its share of the day is free again");
    let audit = items.iter().find(|item| item["pk"]["S"] == "audit#base/os").unwrap();
    assert!(audit["refused"]["S"].as_str().unwrap().contains("ConflictException"), "{audit}");
}

#[tokio::test]
async fn why_a_build_failed_is_read_from_its_action() {
    let mut harness = building().await;
    harness.failing_builds.insert("base/os".into());
    let mut tick = Value::Null;
    for _ in 0..2 {
        let execution = harness.pipelines.running().swap_remove(0);
        harness.end_build(&execution).await;
        tick = harness.tick().await;
    }
    let held = held(&tick, "base/os");
    assert_eq!(held["why"], "BackOff", "{tick}");
    let because = held["because"].as_str().unwrap();
    assert!(because.contains("the action Build/Image failed: a step of the build failed"), "{because}");
    assert!(because.contains("https://console.example/builds/"), "{because}");
}
