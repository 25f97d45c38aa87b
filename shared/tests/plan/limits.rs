//! Images with thousands of findings: records stay far below DynamoDB's 400 KB, and rebuilds come
//! to an end.

use crate::fleet::{Fleet, finding_in, id};

/// The largest record that is accepted here, in bytes of JSON.
const LARGEST: usize = 256 * 1024;

/// Adds five thousand findings, which rebuilds fix or not.
fn add_thousands(fleet: &mut Fleet, name: &str, unfixable: bool) {
    for n in 0..5_000 {
        let package = format!("a-package-with-quite-a-long-name-{n}");
        let found = finding_in(&format!("CVE-2026-{n:05}"), &package);
        fleet.add_finding(name, &found);
        if unfixable {
            fleet.unfixable.insert(found.key);
        }
    }
    fleet.scan_all();
}

/// Passes until nothing is left to build; returns the builds and the size of the largest record.
fn run(fleet: &mut Fleet) -> (Vec<String>, usize) {
    let (mut builds, mut largest) = (Vec::new(), 0);
    for _ in 0..6 {
        builds.extend(fleet.pass());
        let written = fleet.facts.images.values().map(|facts| serde_json::to_string(&facts.record).unwrap());
        largest = written.map(|json| json.len()).chain([largest]).max().unwrap();
        fleet.wait("1h");
        for name in fleet.claimed() {
            fleet.finish(&name);
            fleet.scan_all();
        }
    }
    assert_eq!(fleet.plan().starts, [], "rebuilds come to an end");
    (builds, largest)
}

#[test]
fn five_thousand_findings_fit_into_a_record() {
    let mut fleet = Fleet::of("b: scratch\np: b");
    add_thousands(&mut fleet, "b", false);
    let unknown: Vec<String> = fleet.plan().unknown.into_iter().map(|unknown| unknown.because).collect();
    assert!(unknown.iter().any(|why| why.contains("are not followed to their proof")), "{unknown:?}");
    let record = &fleet.plan().records[&id("b")];
    assert!((100..1_000).contains(&record.seen.len()), "{}", record.seen.len());
    let (builds, largest) = run(&mut fleet);
    assert_eq!(builds, ["b", "p"]);
    assert!((64 * 1024..LARGEST).contains(&largest), "{largest} bytes");
    assert!(fleet.current("p").platforms.values().all(|manifest| manifest.scan.findings().is_empty()));
}

#[test]
fn rebuilds_that_fix_none_of_five_thousand_findings_come_to_an_end() {
    let mut fleet = Fleet::of("b: scratch\np: b");
    add_thousands(&mut fleet, "b", true);
    let (builds, largest) = run(&mut fleet);
    assert_eq!(builds, ["b", "b"], "one try and one retry");
    assert!(largest < LARGEST, "{largest} bytes");
    assert_eq!(fleet.hold("b").name(), "Quarantined");
    let kept = &fleet.record("b").ineffective;
    assert!(kept.len() >= 200, "{}", kept.len());
}

#[test]
fn on_a_new_parent_every_finding_that_was_given_up_is_tried_again() {
    let mut fleet = Fleet::of("b: scratch\np: b");
    add_thousands(&mut fleet, "p", true);
    assert_eq!(run(&mut fleet).0, ["p", "p"]);
    fleet.push(&id("b"));
    fleet.scan_all();
    fleet.wait("1h");
    assert_eq!(fleet.start_codes("p"), ["Vulnerable", "ParentChanged"]);
}
