//! What a scan after a build proves, and who waits for that.

use std::collections::BTreeSet;

use patchwave::facts::ExecutionState;
use patchwave::finding::{Coverage, Finding, PackageKind, Scan, Severity};
use patchwave::intervention::Intervention;
use patchwave::plan::{Awaited, Hold, Verdict};
use patchwave::time::Span;

use crate::fleet::{Fleet, PLATFORMS, finding, finding_in, id};

#[test]
fn a_rebuild_that_fixes_nothing_is_tried_again_once_and_does_not_roll() {
    let mut fleet = Fleet::with_unfixable_finding("b: scratch\n a: b", "b");
    assert_eq!(fleet.run_until_idle(), ["b", "b"]);
    assert!(matches!(fleet.hold("b"), Hold::Quarantined { .. }));
    assert!(matches!(fleet.hold("a"), Hold::WaitingOn { on, .. } if on == id("b")));
    assert_ne!(fleet.builds[0].key, fleet.builds[1].key);
}

#[test]
fn children_wait_for_a_proof_until_it_is_in_or_its_wait_is_over() {
    let mut fleet = Fleet::with_finding("b: scratch\n a: b", "b");
    fleet.pass();
    fleet.wait("5m");
    fleet.push(&id("b"));
    fleet.end("b", ExecutionState::Succeeded);
    assert_eq!(fleet.pass(), Vec::<String>::new());
    assert!(matches!(fleet.hold("b"), Hold::AwaitingProof { .. }));
    assert_eq!(fleet.plan().scans.len(), 2, "the scans that prove it have not begun");
    assert!(
        matches!(fleet.hold("a"), Hold::WaitingOn { awaits: Awaited::Hold(hold), .. } if matches!(*hold, Hold::AwaitingProof { .. }))
    );
    fleet.wait("31m");
    let plan = fleet.plan();
    assert!(plan.proofs.iter().all(|proof| proof.verdict == Verdict::Unscanned) && plan.proofs.len() == 2);
    assert_eq!(fleet.pass(), ["a"], "the proof did not come, and the child starts");
}

#[test]
fn a_proof_is_given_for_every_platform() {
    let mut fleet = Fleet::with_finding("b: scratch", "b");
    fleet.pass();
    fleet.wait("5m");
    fleet.finish("b");
    let proofs = fleet.plan().proofs;
    let platforms: Vec<&str> = proofs.iter().map(|proof| proof.platform.as_str()).collect();
    assert_eq!(platforms, PLATFORMS);
    assert!(proofs.iter().all(|proof| proof.verdict == Verdict::Fixed && proof.coverage.is_some()));
}

/// A build from the cache may push what the registry has from before the finding.
#[test]
fn a_scan_from_before_the_finding_proves_nothing() {
    let mut fleet = Fleet::with_finding("b: scratch", "b");
    let before = Span::hours(1).before(fleet.now);
    fleet.pass();
    fleet.wait("5m");
    fleet.finish("b");
    for manifest in fleet.current_mut("b").platforms.values_mut() {
        manifest.scan = Scan::complete(before, Coverage::Os, []);
    }
    assert!(matches!(fleet.hold("b"), Hold::AwaitingProof { .. }), "{:?}", fleet.hold("b"));
    fleet.scan("b");
    assert!(fleet.plan().proofs.iter().all(|proof| proof.verdict == Verdict::Fixed));
}

#[test]
fn an_expired_scan_proves_nothing() {
    let mut fleet = Fleet::with_finding("b: scratch", "b");
    fleet.pass();
    fleet.finish("b");
    for manifest in fleet.current_mut("b").platforms.values_mut() {
        manifest.scan = Scan::Expired;
    }
    assert!(fleet.plan().proofs.iter().all(|proof| proof.verdict == Verdict::Expired));
    assert!(matches!(fleet.hold("b"), Hold::Unknown { .. }), "expired is not clean");
}

#[test]
fn a_successful_build_that_pushed_nothing_is_ineffective_and_consumes_its_reasons() {
    let mut fleet = Fleet::with_finding("b: scratch", "b");
    fleet.pass();
    fleet.end("b", ExecutionState::Succeeded);
    let plan = fleet.plan();
    assert!(plan.proofs.iter().all(|proof| proof.verdict == Verdict::Ineffective));
    assert_eq!(fleet.apply(&plan), ["b"], "one retry");
    fleet.end("b", ExecutionState::Succeeded);
    fleet.pass();
    assert!(matches!(fleet.hold("b"), Hold::Quarantined { .. }));
}

#[test]
fn a_dropped_platform_is_judged_removed_and_rebuilds_the_children_that_use_it() {
    let mut fleet = Fleet::with_finding("b: scratch\n a: b", "b");
    fleet.pass();
    fleet.finish("b");
    fleet.current_mut("b").platforms.pop_last();
    let plan = fleet.plan();
    let verdicts: Vec<Verdict> = plan.proofs.iter().map(|proof| proof.verdict).collect();
    assert_eq!(verdicts, [Verdict::Fixed, Verdict::Removed]);
    assert_eq!(fleet.apply(&plan), ["a"]);
}

#[test]
fn a_build_for_a_changed_parent_is_not_held_for_a_proof() {
    let mut fleet = Fleet::with_finding("b: scratch\n p: b\n a: p", "b");
    fleet.pass();
    fleet.finish("b");
    assert_eq!(fleet.pass(), ["p"]);
    fleet.push(&id("p"));
    fleet.end("p", ExecutionState::Succeeded);
    assert!(fleet.current("p").platforms.values().all(|m| m.scan == Scan::Missing));
    assert_eq!(fleet.pass(), ["a"]);
}

#[test]
fn an_ineffective_rebuild_does_not_roll_to_its_children() {
    let mut fleet = Fleet::with_unfixable_finding("b: scratch\n a1: b\n a2: b", "b");
    assert_eq!(fleet.run_until_idle(), ["b", "b"]);
}

/// The first build fixed one of two findings, and the retry for the other fixed nothing.
#[test]
fn an_ineffective_retry_does_not_hold_back_an_earlier_fix() {
    let mut fleet = Fleet::of("b: scratch\n a1: b\n a2: b");
    fleet.add_finding("b", &finding("CVE-1"));
    fleet.add_finding("b", &finding("CVE-2"));
    fleet.unfixable.insert(finding("CVE-1").key);
    fleet.scan_all();
    assert_eq!(fleet.run_until_idle(), ["b", "b", "a1", "a2"]);
}

#[test]
fn an_ineffective_retry_hides_no_earlier_fix_from_a_child_that_cannot_be_scanned() {
    let mut fleet = Fleet::of("b: scratch\np: b");
    fleet.fail_scans("p");
    fleet.decide("p", Intervention::Freeze);
    fleet.add_finding("b", &finding("CVE-1"));
    fleet.scan("b");
    assert_eq!(fleet.pass(), ["b"]);
    fleet.wait("10m");
    fleet.finish("b");
    assert_eq!(fleet.pass(), [""; 0], "the fix is proven, and p is frozen");

    let unfixable = finding_in("CVE-2", "zlib");
    fleet.add_finding("b", &unfixable);
    fleet.unfixable.insert(unfixable.key);
    fleet.scan("b");
    for _ in 0..2 {
        assert_eq!(fleet.pass(), ["b"]);
        fleet.wait("10m");
        fleet.finish("b");
    }
    assert_eq!(fleet.pass(), [""; 0]);
    assert_eq!(fleet.hold("b").name(), "Quarantined");

    fleet.decide("p", Intervention::Release);
    assert_eq!(fleet.pass(), ["p"], "p was built before CVE-1 was fixed");
}

#[test]
fn a_proof_requests_the_scans_that_have_not_begun() {
    let mut fleet = Fleet::with_finding("b: scratch", "b");
    fleet.pass();
    fleet.wait("10m");
    fleet.push(&id("b"));
    fleet.end("b", ExecutionState::Succeeded);
    let requested: Vec<String> =
        fleet.plan().scans.into_iter().map(|scan| scan.platform.to_string()).collect();
    assert_eq!(requested, PLATFORMS);
}

#[test]
fn a_build_that_changed_nothing_is_judged_without_a_scan() {
    let mut fleet = Fleet::with_finding("b: scratch", "b");
    fleet.pass();
    fleet.end("b", ExecutionState::Succeeded);
    fleet.manifests("b").for_each(|manifest| manifest.scan = Scan::Pending);
    let verdicts: Vec<Verdict> = fleet.plan().proofs.iter().map(|proof| proof.verdict).collect();
    assert_eq!(verdicts, [Verdict::Ineffective; 2], "one for each platform");
}

#[test]
fn a_version_whose_predecessor_was_deleted_counts_as_changed() {
    let mut fleet = Fleet::with_finding("b: scratch", "b");
    fleet.pass();
    let replaced = fleet.current("b").digest.clone();
    fleet.wait("10m");
    fleet.finish("b");
    fleet.image("b").versions.remove(&replaced);
    fleet.manifests("b").for_each(|manifest| manifest.scan = Scan::Pending);
    assert_eq!(fleet.hold("b").name(), "AwaitingProof");
}

#[test]
fn the_wait_for_a_proof_ends_at_its_time() {
    let mut fleet = Fleet::with_finding("b: scratch", "b");
    fleet.pass();
    fleet.finish("b");
    fleet.manifests("b").for_each(|manifest| manifest.scan = Scan::Pending);
    fleet.pass();
    let Hold::AwaitingProof { until } = fleet.hold("b") else { panic!("{:?}", fleet.hold("b")) };
    fleet.now = Span::seconds(1).before(until);
    assert_eq!(fleet.plan().proofs, []);
    fleet.now = until;
    assert!(fleet.plan().proofs.iter().all(|proof| proof.verdict == Verdict::Unscanned));
    assert_eq!(fleet.plan().proofs.len(), 2, "one for each platform");
}

#[test]
fn a_scan_of_os_packages_proves_nothing_about_a_language_package() {
    let mut fleet = Fleet::of("b: scratch");
    fleet.add_finding("b", &finding("CVE-1"));
    fleet.add_finding("b", &Finding { kind: PackageKind::Language, ..finding_in("CVE-2", "left-pad") });
    fleet.scan("b");
    fleet.pass();
    fleet.finish("b");
    for manifest in fleet.manifests("b") {
        let Scan::Complete { coverage, .. } = &mut manifest.scan else { panic!("it was scanned") };
        *coverage = Coverage::Os;
    }
    fleet.pass();
    assert_eq!(fleet.hold("b").name(), "AwaitingProof", "for CVE-2");
    fleet.wait("1d");
    let verdicts: BTreeSet<_> = fleet
        .plan()
        .proofs
        .into_iter()
        .map(|proof| (proof.finding.vulnerability.to_string(), proof.verdict))
        .collect();
    let expected = [("CVE-1", Verdict::Fixed), ("CVE-2", Verdict::Unscanned)];
    assert_eq!(verdicts, expected.map(|(cve, verdict)| (cve.to_owned(), verdict)).into());
}

#[test]
fn a_finding_fixed_on_one_of_two_platforms_is_not_fixed() {
    let mut fleet = Fleet::with_unfixable_finding("b: scratch", "b");
    assert_eq!(fleet.pass(), ["b"]);
    fleet.finish("b");
    assert_eq!(fleet.pass(), ["b"], "one retry");
    fleet.finish("b");
    let fixed = fleet.own_layers("b").pop().unwrap();
    fleet.layers.insert(fixed, Vec::new());
    fleet.scan("b");
    let verdicts: Vec<Verdict> = fleet.plan().proofs.iter().map(|proof| proof.verdict).collect();
    assert_eq!(verdicts, [Verdict::Ineffective, Verdict::Fixed]);
    assert_eq!(fleet.pass(), [""; 0]);
    assert_eq!(fleet.hold("b").name(), "Quarantined");
    assert!(fleet.record("b").success.as_ref().unwrap().fixed_nothing);
}

#[test]
fn a_build_that_fixed_one_of_two_findings_fixed_something() {
    let mut fleet = Fleet::of("b: scratch\np: b");
    let unfixable = finding_in("CVE-2", "zlib");
    fleet.add_finding("b", &finding("CVE-1"));
    fleet.add_finding("b", &unfixable);
    fleet.unfixable.insert(unfixable.key);
    fleet.scan("b");
    fleet.pass();
    fleet.finish("b");
    assert_eq!(fleet.pass(), ["b"], "one retry for what is left");
    assert!(!fleet.record("b").success.as_ref().unwrap().fixed_nothing);
}

#[test]
fn a_proof_judges_the_findings_that_policy_counts_and_those_that_the_build_is_for() {
    let mut fleet = Fleet::of("b: scratch | rebuildAt: critical\n a: b");
    let severe = |vulnerability, severity| Finding { severity, ..finding(vulnerability) };
    let pinned = Finding { kind: PackageKind::Language, ..severe("CVE-4", Severity::Critical) };
    fleet.add_finding("b", &severe("CVE-1", Severity::Low));
    // The policy of the application counts this one.
    fleet.add_finding("b", &severe("CVE-2", Severity::High));
    fleet.add_finding("b", &severe("CVE-3", Severity::Critical));
    // No rebuild is made for this one, but a rebuild may fix it.
    fleet.add_finding("b", &pinned);
    fleet.scan_all();
    let judged: BTreeSet<String> =
        fleet.only_start().to_prove.iter().map(|item| item.finding.vulnerability.to_string()).collect();
    assert_eq!(judged.into_iter().collect::<Vec<_>>(), ["CVE-2", "CVE-3", "CVE-4"]);
    assert_eq!(fleet.plan().starts[0].image, id("b"));
    assert_eq!(fleet.plan().unknown.len(), 0, "a record has room for all of them");
}

#[test]
fn an_index_of_one_windows_and_one_linux_platform_is_proved_for_both() {
    let platforms = ["linux/amd64", "windows/amd64/10.0.20348"];
    let rename = |fleet: &mut Fleet| {
        let version = fleet.current_mut("b");
        let manifests = std::mem::take(&mut version.platforms).into_values();
        version.platforms =
            platforms.map(|platform| platform.parse().unwrap()).into_iter().zip(manifests).collect();
    };
    let mut fleet = Fleet::of("b: scratch");
    rename(&mut fleet);
    fleet.add_finding("b", &finding("CVE-1"));
    fleet.scan_all();
    assert_eq!(fleet.pass(), ["b"]);
    fleet.wait("5m");
    fleet.finish("b");
    rename(&mut fleet);
    let second = fleet.current_mut("b").platforms.values_mut().next_back().unwrap();
    let scan = std::mem::replace(&mut second.scan, Scan::Pending);
    assert_eq!(fleet.plan().proofs, [], "one platform proves nothing of the other");
    fleet.current_mut("b").platforms.values_mut().next_back().unwrap().scan = scan;
    let proofs = fleet.plan().proofs;
    assert_eq!(proofs.iter().map(|proof| proof.platform.as_str()).collect::<Vec<_>>(), platforms);
    assert!(proofs.iter().all(|proof| proof.verdict == Verdict::Fixed), "{proofs:?}");
}
