//! The limits on concurrent builds and on starts per day.

use patchwave::facts::{Departed, Execution, ExecutionState, Slots};
use patchwave::finding::Fix;
use patchwave::plan::{Awaited, Hold, Limit, first_of_each_share};

use crate::fleet::{Fleet, at, family, finding, high, id};

#[test]
fn the_limits_hold_the_less_urgent() {
    let mut fleet = Fleet::with_policy(
        "b1: scratch\n b2: scratch\n p: b2\n a: p",
        "maxConcurrentBuilds: 1, maxStartsPerDay: 2",
    );
    fleet.add_finding("b1", &finding("CVE-1"));
    fleet.add_finding("b2", &finding("CVE-1"));
    fleet.scan_all();
    assert_eq!(fleet.pass(), ["b2"], "the longer chain goes first");
    assert_eq!(fleet.limit("b1"), Limit::ConcurrentBuilds);
    fleet.finish("b2");
    assert_eq!(fleet.pass(), ["p"], "its child is as urgent, and the chain is still longer");
    fleet.finish("p");
    assert_eq!(fleet.pass(), Vec::<String>::new());
    assert_eq!(fleet.limit("b1"), Limit::StartsPerDay);
}

#[test]
fn an_owner_with_many_images_leaves_slots_to_others() {
    let yaml = family("a1: scratch | owner: shop\n a2: scratch | owner: shop\n a3: scratch | owner: pay");
    let mut fleet = Fleet::new(
        &yaml.replace("images:\n", "owners: { shop: { maxConcurrentBuilds: 1 }, pay: {} }\nimages:\n"),
    );
    for name in ["a1", "a2", "a3"] {
        fleet.add_finding(name, &finding("CVE-1"));
    }
    fleet.scan_all();
    assert_eq!(fleet.pass(), ["a1", "a3"]);
    assert_eq!(fleet.limit("a2"), Limit::OwnersBuilds);
    fleet.finish("a1");
    assert_eq!(fleet.pass(), ["a2"], "the slot is free although the proof may still come");
}

#[test]
fn a_free_slot_goes_to_the_most_urgent_of_all_images() {
    let mut fleet = Fleet::with_policy(
        "b1: scratch\n b2: scratch\n a1: b1\n a2: b1\n a3: b1\n a4: b1",
        "maxConcurrentBuilds: 1",
    );
    fleet.add_finding("b1", &high("CVE-1"));
    fleet.scan_all();
    assert_eq!(fleet.pass(), ["b1"]);
    fleet.add_finding("b2", &finding("CVE-2"));
    fleet.scan_all();
    fleet.pass();
    assert_eq!(fleet.limit("b2"), Limit::ConcurrentBuilds);
    fleet.finish("b1");
    assert_eq!(fleet.pass(), ["b2"]);
}

#[test]
fn a_push_frees_no_slot_of_a_claim_that_has_not_started() {
    let mut fleet = Fleet::with_policy("b1: scratch\n b2: scratch", "maxConcurrentBuilds: 1");
    fleet.add_finding("b1", &finding("CVE-1"));
    fleet.scan_all();
    assert_eq!(fleet.pass(), ["b1"]);
    let execution = fleet.image("b1").record.claim.as_mut().unwrap().execution.take();
    let found = fleet.image("b1").execution.replace(Execution::NotFound);
    fleet.wait("1m");
    fleet.push(&id("b1"));
    fleet.add_finding("b2", &finding("CVE-1"));
    fleet.scan_all();
    assert_eq!(fleet.pass(), [""; 0], "the owner of the claim may still start it");
    fleet.image("b1").record.claim.as_mut().unwrap().execution = execution;
    fleet.image("b1").execution = found;
    assert_eq!(fleet.pass(), [""; 0], "the build runs on, whoever pushed");
    let key = fleet.builds[0].key.to_string();
    fleet.current_mut("b1").build_key = Some(key);
    assert_eq!(fleet.pass(), ["b2"], "the build has pushed, and its pipeline may run on for days");
}

#[test]
fn every_limit_says_when_it_ends_at_the_latest() {
    let mut fleet =
        Fleet::with_policy("b1: scratch\n b2: scratch", "maxConcurrentBuilds: 1, maxBuildTime: 2h");
    for name in ["b1", "b2"] {
        fleet.add_finding(name, &finding("CVE-1"));
    }
    fleet.scan_all();
    assert_eq!(fleet.hold("b2").until(), Some(at(7_200)), "the build that starts now may hang");
    fleet.pass();
    fleet.wait("1h");
    assert_eq!(fleet.hold("b2").until(), Some(at(7_200)));

    let mut fleet = Fleet::with_policy("b1: scratch\n b2: scratch", "maxStartsPerDay: 1");
    for name in ["b1", "b2"] {
        fleet.add_finding(name, &finding("CVE-1"));
    }
    fleet.scan_all();
    // The test begins at 22:13:20.
    assert_eq!(fleet.hold("b2").until(), Some("2023-11-15T00:00:00Z".parse().unwrap()));
}

/// Pipelines that wait for a manual approval do not stop the fleet.
#[test]
fn a_build_that_exceeds_max_build_time_gives_its_slot_back() {
    let mut fleet =
        Fleet::with_policy("b1: scratch\n b2: scratch", "maxConcurrentBuilds: 1, maxBuildTime: 2h");
    fleet.add_finding("b1", &finding("CVE-1"));
    fleet.add_finding("b2", &finding("CVE-1"));
    fleet.scan_all();
    assert_eq!(fleet.pass(), ["b1"]);
    fleet.wait("121m");
    assert_eq!(fleet.pass(), ["b2"]);
    assert!(matches!(fleet.hold("b1"), Hold::InFlight { .. }), "b1 is not started again");
}

#[test]
fn one_plan_keeps_to_the_limits_and_names_them_in_its_holds() {
    for (limit, limited) in
        [("maxStartsPerDay: 2", Limit::StartsPerDay), ("maxConcurrentBuilds: 2", Limit::ConcurrentBuilds)]
    {
        let lines = "b1: scratch\nb2: scratch\nb3: scratch\np1: b1\np2: b2\np3: b3";
        let mut fleet = Fleet::with_policy(lines, limit);
        for name in ["b1", "b2", "b3"] {
            fleet.add_finding(name, &finding("CVE-1"));
        }
        fleet.scan_all();
        let plan = fleet.plan();
        let started: Vec<String> = plan.starts.iter().map(|start| start.image.to_string()).collect();
        assert_eq!(started, ["b1", "b2"]);
        assert_eq!(fleet.limit("b3"), limited);
        let limited = plan.holds[&id("b3")].clone();
        let waits = Hold::WaitingOn { on: id("b3"), awaits: Awaited::Hold(Box::new(limited)) };
        assert_eq!(plan.holds[&id("p3")], waits);
    }
}

#[test]
fn only_a_push_of_the_build_after_its_claim_frees_a_slot() {
    for (pushed, is_ours, frees) in [(-1, true, false), (0, true, false), (1, true, true), (1, false, false)]
    {
        let mut fleet = Fleet::with_finding("b: scratch", "b");
        assert_eq!(fleet.pass(), ["b"]);
        fleet.wait("1m");
        fleet.push(&id("b"));
        let key = fleet.builds[0].key.to_string();
        let version = fleet.current_mut("b");
        (version.pushed_at, version.build_key) = (at(pushed), is_ours.then_some(key));
        let freed = fleet.plan().freed;
        assert_eq!(freed.contains(&id("b")), frees, "{pushed} seconds after its claim, ours: {is_ours}");
    }
}

/// An image that is removed or renamed during its build is in the hierarchy no more.
#[test]
fn a_departed_image_gives_its_slot_back_when_its_build_has_ended() {
    let mut fleet = Fleet::with_policy("b1: scratch\n b2: scratch", "maxConcurrentBuilds: 1");
    for name in ["b1", "b2"] {
        fleet.add_finding(name, &finding("CVE-1"));
    }
    fleet.scan_all();
    assert_eq!(fleet.pass(), ["b1"]);
    let facts = fleet.facts.images.remove(&id("b1")).unwrap();
    let gone = id("b1-before-its-new-name");
    fleet.facts.slots.held_by = [gone.clone()].into();
    let is_freed = |fleet: &mut Fleet, execution: Option<Execution>, wait: &str| {
        let departed = Departed { record: facts.record.clone(), execution };
        fleet.facts.departed.insert(gone.clone(), departed);
        let before = fleet.now;
        fleet.wait(wait);
        let is_freed = fleet.plan().freed.contains(&gone);
        fleet.now = before;
        is_freed
    };
    let found = |state| Some(Execution::found("e", state));
    for (execution, wait, expected) in [
        (found(ExecutionState::InProgress), "1m", false),
        (found(ExecutionState::InProgress), "2h", true),
        (found(ExecutionState::Succeeded), "1m", true),
        (found(ExecutionState::Failed), "1m", true),
        (Some(Execution::NotFound), "1m", false),
        (Some(Execution::NotFound), "16m", true),
        (Some(Execution::Unread("denied".into())), "16m", false),
        (Some(Execution::Unread("denied".into())), "2h", true),
        (None, "1m", false),
    ] {
        assert_eq!(is_freed(&mut fleet, execution.clone(), wait), expected, "{execution:?} after {wait}");
    }
    fleet
        .facts
        .departed
        .insert(gone, Departed { record: facts.record, execution: found(ExecutionState::Failed) });
    assert_eq!(fleet.plan().starts.len(), 1, "b2 gets the slot");
}

/// Starts on the day of `fleet.now`, and how many of them keep a deadline.
fn started(fleet: &mut Fleet) -> (usize, usize) {
    let starts = fleet.plan().starts;
    let kept = starts.iter().filter(|start| start.keeps_deadline).count();
    (fleet.pass().len(), kept)
}

/// Three images with a critical finding that appeared at 22:13 and is due in 24 hours.
fn three(keys: &str) -> Fleet {
    let keys = format!("maxStartsPerDay: 1, {keys}");
    let mut fleet = Fleet::with_policy("b1: scratch\n b2: scratch\n b3: scratch", &keys);
    for name in ["b1", "b2", "b3"] {
        fleet.add_finding(name, &finding("CVE-1"));
    }
    fleet.scan_all();
    fleet
}

#[test]
fn the_limit_of_a_day_makes_no_image_miss_its_deadline() {
    let mut fleet = three("maxBuildTime: 1h");
    assert_eq!(started(&mut fleet), (1, 0), "the others have time tomorrow");
    assert_eq!(fleet.limit("b2"), Limit::StartsPerDay);
    fleet.wait("2h");
    fleet.facts.slots.started_today = 0;
    assert_eq!(started(&mut fleet), (2, 2), "it is their last day");
    assert_eq!(fleet.facts.slots.started_today, 2, "they are counted all the same");
}

#[test]
fn the_builds_below_an_image_take_their_part_of_the_time() {
    let mut fleet = Fleet::with_policy(
        "b1: scratch\n b2: scratch\n b3: scratch\n p: b3\n a: p",
        "maxStartsPerDay: 1, maxBuildTime: 8h",
    );
    for name in ["b1", "b2", "b3"] {
        fleet.add_finding(name, &finding("CVE-1"));
    }
    fleet.scan_all();
    fleet.facts.slots.started_today = 1;
    let plan = fleet.plan();
    assert_eq!(plan.starts.len(), 1, "24 hours below b3 do not fit into what is left after midnight");
    let start = &plan.starts[0];
    let limits = start.limits(fleet.hierarchy.limits());
    assert_eq!((&start.image, limits.max_starts_per_day), (&id("b3"), u32::MAX));
    assert_eq!(limits.max_concurrent_builds, fleet.hierarchy.limits().max_concurrent_builds);
    assert_eq!(fleet.limit("b2"), Limit::StartsPerDay);
}

#[test]
fn a_deadline_counts_from_when_the_image_was_enforced() {
    let mut fleet = three("maxBuildTime: 1h");
    fleet.wait("30h");
    for name in ["b1", "b2", "b3"] {
        fleet.image(name).record.enforced_since = None;
    }
    assert!(fleet.plan().starts[0].due < fleet.now, "all are overdue");
    assert_eq!(started(&mut fleet), (1, 0), "the first day is an ordinary one");
    fleet.facts.slots.started_today = 0;
    fleet.wait("23h");
    assert_eq!(started(&mut fleet), (2, 2));
}

#[test]
fn a_try_and_age_never_exceed_the_limit_of_a_day() {
    let mut fleet = three("maxBuildTime: 20h, unknownFix: retry");
    for name in ["b1", "b2", "b3"] {
        fleet.change_findings(name, |found| found.fix = Fix::Unknown);
    }
    assert_eq!(started(&mut fleet), (1, 0), "a try");
    let mut fleet =
        Fleet::with_policy("b1: scratch\n b2: scratch", "maxStartsPerDay: 1, maxBuildTime: 1000d");
    fleet.wait("40d");
    assert_eq!(started(&mut fleet), (1, 0), "age");
}

/// A long build that starts last ends last, while all other slots are empty.
#[test]
fn among_those_due_in_the_same_hour_the_longest_build_goes_first() {
    let mut fleet = Fleet::with_policy("a1: scratch\n a2: scratch\n a3: scratch", "maxConcurrentBuilds: 3");
    let all = ["a1", "a2", "a3"];
    for name in all {
        fleet.add_finding(name, &finding("CVE-1"));
    }
    fleet.scan_all();
    assert_eq!(fleet.pass(), all, "no build time is known yet");
    for name in ["a1", "a3", "a2"] {
        fleet.wait("9m");
        fleet.finish(name);
        fleet.pass();
    }
    for name in all {
        fleet.add_finding(name, &finding("CVE-2"));
    }
    fleet.scan_all();
    assert_eq!(fleet.pass(), ["a2", "a3", "a1"]);
}

/// Somebody pushes to one repository all day. Another team's fix must not wait for midnight.
#[test]
fn each_owner_has_a_share_that_others_do_not_take_while_it_waits() {
    let mut lines = (0..8).map(|n| format!("a{n}: scratch | owner: shop\n")).collect::<Vec<_>>().concat();
    lines.push_str("z1: scratch | owner: pay\nz2: scratch | owner: pay\nz3: scratch");
    for limit in ["maxConcurrentBuilds: 6", "maxStartsPerDay: 6"] {
        let yaml =
            family(&lines).replace("mode: enforce }\nimages", &format!("mode: enforce, {limit} }}\nimages"));
        let mut fleet = Fleet::new(&yaml.replace("images:\n", "owners: { shop: {}, pay: {} }\nimages:\n"));
        for n in 0..8 {
            fleet.add_finding(&format!("a{n}"), &finding("CVE-1"));
        }
        for name in ["z1", "z2", "z3"] {
            fleet.add_finding(name, &high("CVE-2"));
        }
        fleet.scan_all();
        let mut started = fleet.pass();
        started.sort();
        let all = ["a0", "a1", "a2", "z1", "z2", "z3"];
        // A fifth of the day is kept for critical findings: one of six.
        let expected: &[&str] =
            if limit.starts_with("maxStarts") { &["a0", "a1", "a2", "a3", "z1", "z2"] } else { &all };
        assert_eq!(started, expected, "{limit}");
    }
    let mut fleet = Fleet::with_policy(
        &lines.replace(" | owner: shop", "").replace(" | owner: pay", ""),
        "maxConcurrentBuilds: 2",
    );
    for name in ["a0", "a1", "a2", "z1"] {
        fleet.add_finding(name, &if name == "z1" { finding("CVE-1") } else { high("CVE-1") });
    }
    fleet.scan_all();
    assert_eq!(fleet.pass(), ["z1", "a0"], "with a share of less than one the most urgent go first");
}

/// A page observes as many images of the queue as slots are free. Those of one owner alone could
/// fill it.
#[test]
fn a_page_takes_the_most_urgent_images_of_each_share() {
    let lines = (0..8).map(|n| format!("a{n}: scratch | owner: shop\n")).collect::<Vec<_>>().concat();
    let yaml = family(&(lines + "b1: scratch | owner: pay\nz1: scratch\nz2: scratch"));
    let fleet = Fleet::new(&yaml.replace("images:\n", "owners: { shop: {}, pay: {} }\nimages:\n"));
    let ids = |names: &[&str]| names.iter().map(|name| id(name)).collect::<Vec<_>>();
    let queue = ids(&["a0", "a1", "a2", "a3", "a4", "a5", "b1", "z1", "z2"]);
    let chosen = |held: &[&str], room| {
        let slots = Slots { held_by: ids(held).into_iter().collect(), ..Slots::default() };
        let chosen = first_of_each_share(&fleet.hierarchy, &slots, &queue, room);
        queue.iter().filter(|id| chosen.contains(id)).map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(chosen(&[], 5), "a0 a1 b1 z1 z2", "each repository without an owner has a share");
    assert_eq!(chosen(&["a6", "a7"], 3), "b1 z1 z2", "what is taken already counts");
    assert_eq!(chosen(&[], 2), "a0 b1", "with a share of less than one the most urgent go first");
    assert_eq!(chosen(&[], 99).split(' ').count(), 9, "what others do not want is left to one owner");
}

#[test]
fn what_nobody_else_waits_for_is_left_to_one_owner() {
    let lines = (0..6).map(|n| format!("a{n}: scratch | owner: shop\n")).collect::<Vec<_>>().concat();
    let yaml = family(&lines).replace(
        "mode: enforce }\nimages",
        "mode: enforce, maxConcurrentBuilds: 4 }\nowners: { shop: {} }\nimages",
    );
    let mut fleet = Fleet::new(&yaml);
    for n in 0..6 {
        fleet.add_finding(&format!("a{n}"), &finding("CVE-1"));
    }
    fleet.scan_all();
    assert_eq!(fleet.pass().len(), 4);
}

#[test]
fn a_part_of_the_day_is_kept_for_critical_findings() {
    let mut fleet = Fleet::with_policy("a: scratch\nb: scratch\nc: scratch", "maxStartsPerDay: 10");
    fleet.add_finding("a", &high("CVE-1"));
    fleet.add_finding("b", &finding("CVE-2"));
    fleet.add_finding("c", &high("CVE-3"));
    fleet.scan_all();
    fleet.facts.slots.started_today = 6;
    assert_eq!(fleet.pass(), ["b", "a"]);
    assert_eq!(fleet.limit("c"), Limit::StartsPerDay);
    assert_eq!(fleet.facts.slots.started_today, 8);
}

/// Each push of the parent is a reason to rebuild, and the build changes nothing.
#[test]
fn builds_that_change_nothing_are_made_ever_more_rarely_but_for_a_critical_finding() {
    let mut fleet = Fleet::of("b: scratch\n a: b");
    let mut built = 0;
    for _ in 0..48 {
        fleet.wait("30m");
        fleet.push(&id("b"));
        fleet.scan_all();
        fleet.wait("11m");
        if fleet.pass().contains(&"a".to_owned()) {
            built += 1;
            fleet.wait("5m");
            fleet.end("a", ExecutionState::Succeeded);
            fleet.pass();
        }
    }
    assert!((4..=8).contains(&built), "{built} builds in 33 hours");
    let Hold::BackOff { because, .. } = fleet.hold("a") else { panic!("{:?}", fleet.hold("a")) };
    assert!(because.ends_with("builds succeeded and changed nothing"), "{because}");
    fleet.add_finding("a", &finding("CVE-1"));
    fleet.scan_all();
    assert_eq!(fleet.pass(), ["a"], "a critical finding does not wait");
}
