//! What a plan concludes from a part of a family: who else must be looked at, and when.

use patchwave::facts::{ExecutionState, Facts};
use patchwave::plan::{Hold, Plan, plan};
use patchwave::policy::Mode;
use patchwave::record::{Ready, Record, Rolling};
use patchwave::time::Span;

use crate::fleet::{Fleet, at, finding, id};

/// Plans these images alone, and observes `carriers` for what they carry.
fn plan_of(fleet: &Fleet, images: &[&str], carriers: &[&str]) -> Plan {
    let mut facts: Facts = fleet.facts.clone();
    let is_in = |name: &str| images.contains(&name) || carriers.contains(&name);
    facts.images.retain(|id, _| is_in(id.as_str()));
    facts.carriers = carriers.iter().map(|name| id(name)).collect();
    plan(&fleet.hierarchy, &facts, Mode::Enforce, fleet.now)
}

fn record<'p>(fleet: &'p Fleet, plan: &'p Plan, name: &str) -> &'p Record {
    plan.records.get(&id(name)).unwrap_or(fleet.record(name))
}

#[test]
fn a_parent_that_settles_walks_over_the_children_that_are_not_in_scope() {
    let mut fleet = Fleet::with_finding("b: scratch\n a: b\n c: b", "b");
    let plan = plan_of(&fleet, &["b"], &[]);
    assert!(record(&fleet, &plan, "b").moving_since.is_some());
    fleet.apply(&plan);
    fleet.finish("b");
    let settles = plan_of(&fleet, &["b"], &[]);
    let walk = record(&fleet, &settles, "b").rolling.clone();
    assert_eq!(walk, Some(Rolling { since: fleet.now, after: None }));
    assert_eq!(record(&fleet, &settles, "b").recheck_at, Some(fleet.now), "the next page goes on");
    let with_all = plan_of(&fleet, &["b", "a", "c"], &[]);
    assert_eq!(record(&fleet, &with_all, "b").rolling, None, "all are decided about here");
}

#[test]
fn a_parent_whose_builds_fail_leaves_its_children_to_a_walk() {
    let mut fleet = Fleet::with_finding("b: scratch\n a: b", "b");
    for _ in 0..2 {
        assert_eq!(fleet.pass(), ["b"]);
        fleet.end("b", ExecutionState::Failed);
    }
    let parked = plan_of(&fleet, &["b"], &[]);
    assert!(matches!(parked.holds[&id("b")], Hold::BackOff { .. }), "{:?}", parked.holds);
    assert!(record(&fleet, &parked, "b").rolling.is_some(), "its children need not wait any longer");
}

#[test]
fn a_walk_goes_on_where_the_last_page_ended() {
    let mut fleet = Fleet::of("b: scratch\n a: b\n c: b");
    fleet.image("b").record.rolling = Some(Rolling { since: fleet.now, after: None });
    let walked = |last: Option<&str>| {
        let mut facts = fleet.facts.clone();
        facts.images.remove(&id("c"));
        facts.rolled.insert(id("b"), last.map(id));
        plan(&fleet.hierarchy, &facts, Mode::Enforce, fleet.now).records.remove(&id("b")).unwrap().rolling
    };
    assert_eq!(walked(Some("a")).and_then(|walk| walk.after), Some(id("a")));
    assert_eq!(walked(None), None);
}

#[test]
fn a_base_that_changes_again_and_again_starves_no_child_that_no_walk_has_reached() {
    let mut fleet = Fleet::with_finding("b: scratch\n a: b", "a");
    let settled_at = fleet.now;
    fleet.wait("1h");
    fleet.add_finding("b", &finding("CVE-2"));
    fleet.scan("b");
    fleet.wait("1h");
    let waits = |fleet: &Fleet| matches!(fleet.plan().holds.get(&id("a")), Some(Hold::WaitingOn { .. }));
    assert!(waits(&fleet), "a new child waits for a base that is about to change");
    fleet.image("b").record.rolling = Some(Rolling { since: settled_at, after: None });
    assert!(!waits(&fleet), "this one has waited since the base settled before");
}

#[test]
fn what_only_its_carriers_show_makes_an_owner_act_whoever_is_in_scope() {
    // The scan of the base is older than the finding, so only the child shows it.
    let mut fleet = Fleet::of("b: scratch\n a: b\n c: b\n d: b");
    fleet.add_finding("b", &finding("CVE-1"));
    fleet.scan("a");
    fleet.scan("c");
    fleet.scan("b");
    let seen = plan_of(&fleet, &["b", "a", "c"], &[]);
    assert_eq!(record(&fleet, &seen, "b").carriers, [id("a"), id("c")].into());
    for (name, record) in seen.records {
        fleet.image(name.as_str()).record = record;
    }
    let alone = plan_of(&fleet, &["b"], &["a", "c"]);
    assert_eq!(alone.starts.len(), 1, "{:?}", alone.holds);
    assert!(alone.holds.is_empty(), "nothing is decided about carriers: {:?}", alone.holds);
}

#[test]
fn who_waits_for_nothing_but_a_slot_is_in_the_queue_and_who_cannot_start_leaves_it() {
    let mut fleet = Fleet::with_policy("b: scratch\nc: scratch\n d: c", "maxConcurrentBuilds: 1");
    for name in ["b", "c"] {
        fleet.add_finding(name, &finding("CVE-1"));
    }
    fleet.scan_all();
    let plan = fleet.plan();
    assert_eq!(plan.starts.len(), 1);
    let waits = if plan.starts[0].image == id("b") { "c" } else { "b" };
    let ready = record(&fleet, &plan, waits).ready.clone();
    assert!(matches!(ready, Some(Ready { owner: None, .. })), "{ready:?}");
    assert_eq!(record(&fleet, &plan, waits).recheck_at, None, "the queue alone brings it back");
    fleet.apply(&plan);
    fleet.scan_all();
    fleet.image(waits).record.frozen = Some(patchwave::record::Decided { by: "jo".into(), at: at(0) });
    let plan = fleet.plan();
    assert_eq!(record(&fleet, &plan, waits).ready, None);
}

#[test]
fn every_image_that_waits_has_a_time_or_a_place_in_the_queue() {
    let mut fleet = Fleet::with_finding("b: scratch\n a: b\n  e: a", "b");
    for _ in 0..20 {
        let plan = fleet.plan();
        for (id, hold) in &plan.holds {
            let record = plan.records.get(id).unwrap_or(&fleet.facts.images[id].record);
            if hold.is_moving() {
                assert!(record.is_scheduled(), "{id}: {hold:?}");
                let latest = Span::days(1).after(fleet.now);
                assert!(record.recheck_at.is_none_or(|at| at <= latest), "{id}: {:?}", record.recheck_at);
            }
        }
        fleet.apply(&plan);
        if let Some(first) = fleet.claimed().first().cloned() {
            fleet.wait("5m");
            fleet.finish(&first);
        }
    }
}
