//! What became of a claimed build.

use patchwave::facts::{Execution, ExecutionState};
use patchwave::plan::Hold;
use patchwave::record::Claim;

use crate::fleet::{Fleet, finding_in, pinned};

#[test]
fn a_superseded_build_is_no_failure_and_starts_again_after_a_pause() {
    let mut fleet = Fleet::with_finding("b: scratch", "b");
    fleet.pass();
    fleet.end("b", ExecutionState::Superseded);
    fleet.pass();
    assert!(matches!(fleet.hold("b"), Hold::BackOff { failures: 0, .. }));
    fleet.wait("10m");
    assert_eq!(fleet.pass(), ["b"]);
}

#[test]
fn a_claim_whose_owner_is_gone_is_resolved_before_anything_starts() {
    let mut fleet = Fleet::with_finding("b: scratch", "b");
    fleet.pass();
    let claim = fleet.image("b").record.claim.clone().unwrap();
    fleet.image("b").record.claim = Some(Claim { execution: None, ..claim });

    fleet.image("b").execution = Some(Execution::NotFound);
    assert!(matches!(fleet.hold("b"), Hold::InFlight { .. }), "the lease still runs");
    fleet.wait("17m");
    fleet.image("b").execution = Some(Execution::Unread("throttled".into()));
    assert!(matches!(fleet.hold("b"), Hold::Unresolved { .. }));
    fleet.image("b").execution = Some(Execution::found("found", ExecutionState::InProgress));
    assert!(matches!(fleet.hold("b"), Hold::InFlight { execution: Some(found), .. } if found == "found"));
    fleet.image("b").execution = Some(Execution::NotFound);
    let plan = fleet.plan();
    assert_eq!(plan.starts[0].attempt, 2, "abandoned: the same key, a new attempt");
}

/// Two planners that see different findings have different keys, but an image has one claim.
#[test]
fn a_new_finding_starts_nothing_while_its_image_has_a_claim() {
    let mut fleet = Fleet::with_finding("b: scratch", "b");
    fleet.pass();
    fleet.add_finding("b", &finding_in("CVE-2", "zlib"));
    fleet.scan_all();
    assert!(matches!(fleet.hold("b"), Hold::InFlight { .. }));
}

/// Pushes to a busy repository overtake our builds again and again.
#[test]
fn superseded_builds_in_a_row_are_no_failures() {
    let mut fleet = Fleet::with_finding("b: scratch", "b");
    for _ in 0..5 {
        assert_eq!(fleet.pass(), ["b"]);
        fleet.end("b", ExecutionState::Superseded);
        assert_eq!(fleet.pass(), [""; 0], "it pauses for the quiet period");
        fleet.wait("10m");
    }
    assert_eq!(fleet.image("b").record.failures.as_ref().map(|row| row.count), Some(0));
}

#[test]
fn a_claim_of_unknown_outcome_is_unresolved_from_the_end_of_its_lease() {
    let mut fleet = Fleet::with_finding("b: scratch", "b");
    fleet.pass();
    let now = fleet.now;
    let facts = fleet.image("b");
    facts.execution = Some(Execution::Unread("throttled".into()));
    let claim = facts.record.claim.as_mut().unwrap();
    claim.execution = None;
    claim.lease_until = now;
    let Hold::Unresolved { because } = fleet.hold("b") else { panic!("{:?}", fleet.hold("b")) };
    assert_eq!(because, "throttled", "the hold names what could not be read");
}

#[test]
fn a_retry_never_owns_the_execution_of_the_attempt_before() {
    let mut fleet = Fleet::with_finding("b: scratch", "b");
    fleet.pass();
    for before in ["execution-0", "execution-1"] {
        fleet
            .end("b", if before == "execution-0" { ExecutionState::Failed } else { ExecutionState::Stopped });
        fleet.pass();
        fleet.wait("10m");
        fleet.pass();
        let claim = fleet.record("b").claim.clone().expect("it is made again");
        assert!(!claim.may_own(before) && claim.may_own("execution-2"), "{claim:?}");
    }
}

#[test]
fn a_retry_that_did_not_start_is_made_again_and_counts_no_failure() {
    let mut fleet = Fleet::with_finding("b: scratch", "b");
    fleet.pass();
    fleet.end("b", ExecutionState::Failed);
    assert_eq!(fleet.pass(), ["b"], "the first failure makes no pause");
    let facts = fleet.image("b");
    facts.record.claim.as_mut().unwrap().execution = None;
    facts.execution = Some(Execution::NotFound);
    assert_eq!(fleet.pass(), [""; 0]);
    assert_eq!((fleet.hold("b").name(), fleet.facts.slots.held_by.len()), ("InFlight", 1));
    fleet.wait("16m");
    assert_eq!(fleet.pass(), ["b"], "its owner is gone");
    assert_eq!(fleet.record("b").failures.as_ref().map(|row| row.count), Some(1));
}

#[test]
fn the_end_of_a_first_attempt_ends_a_claim_without_an_execution() {
    let mut fleet = Fleet::with_finding("b: scratch", "b");
    fleet.pass();
    fleet.end("b", ExecutionState::Failed);
    fleet.image("b").record.claim.as_mut().unwrap().execution = None;
    assert_eq!(fleet.pass(), ["b"], "the end is seen at once, and the first failure makes no pause");
}

#[test]
fn a_build_whose_execution_disappeared_counts_as_stopped() {
    let mut fleet = Fleet::with_finding("b: scratch", "b");
    fleet.pass();
    fleet.image("b").execution = Some(Execution::NotFound);
    assert_eq!(fleet.hold("b").name(), "InFlight", "an execution is not visible at once");
    fleet.wait("16m");
    let Hold::BackOff { because, .. } = fleet.hold("b") else { panic!("{:?}", fleet.hold("b")) };
    assert_eq!(because, "its execution is gone");
}

#[test]
fn a_version_is_from_our_pinned_build_only_if_it_has_the_pinned_commit() {
    let pinned = pinned("b");
    let [commit, another] = ["0123abcd", "4567cdef"].map(|part| part.repeat(5));
    for (pipeline, revision, is_ours) in [
        (pinned.as_str(), Some(commit.as_str()), true),
        (&pinned, Some(&another), false),
        (&pinned, None, false),
        ("", Some(&commit), true),
        ("", None, true),
    ] {
        let mut fleet = Fleet::with_finding(&format!("b: scratch {pipeline}"), "b");
        fleet.set_revision("b", Some(&commit));
        assert_eq!(fleet.pass(), ["b"]);
        fleet.wait("10m");
        fleet.finish("b");
        fleet.set_revision("b", revision);
        let digest = fleet.current("b").digest.clone();
        fleet.pass();
        let success = fleet.record("b").success.as_ref();
        assert_eq!(
            success.map(|success| &success.version),
            is_ours.then_some(&digest),
            "{pipeline} {revision:?}"
        );
    }
}
