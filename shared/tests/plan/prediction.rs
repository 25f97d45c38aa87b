//! What the builds that a plan leads to will change, in numbers.

use std::collections::BTreeSet;

use patchwave::facts::{DeployedVersion, Deployments};
use patchwave::finding::{Fix, Severity};
use patchwave::hierarchy::Hierarchy;
use patchwave::plan::{Limit, Prediction, Rule, Source, first_enforcement, predict, traced};
use patchwave::policy::Mode;
use patchwave::time::Span;

use crate::fleet::{Fleet, family, finding, high, id};

fn predicted(fleet: &Fleet) -> Prediction {
    predict(&fleet.hierarchy, &fleet.facts, Mode::Enforce, fleet.now)
}

fn runs(fleet: &mut Fleet, image: &str) {
    let version = fleet.current(image).digest.clone();
    let deployed = DeployedVersion { version, since: fleet.now, last_seen: fleet.now };
    let environments = [("prod".to_owned(), deployed)].into();
    fleet.facts.deployments.insert(id(image), Deployments { environments, ..Deployments::default() });
}

#[test]
fn a_wave_is_predicted_as_it_is_then_built() {
    let mut fleet = Fleet::with_finding("b: scratch\np: b\nq: b\na: p\no: scratch", "b");
    runs(&mut fleet, "a");
    runs(&mut fleet, "o");
    let predicted = predicted(&fleet);
    assert_eq!(predicted.first, [id("b")].into());
    assert_eq!(predicted.children, ["p", "q", "a"].map(id).into());
    assert_eq!((predicted.cleared, predicted.tried, predicted.running), (4, 0, Some(1)));
    assert_eq!(predicted.ends, Span::hours(6).after(fleet.now), "three waves of maxBuildTime");
    assert_eq!((predicted.build_time, predicted.without_time), (Span::hours(8), 4));
    fleet.run_until_idle();
    let built: BTreeSet<_> = fleet.builds.iter().map(|start| start.image.clone()).collect();
    assert_eq!(built, predicted.first.union(&predicted.children).cloned().collect());
}

#[test]
fn what_runs_is_not_known_without_a_survey() {
    let fleet = Fleet::with_finding("b: scratch\na: b", "b");
    assert_eq!(predicted(&fleet).running, None);
}

#[test]
fn an_image_that_does_not_follow_stays_and_is_named_with_its_hold() {
    let mut fleet = Fleet::of("b: scratch\np: b | pinned: true\na: p");
    fleet.add_finding("b", &finding("CVE-1"));
    fleet.scan_all();
    let predicted = predicted(&fleet);
    assert_eq!(predicted.stay.get("Pinned"), Some(&[id("p")].into()));
    assert_eq!(predicted.builds(), 1, "nothing below a pinned image is rebuilt: {predicted:?}");
    assert_eq!(predicted.cleared, 1);
}

#[test]
fn a_finding_without_a_named_fix_is_tried_and_not_cleared() {
    let mut fleet = Fleet::with_policy("b: scratch", "unknownFix: tryOnce");
    let mut unnamed = finding("CVE-1");
    unnamed.fix = Fix::Unknown;
    fleet.add_finding("b", &unnamed);
    fleet.scan_all();
    let predicted = predicted(&fleet);
    assert_eq!((predicted.cleared, predicted.tried), (0, 1));
}

#[test]
fn the_first_enforcement_is_spread_over_days_by_the_limit_of_a_day() {
    let lines: Vec<String> = (0..25).map(|n| format!("b{n}: scratch")).collect();
    let yaml = family(&lines.join("\n")).replace("mode: enforce }", "mode: observe, maxStartsPerDay: 10 }");
    let mut fleet = Fleet::new(&yaml);
    for image in fleet.facts.images.values_mut() {
        image.record.enforced_since = None;
    }
    (0..25).for_each(|n| fleet.add_finding(&format!("b{n}"), &high("CVE-1")));
    fleet.scan_all();
    assert_eq!(predicted(&fleet).builds(), 0, "it observes");
    let storm = first_enforcement(&fleet.hierarchy, &fleet.facts, fleet.now);
    let days: Vec<(usize, Option<Limit>)> = storm.days.iter().map(|d| (d.images.len(), d.limit)).collect();
    assert_eq!(days[..2], [(10, Some(Limit::StartsPerDay)), (10, Some(Limit::StartsPerDay))], "{storm:?}");
    assert_eq!((days[2], storm.builds), ((5, None), 25));
    assert_eq!(storm.shortfall, None, "high findings have seven days");
    let unlimited = Hierarchy::parse("h.yaml", &yaml.replace(", maxStartsPerDay: 10", "")).unwrap();
    let storm = first_enforcement(&unlimited, &fleet.facts, fleet.now);
    let days: Vec<usize> = storm.days.iter().map(|day| day.images.len()).collect();
    assert_eq!(days, [20, 5], "two hours before midnight, for two hours each");
    assert_eq!(storm.days[0].limit, Some(Limit::ConcurrentBuilds), "twenty at once");
}

#[test]
fn age_that_was_overdue_is_spread_over_max_age_in_the_first_days_too() {
    let lines: Vec<String> = (0..40).map(|n| format!("b{n}: scratch")).collect();
    let mut fleet = Fleet::of(&lines.join("\n"));
    for image in fleet.facts.images.values_mut() {
        image.record.enforced_since = None;
    }
    fleet.wait("40d");
    let storm = first_enforcement(&fleet.hierarchy, &fleet.facts, fleet.now);
    assert!(storm.days.len() > 10, "{} days", storm.days.len());
    assert!(storm.builds > 30, "{}", storm.builds);
}

#[test]
fn a_vulnerability_is_traced_to_who_introduced_it_and_what_runs() {
    let mut fleet = Fleet::with_finding("b: scratch\np: b\na: p\no: scratch", "b");
    runs(&mut fleet, "a");
    runs(&mut fleet, "o");
    let found = traced(&fleet.hierarchy, &fleet.facts, "CVE-1", fleet.now);
    let sources: Vec<_> = found.carriers.iter().map(|c| (c.image.to_string(), c.source.clone())).collect();
    let inherited = || Source::Inherited { from: id("b") };
    assert_eq!(
        sources,
        [("b".to_owned(), Source::Own), ("p".to_owned(), inherited()), ("a".to_owned(), inherited())]
    );
    assert!(found.carriers.iter().all(|c| c.rule == Rule::Counts { rebuild_at: Severity::High }));
    let running: Vec<_> = found.running.iter().map(|r| (r.image.to_string(), r.has_it)).collect();
    assert_eq!(running, [("a".to_owned(), Some(true))]);
    assert!(found.unknown.is_empty());
    assert_eq!(traced(&fleet.hierarchy, &fleet.facts, "CVE-2", fleet.now).carriers, []);
}

#[test]
fn an_old_version_that_runs_and_was_not_described_may_have_it() {
    let mut fleet = Fleet::of("b: scratch");
    runs(&mut fleet, "b");
    let deployed = fleet.facts.deployments.get_mut(&id("b")).unwrap();
    deployed.environments.get_mut("prod").unwrap().version = crate::fleet::digest(999);
    let found = traced(&fleet.hierarchy, &fleet.facts, "CVE-1", fleet.now);
    assert_eq!(found.running.iter().map(|r| r.has_it).collect::<Vec<_>>(), [None]);
    fleet.facts.deployments.clear();
    let manifest = fleet.current_mut("b").platforms.values_mut().next().unwrap();
    manifest.scan = patchwave::finding::Scan::Missing;
    let found = traced(&fleet.hierarchy, &fleet.facts, "CVE-1", fleet.now);
    assert_eq!(found.unknown[&id("b")], "linux/amd64: never scanned");
}

#[test]
fn an_image_with_the_layer_has_the_finding_before_its_scan_lists_it() {
    let mut fleet = Fleet::of("b: scratch\np: b\na: p\no: scratch");
    runs(&mut fleet, "a");
    fleet.wait("1h");
    fleet.add_finding("b", &finding("CVE-1"));
    fleet.scan("b");
    let layer = fleet.current("b").platforms.values().next().unwrap().layers.first().cloned();
    fleet.change_findings("b", |found| found.layer.clone_from(&layer));
    let found = traced(&fleet.hierarchy, &fleet.facts, "CVE-1", fleet.now);
    assert_eq!(predicted(&fleet).cleared, 3, "no scan of p and a lists it yet: {found:?}");
    assert_eq!(found.expected, [(id("p"), id("b")), (id("a"), id("b"))].into());
    let running: Vec<_> = found.running.iter().map(|r| (r.image.to_string(), r.has_it)).collect();
    assert_eq!(running, [("a".to_owned(), None)], "its scan is older than the finding");
    fleet.scan_all();
    let found = traced(&fleet.hierarchy, &fleet.facts, "CVE-1", fleet.now);
    assert_eq!((found.expected.len(), found.carriers.len()), (0, 3), "now they list it");
    assert_eq!(predicted(&fleet).cleared, 3);
}
