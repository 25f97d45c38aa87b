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

#[test]
fn a_running_build_is_rechecked_ever_more_rarely_and_at_last_only_by_the_tick() {
    let mut fleet = Fleet::with_finding("b: scratch\n a: b", "b");
    assert_eq!(recheck(&fleet), Some(Span::minutes(2)), "the build starts now");
    let plan = fleet.plan();
    fleet.apply(&plan);
    for (later, next) in
        [("0s", Some(120)), ("8m", Some(120)), ("12m", Some(300)), ("20m", Some(600)), ("20m", None)]
    {
        fleet.wait(later);
        assert_eq!(recheck(&fleet).map(Span::as_seconds), next, "{later}");
    }
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
    for (later, next) in [("0s", 120), ("8m", 120), ("12m", 300)] {
        fleet.wait(later);
        assert_eq!(recheck(&fleet).map(Span::as_seconds), Some(next), "{later}");
    }
}
