//! Rules that no other test pins down: each was found by breaking it and seeing nothing fail.

#![expect(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "a test that cannot go on fails")]

mod village;

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
            findings[0].exploited = exploited;
        }
        let start = village.plan().starts.pop().expect("it starts");
        assert_eq!(start.due.duration_since(start.since).as_hours(), due, "{exploited:?}");
        let cause = start.reasons[0].causes().next().unwrap().clone();
        assert_eq!(cause.exploited, due == 0);
    }
}
