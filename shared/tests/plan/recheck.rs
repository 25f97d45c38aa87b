//! When a plan asks for a recheck before the next tick.

use patchwave::plan::{Awaited, Hold};
use patchwave::time::Span;

use crate::fleet::{Fleet, finding, id};

/// How long from now a plan asks for a recheck.
fn recheck(fleet: &Fleet) -> Option<Span> {
    fleet.plan().recheck_at.map(|at| Span::between(fleet.now, at))
}

#[test]
fn a_settled_fleet_asks_for_no_recheck() {
    let mut fleet = Fleet::of("b: scratch\n a: b");
    assert_eq!(recheck(&fleet), None);
    fleet.add_finding("a", &finding("CVE-1"));
    fleet.scan_all();
    fleet.run_until_idle();
    assert_eq!(recheck(&fleet), None);
}

/// Makes each pass when the record of `image` says so, and returns the distances in minutes.
fn distances(fleet: &mut Fleet, image: &str, rechecks: u32) -> Vec<u64> {
    let mut distances = Vec::new();
    for _ in 0..rechecks {
        fleet.pass();
        let at = fleet.record(image).recheck_at.unwrap();
        distances.push(u64::from(Span::between(fleet.now, at).as_seconds()) / 60);
        fleet.now = at;
    }
    distances
}

#[test]
fn a_running_build_is_looked_at_when_its_events_are_overdue_and_then_ever_more_rarely() {
    let mut fleet = Fleet::with_finding("b: scratch\n a: b", "b");
    fleet.pass();
    // A quarter of the time so far, and when the build is overdue, after two hours.
    assert_eq!(distances(&mut fleet, "b", 9), [15, 15, 15, 15, 15, 18, 23, 2, 30]);
}

#[test]
fn a_recheck_comes_at_the_end_of_a_quiet_period() {
    let mut fleet = Fleet::of("b: scratch\n a: b");
    fleet.wait("1h");
    fleet.push(&id("b"));
    fleet.scan_all();
    let Hold::QuietPeriod { until, .. } = fleet.hold("a") else { unreachable!("a person pushed") };
    assert_eq!(fleet.plan().recheck_at, Some(until));
}

#[test]
fn an_awaited_scan_is_rechecked_ever_more_rarely() {
    let mut fleet = Fleet::of("b: scratch\n a: b");
    fleet.wait("1h");
    fleet.add_finding("b", &finding("CVE-1"));
    fleet.scan("a");
    let plan = fleet.plan();
    assert_eq!(plan.holds[&id("a")], Hold::WaitingOn { on: id("b"), awaits: Awaited::Scan });
    fleet.apply(&plan);
    assert_eq!(distances(&mut fleet, "a", 2), [15, 15]);
}
