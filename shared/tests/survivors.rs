//! Rules that no other test pins down: each was found by breaking it and seeing nothing fail.

#![expect(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "a test that cannot go on fails")]

mod village;

use std::sync::Arc;

use patchwave::facts::Execution;
use patchwave::finding::{Finding, FindingKey, Scan};
use patchwave::intervention::Intervention;
use village::{Village, finding, id};

fn other(vulnerability: &str, package: &str) -> Finding {
    let key = FindingKey { vulnerability: vulnerability.into(), package: package.into() };
    Finding { key, ..finding(vulnerability) }
}

/// From now on nobody scans this image's current version.
fn blind(village: &mut Village, name: &str) {
    for version in village.image(name).versions.values_mut() {
        for manifest in version.platforms.values_mut() {
            manifest.scan = Scan::Failed("UNSUPPORTED_IMAGE".into());
        }
    }
}

#[test]
fn a_retry_in_vain_hides_no_earlier_fix_from_a_child_that_nobody_can_scan() {
    let mut village = Village::of("b: scratch\np: b");
    blind(&mut village, "p");
    village.decide("p", Intervention::Freeze);
    village.infect("b", &finding("CVE-1"));
    village.scan("b");
    assert_eq!(village.pass(), ["b"]);
    village.wait("10m");
    village.finish("b");
    assert_eq!(village.pass(), [""; 0], "the fix is proven, and p is frozen");

    let stubborn = other("CVE-2", "zlib");
    village.infect("b", &stubborn);
    village.stubborn.insert(stubborn.key);
    village.scan("b");
    for _ in 0..2 {
        assert_eq!(village.pass(), ["b"]);
        village.wait("10m");
        village.finish("b");
    }
    assert_eq!(village.pass(), [""; 0]);
    assert_eq!(village.hold("b").name(), "Quarantined");

    village.decide("p", Intervention::Release);
    assert_eq!(village.pass(), ["p"], "p was built before CVE-1 was fixed");
}

#[test]
fn a_proof_asks_for_the_scans_that_nobody_began() {
    let mut village = Village::of("b: scratch");
    village.infect("b", &finding("CVE-1"));
    village.scan("b");
    village.pass();
    village.wait("10m");
    village.push(&id("b"));
    village.end("b", patchwave::facts::ExecutionState::Succeeded);
    let asked: Vec<String> = village.plan().scans.into_iter().map(|scan| scan.platform.to_string()).collect();
    assert_eq!(asked, village::PLATFORMS);
}

#[test]
fn what_is_exploited_on_one_platform_is_due_at_once() {
    let mut village = Village::of("b: scratch");
    village.infect("b", &finding("CVE-1"));
    village.scan("b");
    for (exploited, due) in [([true, false], 0), ([false, true], 0), ([false, false], 24)] {
        for (manifest, exploited) in
            village.image("b").versions.values_mut().flat_map(|v| v.platforms.values_mut()).zip(exploited)
        {
            let Scan::Complete { findings, .. } = &mut manifest.scan else { panic!("it was scanned") };
            Arc::get_mut(findings).unwrap()[0].exploited = exploited;
        }
        let start = village.plan().starts.pop().expect("it starts");
        assert_eq!(start.due.duration_since(start.since).as_hours(), due, "{exploited:?}");
        let cause = start.reasons[0].causes().next().unwrap().clone();
        assert_eq!(cause.exploited, due == 0);
    }
}

#[test]
fn what_any_carrier_knows_to_be_exploited_is() {
    let mut village = Village::of("b: scratch\np: b\nq: b");
    village.infect("b", &finding("CVE-1"));
    village.scan_all();
    for manifest in village.image("p").versions.values_mut().flat_map(|v| v.platforms.values_mut()) {
        let Scan::Complete { findings, .. } = &mut manifest.scan else { panic!("it was scanned") };
        Arc::get_mut(findings).unwrap()[0].exploited = true;
    }
    let start = village.plan().starts.pop().expect("b starts");
    assert_eq!(start.image, id("b"));
    assert!(start.reasons[0].causes().all(|cause| cause.exploited), "q's scan does not say so, and p's does");
}

#[test]
fn a_single_manifest_compares_with_its_parent_as_a_whole() {
    let mut village = Village::of("b: scratch\np: b");
    let facts = village.image("p");
    for version in facts.versions.values_mut() {
        let manifest = version.platforms.pop_first().unwrap().1;
        version.platforms = [("unknown/single".parse().unwrap(), manifest)].into();
    }
    assert_eq!(village.hold("p").name(), "Fresh");
    village.push(&id("b"));
    village.scan("b");
    village.wait("1d");
    assert_eq!(village.pass(), ["p"]);
}

#[test]
fn a_lease_has_ended_at_its_end() {
    let mut village = Village::of("b: scratch");
    village.infect("b", &finding("CVE-1"));
    village.scan("b");
    village.pass();
    let now = village.now;
    let facts = village.image("b");
    facts.execution = Some(Execution::Unknown("throttled".into()));
    let claim = facts.record.claim.as_mut().unwrap();
    claim.execution = None;
    claim.lease_until = now;
    assert_eq!(village.hold("b").name(), "Unresolved");
}

#[test]
fn what_an_image_waits_for_explains_it_better_than_a_failed_scan() {
    let mut village = Village::of("b: scratch\np: b");
    village.infect("b", &finding("CVE-1"));
    village.scan_all();
    for version in village.image("p").versions.values_mut() {
        version.platforms.values_mut().next_back().unwrap().scan = Scan::Failed("FAILED".into());
    }
    assert_eq!(village.hold("p").name(), "WaitingOn");
}
