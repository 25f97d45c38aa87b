//! Findings whose fix the scanner does not name are tried on one schedule an image.

use std::collections::BTreeSet;

use patchwave::facts::ExecutionState;
use patchwave::finding::{Coverage, Finding, Fix, Scan, Severity};
use patchwave::plan::{Awaited, Hold, Reason};
use patchwave::policy::Mode;
use patchwave::record::Tries;
use patchwave::time::Timestamp;

use crate::fleet::{Fleet, at, finding, finding_in, high, id};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// A finding of a package of the operating system, as basic scanning lists it.
fn unnamed(finding: Finding) -> Finding {
    Finding { fix: Fix::Unknown, ..finding }
}

/// A fleet under basic scanning.
fn basic(lines: &str) -> Fleet {
    let mut fleet = Fleet::of(lines);
    fleet.coverage = Coverage::Os;
    fleet.scan_all();
    fleet
}

/// The image gets a finding that no build fixes until [`publish`], and all scans list it.
fn find(fleet: &mut Fleet, name: &str, finding: &Finding) {
    fleet.add_finding(name, finding);
    fleet.unfixable.insert(finding.key.clone());
    fleet.scan_all();
}

fn publish(fleet: &mut Fleet, finding: &Finding) {
    fleet.unfixable.remove(&finding.key);
}

/// A fleet whose first image `b` has the high finding CVE-1 since the test began.
fn tried(lines: &str) -> Fleet {
    let mut fleet = basic(lines);
    find(&mut fleet, "b", &unnamed(high("CVE-1")));
    fleet
}

/// Plans each hour from `from` to `to`, and returns the hours in which something started.
fn hours_of_starts(fleet: &mut Fleet, from: i64, to: i64) -> Vec<(i64, Vec<String>)> {
    let mut starts = Vec::new();
    for hour in from..to {
        fleet.now = at(hour * HOUR);
        if hour % 24 == 0 {
            fleet.facts.slots.started_today = 0;
            fleet.scan_all();
        }
        let started = fleet.run_until_idle();
        if !started.is_empty() {
            starts.push((hour, started));
        }
    }
    starts
}

fn next_try(fleet: &Fleet, name: &str) -> Timestamp {
    match fleet.hold(name) {
        Hold::NextTry { until } => until,
        hold => panic!("{hold:?}"),
    }
}

#[test]
fn a_finding_without_a_named_fix_is_tried_six_times_in_thirty_days() {
    let mut fleet = tried("b: scratch\n a: b | maxAge: 90d");
    let days: Vec<i64> = [0, 1, 3, 7, 15, 23].map(|day| day * 24).into();
    let starts = hours_of_starts(&mut fleet, 0, 30 * 24);
    assert_eq!(starts.iter().map(|(hour, _)| *hour).collect::<Vec<_>>(), days);
    assert!(starts.iter().all(|(_, started)| started == &["b"]), "no try rolls on: {starts:?}");
    assert_eq!(next_try(&fleet, "b"), at(31 * DAY));
    let record = fleet.record("b");
    assert_eq!(record.tries, Some(Tries { last: at(23 * DAY), count: 6 }));
    assert!(record.success.as_ref().unwrap().fixed_nothing);
    assert!(record.ineffective.is_empty() && record.failures.is_none(), "neither quarantine nor failure");
}

#[test]
fn an_image_between_tries_is_settled_and_its_children_are_free() {
    let mut fleet = tried("b: scratch\n p: b\n a: p");
    assert_eq!(fleet.run_until_idle(), ["b"]);
    assert_eq!(next_try(&fleet, "b"), at(DAY));
    for name in ["b", "p", "a"] {
        let record = fleet.record(name);
        assert!(!record.is_scheduled() && record.waiting_since.is_none(), "{name}: {record:?}");
    }
    let Hold::WaitingOn { on, awaits: Awaited::Hold(hold) } = fleet.hold("a") else { panic!() };
    assert_eq!((on, hold.name()), (id("b"), "NextTry"));
    fleet.coverage = Coverage::OsAndLanguages;
    fleet.add_finding("a", &finding("CVE-2"));
    fleet.scan_all();
    assert_eq!(fleet.run_until_idle(), ["a"], "a parked parent strands no child");
}

#[test]
fn a_try_less_than_a_tick_early_keeps_a_daily_sweep_daily() {
    let mut fleet = tried("b: scratch");
    assert_eq!(fleet.run_until_idle(), ["b"]);
    fleet.now = at(DAY - 15 * 60);
    assert_eq!(fleet.run_until_idle(), [""; 0]);
    fleet.now = at(DAY - 15 * 60 + 1);
    assert_eq!(fleet.run_until_idle(), ["b"]);
}

#[test]
fn a_new_finding_joins_the_next_try() {
    let mut fleet = tried("b: scratch");
    assert_eq!(hours_of_starts(&mut fleet, 0, 36).len(), 2);
    find(&mut fleet, "b", &unnamed(high("CVE-2")));
    assert_eq!(hours_of_starts(&mut fleet, 36, 80), [(72, vec!["b".to_owned()])]);
    let causes: usize = fleet.builds.last().unwrap().reasons.iter().map(|r| r.causes().count()).sum();
    assert_eq!(causes, 2);
}

#[test]
fn a_new_critical_finding_brings_the_next_try_forward() {
    let mut fleet = tried("b: scratch");
    assert_eq!(hours_of_starts(&mut fleet, 0, 7 * 24 + 6).len(), 4);
    find(&mut fleet, "b", &unnamed(finding("CVE-2")));
    let one = |hour| [(hour, vec!["b".to_owned()])];
    assert_eq!(hours_of_starts(&mut fleet, 7 * 24 + 6, 9 * 24), one(8 * 24), "24 h after the last");
    assert_eq!(next_try(&fleet, "b"), at(16 * DAY), "a critical one is new once");
    fleet.now = at(10 * DAY);
    find(&mut fleet, "b", &unnamed(finding("CVE-3")));
    assert_eq!(hours_of_starts(&mut fleet, 10 * 24, 16 * 24), one(10 * 24), "and longer ago: at once");
}

#[test]
fn a_try_that_helps_rolls_on_and_ends_the_schedule() {
    let (mut fleet, other) = (tried("b: scratch\n a: b | maxAge: 90d"), unnamed(finding_in("CVE-2", "zlib")));
    find(&mut fleet, "b", &other);
    assert_eq!(fleet.run_until_idle(), ["b"]);
    publish(&mut fleet, &other);
    assert_eq!(hours_of_starts(&mut fleet, 1, 25), [(24, vec!["b".to_owned(), "a".to_owned()])]);
    assert_eq!(next_try(&fleet, "b"), at(3 * DAY), "the other finding is left");
    publish(&mut fleet, &finding("CVE-1"));
    assert_eq!(hours_of_starts(&mut fleet, 25, 20 * 24), [(72, vec!["b".to_owned(), "a".to_owned()])]);
    assert_eq!((fleet.hold("b"), fleet.record("b").tries), (Hold::Fresh, None));
    fleet.now = at(26 * DAY);
    find(&mut fleet, "b", &unnamed(high("CVE-3")));
    assert_eq!(fleet.run_until_idle(), ["b"], "the next finding begins another schedule");
    assert_eq!(next_try(&fleet, "b"), at(27 * DAY));
}

/// Patchwave cannot know that it helped.
#[test]
fn a_try_that_no_scan_proves_does_not_roll_on() {
    let mut fleet = tried("b: scratch\n a: b");
    assert_eq!(fleet.pass(), ["b"]);
    fleet.push(&id("b"));
    fleet.end("b", ExecutionState::Succeeded);
    assert_eq!(fleet.pass(), [""; 0]);
    assert_eq!(fleet.hold("b").name(), "AwaitingProof");
    fleet.wait("31m");
    assert_eq!((fleet.pass(), fleet.record("b").proof.as_ref()), (vec![], None));
    assert!(fleet.record("b").success.as_ref().unwrap().fixed_nothing);
    fleet.wait("1h");
    assert_eq!(fleet.pass(), [""; 0]);
}

#[test]
fn a_failed_try_backs_off_like_any_build_and_is_no_try() {
    let mut fleet = tried("b: scratch");
    for failures in 1..=2 {
        assert_eq!(fleet.pass(), ["b"], "{failures}");
        fleet.end("b", ExecutionState::Failed);
    }
    assert_eq!(fleet.pass(), [""; 0]);
    assert_eq!(fleet.hold("b").name(), "BackOff");
    assert_eq!(fleet.record("b").tries.unwrap().count, 0);
}

#[test]
fn a_known_fix_does_not_wait_for_the_next_try_and_takes_the_others_along() {
    let mut fleet = tried("b: scratch");
    assert_eq!(fleet.run_until_idle(), ["b"]);
    fleet.wait("2h");
    find(&mut fleet, "b", &finding("CVE-2"));
    assert_eq!(fleet.run_until_idle(), ["b", "b"], "a known fix has its own retry and its quarantine");
    let quarantined: Vec<_> = fleet.record("b").ineffective.keys().cloned().collect();
    assert_eq!(quarantined, [finding("CVE-2").key]);
    assert_eq!(fleet.record("b").tries.unwrap().count, 3, "each of the builds was a try");
}

#[test]
fn a_build_for_a_parents_change_rolls_on_although_its_try_fixed_nothing() {
    let mut fleet = basic("b: scratch\n p: b\n a: p");
    find(&mut fleet, "p", &unnamed(high("CVE-1")));
    assert_eq!(fleet.run_until_idle(), ["p"]);
    fleet.wait("1h");
    fleet.push(&id("b"));
    fleet.scan_all();
    fleet.wait("11m");
    assert_eq!(fleet.run_until_idle(), ["p", "a"]);
    assert_eq!(fleet.record("p").tries.unwrap().count, 2);
}

/// The days on which each image first starts, of sixty that had the finding before.
fn first_days(of_record: impl Fn(&mut Fleet, &str)) -> Vec<usize> {
    let names: Vec<String> = (0..60).map(|n| format!("b{n:02}")).collect();
    let lines: Vec<String> = names.iter().map(|name| format!("{name}: scratch")).collect();
    let mut fleet = basic(&lines.join("\n"));
    fleet.wait("10d");
    for name in &names {
        fleet.add_finding(name, &unnamed(high("CVE-1")));
        fleet.unfixable.insert(finding("CVE-1").key);
    }
    fleet.scan_all();
    for name in &names {
        of_record(&mut fleet, name);
    }
    let (mut built, mut days) = (BTreeSet::new(), Vec::new());
    for _ in 0..8 {
        fleet.facts.slots.started_today = 0;
        fleet.run_until_idle();
        let all: BTreeSet<_> = fleet.builds.iter().map(|start| start.image.clone()).collect();
        days.push(all.len() - built.len());
        built = all;
        fleet.wait("1d");
    }
    days
}

#[test]
fn first_tries_at_enforcement_and_after_an_upgrade_are_spread_over_a_week() {
    let at_enforcement = |fleet: &mut Fleet, name: &str| fleet.image(name).record.enforced_since = None;
    let after_an_upgrade = |fleet: &mut Fleet, name: &str| {
        let record = &mut fleet.image(name).record;
        record.seen = [(finding("CVE-1").key, at(5 * DAY))].into();
    };
    for days in [first_days(at_enforcement), first_days(after_an_upgrade)] {
        assert!(days.iter().all(|first| *first <= 20), "{days:?}");
        assert_eq!(days.iter().sum::<usize>(), 60, "all start within a week: {days:?}");
    }
    assert_eq!(first_days(|_, _| ())[0], 60, "what is new is tried at once");
}

#[test]
fn a_new_critical_finding_ends_the_wait_for_the_first_try() {
    let mut fleet = basic("b7: scratch\na: b7");
    find(&mut fleet, "b7", &unnamed(high("CVE-1")));
    fleet.image("b7").record.enforced_since = None;
    assert_eq!(fleet.run_until_idle(), [""; 0]);
    let until = next_try(&fleet, "b7");
    assert!(until > at(HOUR) && until < at(7 * DAY), "{until}");
    fleet.wait("1h");
    find(&mut fleet, "b7", &unnamed(finding("CVE-2")));
    assert_eq!(fleet.run_until_idle(), ["b7"]);
}

#[test]
fn an_observed_image_records_no_try_and_would_start_now() {
    let mut fleet = tried("b: scratch | mode: observe");
    fleet.pass();
    assert_eq!((fleet.hold("b"), fleet.record("b").tries), (Hold::Observing, None));
    assert_eq!(fleet.hierarchy.image(&id("b")).unwrap().policy.mode, Mode::Observe);
}

#[test]
fn what_policy_says_about_unnamed_fixes_holds_under_basic_scanning_too() {
    for (word, builds, hold) in
        [("hold", 0, "CannotHelp"), ("tryOnce", 1, "Quarantined"), ("tryWithNextRebuild", 0, "CannotHelp")]
    {
        let mut fleet = tried(&format!("b: scratch | unknownFix: {word}"));
        assert_eq!(hours_of_starts(&mut fleet, 0, 20 * 24).len(), builds, "{word}");
        assert_eq!(fleet.hold("b").name(), hold, "{word}");
    }
}

#[test]
fn enhanced_scanning_retries_an_unnamed_fix_only_where_policy_says_so() {
    for (keys, builds) in [("", 0), ("| unknownFix: retry", 3)] {
        let mut fleet = Fleet::of(&format!("b: scratch {keys}"));
        find(&mut fleet, "b", &unnamed(high("CVE-1")));
        assert_eq!(hours_of_starts(&mut fleet, 0, 4 * 24).len(), builds, "{keys}");
    }
}

/// Its tries would never end.
#[test]
fn no_child_tries_for_a_parent_whose_scan_never_comes() {
    let mut fleet = basic("b: scratch\n a: b");
    fleet.facts.has_listener = true;
    find(&mut fleet, "a", &unnamed(high("CVE-1")));
    fleet.manifests("b").for_each(|manifest| manifest.scan = Scan::Pending);
    fleet.pass();
    assert_eq!(fleet.hold("a").name(), "WaitingOn");
    fleet.wait("31m");
    assert_eq!(fleet.pass(), [""; 0]);
    let Hold::CannotHelp { because, .. } = fleet.hold("a") else { panic!("{:?}", fleet.hold("a")) };
    assert_eq!(because, "scan b: it may have this finding too, and the scanner does not name a fix");
    assert!(!fleet.record("a").is_scheduled());
    assert!(fleet.record("a").notified.is_empty(), "every image below the parent would send one");
}

#[test]
fn a_try_is_no_more_urgent_than_what_appeared_when_it_was_made() {
    let mut fleet = tried("b: scratch");
    assert_eq!(hours_of_starts(&mut fleet, 0, 16 * 24).len(), 5);
    assert_eq!(fleet.plan().due[&id("b")].at, at((15 + 7) * DAY), "seven days for a high finding");
    assert!(fleet.plan().reasons[&id("b")].iter().all(|reason| matches!(reason, Reason::Vulnerable { .. })));
    assert_eq!(fleet.builds[0].reasons[0].causes().next().unwrap().severity, Severity::High);
}
