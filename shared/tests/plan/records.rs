//! What a plan writes into records: above all, which images the next tick reads.

use patchwave::facts::Current;
use patchwave::finding::{Finding, PackageKind, Scan};
use patchwave::intervention::Intervention;
use patchwave::plan::{Hold, Plan};

use crate::fleet::{Fleet, finding, finding_in, id};

/// Whether the tick reads an image after the plan is applied.
fn is_unsettled(fleet: &Fleet, plan: &Plan, name: &str) -> bool {
    plan.records.get(&id(name)).unwrap_or(fleet.record(name)).is_scheduled()
}

/// If the process dies between two writes, no child may be lost: the records of children are
/// written first.
#[test]
fn children_become_unsettled_no_later_than_their_parent_settles() {
    let mut fleet = Fleet::with_finding("b: scratch\n a: b | maxAge: 20d", "b");
    fleet.pass();
    fleet.finish("b");
    let plan = fleet.plan();
    assert!(!plan.records[&id("b")].is_scheduled());
    assert!(is_unsettled(&fleet, &plan, "a"), "before or in the same plan, whose writes are ordered");
}

#[test]
fn an_image_with_a_reason_is_unsettled_while_it_waits_for_a_build() {
    let mut fleet = Fleet::with_finding("b: scratch\np: b\nq: b", "p");
    fleet.decide("b", Intervention::Rebuild);
    assert_eq!(fleet.pass(), ["b"]);
    let plan = fleet.plan();
    for (name, unsettled) in [("b", true), ("p", true), ("q", false)] {
        assert_eq!(is_unsettled(&fleet, &plan, name), unsettled, "{name}: {:?}", plan.holds.get(&id(name)));
    }
    assert!(
        matches!(&plan.holds[&id("q")], Hold::WaitingOn { on, .. } if *on == id("b")),
        "q waits although it has no reason"
    );
}

#[test]
fn an_unknown_image_is_unsettled_only_if_the_unknown_may_pass() {
    let mut fleet = Fleet::of("b1: scratch\nb2: scratch\nb3: scratch\nb4: scratch\np: b4");
    fleet.decide("p", Intervention::Rebuild);
    for name in ["b1", "b4"] {
        fleet.image(name).current = Current::Unread("throttled".into());
    }
    for (name, scan) in [("b2", Scan::Pending), ("b3", Scan::Failed("UNSUPPORTED_IMAGE".into()))] {
        fleet.manifests(name).next().unwrap().scan = scan;
    }
    let plan = fleet.plan();
    for (name, unsettled) in [("b1", true), ("b2", true), ("b3", false), ("p", true)] {
        assert_eq!(plan.holds[&id(name)].name(), "Unknown", "{name}");
        assert_eq!(is_unsettled(&fleet, &plan, name), unsettled, "{name}");
    }
}

#[test]
fn an_image_with_an_inherited_finding_follows_its_parents_build_whatever_its_own_hold() {
    let mut fleet = Fleet::of("b: scratch\na: b\nc: b");
    let pinned = Finding { kind: PackageKind::Language, ..finding_in("CVE-2", "left-pad") };
    fleet.add_finding("a", &pinned);
    fleet.add_finding("c", &pinned);
    fleet.scan("c");
    fleet.add_finding("b", &finding("CVE-1"));
    fleet.scan("b");
    fleet.scan("a");
    assert_eq!((fleet.hold("a").name(), fleet.hold("c").name()), ("CannotHelp", "CannotHelp"));
    assert_eq!(fleet.pass(), ["b"]);
    fleet.pass();
    let record = |name| fleet.record(name);
    assert_eq!((record("a").is_scheduled(), record("a").waiting_since), (true, Some(fleet.now)));
    assert_eq!(
        (record("c").is_scheduled(), record("c").waiting_since),
        (false, None),
        "c does not have CVE-1"
    );
}

#[test]
fn an_image_that_waits_for_nothing_has_no_waiting_since() {
    let mut fleet = Fleet::of("b: scratch\nb2: scratch");
    fleet.add_finding("b", &finding("CVE-1"));
    fleet.scan("b");
    fleet.pass();
    fleet.wait("1m");
    fleet.pass();
    for name in ["b", "b2"] {
        assert_eq!(fleet.record(name).waiting_since, None, "{name}");
    }
}
