//! What is built first, and which children wait for it.

use patchwave::facts::{DeployedVersion, Deployments, ExecutionState};
use patchwave::finding::{Finding, PackageKind};
use patchwave::plan::{Awaited, Hold};

use crate::fleet::{Fleet, at, finding, finding_in, high, id, pinned};

const DIAMOND: &str = "b: scratch
                       p1: b
                       p2: b
                       a: p1 + p2";

#[test]
fn nothing_starts_in_a_clean_fleet() {
    let mut fleet = Fleet::of(DIAMOND);
    assert_eq!(fleet.run_until_idle(), Vec::<String>::new());
    assert_eq!(fleet.hold("a"), Hold::Fresh);
}

#[test]
fn a_fix_rolls_from_the_base_and_builds_a_diamond_once() {
    let mut fleet = Fleet::with_finding(DIAMOND, "b");
    assert_eq!(fleet.run_until_idle(), ["b", "p1", "p2", "a"]);
    assert_eq!(fleet.hold("a"), Hold::Fresh);
    assert!(fleet.current("a").platforms.values().all(|manifest| manifest.scan.findings().is_empty()));
    assert!(
        fleet.builds[0].no_cache,
        "the inputs of the package layer are the same: a cache would return the old layer"
    );
    assert!(!fleet.builds[1].no_cache);
}

#[test]
fn the_carriers_of_a_finding_wait_and_name_the_image_that_is_built_first() {
    let mut fleet = Fleet::with_finding(DIAMOND, "b");
    let plan = fleet.plan();
    assert_eq!(plan.starts.len(), 1);
    assert_eq!(plan.holds[&id("a")], Hold::WaitingOn { on: id("b"), awaits: Awaited::Start });
    fleet.apply(&plan);
    assert!(
        matches!(fleet.hold("a"), Hold::WaitingOn { on, awaits: Awaited::Hold(hold) } if on == id("b") && matches!(*hold, Hold::InFlight { .. }))
    );
    assert!(fleet.plan().starts.is_empty());
}

#[test]
fn a_finding_on_both_ends_of_a_chain_builds_the_application_once() {
    let mut fleet = Fleet::of("b: scratch\n p: b\n a: p");
    fleet.add_finding("b", &finding("CVE-1"));
    fleet.add_finding("a", &finding("CVE-2"));
    fleet.scan_all();
    assert_eq!(fleet.run_until_idle(), ["b", "p", "a"]);
}

#[test]
fn a_parked_parent_does_not_strand_a_child_with_reasons_of_its_own() {
    for (policy, name) in [
        ("rebuild: never", "Frozen"),
        ("rebuild: approval", "NeedsApproval"),
        ("rebuild: nextCommit", "NextCommit"),
        ("mode: observe", "Observing"),
        ("pipeline: none", "NoPipeline"),
    ] {
        let mut fleet = Fleet::of(&format!("b: scratch\n p: b | {policy}\n a: p"));
        fleet.add_finding("p", &finding("CVE-1"));
        fleet.add_finding("a", &finding("CVE-2"));
        fleet.scan_all();
        assert_eq!(fleet.pass(), ["a"], "{policy}");
        assert_eq!(fleet.hold("p").name(), name);
    }
}

#[test]
fn a_child_waits_only_for_reasons_that_are_older_than_its_own_wait() {
    let mut fleet = Fleet::of("b: scratch\n p: b\n a: p");
    fleet.add_finding("a", &finding("CVE-2"));
    fleet.add_finding("b", &finding("CVE-1"));
    fleet.scan_all();
    fleet.pass();
    fleet.finish("b");
    assert_eq!(fleet.pass(), ["p"]);
    // While p builds, the base gets another finding, for which a does not wait.
    fleet.wait("1h");
    fleet.add_finding("b", &finding("CVE-3"));
    fleet.scan("b");
    assert_eq!(fleet.pass(), ["b"]);
    fleet.push(&id("p"));
    fleet.scan("p");
    fleet.end("p", ExecutionState::Succeeded);
    assert_eq!(fleet.pass(), ["a"]);
}

#[test]
fn an_image_deployed_in_production_goes_first() {
    let mut fleet = Fleet::of("b1: scratch\n b2: scratch\n a1: b1\n a2: b2");
    fleet.add_finding("a1", &finding("CVE-1"));
    fleet.add_finding("a2", &finding("CVE-2"));
    fleet.scan_all();
    let first = |fleet: &Fleet| fleet.plan().starts[0].image.clone();
    assert_eq!(first(&fleet), id("a1"), "they differ only by name");
    let deployed = |image: &str| DeployedVersion {
        version: fleet.current(image).digest.clone(),
        since: at(0),
        last_seen: at(0),
    };
    let environment = |name: &str| Deployments {
        environments: [(name.to_owned(), deployed("a2"))].into(),
        ..Deployments::default()
    };
    let (test, prod) = (environment("test"), environment("Prod"));
    fleet.facts.deployments.insert(id("a2"), test);
    assert_eq!(first(&fleet), id("a1"));
    fleet.facts.deployments.insert(id("a2"), prod);
    assert_eq!(first(&fleet), id("a2"));
}

#[test]
fn an_exploited_finding_goes_first() {
    let mut fleet = Fleet::with_policy("b1: scratch\n b2: scratch", "maxConcurrentBuilds: 1");
    fleet.add_finding("b1", &finding("CVE-1"));
    fleet.add_finding("b2", &Finding { exploited: true, ..high("CVE-2") });
    fleet.scan_all();
    assert_eq!(fleet.pass(), ["b2"]);
}

#[test]
fn a_finding_that_no_rebuild_can_fix_makes_its_image_no_more_urgent() {
    let mut fleet = Fleet::with_policy("b1: scratch\n b2: scratch", "maxConcurrentBuilds: 1");
    let pinned = Finding { kind: PackageKind::Language, ..finding("CVE-1") };
    fleet.add_finding("b1", &pinned);
    fleet.scan_all();
    fleet.pass();
    fleet.wait("20d");
    fleet.add_finding("b1", &high("CVE-2"));
    fleet.add_finding("b2", &finding("CVE-3"));
    fleet.scan_all();
    assert_eq!(fleet.pass(), ["b2"], "its critical finding is due before the high one of b1");
}

#[test]
fn an_application_with_its_own_finding_does_not_wait_for_a_frozen_vulnerable_parent() {
    let mut fleet = Fleet::of("b: scratch\n p: b | rebuild: never\n a: p");
    fleet.add_finding("p", &finding("CVE-1"));
    fleet.add_finding("a", &finding_in("CVE-2", "zlib"));
    fleet.scan_all();
    assert_eq!(fleet.run_until_idle(), ["a"]);
}

/// The platform builds for longer than an hour.
#[test]
fn hourly_pushes_of_the_base_do_not_starve_the_applications() {
    let mut fleet = Fleet::of("b: scratch\n p: b\n a: p");
    fleet.push(&id("b"));
    let mut built = 0;
    for hour in 0..24 {
        fleet.wait("1h");
        fleet.push(&id("b"));
        fleet.scan_all();
        fleet.wait("11m");
        built += fleet.pass().iter().filter(|image| *image == "a").count();
        // Every second hour all running builds end, on parents that have changed meanwhile.
        if hour % 2 == 1 {
            for name in ["p", "a"] {
                if fleet.image(name).record.claim.is_some() {
                    fleet.push(&id(name));
                    fleet.scan(name);
                    fleet.end(name, ExecutionState::Succeeded);
                }
            }
            built += fleet.pass().iter().filter(|image| *image == "a").count();
        }
    }
    assert!(built >= 6, "{built} builds in a day");
}

/// The platform has no reason of its own yet.
#[test]
fn an_application_waits_for_a_platform_whose_base_is_about_to_build() {
    let mut fleet = Fleet::of("b: scratch\n p: b\n a: p");
    fleet.add_finding("b", &finding("CVE-1"));
    fleet.add_finding("a", &finding_in("CVE-2", "zlib"));
    fleet.scan_all();
    assert_eq!(fleet.run_until_idle(), ["b", "p", "a"]);
}

#[test]
fn a_child_does_not_wait_for_a_build_above_a_parent_that_cannot_follow() {
    for (parent, waits) in [
        ("", true),
        ("| rebuild: never", false),
        ("| rebuild: approval", false),
        ("| mode: observe", false),
        ("| pipeline: none", false),
        (&pinned("p"), false),
    ] {
        let mut fleet = Fleet::of(&format!("b: scratch\np: b {parent}\na: p"));
        fleet.add_finding("b", &finding("CVE-1"));
        fleet.add_finding("a", &finding_in("CVE-2", "zlib"));
        fleet.scan("b");
        fleet.scan("a");
        fleet.change_findings("a", |found| found.key = finding_in("CVE-2", "zlib").key);
        let started = if waits { vec!["b"] } else { vec!["b", "a"] };
        assert_eq!(fleet.pass(), started, "p: b {parent}");
    }
}
