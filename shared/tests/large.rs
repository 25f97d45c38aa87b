//! Images with thousands of findings: records stay far below DynamoDB's 400 KB an item, and rebuilds come to an end.

#![expect(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "a test that cannot go on fails")]

mod village;

use patchwave::finding::{Finding, FindingKey};
use patchwave::plan::Reason;
use village::{Village, finding, id};

/// The largest record that is accepted here, in bytes of JSON.
const LARGEST: usize = 256 * 1024;

fn thousands(village: &mut Village, name: &str, stubborn: bool) {
    for n in 0..5_000 {
        let package = format!("a-package-with-quite-a-long-name-{n}");
        let key = FindingKey { vulnerability: format!("CVE-2026-{n:05}").into(), package: package.into() };
        let found = Finding { key: key.clone(), ..finding("CVE") };
        village.infect(name, &found);
        if stubborn {
            village.stubborn.insert(key);
        }
    }
    village.scan_all();
}

/// Plays, and returns the builds and the largest record that was ever written.
fn play(village: &mut Village) -> (Vec<String>, usize) {
    let (mut builds, mut largest) = (Vec::new(), 0);
    for _ in 0..6 {
        builds.extend(village.pass());
        let written =
            village.facts.images.values().map(|facts| serde_json::to_string(&facts.record).unwrap());
        largest = written.map(|json| json.len()).chain([largest]).max().unwrap();
        village.wait("1h");
        for name in ["b", "p"] {
            if village.image(name).record.claim.is_some() {
                village.finish(name);
                village.scan_all();
            }
        }
    }
    assert_eq!(village.plan().starts, [], "it came to an end");
    (builds, largest)
}

#[test]
fn five_thousand_findings_fit_into_a_record() {
    let mut village = Village::of("b: scratch\np: b");
    thousands(&mut village, "b", false);
    let unknown: Vec<String> = village.plan().unknown.into_iter().map(|unknown| unknown.because).collect();
    assert!(unknown.iter().any(|why| why.contains("are not followed to their proof")), "{unknown:?}");
    let (builds, largest) = play(&mut village);
    assert_eq!(builds, ["b", "p"]);
    assert!((64 * 1024..LARGEST).contains(&largest), "{largest} bytes");
    assert!(village.current("p").platforms.values().all(|manifest| manifest.scan.findings().is_empty()));
}

#[test]
fn rebuilds_that_fix_none_of_five_thousand_findings_come_to_an_end() {
    let mut village = Village::of("b: scratch\np: b");
    thousands(&mut village, "b", true);
    let (builds, largest) = play(&mut village);
    assert_eq!(builds, ["b", "b"], "one try and one retry");
    assert!(largest < LARGEST, "{largest} bytes");
    assert_eq!(village.hold("b").name(), "Quarantined");
    let kept = &village.facts.images[&id("b")].record.ineffective;
    assert!(kept.len() >= 200, "{}", kept.len());
}

#[test]
fn on_a_new_parent_all_that_was_given_up_is_tried_again() {
    let mut village = Village::of("b: scratch\np: b");
    thousands(&mut village, "p", true);
    assert_eq!(play(&mut village).0, ["p", "p"]);
    village.push(&id("b"));
    village.scan_all();
    village.wait("1h");
    let reasons: Vec<&str> = village.plan().starts[0].reasons.iter().map(Reason::code).collect();
    assert_eq!(reasons, ["Vulnerable", "ParentChanged"]);
}
