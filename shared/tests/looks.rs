//! When a plan asks for another look before the tick.

#![expect(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "tests may fail loudly")]

mod village;

use patchwave::plan::{Awaited, Hold};
use patchwave::time::Span;
use village::{Village, finding, id};

/// How long after its making the plan of now asks for a look.
fn look(village: &Village) -> Option<Span> {
    village.plan().recheck_at.map(|at| Span::between(village.now, at))
}

#[test]
fn a_settled_fleet_asks_for_none() {
    let mut village = Village::of("b: scratch\n a: b");
    assert_eq!(look(&village), None);
    village.infect("a", &finding("CVE-1"));
    village.scan_all();
    village.play();
    assert_eq!(look(&village), None);
}

#[test]
fn the_end_of_a_build_is_looked_for_ever_more_rarely_and_at_last_by_the_tick_alone() {
    let mut village = Village::of("b: scratch\n a: b");
    village.infect("b", &finding("CVE-1"));
    village.scan_all();
    assert_eq!(look(&village), Some(Span::minutes(2)), "it starts now");
    let plan = village.plan();
    village.apply(&plan);
    for (later, next) in
        [("0s", Some(120)), ("8m", Some(120)), ("12m", Some(300)), ("20m", Some(600)), ("20m", None)]
    {
        village.wait(later);
        assert_eq!(look(&village).map(Span::as_seconds), next, "{later}");
    }
}

#[test]
fn the_end_of_a_quiet_period_is_not_missed() {
    let mut village = Village::of("b: scratch\n a: b");
    village.wait("1h");
    village.push(&id("b"));
    village.scan_all();
    let Hold::QuietPeriod { until, .. } = village.hold("a") else { unreachable!("a person pushed") };
    assert_eq!(village.plan().recheck_at, Some(until));
}

#[test]
fn the_end_of_a_wait_for_a_scan_is_looked_for_ever_more_rarely() {
    let mut village = Village::of("b: scratch\n a: b");
    village.wait("1h");
    village.infect("b", &finding("CVE-1"));
    village.scan("a");
    let plan = village.plan();
    assert_eq!(plan.holds[&id("a")], Hold::WaitingOn { on: id("b"), awaits: Awaited::Scan });
    village.apply(&plan);
    for (later, next) in [("0s", 120), ("8m", 120), ("12m", 300)] {
        village.wait(later);
        assert_eq!(look(&village).map(Span::as_seconds), Some(next), "{later}");
    }
}
