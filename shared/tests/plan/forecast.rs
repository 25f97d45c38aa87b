//! What is said beforehand about limits that keep no deadline.

use std::fmt::Write as _;

use patchwave::hierarchy::Hierarchy;
use patchwave::plan::{Limit, Shortfall, shortfall};
use patchwave::policy::Mode;
use patchwave::time::Span;

use crate::fleet::{Fleet, family, finding};

/// Bases with a critical finding, which is due in 24 hours, and builds of two hours.
fn bases(count: usize, keys: &str) -> Fleet {
    let mut lines = String::new();
    (0..count).for_each(|number| writeln!(lines, "b{number}: scratch").unwrap());
    let mut fleet = Fleet::with_policy(lines.trim_end(), keys);
    for number in 0..count {
        fleet.add_finding(&format!("b{number}"), &finding("CVE-1"));
    }
    fleet.scan_all();
    fleet
}

fn ask(fleet: &Fleet) -> Option<Shortfall> {
    shortfall(&fleet.hierarchy, &fleet.facts, Mode::Enforce, fleet.now)
}

#[test]
fn limits_that_keep_all_deadlines_are_not_mentioned() {
    assert_eq!(ask(&bases(12, "maxConcurrentBuilds: 1")), None, "twelve times two hours are a day");
    assert_eq!(ask(&bases(12, "maxStartsPerDay: 1")), None, "the others start after midnight");
}

#[test]
fn too_few_slots_are_named_with_how_many_are_enough() {
    let fleet = bases(40, "maxConcurrentBuilds: 1");
    let short = ask(&fleet).expect("eighty hours do not fit into a day");
    assert_eq!((short.images, &short.raise), (28, &[(Limit::ConcurrentBuilds, 4)].into()));
    assert_eq!(short.keep_by, Span::days(1).after(fleet.now));
    assert!(short.ends > short.keep_by);
    assert!(ask(&bases(40, "maxConcurrentBuilds: 3")).is_some());
    assert_eq!(ask(&bases(40, "maxConcurrentBuilds: 4")), None);
}

#[test]
fn a_deadline_that_no_limit_keeps_is_not_the_limits_fault() {
    let mut fleet = bases(3, "maxBuildTime: 30h");
    assert_eq!(ask(&fleet), None);
    fleet.wait("3d");
    assert_eq!(ask(&fleet), None, "they are overdue");
}

#[test]
fn what_builds_took_before_says_what_they_take() {
    let mut fleet = bases(40, "maxConcurrentBuilds: 1, maxBuildTime: 30h");
    fleet.pass();
    fleet.wait("30m");
    fleet.finish("b0");
    fleet.pass();
    fleet.add_finding("b0", &finding("CVE-2"));
    fleet.scan_all();
    assert_eq!(ask(&fleet), None, "forty half hours fit into a day");
}

/// Builds that follow their parents are part of the work, whether scans list the finding there or
/// not.
#[test]
fn the_builds_below_take_their_slots_too() {
    let mut lines = String::from("b: scratch");
    (0..40).for_each(|number| write!(lines, "\na{number}: b").unwrap());
    let hierarchy = |slots: u32| {
        let yaml = family(&lines)
            .replace("mode: enforce }", &format!("mode: enforce, maxConcurrentBuilds: {slots} }}"));
        Hierarchy::parse("fleet.yaml", &yaml).unwrap()
    };
    let mut fleet = Fleet::of(&lines);
    fleet.add_finding("b", &finding("CVE-1"));
    fleet.scan("b");
    let asked = |slots| shortfall(&hierarchy(slots), &fleet.facts, Mode::Enforce, fleet.now);
    let enough = (1..50).find(|slots| asked(*slots).is_none()).expect("some number is enough");
    assert_eq!(asked(1).expect("one is not").raise, [(Limit::ConcurrentBuilds, enough)].into());
}
