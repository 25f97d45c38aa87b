//! What could not be read: it proves nothing, ends no wait, and is not forgotten.

use patchwave::facts::{Current, Execution, ExecutionState, PipelineFacts};
use patchwave::finding::{Fix, Scan, Severity, Unclear};
use patchwave::image::Platform;
use patchwave::plan::{Hold, Verdict};
use patchwave::time::Span;
use patchwave::unread::Unread;

use crate::fleet::{Fleet, finding, id};

fn denied() -> Unread {
    Unread { because: "access denied".into(), needs_person: true }
}

fn unread_scans(fleet: &mut Fleet, name: &str) {
    fleet.manifests(name).for_each(|manifest| manifest.scan = Scan::Unread("throttled".into()));
}

fn named(fleet: &Fleet, name: &str) -> Vec<String> {
    let unknown = fleet.plan().unknown;
    unknown.into_iter().filter(|unknown| unknown.image == id(name)).map(|unknown| unknown.because).collect()
}

/// Another pass may have settled it meanwhile: only the write finds that out.
#[test]
fn an_image_that_is_unread_is_written_even_if_its_record_stays_the_same() {
    let mut fleet = Fleet::of("b: scratch");
    unread_scans(&mut fleet, "b");
    fleet.pass();
    fleet.image("b").record.fence = 7;
    fleet.wait("1m");
    let plan = fleet.plan();
    assert_eq!(plan.records.get(&id("b")), Some(fleet.record("b")));
}

#[test]
fn an_unread_scan_keeps_its_image_unsettled_and_is_named_with_since_when() {
    let mut fleet = Fleet::of("b: scratch");
    unread_scans(&mut fleet, "b");
    let since = fleet.now;
    fleet.pass();
    assert!(matches!(fleet.hold("b"), Hold::Unknown { .. }) && fleet.record("b").is_scheduled());
    fleet.wait("1h");
    let plan = fleet.plan();
    assert!(plan.unknown.iter().all(|unknown| unknown.since == Some(since)), "{:?}", plan.unknown);
    fleet.scan("b");
    fleet.pass();
    assert_eq!((fleet.hold("b"), fleet.record("b").is_scheduled()), (Hold::Fresh, false));
}

#[test]
fn what_a_person_must_make_readable_is_read_at_growing_distances() {
    let mut fleet = Fleet::of("b: scratch");
    fleet.image("b").current = Current::Unread(denied());
    fleet.pass();
    let mut distances = Vec::new();
    for _ in 0..10 {
        let next = fleet.record("b").recheck_at.unwrap();
        let distance = Span::between(fleet.now, next);
        distances.push(distance);
        assert!(!fleet.record("b").is_due(fleet.now) && fleet.record("b").is_due(next));
        fleet.now = next;
        fleet.pass();
    }
    assert_eq!((distances[0], distances[9]), (Span::minutes(15), Span::days(1)));
    assert!(distances.is_sorted(), "{distances:?}");
}

#[test]
fn a_denied_read_does_not_delay_what_else_the_image_waits_for() {
    let mut fleet = Fleet::with_finding("b: scratch\n a: b", "b");
    fleet.pass();
    let platform = fleet.manifests("b").next().unwrap();
    platform.scan = Scan::Unread(denied());
    fleet.pass();
    assert!(fleet.record("b").is_due(Span::minutes(15).after(fleet.now)), "its build may end");
    fleet.push(&id("b"));
    fleet.manifests("b").for_each(|manifest| manifest.scan = Scan::Unread(denied()));
    fleet.end("b", ExecutionState::Succeeded);
    fleet.pass();
    assert!(fleet.record("b").is_due(Span::minutes(15).after(fleet.now)), "its proof may come");

    let mut fleet = Fleet::of("b: scratch\n a: b");
    fleet.push(&id("b"));
    fleet.scan("b");
    fleet.manifests("a").for_each(|manifest| manifest.scan = Scan::Unread(denied()));
    fleet.pass();
    assert!(matches!(fleet.hold("a"), Hold::QuietPeriod { .. }), "{:?}", fleet.hold("a"));
    assert!(fleet.record("a").is_due(Span::minutes(10).after(fleet.now)), "its quiet period ends in minutes");
}

#[test]
fn a_throttled_read_is_read_again_within_the_hour() {
    let mut fleet = Fleet::of("b: scratch");
    fleet.image("b").current = Current::Unread("throttled".into());
    fleet.pass();
    fleet.wait("5h");
    fleet.pass();
    assert!(fleet.record("b").is_due(Span::hours(1).after(fleet.now)));
}

#[test]
fn an_unread_scan_does_not_end_the_wait_for_a_proof() {
    let mut fleet = Fleet::with_finding("b: scratch\n a: b", "b");
    fleet.pass();
    fleet.push(&id("b"));
    unread_scans(&mut fleet, "b");
    fleet.end("b", ExecutionState::Succeeded);
    fleet.pass();
    fleet.wait("90m");
    assert_eq!(fleet.plan().proofs, [], "proofWait is over, and nobody knows");
    assert!(matches!(fleet.hold("a"), Hold::WaitingOn { .. }), "{:?}", fleet.hold("a"));
    assert_eq!(fleet.plan().recheck_at, None, "the tick is early enough after an hour and a half");
    fleet.wait("3h");
    assert_eq!(fleet.pass(), ["a"], "after maxWait the child proceeds");
    fleet.scan("b");
    assert!(fleet.plan().proofs.iter().any(|proof| proof.verdict == Verdict::Fixed), "and the proof follows");
}

#[test]
fn time_proves_nothing_where_the_history_could_not_be_read() {
    let mut fleet = Fleet::of("b: scratch\n a: b");
    fleet.push(&id("b"));
    fleet.scan("b");
    fleet.forget_layers("a");
    fleet.current_mut("a").base = None;
    fleet.image("a").record.success = None;
    fleet.image("b").unread_history = Some("throttled".into());
    fleet.wait("3h");
    let Hold::Unknown { because } = fleet.hold("a") else { panic!("{:?}", fleet.hold("a")) };
    assert!(because.contains("built on is not known: throttled"), "{because}");
    fleet.image("b").unread_history = None;
    assert_eq!(fleet.start_codes("a"), ["ParentChanged"], "time is evidence again");
}

#[test]
fn an_unreadable_execution_is_unresolved_and_not_in_flight() {
    let mut fleet = Fleet::with_finding("b: scratch", "b");
    fleet.pass();
    fleet.image("b").execution = Some(Execution::Unread(denied()));
    assert_eq!(fleet.hold("b"), Hold::Unresolved { because: "access denied".into() });
    assert_eq!(named(&fleet, "b"), ["its execution: access denied"]);
}

#[test]
fn a_repository_that_does_not_exist_is_never_built() {
    let mut fleet = Fleet::of("b: scratch\n a: b");
    fleet.image("b").current = Current::NoRepository("account 1, Region x".into());
    fleet.wait("1h");
    assert!(
        matches!(fleet.hold("b"), Hold::NoRepository { registry, .. } if registry == "account 1, Region x")
    );
    assert!(fleet.plan().starts.is_empty());
}

#[test]
fn a_suppressed_finding_of_the_new_version_is_not_proof() {
    let mut fleet = Fleet::with_finding("b: scratch", "b");
    fleet.pass();
    fleet.wait("5m");
    fleet.finish("b");
    for manifest in fleet.manifests("b") {
        let Scan::Complete { unclear, .. } = &mut manifest.scan else { panic!("it was scanned") };
        unclear.insert(finding("CVE-1").key, Unclear::Status("SUPPRESSED".into()));
    }
    let proofs = fleet.plan().proofs;
    assert!(!proofs.is_empty() && proofs.iter().all(|proof| proof.verdict == Verdict::Unknown), "{proofs:?}");
}

#[test]
fn an_unrated_finding_is_named_if_it_is_exploited_or_has_a_fix() {
    let unrated = |vulnerability| patchwave::finding::Finding {
        severity: Severity::Unrated,
        fix: Fix::Unknown,
        ..finding(vulnerability)
    };
    let exploited = patchwave::finding::Finding { exploited: true, ..unrated("CVE-2") };
    let fixed = patchwave::finding::Finding { fix: Fix::Version("2".into()), ..unrated("CVE-3") };
    for (found, is_named) in [(unrated("CVE-1"), false), (exploited, true), (fixed, true)] {
        let mut fleet = Fleet::of("b: scratch");
        fleet.add_finding("b", &found);
        fleet.scan_all();
        assert_eq!(!named(&fleet, "b").is_empty(), is_named, "{}", found.key);
    }
}

#[test]
fn an_annotation_that_the_layers_contradict_does_not_count_and_is_named() {
    let mut fleet = Fleet::of("b: scratch\n a: b");
    fleet.push(&id("b"));
    fleet.scan("b");
    let claimed = fleet.current("b").digest.clone();
    fleet.image("a").record.success = None;
    fleet.current_mut("a").base = Some(claimed.clone());
    fleet.wait("1h");
    assert_eq!(fleet.start_codes("a"), ["ParentChanged"], "its layers are those of the version before");
    assert!(named(&fleet, "a").iter().any(|because| because.contains(claimed.as_str())));
}

#[test]
fn a_single_manifest_is_compared_with_the_platforms_of_its_parents_index() {
    let mut fleet = Fleet::of("b: scratch\n a: b");
    fleet.image("a").record.success = None;
    let version = fleet.current_mut("a");
    version.base = None;
    let (_, manifest) = version.platforms.pop_first().unwrap();
    let single: Platform = Platform::UNNAMED.parse().unwrap();
    version.platforms = [(single, manifest)].into();
    fleet.wait("1h");
    assert_eq!(fleet.hold("a"), Hold::Fresh);
    fleet.push(&id("b"));
    fleet.scan("b");
    fleet.wait("1h");
    fleet.current_mut("a").pushed_at = fleet.now;
    assert_eq!(
        fleet.start_codes("a"),
        ["ParentChanged"],
        "its layers are the old ones, although it is newer"
    );
}

#[test]
fn a_hung_build_does_not_block_a_child_that_has_a_reason_of_its_own() {
    let mut fleet = Fleet::with_finding("b: scratch\n a: b\n c: b", "b");
    fleet.pass();
    fleet.add_finding("a", &finding("CVE-9"));
    fleet.scan_all();
    fleet.wait("1h");
    assert_eq!(fleet.pass(), Vec::<String>::new(), "the parent may still end");
    fleet.wait("90m");
    assert_eq!(fleet.pass(), ["a"], "maxBuildTime is over: only the child with a reason of its own starts");
}

#[test]
fn a_build_is_never_newer_than_its_push() {
    let mut fleet = Fleet::of("b: scratch");
    let future = Span::days(36_500).after(fleet.now);
    fleet.current_mut("b").built_at = Some(future);
    fleet.wait("31d");
    assert_eq!(fleet.start_codes("b"), ["Expired"]);
}

/// One platform's scan may be unread for ever. What the other one shows is judged all the same.
#[test]
fn what_can_be_read_is_judged_and_what_cannot_be_read_stays_pending() {
    let mut fleet = Fleet::with_unfixable_finding("b: scratch", "b");
    assert_eq!(fleet.pass(), ["b"]);
    for builds in 1..=2 {
        fleet.finish("b");
        let arm64 = fleet.current_mut("b").platforms.last_entry().unwrap().into_mut();
        arm64.scan = Scan::Unread("it has more than 20000 findings".into());
        assert_eq!(fleet.pass(), [""; 0], "its scan may still come");
        fleet.wait("31m");
        let started = fleet.pass();
        assert_eq!(fleet.record("b").ineffective.values().next().unwrap().builds, builds);
        assert_eq!(started.len(), usize::from(builds == 1), "one retry without cache, then the quarantine");
    }
}

#[test]
fn a_pipeline_that_may_not_be_read_is_named_and_read_at_growing_distances() {
    let mut fleet = Fleet::with_finding("b: scratch", "b");
    fleet.facts.pipelines.insert(id("b"), PipelineFacts::Unread(denied()));
    let since = fleet.now;
    fleet.pass();
    let unknown = fleet.plan().unknown.into_iter().find(|unknown| unknown.image == id("b")).unwrap();
    assert_eq!((unknown.because.as_str(), unknown.since), ("its pipeline: access denied", Some(since)));
    let next = fleet.record("b").recheck_at.unwrap();
    assert_eq!(Span::between(since, next), Span::minutes(15));
    fleet.wait("5h");
    fleet.pass();
    assert_eq!(Span::between(fleet.now, fleet.record("b").recheck_at.unwrap()), Span::hours(5));
}
