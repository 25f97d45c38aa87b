//! What AWS answers and what reaches the functions, changed at random. Each input results in an
//! answer or an error.

use std::cell::Cell;
use std::sync::{Arc, Mutex};

use aws_sdk_ecr::Client;
use patchwave::finding::Scan;
use patchwave::trigger::ScheduleKind;
use patchwave_tests::mutate::mutations;
use serde_json::json;

use crate::ecr::{Cache, Ecr, ScanRead};
use crate::fake;
use crate::lambda::read_batch;
use crate::manifest;
use crate::upstream::{Challenge, described};

fn findings() -> Vec<Vec<u8>> {
    let enhanced = json!({
        "imageScanStatus": {"status": "ACTIVE"},
        "imageScanFindings": {"imageScanCompletedAt": 1_790_000_000.5, "enhancedFindings": [{
            "severity": "CRITICAL", "status": "ACTIVE", "type": "PACKAGE_VULNERABILITY", "fixAvailable": "YES",
            "exploitAvailable": "NO", "title": "CVE-2026-1000 - openssl", "firstObservedAt": 1_789_000_000.0,
            "packageVulnerabilityDetails": {"vulnerabilityId": "CVE-2026-1000", "vulnerablePackages": [{
                "name": "openssl", "version": "1.0.0", "release": "1", "packageManager": "OS",
                "sourceLayerHash": fake::digest(1), "fixedInVersion": "1.0.1",
            }]},
        }]},
    });
    let basic = json!({
        "imageScanStatus": {"status": "COMPLETE", "description": "done"},
        "imageScanFindings": {"imageScanCompletedAt": 1_790_000_000, "findings": [{
            "name": "CVE-2026-1000", "severity": "HIGH",
            "attributes": [{"key": "package_name", "value": "openssl"}, {"key": "package_version", "value": "1"}],
        }]},
    });
    [enhanced, basic].map(|sample| sample.to_string().into_bytes()).to_vec()
}

#[test]
fn scans() {
    let answer: Arc<Mutex<String>> = Arc::default();
    let said = Arc::clone(&answer);
    let config = fake::raw(move |_| {
        let response = http::Response::builder().header("content-type", "application/x-amz-json-1.1");
        response.body(said.lock().unwrap().clone()).unwrap()
    });
    let registry = "111122223333.dkr.ecr.us-east-1.amazonaws.com".parse().unwrap();
    let ecr = Ecr::new(Client::new(&config), &registry, &Cache::default());
    let at = ("base/os".parse().unwrap(), fake::digest(1).parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let complete = Cell::new(0);
    mutations(&findings(), 2_000, 1, |bytes| {
        *answer.lock().unwrap() = String::from_utf8_lossy(bytes).into_owned();
        let scans = runtime.block_on(ecr.scans(&[at.clone()].into()));
        if let ScanRead::Whole(Scan::Complete { findings, .. }) = &scans[&at] {
            complete.set(complete.get() + 1);
            for finding in findings.iter() {
                let written = serde_json::to_string(&finding.key).unwrap();
                assert_eq!(serde_json::from_str(&written).ok().as_ref(), Some(&finding.key), "{written}");
            }
        }
    });
    assert!(complete.get() > 2, "some are still scans");
}

#[test]
fn manifests() {
    let samples = ["index.json", "manifest.json"].map(|name| {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/seeds/manifest");
        std::fs::read(folder.join(name)).unwrap()
    });
    mutations(&samples, 20_000, 2, |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        if let Err(invalid) = manifest::parse(text) {
            assert!(invalid.to_string().len() < 2 * bytes.len() + 1_000);
        }
    });
}

/// Manifests and challenges of registries of others.
#[test]
fn upstream() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/seeds/manifest");
    let samples = ["index.json", "manifest.json"].map(|name| std::fs::read(folder.join(name)).unwrap());
    let (digest, read) = (fake::digest(1).parse().unwrap(), Cell::new(0));
    mutations(&samples, 20_000, 4, |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        match described::read(text, &digest) {
            Ok(described) => {
                read.set(read.get() + 1);
                assert!(described.platforms.keys().all(|platform| !platform.is_marked_as_attestation()));
            }
            Err(problem) => assert!(problem.len() < 2 * bytes.len() + 1_000),
        }
    });
    assert!(read.get() > 2, "some are still manifests");
    let challenge = br#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="x", Basic realm="a\"b""#;
    mutations(&[challenge.to_vec()], 20_000, 5, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        if let Some(Challenge::Bearer { realm, .. }) = Challenge::read(std::iter::once(&*text)) {
            assert!(realm.len() <= text.len());
        }
    });
}

#[test]
fn batches() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/events");
    let samples = ["sqs-eventbridge-batch.json", "sqs-fifo-eventbridge.json"]
        .map(|name| std::fs::read(folder.join(name)).unwrap());
    mutations(&samples, 20_000, 3, |bytes| {
        let Ok(payload) = serde_json::from_slice::<serde_json::Value>(bytes) else { return };
        let messages = payload["Records"].as_array().map_or(0, Vec::len);
        if let Ok(failures) = read_batch(payload, ScheduleKind::Tick) {
            assert!(failures <= messages, "no message fails twice");
        }
    });
}
