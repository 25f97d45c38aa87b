//! What keeps an image that does not start, and what ends it.

use std::collections::BTreeSet;

use patchwave::facts::{Current, ExecutionState};
use patchwave::finding::{Fix, Scan};
use patchwave::hierarchy::Hierarchy;
use patchwave::intervention::Intervention;
use patchwave::plan::{Awaited, Hold, Reason, plan};
use patchwave::policy::Mode;
use patchwave::time::Span;

use crate::fleet::{Fleet, digest, family, finding, finding_in, id};

#[test]
fn a_quarantine_ends_with_a_newly_published_fix() {
    let mut fleet = Fleet::with_unfixable_finding("b: scratch", "b");
    fleet.run_until_idle();
    fleet.add_finding("b", &finding("CVE-2"));
    fleet.scan_all();
    assert_eq!(fleet.run_until_idle(), ["b"], "CVE-2 is fixed by one build");
    for findings in fleet.layers.values_mut() {
        for finding in findings.iter_mut() {
            finding.fix = Fix::Version("3.0.3".into());
        }
    }
    fleet.scan_all();
    assert_eq!(fleet.run_until_idle(), ["b", "b"], "a newly published fix is tried");
}

#[test]
fn an_image_without_a_complete_scan_is_never_called_clean() {
    for scan in [Scan::Missing, Scan::Pending, Scan::Failed("UNSUPPORTED_IMAGE".into()), Scan::Expired] {
        let mut fleet = Fleet::of("b: scratch");
        fleet.current_mut("b").platforms.values_mut().next().unwrap().scan = scan.clone();
        let plan = fleet.plan();
        assert!(matches!(plan.holds[&id("b")], Hold::Unknown { .. }), "{scan:?}");
        assert_eq!(plan.unknown.len(), 1);
    }
    let mut fleet = Fleet::of("b: scratch\n a: b");
    fleet.image("b").current = Current::Unread("throttled".into());
    assert!(matches!(fleet.hold("b"), Hold::Unknown { .. }));
    assert!(fleet.plan().starts.is_empty());
}

#[test]
fn a_carrier_waits_for_its_frozen_parent_and_names_the_parents_hold() {
    let mut fleet = Fleet::with_finding("b: scratch\n p: b | rebuild: never\n a: p", "p");
    assert_eq!(fleet.pass(), Vec::<String>::new());
    assert_eq!(
        fleet.hold("a"),
        Hold::WaitingOn { on: id("p"), awaits: Awaited::Hold(Box::new(Hold::Frozen)) }
    );
}

#[test]
fn a_failed_build_backs_off_and_only_its_branch_is_held() {
    let mut fleet = Fleet::with_finding("b: scratch\n p1: b\n p2: b\n a1: p1\n a2: p2", "b");
    fleet.pass();
    fleet.finish("b");
    assert_eq!(fleet.pass(), ["p1", "p2"]);
    for (attempt, hours) in [(1, 0), (2, 1), (3, 2), (4, 4)] {
        fleet.end("p1", ExecutionState::Failed);
        if hours > 0 {
            fleet.pass();
            assert!(
                matches!(fleet.hold("p1"), Hold::BackOff { failures, .. } if failures == attempt),
                "{:?}",
                fleet.hold("p1")
            );
            fleet.wait(&format!("{hours}h"));
        }
        fleet.pass();
        assert_eq!(fleet.image("p1").record.last_attempt, attempt + 1);
        if attempt == 1 {
            fleet.finish("p2");
            assert_eq!(fleet.pass(), ["a2"], "the other branch goes on");
        }
    }
    let starts: Vec<_> = fleet.builds.iter().filter(|start| start.image == id("p1")).collect();
    assert!(starts.iter().all(|start| start.key == starts[0].key), "one key");
    let tokens: BTreeSet<_> = starts.iter().map(|start| start.token()).collect();
    assert_eq!(tokens.len(), starts.len(), "a new token for each attempt");
}

#[test]
fn a_changed_parent_ends_a_back_off() {
    let mut fleet = Fleet::with_finding("b: scratch\n a: b", "a");
    for _ in 0..2 {
        fleet.pass();
        fleet.end("a", ExecutionState::Failed);
    }
    fleet.pass();
    assert!(matches!(fleet.hold("a"), Hold::BackOff { .. }));
    fleet.push(&id("b"));
    fleet.scan("b");
    fleet.wait("11m");
    assert_eq!(fleet.pass(), ["a"]);
}

#[test]
fn a_pushed_parent_is_followed_after_its_quiet_period_or_after_max_wait() {
    let mut fleet = Fleet::of("b: scratch\n a: b");
    fleet.wait("1h");
    fleet.push(&id("b"));
    fleet.scan_all();
    assert!(matches!(fleet.hold("a"), Hold::QuietPeriod { .. }));
    fleet.pass();
    // Pushes go on, but the child waits no longer than maxWait.
    for _ in 0..14 {
        fleet.wait("9m");
        fleet.push(&id("b"));
        fleet.scan_all();
        fleet.pass();
    }
    assert!(fleet.image("a").record.claim.is_some(), "after maxWait it starts nevertheless");
}

#[test]
fn a_rolled_back_image_is_not_rebuilt() {
    let mut fleet = Fleet::of("b: scratch");
    let before = fleet.current("b").digest.clone();
    fleet.add_finding("b", &finding("CVE-1"));
    fleet.scan_all();
    fleet.run_until_idle();
    fleet.image("b").current = Current::Version(before);
    assert_eq!(fleet.hold("b"), Hold::RolledBack);
}

#[test]
fn in_observe_mode_nothing_starts_and_reasons_are_still_given() {
    let fleet = Fleet::with_finding("b: scratch", "b");
    let plan = plan(&fleet.hierarchy, &fleet.facts, Mode::Observe, fleet.now);
    assert!(plan.starts.is_empty());
    assert_eq!(plan.holds[&id("b")], Hold::Observing);
    assert!(plan.reasons.contains_key(&id("b")), "the plan says what it would do");
}

#[test]
fn a_quarantine_for_one_finding_holds_no_build_for_another() {
    let mut fleet = Fleet::with_unfixable_finding("b: scratch", "b");
    assert_eq!(fleet.run_until_idle(), ["b", "b"]);
    fleet.add_finding("b", &finding_in("CVE-2", "zlib"));
    fleet.scan_all();
    assert_eq!(fleet.run_until_idle(), ["b"]);
}

#[test]
fn back_off_doubles_up_to_32_hours_and_always_ends() {
    let mut fleet = Fleet::with_finding("b: scratch", "b");
    assert_eq!(fleet.pass(), ["b"]);
    fleet.end("b", ExecutionState::Failed);
    for hours in [1, 2, 4, 8, 16, 32, 32, 32] {
        assert_eq!(fleet.pass(), ["b"]);
        fleet.end("b", ExecutionState::Failed);
        fleet.pass();
        fleet.wait(&format!("{}m", hours * 60 - 1));
        assert!(matches!(fleet.hold("b"), Hold::BackOff { .. }), "{hours} h");
        fleet.wait("1m");
        fleet.facts.slots.started_today = 0;
    }
    assert!(matches!(&fleet.builds[0].reasons[..], [Reason::Vulnerable { .. }]));
}

#[test]
fn approve_rebuild_and_release_end_the_holds_that_wait_for_a_person() {
    let mut fleet = Fleet::with_finding("b: scratch | rebuild: approval", "b");
    assert_eq!(fleet.hold("b"), Hold::NeedsApproval);
    fleet.decide("b", Intervention::Approve);
    fleet.add_finding("b", &finding_in("CVE-2", "zlib"));
    fleet.scan_all();
    assert_eq!(fleet.run_until_idle(), ["b"], "an approval is bound to the version, not to its findings");
    fleet.add_finding("b", &finding("CVE-3"));
    fleet.scan_all();
    assert_eq!(fleet.hold("b"), Hold::NeedsApproval, "the new version needs a new approval");

    let mut fleet = Fleet::of("b: scratch");
    fleet.decide("b", Intervention::Rebuild);
    fleet.decide("b", Intervention::Rebuild);
    assert_eq!(fleet.run_until_idle(), ["b"], "one request is one build");

    fleet.decide("b", Intervention::Freeze);
    fleet.add_finding("b", &finding("CVE-1"));
    fleet.scan_all();
    assert_eq!(fleet.hold("b"), Hold::Frozen);
    fleet.decide("b", Intervention::Release);
    assert_eq!(fleet.run_until_idle(), ["b"]);
}

#[test]
fn a_quarantine_ends_with_a_release_a_push_or_a_changed_policy() {
    let quarantined = || {
        let mut fleet = Fleet::with_unfixable_finding("b: scratch", "b");
        fleet.run_until_idle();
        assert!(matches!(fleet.hold("b"), Hold::Quarantined { .. }));
        fleet
    };
    let mut released = quarantined();
    released.decide("b", Intervention::Release);
    assert_eq!(released.run_until_idle(), ["b", "b"]);

    let mut pushed = quarantined();
    pushed.wait("1h");
    pushed.push(&id("b"));
    pushed.scan_all();
    assert_eq!(pushed.run_until_idle(), ["b", "b"]);

    let mut changed = quarantined();
    let yaml = family("b: scratch | rebuildAt: medium");
    changed.hierarchy = Hierarchy::parse("changed.yaml", &yaml).unwrap();
    assert_eq!(changed.run_until_idle(), ["b", "b"]);
}

#[test]
fn a_rolled_back_image_is_held_until_it_is_released_and_its_child_follows() {
    let mut fleet = Fleet::of("b: scratch\n a: b");
    let before = fleet.current("b").digest.clone();
    fleet.add_finding("b", &finding("CVE-1"));
    fleet.scan_all();
    fleet.run_until_idle();
    fleet.wait("1h");
    fleet.image("b").current = Current::Version(before);
    assert_eq!(fleet.hold("b"), Hold::RolledBack);
    assert_eq!(fleet.pass(), ["a"], "the child follows");
    fleet.finish("a");
    fleet.decide("b", Intervention::Release);
    assert_eq!(fleet.run_until_idle(), ["b", "a"]);
}

#[test]
fn a_push_in_the_same_second_as_our_build_is_no_roll_back() {
    let mut fleet = Fleet::with_finding("b: scratch", "b");
    fleet.run_until_idle();
    fleet.push(&id("b"));
    fleet.add_finding("b", &finding("CVE-2"));
    fleet.scan("b");
    assert_eq!(fleet.pass(), ["b"]);
}

#[test]
fn an_image_with_a_reason_waits_for_a_parent_that_has_no_version() {
    let mut fleet = Fleet::with_finding("b: scratch\np: b\nq: b", "p");
    fleet.image("b").current = Current::Absent;
    fleet.decide("b", Intervention::Freeze);
    assert!(matches!(fleet.hold("p"), Hold::WaitingOn { on, .. } if on == id("b")));
    assert_eq!(fleet.hold("q").name(), "Fresh");
}

#[test]
fn waiting_on_a_parent_is_reported_before_a_failed_scan() {
    let mut fleet = Fleet::with_finding("b: scratch\np: b", "b");
    for version in fleet.image("p").versions.values_mut() {
        version.platforms.values_mut().next_back().unwrap().scan = Scan::Failed("FAILED".into());
    }
    assert_eq!(fleet.hold("p").name(), "WaitingOn");
}

#[test]
fn a_quiet_period_and_a_back_off_end_at_their_time() {
    let mut fleet = Fleet::of("b: scratch\np: b");
    fleet.push(&id("b"));
    fleet.scan("b");
    assert_eq!(fleet.hold("p").name(), "QuietPeriod");
    fleet.wait("10m");
    assert_eq!(fleet.pass(), ["p"]);
    fleet.end("p", ExecutionState::Failed);
    assert_eq!(fleet.pass(), ["p"], "the first failure makes no pause");
    fleet.end("p", ExecutionState::Failed);
    assert_eq!(fleet.pass(), [""; 0]);
    assert_eq!(fleet.hold("p").name(), "BackOff");
    fleet.wait("1h");
    assert_eq!(fleet.pass(), ["p"]);
}

#[test]
fn an_image_waits_for_the_scan_of_an_ancestor_no_longer_than_for_a_proof() {
    let mut fleet = Fleet::of("b: scratch\np: b\nq: b\na: q");
    fleet.add_finding("b", &finding("CVE-1"));
    fleet.add_finding("a", &finding_in("CVE-2", "zlib"));
    fleet.scan_all();
    fleet.fail_scans("b");
    fleet.forget_layers("b");
    assert_eq!(fleet.pass(), [""; 0]);
    assert!(matches!(fleet.hold("a"), Hold::WaitingOn { awaits: Awaited::Scan, .. }));
    fleet.wait("31m");
    assert_eq!(fleet.pass(), ["a", "p"], "p is tried, q goes on waiting, and a does not wait for q");
}

#[test]
fn a_current_version_that_was_not_described_is_unknown() {
    let mut fleet = Fleet::of("b: scratch");
    fleet.image("b").current = Current::Version(digest(999));
    let Hold::Unknown { because } = fleet.hold("b") else { panic!("{:?}", fleet.hold("b")) };
    assert!(because.ends_with("was not described"), "{because}");
    assert!(fleet.plan().unknown.iter().any(|unknown| unknown.image == id("b")));
}

/// A fleet of `b` and `a`, whose hierarchy has these keys on `a`.
fn fleet_with(keys: &str) -> Fleet {
    let mut fleet = Fleet::with_finding("b: scratch\n a: b", "a");
    let yaml = format!(
        "{{ version: 1, registry: 111122223333.dkr.ecr.us-east-1.amazonaws.com, policy: {{ mode: enforce }}, images: [\
           {{ id: b, tier: base, repository: r/b, tags: [x], from: scratch, pipeline: b }},\
           {{ id: a, tier: application, repository: r/a, pipeline: {{ name: a, sources: [{{ action: S, type: COMMIT_ID }}] }}, {keys} }}] }}"
    );
    fleet.hierarchy =
        patchwave::hierarchy::Hierarchy::parse("h.yaml", &yaml).unwrap_or_else(|e| panic!("{e}"));
    fleet.set_revision("a", Some(&"0123abcd".repeat(5)));
    fleet
}

#[test]
fn only_a_commit_or_a_person_moves_a_pinned_image() {
    let mut fleet = fleet_with("tags: [x], from: b, pinned: true");
    fleet.facts.has_listener = true;
    let digest = fleet.current("b").digest.clone();
    assert_eq!(fleet.hold("a"), Hold::Pinned { parents: [(id("b"), digest.clone())].into() });
    let plan = fleet.plan();
    let needs: Vec<&String> = plan.notices.iter().flat_map(|notice| &notice.asked.needs).collect();
    assert!(
        needs.iter().any(|need| need.contains(&format!("b@{digest}"))),
        "the owner learns the digest: {needs:?}"
    );
    fleet.decide("a", Intervention::Rebuild);
    assert_eq!(fleet.only_start().image, id("a"));
}

#[test]
fn an_image_on_an_unknown_base_is_named_and_never_planned() {
    let fleet = fleet_with("tags: [x], from: unknown");
    let Hold::Unknown { because } = fleet.hold("a") else { panic!("{:?}", fleet.hold("a")) };
    assert_eq!(because, "the hierarchy file does not say what it is built on");
    let soon = Span::days(1).after(fleet.now);
    let records = fleet.plan().records;
    let rechecked = records.get(&id("a")).and_then(|record| record.recheck_at);
    assert!(rechecked.is_none_or(|at| at > soon), "no tick plans it again: {rechecked:?}");
}

#[test]
fn what_is_built_for_an_environment_waits_for_its_promotion_and_is_not_built_again() {
    let mut fleet = fleet_with("lines: [{ environment: uat, tag: uat }], from: b");
    let before = fleet.facts.images.remove(&id("a")).unwrap();
    fleet.facts.images.insert(id("a@uat"), before);
    let current = fleet.current("a@uat").digest.clone();
    assert_eq!(fleet.plan().starts.len(), 1, "the finding is a reason");
    fleet.image("a@uat").promoted = Some(digest(4711));
    let promote = Hold::NotPromoted { environment: "uat".into(), version: current.clone() };
    assert_eq!(fleet.hold("a@uat"), promote, "what was built for it has a finding, and nobody promoted it");
    fleet.image("a@uat").promoted = Some(current);
    assert_eq!(fleet.plan().starts.len(), 1);
}
