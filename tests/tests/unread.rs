//! Facts that cannot be read, and images that hide: neither is ever clean, and neither is forgotten.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use patchwave_tests::content::{self, Annotations};
use patchwave_tests::harness::{Harness, Setup, held};
use patchwave_tests::hierarchy;
use patchwave_tests::scanner::Package;
use serde_json::{Value, json};

const CVE: &str = "CVE-2026-1000";

fn names<'r>(report: &'r Value, image: &str) -> Vec<&'r Value> {
    let unknown = report["unknown"].as_array().unwrap();
    unknown.iter().filter(|unknown| unknown["image"] == image).collect()
}

#[tokio::test]
async fn a_scan_that_could_not_be_read_is_read_again_by_the_next_tick() {
    let mut harness = Harness::start(Setup::default()).await;
    harness.disclose(CVE, "openssl", Some("1.0.1"));
    let event = harness.bus.take().swap_remove(0);
    harness.traffic.refuse("DescribeImageScanFindings", "ThrottlingException");
    let report = harness.deliver(&event).await;
    assert_eq!(report["started"], json!([]));
    let unread = names(&report, "base/os");
    assert!(
        unread.iter().any(|u| u["because"].as_str().unwrap().contains("ThrottlingException")),
        "{report}"
    );
    assert!(unread.iter().all(|u| u["since"].is_string()), "since when: {unread:?}");
    assert_ne!(held(&report, "base/os")["why"], "Fresh");

    harness.traffic.admit_all();
    let tick = harness.tick().await;
    assert_eq!(tick["started"][0]["image"], "base/os", "no event tells: {tick}");
}

#[tokio::test]
async fn an_execution_that_may_not_be_read_is_unresolved_and_named() {
    let mut harness = Harness::start(Setup::default()).await;
    harness.disclose(CVE, "openssl", Some("1.0.1"));
    let event = harness.bus.take().swap_remove(0);
    harness.deliver(&event).await;
    assert_eq!(harness.builds().len(), 1);
    harness.traffic.refuse("GetPipelineExecution", "AccessDeniedException");
    let tick = harness.tick().await;
    assert_eq!(held(&tick, "base/os")["why"], "Unresolved", "{tick}");
    assert!(!names(&tick, "base/os").is_empty(), "{tick}");
    assert_eq!(harness.builds().len(), 1, "nothing starts beside a build that may run");
}

#[tokio::test]
async fn a_repository_that_does_not_exist_is_not_a_tag_that_was_never_built() {
    let mistyped = hierarchy::SAMPLE.replace("repository: base/os,", "repository: base/oss,");
    assert_ne!(mistyped, hierarchy::SAMPLE);
    let mut harness = Harness::start(Setup { mode: "observe", ..Setup::default() }).await;
    harness.moto().put_object("patchwave-configuration", "hierarchy.yaml", &mistyped).await;
    let sweep = harness.sweep().await;
    let held = held(&sweep, "base/os");
    assert_eq!(held["why"], "NoRepository", "{held}");
    assert!(held["registry"].as_str().unwrap().contains("Region us-east-1"), "{held}");
}

#[tokio::test]
async fn an_image_that_calls_itself_an_attestation_is_scanned_and_counts() {
    let mut harness = Harness::start(Setup::default()).await;
    let layer = content::digest("a layer that hides");
    let package = Package { name: "left-pad".into(), version: "1.0.0".into(), manager: "OS".into() };
    harness.registry.layer_holds(&layer, &[package]);
    let [clean, hidden] = [content::digest("clean"), layer]
        .map(|layer| content::manifest(&layer, std::slice::from_ref(&layer), &Annotations::default()));
    let entry = |document: &content::Document, annotations: Value| {
        json!({ "mediaType": document.media_type, "digest": document.digest, "size": document.text.len(),
                "platform": { "os": "linux", "architecture": "amd64" }, "annotations": annotations })
    };
    let index = [
        entry(&clean, json!({})),
        entry(&hidden, json!({ "vnd.docker.reference.type": "attestation-manifest" })),
    ];
    let index = content::index_of(&index, &Annotations::default());
    for document in [&clean, &hidden] {
        harness.registry.push("base/os", document, None).await.unwrap();
    }
    let tag = harness.recipe("base/os").line().to_owned();
    harness.registry.push("base/os", &index, Some(&tag)).await.unwrap();
    harness.disclose(CVE, "left-pad", Some("1.0.1"));
    let sweep = harness.sweep().await;
    let reasons = sweep["started"].as_array().unwrap().iter().find(|started| started["image"] == "base/os");
    let codes: Vec<&Value> = reasons.unwrap_or(&Value::Null)["reasons"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|r| &r["code"])
        .collect();
    assert!(codes.contains(&&json!("Vulnerable")), "{sweep}");
}
