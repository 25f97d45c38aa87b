//! For which reasons an image is rebuilt, and when.

use std::collections::BTreeSet;

use patchwave::facts::{Current, ExecutionState};
use patchwave::finding::{Finding, Fix, PackageKind, Severity};
use patchwave::intervention::Intervention;
use patchwave::plan::{Hold, Reason};
use patchwave::time::Span;

use crate::fleet::{Fleet, at, finding, id};

/// How many seconds from now `name` starts if nothing happens, and for which reasons.
fn first_start(fleet: &mut Fleet, name: &str) -> (u32, Vec<&'static str>) {
    let from = fleet.now;
    let mut starts_at = |seconds| {
        fleet.now = Span::seconds(seconds).after(from);
        fleet.start_codes(name)
    };
    let (mut before, mut by) = (0, 60 * 86_400);
    assert_eq!(starts_at(before), [""; 0], "not yet");
    while by - before > 1 {
        let middle = u32::midpoint(before, by);
        if starts_at(middle).is_empty() { before = middle } else { by = middle }
    }
    let reasons = starts_at(by);
    fleet.now = from;
    (by, reasons)
}

/// A base and an application of which nothing shows that it is on the current version of the base.
fn unannotated(base: &str, enforced_since: i64) -> Fleet {
    let mut fleet = Fleet::of(&format!("{base}: scratch\na: {base}"));
    fleet.image("a").versions.values_mut().for_each(|version| version.base = None);
    fleet.push(&id(base));
    fleet.forget_layers(base);
    fleet.scan_all();
    fleet.image("a").record.enforced_since = Some(at(enforced_since));
    fleet.decide(base, Intervention::Freeze);
    fleet
}

/// The planner's thousandth of `maxAge`, which is thirty days by default.
const SHARE: u32 = 30 * 86_400 / 1_000;

#[test]
fn a_finding_that_no_rebuild_can_fix_starts_nothing() {
    let mut fleet = Fleet::of("b: scratch\n a: b");
    fleet.add_finding("a", &Finding { kind: PackageKind::Language, ..finding("CVE-1") });
    fleet.add_finding("b", &Finding { fix: Fix::NotPublished, ..finding("CVE-2") });
    fleet.scan_all();
    assert_eq!(fleet.run_until_idle(), Vec::<String>::new());
    assert!(matches!(fleet.hold("a"), Hold::CannotHelp { .. }));
    assert!(matches!(fleet.hold("b"), Hold::CannotHelp { .. }));
}

#[test]
fn an_unknown_fix_is_tried_once_where_policy_says_so() {
    let unknown = Finding { fix: Fix::Unknown, ..finding("CVE-1") };
    let mut fleet = Fleet::of("b: scratch | unknownFix: tryOnce");
    fleet.add_finding("b", &unknown);
    fleet.unfixable.insert(unknown.key.clone());
    fleet.scan_all();
    assert_eq!(fleet.run_until_idle(), ["b"]);
    assert!(matches!(fleet.hold("b"), Hold::Quarantined { .. }));

    let mut fleet = Fleet::of("b: scratch");
    fleet.add_finding("b", &unknown);
    fleet.scan_all();
    assert_eq!(fleet.run_until_idle(), Vec::<String>::new(), "by default an unknown fix starts nothing");
}

#[test]
fn changed_metadata_of_a_quarantined_finding_starts_nothing() {
    let mut fleet = Fleet::with_unfixable_finding("b: scratch", "b");
    let quarantined = finding("CVE-1");
    assert_eq!(fleet.run_until_idle(), ["b", "b"], "one retry, then quarantine");
    for (severity, exploited, seen) in [(Severity::High, false, 5), (Severity::Critical, true, 500)] {
        let changed = Finding { severity, exploited, first_observed: Some(at(seen)), ..quarantined.clone() };
        let layer = fleet.own_layer("b");
        fleet.layers.insert(layer, vec![changed]);
        fleet.scan_all();
        assert_eq!(fleet.run_until_idle(), [""; 0], "{severity}");
    }
}

#[test]
fn a_suppression_applies_to_the_images_that_it_names_and_no_others() {
    let suppress = |images: &str| {
        let keys = format!(
            "suppress: [{{ vulnerability: CVE-1, images: [{images}], until: 2030-01-01, reason: not reachable }}]"
        );
        let mut fleet = Fleet::with_policy(
            "b: scratch
 a: b",
            &keys,
        );
        fleet.add_finding("b", &finding("CVE-1"));
        fleet.scan_all();
        fleet
    };
    assert_eq!(suppress("'r/b'").run_until_idle(), ["b", "a"]);
    let mut both = suppress("'r/b', 'r/a'");
    assert_eq!(both.run_until_idle(), Vec::<String>::new());
    assert!(matches!(both.hold("b"), Hold::Suppressed { .. }));
}

#[test]
fn an_image_expires_with_its_chain_and_is_built_without_cache() {
    let mut fleet = Fleet::of("b: scratch\n a: b");
    fleet.wait("30d");
    fleet.scan_all();
    assert_eq!(fleet.run_until_idle(), ["b", "a"], "each once");
    assert!(matches!(&fleet.builds[0].reasons[..], [Reason::Expired { .. }]));
    assert!(fleet.builds[0].no_cache);
}

#[test]
fn not_all_overdue_images_start_on_the_day_of_their_first_enforcement() {
    let mut fleet =
        Fleet::of("b1: scratch\n b2: scratch\n b3: scratch\n b4: scratch\n b5: scratch\n b6: scratch");
    fleet.wait("90d");
    fleet.scan_all();
    for facts in fleet.facts.images.values_mut() {
        facts.record.enforced_since = None;
    }
    assert!(fleet.pass().len() < 3, "not all of them on the first day");
}

#[test]
fn a_missing_stable_tag_is_built() {
    let mut fleet = Fleet::of("b: scratch\n a: b");
    fleet.image("a").current = Current::Absent;
    fleet.image("a").versions.clear();
    assert_eq!(fleet.pass(), ["a"]);
    assert!(matches!(&fleet.builds[0].reasons[..], [Reason::NeverBuilt { .. }]));
}

/// A person pushes a cached, vulnerable build on the same parents.
#[test]
fn a_vulnerable_push_over_a_fixed_build_is_rebuilt() {
    let mut fleet = Fleet::with_finding("b: scratch", "b");
    fleet.run_until_idle();
    fleet.wait("1h");
    fleet.push(&id("b"));
    fleet.add_finding("b", &finding("CVE-1"));
    fleet.scan_all();
    assert_eq!(fleet.run_until_idle(), ["b"]);
}

/// A reproducible base that reaches its age limit must not stay expired for ever.
#[test]
fn a_rebuild_that_reproduces_its_digest_restarts_its_age() {
    let mut fleet = Fleet::of("b: scratch\n a: b");
    fleet.wait("31d");
    fleet.scan_all();
    fleet.image("a").record.success = None;
    assert_eq!(fleet.pass(), ["b"]);
    fleet.end("b", ExecutionState::Succeeded);
    assert_eq!(fleet.pass(), ["a"], "the child does not wait");
    assert_eq!(fleet.hold("b"), Hold::Fresh);
}

#[test]
fn a_second_vulnerability_without_a_fix_in_a_package_is_tried() {
    let unknown = |vulnerability| Finding { fix: Fix::Unknown, ..finding(vulnerability) };
    let mut fleet = Fleet::of("b: scratch | unknownFix: tryOnce");
    fleet.add_finding("b", &unknown("CVE-1"));
    fleet.unfixable.insert(unknown("CVE-1").key);
    fleet.scan_all();
    assert_eq!(fleet.run_until_idle(), ["b"]);
    fleet.add_finding("b", &unknown("CVE-2"));
    fleet.scan_all();
    assert_eq!(fleet.run_until_idle(), ["b"]);
}

/// Each push of the base rebuilds the application once, not twice.
#[test]
fn a_pinned_vulnerable_library_adds_no_builds() {
    let mut fleet = Fleet::of("b: scratch\n a: b");
    let pinned = Finding { kind: PackageKind::Language, ..finding("CVE-1") };
    fleet.add_finding("a", &pinned);
    fleet.unfixable.insert(pinned.key.clone());
    for _ in 0..10 {
        fleet.wait("1h");
        fleet.push(&id("b"));
        fleet.scan_all();
        fleet.wait("11m");
        assert_eq!(fleet.run_until_idle(), ["a"]);
    }
}

#[test]
fn a_fleet_that_is_overdue_when_first_enforced_is_built_within_max_age() {
    let lines: Vec<String> = (0..60).map(|n| format!("b{n:02}: scratch")).collect();
    let mut fleet = Fleet::of(&lines.join("\n"));
    fleet.wait("365d");
    fleet.scan_all();
    for facts in fleet.facts.images.values_mut() {
        facts.record.enforced_since = None;
    }
    let first = fleet.pass().len();
    assert!(first <= 6, "{first} of 60 on the first day");
    for _ in 0..31 {
        fleet.wait("1d");
        fleet.facts.slots.started_today = 0;
        fleet.run_until_idle();
    }
    let built: BTreeSet<_> = fleet.builds.iter().map(|start| &start.image).collect();
    assert_eq!(built.len(), 60, "all are built within maxAge");
}

/// Such a parent brings its children nothing new, so they wait for their own deadline.
#[test]
fn a_parent_that_was_rebuilt_for_its_age_does_not_rebuild_its_children() {
    let mut fleet = Fleet::of("b: scratch\n p: b\n a: p");
    // The platform and the application were built ten days after the base.
    fleet.wait("10d");
    fleet.push(&id("p"));
    fleet.push(&id("a"));
    fleet.wait("20d");
    fleet.scan_all();
    assert_eq!(fleet.run_until_idle(), ["b"], "only the base is due");
    fleet.wait("11d");
    fleet.scan_all();
    assert_eq!(fleet.run_until_idle(), ["p", "a"]);
}

#[test]
fn a_fix_that_came_with_a_rebuild_for_age_rolls_to_its_carriers() {
    let mut fleet = Fleet::with_finding("b: scratch\n a: b", "b");
    assert_eq!(fleet.pass(), ["b"]);
    let age = Reason::Expired { age: "30d".parse().unwrap(), since: fleet.now };
    fleet.image("b").record.claim.as_mut().unwrap().start.reasons = vec![age];
    fleet.finish("b");
    assert_eq!(fleet.run_until_idle(), ["a"]);
}

#[test]
fn a_change_known_by_time_alone_starts_within_max_age_of_the_first_enforcement() {
    let mut turns = BTreeSet::new();
    for base in ["b1", "b2", "b3", "b4", "b5", "b6", "b7", "b8"] {
        let (turn, reasons) = first_start(&mut unannotated(base, 0), "a");
        if reasons == ["ParentChanged"] {
            assert_eq!(turn % SHARE, 0, "{base} starts at its share of maxAge, and not a second later");
            turns.insert(turn);
            // The same share shortens its age by up to a fifth. It was built an hour ago.
            let (expires, _) = first_start(&mut Fleet::of(&format!("{base}: scratch\na: {base}")), base);
            assert_eq!(expires, 1_000 * SHARE - turn / SHARE / 5 * SHARE - 3_599, "{base}");
        }
    }
    assert!(turns.len() >= 3, "the starts are spread: {turns:?}");
}

#[test]
fn a_change_since_the_first_enforcement_is_not_spread() {
    // The child waits for the quiet period of its parent.
    assert_eq!(first_start(&mut unannotated("b1", -1), "a").0, 600);
    assert_ne!(
        first_start(&mut unannotated("b1", 0), "a").0,
        600,
        "what did not change since then is spread"
    );
}
