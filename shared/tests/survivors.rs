//! Rules that no other test pins down: each was found by breaking it and seeing nothing fail.

#![expect(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "a test that cannot go on fails")]

mod village;

use std::collections::BTreeSet;
use std::sync::Arc;

use patchwave::facts::{Current, Execution, ExecutionState, Manifest};
use patchwave::finding::{Coverage, Finding, FindingKey, PackageKind, Scan, Severity};
use patchwave::intervention::Intervention;
use patchwave::plan::{Awaited, Hold, Limit, Plan, Reason, Verdict};
use patchwave::time::Span;
use village::{PLATFORMS, Village, at, family, finding, id};

fn other(vulnerability: &str, package: &str) -> Finding {
    let key = FindingKey { vulnerability: vulnerability.into(), package: package.into() };
    Finding { key, ..finding(vulnerability) }
}

/// The platform manifests of all versions of an image.
fn manifests<'v>(village: &'v mut Village, name: &str) -> impl Iterator<Item = &'v mut Manifest> {
    village.image(name).versions.values_mut().flat_map(|version| version.platforms.values_mut())
}

/// From now on nobody scans this image's current version.
fn blind(village: &mut Village, name: &str) {
    manifests(village, name).for_each(|manifest| manifest.scan = Scan::Failed("UNSUPPORTED_IMAGE".into()));
}

/// From now on layers tell nothing about this image's current version.
fn forget_layers(village: &mut Village, name: &str) {
    manifests(village, name).for_each(|manifest| manifest.layers = [].into());
}

/// What the scans of an image's versions list.
fn findings<'v>(village: &'v mut Village, name: &str) -> impl Iterator<Item = &'v mut Finding> {
    manifests(village, name).flat_map(|manifest| match &mut manifest.scan {
        Scan::Complete { findings, .. } => Arc::get_mut(findings).unwrap(),
        scan => panic!("{scan:?}"),
    })
}

/// Whether the tick looks at an image, once the plan is written down.
fn is_unsettled(village: &Village, plan: &Plan, name: &str) -> bool {
    plan.records.get(&id(name)).unwrap_or(&village.facts.images[&id(name)].record).unsettled
}

#[test]
fn a_retry_in_vain_hides_no_earlier_fix_from_a_child_that_nobody_can_scan() {
    let mut village = Village::of("b: scratch\np: b");
    blind(&mut village, "p");
    village.decide("p", Intervention::Freeze);
    village.infect("b", &finding("CVE-1"));
    village.scan("b");
    assert_eq!(village.pass(), ["b"]);
    village.wait("10m");
    village.finish("b");
    assert_eq!(village.pass(), [""; 0], "the fix is proven, and p is frozen");

    let stubborn = other("CVE-2", "zlib");
    village.infect("b", &stubborn);
    village.stubborn.insert(stubborn.key);
    village.scan("b");
    for _ in 0..2 {
        assert_eq!(village.pass(), ["b"]);
        village.wait("10m");
        village.finish("b");
    }
    assert_eq!(village.pass(), [""; 0]);
    assert_eq!(village.hold("b").name(), "Quarantined");

    village.decide("p", Intervention::Release);
    assert_eq!(village.pass(), ["p"], "p was built before CVE-1 was fixed");
}

#[test]
fn a_proof_asks_for_the_scans_that_nobody_began() {
    let mut village = Village::of("b: scratch");
    village.infect("b", &finding("CVE-1"));
    village.scan("b");
    village.pass();
    village.wait("10m");
    village.push(&id("b"));
    village.end("b", patchwave::facts::ExecutionState::Succeeded);
    let asked: Vec<String> = village.plan().scans.into_iter().map(|scan| scan.platform.to_string()).collect();
    assert_eq!(asked, PLATFORMS);
}

#[test]
fn what_is_exploited_on_one_platform_is_due_at_once() {
    let mut village = Village::of("b: scratch");
    village.infect("b", &finding("CVE-1"));
    village.scan("b");
    for (exploited, due) in [([true, false], 0), ([false, true], 0), ([false, false], 24)] {
        for (manifest, exploited) in
            village.image("b").versions.values_mut().flat_map(|v| v.platforms.values_mut()).zip(exploited)
        {
            let Scan::Complete { findings, .. } = &mut manifest.scan else { panic!("it was scanned") };
            Arc::get_mut(findings).unwrap()[0].exploited = exploited;
        }
        let start = village.plan().starts.pop().expect("it starts");
        assert_eq!(start.due.duration_since(start.since).as_hours(), due, "{exploited:?}");
        let cause = start.reasons[0].causes().next().unwrap().clone();
        assert_eq!(cause.exploited, due == 0);
    }
}

#[test]
fn what_any_carrier_knows_to_be_exploited_is() {
    let mut village = Village::of("b: scratch\np: b\nq: b");
    village.infect("b", &finding("CVE-1"));
    village.scan_all();
    findings(&mut village, "p").for_each(|found| found.exploited = true);
    let start = village.plan().starts.pop().expect("b starts");
    assert_eq!(start.image, id("b"));
    assert!(start.reasons[0].causes().all(|cause| cause.exploited), "q's scan does not say so, and p's does");
}

#[test]
fn a_cause_is_as_bad_and_as_old_as_any_carrier_has_it() {
    // The base's own scan is older than the finding: the carriers' say who has it since when.
    let mut village = Village::of("b: scratch\np: b\nq: b");
    village.infect("b", &finding("CVE-1"));
    village.scan_all();
    let since = |minutes| Some(Span::minutes(minutes).before(at(0)));
    let facts = [
        ("b", Severity::High, since(1)),
        ("p", Severity::Critical, since(9)),
        ("q", Severity::High, since(5)),
    ];
    for (name, severity, first_observed) in facts {
        for found in findings(&mut village, name) {
            (found.severity, found.first_observed) = (severity, first_observed);
        }
    }
    let start = village.plan().starts.pop().expect("b starts");
    let causes: Vec<_> = start.reasons[0].causes().map(|cause| (cause.severity, Some(cause.since))).collect();
    assert_eq!((start.image, causes), (id("b"), vec![(Severity::Critical, since(9))]));
}

#[test]
fn a_carrier_waits_for_the_parked_image_whose_rebuild_would_bring_the_fix() {
    let mut village = Village::of("b: scratch\np: b\na: p");
    village.infect("b", &finding("CVE-1"));
    village.scan_all();
    village.decide("p", Intervention::Freeze);
    assert_eq!(village.pass(), ["b"]);
    village.wait("10m");
    village.finish("b");
    village.pass();
    let Hold::WaitingOn { on, awaits: Awaited::Hold(hold) } = village.hold("a") else {
        panic!("{:?}", village.hold("a"))
    };
    assert_eq!((on, hold.name()), (id("p"), "Frozen"));
}

#[test]
fn only_platforms_without_a_scan_since_the_finding_appeared_are_asked_for() {
    let mut village = Village::of("b: scratch\np: b");
    village.infect("b", &finding("CVE-1"));
    village.scan("p");
    let appeared = village.now;
    let [first, last] = PLATFORMS;
    for (platform, scan) in [
        (first, Scan::Complete { completed_at: appeared, coverage: Coverage::Os, findings: [].into() }),
        (last, Scan::Failed("FAILED".into())),
    ] {
        let version = village.image("b").versions.values_mut().next_back().unwrap();
        version.platforms.get_mut(&platform.parse().unwrap()).unwrap().scan = scan;
    }
    forget_layers(&mut village, "b");
    village.wait("25h");
    let asked: Vec<String> = village.plan().scans.into_iter().map(|scan| scan.platform.to_string()).collect();
    assert_eq!(asked, [last]);
}

#[test]
fn a_single_manifest_compares_with_its_parent_as_a_whole() {
    let mut village = Village::of("b: scratch\np: b");
    let facts = village.image("p");
    for version in facts.versions.values_mut() {
        let manifest = version.platforms.pop_first().unwrap().1;
        version.platforms = [("unknown/single".parse().unwrap(), manifest)].into();
    }
    assert_eq!(village.hold("p").name(), "Fresh");
    village.push(&id("b"));
    village.scan("b");
    village.wait("1d");
    assert_eq!(village.pass(), ["p"]);
}

#[test]
fn a_lease_has_ended_at_its_end() {
    let mut village = Village::of("b: scratch");
    village.infect("b", &finding("CVE-1"));
    village.scan("b");
    village.pass();
    let now = village.now;
    let facts = village.image("b");
    facts.execution = Some(Execution::Unknown("throttled".into()));
    let claim = facts.record.claim.as_mut().unwrap();
    claim.execution = None;
    claim.lease_until = now;
    let Hold::Unresolved { because } = village.hold("b") else { panic!("{:?}", village.hold("b")) };
    assert_eq!(because, "throttled", "what could not be asked is named");
}

#[test]
fn what_was_pushed_in_the_same_second_as_ours_was_not_put_back() {
    let mut village = Village::of("b: scratch");
    village.infect("b", &finding("CVE-1"));
    village.scan("b");
    village.play();
    village.push(&id("b"));
    village.infect("b", &finding("CVE-2"));
    village.scan("b");
    assert_eq!(village.pass(), ["b"]);
}

#[test]
fn without_a_version_of_its_parent_an_image_waits_if_it_has_a_reason() {
    let mut village = Village::of("b: scratch\np: b\nq: b");
    village.infect("p", &finding("CVE-1"));
    village.scan_all();
    village.image("b").current = Current::Absent;
    village.decide("b", Intervention::Freeze);
    assert!(matches!(village.hold("p"), Hold::WaitingOn { on, .. } if on == id("b")));
    assert_eq!(village.hold("q").name(), "Fresh");
}

/// Pushes a version of `b` that differs in its digests and shares its layers.
fn repack(village: &mut Village, platforms: &[&str]) {
    let before = village.current("b").clone();
    village.push(&id("b"));
    let digest = village.current("b").digest.clone();
    let version = village.image("b").versions.get_mut(&digest).unwrap();
    version.platforms.retain(|platform, _| platforms.contains(&platform.to_string().as_str()));
    for (platform, manifest) in &mut version.platforms {
        manifest.layers = before.platforms[platform].layers.clone();
    }
}

#[test]
fn of_versions_with_the_same_layers_a_child_is_on_the_current_one() {
    let mut village = Village::of("b: scratch\np: b");
    village.image("p").versions.values_mut().next().unwrap().base = None;
    village.wait("1h");
    repack(&mut village, &PLATFORMS);
    village.scan("b");
    village.wait("1d");
    assert_eq!(village.hold("p").name(), "Fresh");
}

#[test]
fn a_parent_that_dropped_a_platform_of_its_child_has_changed() {
    let mut village = Village::of("b: scratch\np: b");
    let before = village.current("b").clone();
    village.wait("1h");
    repack(&mut village, &PLATFORMS[..1]);
    let digest = village.current("b").digest.clone();
    let version = village.image("b").versions.get_mut(&digest).unwrap();
    for (platform, manifest) in &mut version.platforms {
        manifest.digest = before.platforms[platform].digest.clone();
    }
    village.scan("b");
    village.wait("1d");
    assert_eq!(village.pass(), ["p"]);
}

#[test]
fn what_an_image_waits_for_explains_it_better_than_a_failed_scan() {
    let mut village = Village::of("b: scratch\np: b");
    village.infect("b", &finding("CVE-1"));
    village.scan_all();
    for version in village.image("p").versions.values_mut() {
        version.platforms.values_mut().next_back().unwrap().scan = Scan::Failed("FAILED".into());
    }
    assert_eq!(village.hold("p").name(), "WaitingOn");
}

#[test]
fn a_wait_is_over_at_its_end() {
    let mut village = Village::of("b: scratch\np: b");
    village.push(&id("b"));
    village.scan("b");
    assert_eq!(village.hold("p").name(), "QuietPeriod");
    village.wait("10m");
    assert_eq!(village.pass(), ["p"]);
    village.end("p", ExecutionState::Failed);
    assert_eq!(village.pass(), ["p"], "the first failure makes no pause");
    village.end("p", ExecutionState::Failed);
    assert_eq!(village.pass(), [""; 0]);
    assert_eq!(village.hold("p").name(), "BackOff");
    village.wait("1h");
    assert_eq!(village.pass(), ["p"]);
}

#[test]
fn an_image_waits_for_one_that_waits_for_a_scan_no_longer_than_for_a_proof() {
    let mut village = Village::of("b: scratch\np: b\nq: b\na: q");
    village.infect("b", &finding("CVE-1"));
    village.infect("a", &other("CVE-2", "zlib"));
    village.scan_all();
    blind(&mut village, "b");
    forget_layers(&mut village, "b");
    assert_eq!(village.pass(), [""; 0]);
    assert!(matches!(village.hold("a"), Hold::WaitingOn { awaits: Awaited::Scan, .. }));
    village.wait("31m");
    assert_eq!(village.pass(), ["a", "p"], "p tries, q waits on, and a does not wait for q");
}

#[test]
fn the_tick_looks_at_what_waits_for_something_that_moves() {
    let mut village = Village::of("b: scratch\np: b\nq: b");
    village.infect("p", &finding("CVE-1"));
    village.scan_all();
    village.decide("b", Intervention::Rebuild);
    assert_eq!(village.pass(), ["b"]);
    let plan = village.plan();
    for (name, unsettled) in [("b", true), ("p", true), ("q", false)] {
        assert_eq!(is_unsettled(&village, &plan, name), unsettled, "{name}: {:?}", plan.holds.get(&id(name)));
    }
    assert!(
        matches!(&plan.holds[&id("q")], Hold::WaitingOn { on, .. } if *on == id("b")),
        "and for no reason"
    );
}

#[test]
fn the_tick_looks_again_at_what_is_unknown_if_that_may_pass() {
    let mut village = Village::of("b1: scratch\nb2: scratch\nb3: scratch\nb4: scratch\np: b4");
    village.decide("p", Intervention::Rebuild);
    for name in ["b1", "b4"] {
        village.image(name).current = Current::Unknown("throttled".into());
    }
    for (name, scan) in [("b2", Scan::Pending), ("b3", Scan::Failed("UNSUPPORTED_IMAGE".into()))] {
        manifests(&mut village, name).next().unwrap().scan = scan;
    }
    let plan = village.plan();
    for (name, unsettled) in [("b1", true), ("b2", true), ("b3", false), ("p", true)] {
        assert_eq!(plan.holds[&id(name)].name(), "Unknown", "{name}");
        assert_eq!(is_unsettled(&village, &plan, name), unsettled, "{name}");
    }
}

#[test]
fn one_plan_keeps_to_the_limits_and_says_so_to_those_that_wait() {
    for (limit, limited) in
        [("maxStartsPerDay: 2", Limit::StartsPerDay), ("maxConcurrentBuilds: 2", Limit::ConcurrentBuilds)]
    {
        let file = family("b1: scratch\nb2: scratch\nb3: scratch\np1: b1\np2: b2\np3: b3");
        let mut village = Village::new(&file.replace("mode: enforce", &format!("mode: enforce, {limit}")));
        for name in ["b1", "b2", "b3"] {
            village.infect(name, &finding("CVE-1"));
        }
        village.scan_all();
        let plan = village.plan();
        let started: Vec<String> = plan.starts.iter().map(|start| start.image.to_string()).collect();
        assert_eq!(started, ["b1", "b2"]);
        let limited = Hold::AtLimit { limit: limited };
        assert_eq!(plan.holds[&id("b3")], limited);
        let waits = Hold::WaitingOn { on: id("b3"), awaits: Awaited::Hold(Box::new(limited)) };
        assert_eq!(plan.holds[&id("p3")], waits);
    }
}

#[test]
fn the_end_of_the_attempt_before_is_not_the_end_of_one_that_is_about_to_start() {
    let mut village = Village::of("b: scratch");
    village.infect("b", &finding("CVE-1"));
    village.scan("b");
    village.pass();
    village.end("b", ExecutionState::Failed);
    let before = village.image("b").execution.clone();
    assert_eq!(village.pass(), ["b"], "the first failure makes no pause");
    // Its owner has claimed it and not started it yet: by its key only the attempt before is found.
    let facts = village.image("b");
    facts.record.claim.as_mut().unwrap().execution = None;
    facts.execution = before;
    assert_eq!(village.pass(), [""; 0]);
    assert_eq!((village.hold("b").name(), village.facts.slots.held_by.len()), ("InFlight", 1));
    village.wait("16m");
    village.pass();
    assert_eq!(village.hold("b").name(), "BackOff", "the owner is gone");
}

/// The reasons for which `name` would start now.
fn codes(village: &Village, name: &str) -> Vec<&'static str> {
    let starts = village.plan().starts;
    let start = starts.iter().find(|start| start.image == id(name));
    start.map(|start| start.reasons.iter().map(Reason::code).collect()).unwrap_or_default()
}

#[test]
fn the_first_attempt_has_none_before_it() {
    let mut village = Village::of("b: scratch");
    village.infect("b", &finding("CVE-1"));
    village.scan("b");
    village.pass();
    village.end("b", ExecutionState::Failed);
    village.image("b").record.claim.as_mut().unwrap().execution = None;
    assert_eq!(village.pass(), ["b"], "its end is seen at once, and the first failure makes no pause");
}

#[test]
fn what_a_child_has_in_its_own_layer_is_its_own_though_its_parent_got_the_same_since() {
    let mut village = Village::of("b: scratch\na: b");
    village.wait("1h");
    village.push(&id("b"));
    for name in ["b", "a"] {
        let layers = PLATFORMS.map(|platform| {
            village.current(name).platforms[&platform.parse().unwrap()].layers.last().unwrap().clone()
        });
        for layer in layers {
            let found = Finding { layer: Some(layer.clone()), ..finding("CVE-1") };
            village.layers.entry(layer).or_default().push(found);
        }
    }
    village.scan_all();
    village.decide("b", Intervention::Freeze);
    village.wait("1d");
    assert_eq!(codes(&village, "a"), ["Vulnerable", "ParentChanged"]);
}

#[test]
fn of_an_unknown_base_nobody_says_that_it_brought_a_finding() {
    let mut village = Village::of("b: scratch\na: b");
    village.image("a").versions.values_mut().for_each(|version| version.base = None);
    forget_layers(&mut village, "b");
    village.infect("a", &finding("CVE-1"));
    village.wait("1h");
    village.push(&id("b"));
    forget_layers(&mut village, "b");
    village.scan_all();
    village.wait("1d");
    assert_eq!(codes(&village, "a"), ["Vulnerable", "ParentChanged"]);
}

/// How many seconds from now `name` starts if nothing happens, and for which reasons.
fn first_start(village: &mut Village, name: &str) -> (u32, Vec<&'static str>) {
    let from = village.now;
    let mut starts_at = |seconds| {
        village.now = Span::seconds(seconds).after(from);
        codes(village, name)
    };
    let (mut before, mut by) = (0, 60 * 86_400);
    assert_eq!(starts_at(before), [""; 0], "not yet");
    while by - before > 1 {
        let middle = u32::midpoint(before, by);
        if starts_at(middle).is_empty() { before = middle } else { by = middle }
    }
    let reasons = starts_at(by);
    village.now = from;
    (by, reasons)
}

/// A chain of these two whose application nobody knows to be on the base's version of now.
fn unannotated(base: &str, enforced_since: i64) -> Village {
    let mut village = Village::of(&format!("{base}: scratch\na: {base}"));
    village.image("a").versions.values_mut().for_each(|version| version.base = None);
    village.push(&id(base));
    forget_layers(&mut village, base);
    village.scan_all();
    village.image("a").record.enforced_since = Some(at(enforced_since));
    village.decide(base, Intervention::Freeze);
    village
}

/// The planner's thousandth of `maxAge`, which is thirty days by default.
const SHARE: u32 = 30 * 86_400 / 1_000;

#[test]
fn what_time_alone_says_has_its_turn_within_max_age_of_the_first_enforcement() {
    let mut turns = BTreeSet::new();
    for base in ["b1", "b2", "b3", "b4", "b5", "b6", "b7", "b8"] {
        let (turn, reasons) = first_start(&mut unannotated(base, 0), "a");
        if reasons == ["ParentChanged"] {
            assert_eq!(turn % SHARE, 0, "{base} has its turn at its moment, and not a second after");
            turns.insert(turn);
            // The same draw takes up to a fifth from its age, which began when it was built, an hour ago.
            let (expires, _) = first_start(&mut Village::of(&format!("{base}: scratch\na: {base}")), base);
            assert_eq!(expires, 1_000 * SHARE - turn / SHARE / 5 * SHARE - 3_599, "{base}");
        }
    }
    assert!(turns.len() >= 3, "spread: {turns:?}");
}

#[test]
fn what_changed_since_the_first_enforcement_has_its_turn_at_once() {
    // The parent is left alone for its quiet period.
    assert_eq!(first_start(&mut unannotated("b1", -1), "a").0, 600);
    assert_ne!(first_start(&mut unannotated("b1", 0), "a").0, 600, "not since: as long as");
}

#[test]
fn the_end_of_what_an_image_follows_is_seen_whatever_holds_the_image() {
    let mut village = Village::of("b: scratch\na: b\nc: b");
    let pinned = Finding { kind: PackageKind::Language, ..other("CVE-2", "left-pad") };
    village.infect("a", &pinned);
    village.infect("c", &pinned);
    village.scan("c");
    village.infect("b", &finding("CVE-1"));
    village.scan("b");
    village.scan("a");
    assert_eq!((village.hold("a").name(), village.hold("c").name()), ("CannotHelp", "CannotHelp"));
    assert_eq!(village.pass(), ["b"]);
    village.pass();
    let record = |name: &str| &village.facts.images[&id(name)].record;
    assert_eq!((record("a").unsettled, record("a").waiting_since), (true, Some(village.now)));
    assert_eq!(
        (record("c").unsettled, record("c").waiting_since),
        (false, None),
        "it does not have the finding"
    );
}

#[test]
fn what_has_nothing_to_wait_for_waits_since_no_time() {
    let mut village = Village::of("b: scratch\nb2: scratch");
    village.infect("b", &finding("CVE-1"));
    village.scan("b");
    village.pass();
    village.wait("1m");
    village.pass();
    for name in ["b", "b2"] {
        assert_eq!(village.facts.images[&id(name)].record.waiting_since, None, "{name}");
    }
}

#[test]
fn only_a_version_that_was_pushed_since_its_claim_frees_a_slot() {
    for (pushed, frees) in [(-1, false), (0, false), (1, true)] {
        let mut village = Village::of("b: scratch");
        village.infect("b", &finding("CVE-1"));
        village.scan("b");
        assert_eq!(village.pass(), ["b"]);
        village.wait("1m");
        village.push(&id("b"));
        let digest = village.current("b").digest.clone();
        village.image("b").versions.get_mut(&digest).unwrap().pushed_at = at(pushed);
        assert_eq!(village.plan().freed.contains(&id("b")), frees, "{pushed} seconds after its claim");
    }
}

#[test]
fn a_version_that_nobody_described_is_not_known() {
    let mut village = Village::of("b: scratch");
    village.image("b").current = Current::Version(village::digest(999));
    let Hold::Unknown { because } = village.hold("b") else { panic!("{:?}", village.hold("b")) };
    assert!(because.ends_with("was not described"), "{because}");
    assert!(village.plan().unknown.iter().any(|unknown| unknown.image == id("b")));
}

#[test]
fn a_child_does_not_wait_for_what_moves_above_a_parent_that_cannot_follow() {
    for (parent, waits) in [
        ("", true),
        ("| rebuild: never", false),
        ("| rebuild: approval", false),
        ("| mode: observe", false),
        ("| pipeline: none", false),
        (&village::pinned("p"), false),
    ] {
        let mut village = Village::of(&format!("b: scratch\np: b {parent}\na: p"));
        village.infect("b", &finding("CVE-1"));
        village.infect("a", &other("CVE-2", "zlib"));
        village.scan("b");
        village.scan("a");
        findings(&mut village, "a").for_each(|found| found.key = other("CVE-2", "zlib").key);
        let started = if waits { vec!["b"] } else { vec!["b", "a"] };
        assert_eq!(village.pass(), started, "p: b {parent}");
    }
}

#[test]
fn a_build_that_was_seen_and_is_gone_was_stopped() {
    let mut village = Village::of("b: scratch");
    village.infect("b", &finding("CVE-1"));
    village.scan("b");
    village.pass();
    village.image("b").execution = Some(Execution::NotFound);
    let Hold::BackOff { because, .. } = village.hold("b") else { panic!("{:?}", village.hold("b")) };
    assert_eq!(because, "its execution is gone", "and its lease is not waited for");
}

#[test]
fn a_pinned_build_is_ours_if_the_line_is_still_at_its_commit() {
    let pinned = village::pinned("b");
    let [commit, another] = ["0123abcd", "4567cdef"].map(|part| part.repeat(5));
    for (pipeline, revision, is_ours) in [
        (pinned.as_str(), Some(commit.as_str()), true),
        (&pinned, Some(&another), false),
        (&pinned, None, false),
        ("", Some(&commit), true),
        ("", None, true),
    ] {
        let mut village = Village::of(&format!("b: scratch {pipeline}"));
        village.infect("b", &finding("CVE-1"));
        village.scan("b");
        village.set_revision("b", Some(&commit));
        assert_eq!(village.pass(), ["b"]);
        village.wait("10m");
        village.finish("b");
        village.set_revision("b", revision);
        let digest = village.current("b").digest.clone();
        village.pass();
        let success = village.facts.images[&id("b")].record.success.as_ref();
        assert_eq!(
            success.map(|success| &success.version),
            is_ours.then_some(&digest),
            "{pipeline} {revision:?}"
        );
    }
}

#[test]
fn what_a_build_did_not_change_needs_no_scan_to_be_judged() {
    let mut village = Village::of("b: scratch");
    village.infect("b", &finding("CVE-1"));
    village.scan("b");
    village.pass();
    village.end("b", ExecutionState::Succeeded);
    manifests(&mut village, "b").for_each(|manifest| manifest.scan = Scan::Pending);
    let verdicts: Vec<Verdict> = village.plan().proofs.iter().map(|proof| proof.verdict).collect();
    assert_eq!(verdicts, [Verdict::Ineffective; 2], "one for each platform");
}

#[test]
fn what_replaced_a_version_that_is_no_longer_in_the_registry_is_a_change() {
    let mut village = Village::of("b: scratch");
    village.infect("b", &finding("CVE-1"));
    village.scan("b");
    village.pass();
    let replaced = village.current("b").digest.clone();
    village.wait("10m");
    village.finish("b");
    village.image("b").versions.remove(&replaced);
    manifests(&mut village, "b").for_each(|manifest| manifest.scan = Scan::Pending);
    assert_eq!(village.hold("b").name(), "AwaitingProof");
}

#[test]
fn a_proofs_wait_is_over_at_its_end() {
    let mut village = Village::of("b: scratch");
    village.infect("b", &finding("CVE-1"));
    village.scan("b");
    village.pass();
    village.finish("b");
    manifests(&mut village, "b").for_each(|manifest| manifest.scan = Scan::Pending);
    village.pass();
    let Hold::AwaitingProof { until } = village.hold("b") else { panic!("{:?}", village.hold("b")) };
    village.now = Span::seconds(1).before(until);
    assert_eq!(village.plan().proofs, []);
    village.now = until;
    assert!(village.plan().proofs.iter().all(|proof| proof.verdict == Verdict::Unscanned));
    assert_eq!(village.plan().proofs.len(), 2, "one for each platform");
}

#[test]
fn a_scan_of_the_operating_system_proves_nothing_of_a_language_package() {
    let mut village = Village::of("b: scratch");
    village.infect("b", &finding("CVE-1"));
    village.infect("b", &Finding { kind: PackageKind::Language, ..other("CVE-2", "left-pad") });
    village.scan("b");
    village.pass();
    village.finish("b");
    for manifest in manifests(&mut village, "b") {
        let Scan::Complete { coverage, .. } = &mut manifest.scan else { panic!("it was scanned") };
        *coverage = Coverage::Os;
    }
    village.pass();
    assert_eq!(village.hold("b").name(), "AwaitingProof", "of CVE-2");
    village.wait("1d");
    let verdicts: BTreeSet<_> = village
        .plan()
        .proofs
        .into_iter()
        .map(|proof| (proof.finding.vulnerability.to_string(), proof.verdict))
        .collect();
    let expected = [("CVE-1", Verdict::Fixed), ("CVE-2", Verdict::Unscanned)];
    assert_eq!(verdicts, expected.map(|(cve, verdict)| (cve.to_owned(), verdict)).into());
}

#[test]
fn what_is_fixed_on_one_platform_alone_is_not_fixed() {
    let mut village = Village::of("b: scratch");
    let stubborn = finding("CVE-1");
    village.infect("b", &stubborn);
    village.stubborn.insert(stubborn.key);
    village.scan("b");
    assert_eq!(village.pass(), ["b"]);
    village.finish("b");
    assert_eq!(village.pass(), ["b"], "one retry");
    village.finish("b");
    let fixed = village.current("b").platforms.values().next_back().unwrap().layers.last().unwrap().clone();
    village.layers.insert(fixed, Vec::new());
    village.scan("b");
    let verdicts: Vec<Verdict> = village.plan().proofs.iter().map(|proof| proof.verdict).collect();
    assert_eq!(verdicts, [Verdict::Ineffective, Verdict::Fixed]);
    assert_eq!(village.pass(), [""; 0]);
    assert_eq!(village.hold("b").name(), "Quarantined");
    assert!(village.image("b").record.success.as_ref().unwrap().fixed_nothing);
}

#[test]
fn a_build_that_fixed_one_of_two_fixed_something() {
    let mut village = Village::of("b: scratch\np: b");
    let stubborn = other("CVE-2", "zlib");
    village.infect("b", &finding("CVE-1"));
    village.infect("b", &stubborn);
    village.stubborn.insert(stubborn.key);
    village.scan("b");
    village.pass();
    village.finish("b");
    assert_eq!(village.pass(), ["b"], "one retry for what is left");
    assert!(!village.image("b").record.success.as_ref().unwrap().fixed_nothing);
}
