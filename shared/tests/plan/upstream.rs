//! What follows from the upstream tags that a base is built on.

use std::collections::BTreeMap;

use patchwave::facts::Current;
use patchwave::finding::{Absence, Coverage, Finding, Fix, PackageKind, Scan, Unclear};
use patchwave::image::{Digest, ImageId, Platform};
use patchwave::plan::{Awaited, Evidence, Goal, Hold, Reason, upstream_scans};
use patchwave::time::{Span, Timestamp};
use patchwave::unread::Unread;
use patchwave::upstream::{Cached, Described, Tracked};

use crate::fleet::{Fleet, PLATFORMS, at, digest, finding, id};

const DEBIAN: &str = "docker.io/library/debian:12";

fn described(numbers: [u64; 2]) -> Described {
    let names = PLATFORMS.iter().map(|name| name.parse::<Platform>().unwrap());
    Described { platforms: names.zip(numbers.map(digest)).collect(), built_at: None }
}

/// A base, read for the first time a day before the test begins, and an image on it.
fn fleet() -> Fleet {
    with(DEBIAN, "", "")
}

fn with(from: &str, keys: &str, policy: &str) -> Fleet {
    let lines = format!("b: {from} {keys}\na: b");
    let mut fleet = if policy.is_empty() { Fleet::of(&lines) } else { Fleet::with_policy(&lines, policy) };
    fleet.facts.has_listener = true;
    fleet.facts.upstreams = BTreeMap::from([(id(DEBIAN), Tracked::default())]);
    read(&mut fleet, 9_001, [9_010, 9_020], at(-86_400));
    fleet
}

/// The tag is read now.
fn reads(fleet: &mut Fleet, index: u64, platforms: [u64; 2]) {
    let now = fleet.now;
    read(fleet, index, platforms, now);
}

fn read(fleet: &mut Fleet, index: u64, platforms: [u64; 2], at: Timestamp) {
    let tracked = fleet.facts.upstreams.get_mut(&id(DEBIAN)).unwrap();
    tracked.describe(digest(index), described(platforms), at);
}

/// The tag names another content, and it stays for longer than the quiet period.
fn moved(fleet: &mut Fleet) {
    reads(fleet, 9_002, [9_011, 9_021]);
    fleet.wait("11m");
}

#[test]
fn a_base_follows_an_upstream_tag_after_its_quiet_period_and_its_children_follow_it() {
    let mut fleet = fleet();
    assert_eq!(fleet.pass(), [""; 0]);
    read(&mut fleet, 9_002, [9_011, 9_021], at(0));
    let until = at(600);
    assert_eq!(fleet.hold("b"), Hold::QuietPeriod { parent: id(DEBIAN), until });
    fleet.pass();
    assert_eq!(fleet.record("b").recheck_at, Some(until), "no event tells that it was still");
    fleet.wait("5m");
    reads(&mut fleet, 9_003, [9_011, 9_022]);
    fleet.wait("6m");
    assert!(matches!(fleet.hold("b"), Hold::QuietPeriod { .. }), "the next platform was pushed");
    fleet.wait("5m");
    assert_eq!(fleet.run_until_idle(), ["b", "a"]);
    assert_eq!(fleet.hold("b"), Hold::Fresh);
}

#[test]
fn a_tag_that_moves_for_ever_is_followed_after_max_wait() {
    let mut fleet = fleet();
    for index in (9_002..).take(25) {
        reads(&mut fleet, index, [index + 100, index + 200]);
        if fleet.pass() == ["b"] {
            return;
        }
        fleet.wait("5m");
    }
    panic!("it never starts");
}

#[test]
fn a_new_attestation_rebuilds_nothing_and_neither_does_a_platform_that_the_base_has_not() {
    let mut fleet = fleet();
    read(&mut fleet, 9_002, [9_010, 9_020], at(0));
    fleet.wait("1h");
    assert_eq!(fleet.pass(), [""; 0]);
    let mut other = described([9_010, 9_020]);
    other.platforms.insert("linux/s390x".parse().unwrap(), digest(9_030));
    let now = fleet.now;
    fleet.facts.upstreams.get_mut(&id(DEBIAN)).unwrap().describe(digest(9_003), other, now);
    fleet.wait("1h");
    assert_eq!(fleet.pass(), [""; 0]);
}

#[test]
fn a_registry_that_does_not_answer_changes_nothing_and_is_named() {
    let mut fleet = fleet();
    let tracked = fleet.facts.upstreams.get_mut(&id(DEBIAN)).unwrap();
    tracked.not_read(Unread::from("no answer"), at(0));
    fleet.wait("4h");
    let plan = fleet.plan();
    assert!(plan.starts.is_empty());
    let unknown = plan.unknown.iter().find(|unknown| unknown.image == id("b")).unwrap();
    assert_eq!(unknown.because, format!("whether {DEBIAN} changed is not known: no answer"));
    assert_eq!(unknown.since, Some(at(0)));
    moved(&mut fleet);
    let tracked = fleet.facts.upstreams.get_mut(&id(DEBIAN)).unwrap();
    tracked.not_read(Unread::from("no answer"), at(0));
    assert_eq!(fleet.start_codes("b"), ["ParentChanged"], "what was seen before stays true");
}

#[test]
fn a_tag_that_is_gone_rebuilds_nothing_and_is_named() {
    let mut fleet = fleet();
    moved(&mut fleet);
    let now = fleet.now;
    fleet.facts.upstreams.get_mut(&id(DEBIAN)).unwrap().is_gone(now);
    let plan = fleet.plan();
    assert!(plan.starts.is_empty());
    assert!(
        plan.unknown.iter().any(|unknown| unknown.because.contains("has no docker.io/library/debian:12"))
    );
}

#[test]
fn a_base_that_was_built_before_the_tag_was_first_read_is_not_taken_for_stale() {
    let mut fleet = fleet();
    fleet.facts.upstreams = BTreeMap::from([(id(DEBIAN), Tracked::default())]);
    read(&mut fleet, 9_001, [9_010, 9_020], at(0));
    fleet.wait("1h");
    assert_eq!(fleet.pass(), [""; 0]);
}

#[test]
fn what_the_claim_recorded_is_better_evidence_than_the_annotation_and_that_than_the_time() {
    let evidence = |fleet: &Fleet| match &fleet.plan().reasons.get(&id("b")).cloned().unwrap_or_default()[..]
    {
        [Reason::ParentChanged { evidence, built_on, .. }] => Some((*evidence, built_on.clone())),
        [] => None,
        other => panic!("{other:?}"),
    };
    let mut fleet = fleet();
    moved(&mut fleet);
    assert_eq!(evidence(&fleet), Some((Evidence::Time, None)));
    fleet.current_mut("b").base = Some(digest(9_001));
    assert_eq!(evidence(&fleet), Some((Evidence::Annotation, Some(digest(9_001)))));
    fleet.current_mut("b").base = Some(digest(9_021));
    assert_eq!(evidence(&fleet), None, "a platform manifest of what the tag names");
    fleet.current_mut("b").base = None;
    fleet.run_until_idle();
    assert_eq!(fleet.record("b").success.as_ref().unwrap().upstreams[&id(DEBIAN)], digest(9_002));
    fleet.current_mut("b").base = Some(digest(9_001));
    assert_eq!(evidence(&fleet), None, "or an annotation that no build corrects starts it for ever");
    reads(&mut fleet, 9_003, [9_012, 9_022]);
    assert_eq!(evidence(&fleet), Some((Evidence::Recorded, Some(digest(9_002)))));
}

#[test]
fn a_tag_that_went_back_to_what_the_base_is_on_rebuilds_nothing() {
    let mut fleet = fleet();
    moved(&mut fleet);
    let now = fleet.now;
    assert!(fleet.facts.upstreams.get_mut(&id(DEBIAN)).unwrap().saw(&digest(9_001), now));
    fleet.wait("1h");
    assert_eq!(fleet.pass(), [""; 0]);
}

fn cached(fleet: &mut Fleet, digest: Digest, synced_at: Timestamp) {
    let held = Cached::Holds { digest, synced_at };
    fleet.facts.caches = BTreeMap::from([(id("docker-hub/library/debian:12"), held)]);
}

fn through_a_cache() -> Fleet {
    let yaml = crate::fleet::family(
        "b: 111122223333.dkr.ecr.us-east-1.amazonaws.com/docker-hub/library/debian:12\na: b",
    );
    let registries = "registries: { home: { host: 111122223333.dkr.ecr.us-east-1.amazonaws.com, \
         caches: { docker-hub: docker.io } } }";
    let mut fleet =
        Fleet::new(&yaml.replace("registry: 111122223333.dkr.ecr.us-east-1.amazonaws.com", registries));
    fleet.facts.upstreams = BTreeMap::from([(id(DEBIAN), Tracked::default())]);
    read(&mut fleet, 9_001, [9_010, 9_020], at(-86_400));
    fleet
}

#[test]
fn a_cache_that_serves_what_upstream_replaced_holds_the_rebuild_for_a_day_after_its_last_sync() {
    let mut fleet = through_a_cache();
    moved(&mut fleet);
    cached(&mut fleet, digest(9_001), at(-7_200));
    let cache: ImageId = id("docker-hub/library/debian:12");
    let until = Span::hours(22).after(at(0));
    let hold = Hold::WaitingOn { on: cache, awaits: Awaited::Cache { until } };
    assert_eq!(fleet.hold("b"), hold);
    fleet.pass();
    assert_eq!(fleet.record("b").recheck_at, Some(until));
    let mut synced = through_a_cache();
    moved(&mut synced);
    cached(&mut synced, digest(9_002), at(-7_200));
    assert_eq!(synced.start_codes("b"), ["ParentChanged"], "the cache has it already");
    fleet.now = until;
    assert_eq!(fleet.run_until_idle(), ["b", "a"], "the held build is the pull that refreshes the cache");
}

#[test]
fn a_build_for_another_reason_does_not_wait_for_the_cache_and_remembers_what_it_served() {
    let mut fleet = through_a_cache();
    moved(&mut fleet);
    cached(&mut fleet, digest(9_001), at(-7_200));
    fleet.decide("b", patchwave::intervention::Intervention::Rebuild);
    assert_eq!(fleet.pass(), ["b"]);
    fleet.finish("b");
    fleet.pass();
    assert!(matches!(fleet.hold("b"), Hold::WaitingOn { awaits: Awaited::Cache { .. }, .. }));
}

#[test]
fn a_cache_that_pulls_now_serves_the_new_content_at_once() {
    let mut fleet = through_a_cache();
    moved(&mut fleet);
    for (answer, is_named) in [(Cached::Absent, false), (Cached::Unread("denied".into()), true)] {
        fleet.facts.caches = BTreeMap::from([(id("docker-hub/library/debian:12"), answer)]);
        assert_eq!(fleet.start_codes("b"), ["ParentChanged"]);
        let named = fleet.plan().unknown.iter().any(|unknown| unknown.because.contains("denied"));
        assert_eq!(named, is_named);
    }
}

#[test]
fn an_owner_who_pins_is_told_the_digest_that_upstream_names_now() {
    let mut fleet = with(DEBIAN, "| pinned: true", "");
    moved(&mut fleet);
    let parents = BTreeMap::from([(id(DEBIAN), digest(9_002))]);
    assert_eq!(fleet.hold("b"), Hold::Pinned { parents });
    let plan = fleet.plan();
    let needs = &plan.notices.first().expect("a notice").asked.needs;
    assert!(needs.iter().any(|need| need.contains(&format!("{DEBIAN}@{}", digest(9_002)))), "{needs:?}");
}

#[test]
fn what_is_named_by_digest_and_what_is_not_watched_is_no_upstream_tag() {
    let pinned = format!("docker.io/library/debian:12@{}", digest(1));
    for (from, keys) in [
        (pinned.as_str(), ""),
        (DEBIAN, "upstreams: { watch: false }"),
        (DEBIAN, "upstreams: { hosts: { registry-1.docker.io: { watch: false } } }"),
    ] {
        let yaml = crate::fleet::family(&format!("b: {from}"));
        let yaml = yaml.replace("images:", &format!("{keys}\nimages:"));
        let hierarchy = patchwave::hierarchy::Hierarchy::parse("h.yaml", &yaml).unwrap();
        assert_eq!(hierarchy.watched().len(), 0, "{keys}");
    }
}

#[test]
fn a_new_content_ends_a_quarantine_like_any_changed_parent() {
    let mut fleet = with(DEBIAN, "", "");
    fleet.add_finding("b", &crate::fleet::finding("CVE-1"));
    fleet.unfixable.insert(crate::fleet::finding("CVE-1").key);
    fleet.scan_all();
    for _ in 0..5 {
        fleet.wait("1h");
        fleet.run_until_idle();
    }
    assert!(matches!(fleet.hold("b"), Hold::Quarantined { .. }), "{:?}", fleet.hold("b"));
    moved(&mut fleet);
    assert_eq!(fleet.start_codes("b"), ["Vulnerable", "ParentChanged"]);
    assert_ne!(fleet.facts.images[&id("b")].current, Current::Absent);
}

const OLD: [u64; 2] = [9_010, 9_020];
const NEW: [u64; 2] = [9_011, 9_021];

/// A finding of which the scan of the base says that a rebuild does not help.
fn hopeless() -> Finding {
    Finding { fix: Fix::NotPublished, ..finding("CVE-1") }
}

fn scanned(fleet: &mut Fleet, platforms: [u64; 2], findings: &[Finding]) {
    for platform in platforms {
        let scan = Scan::complete(fleet.now, Coverage::OsAndLanguages, findings.to_vec());
        fleet.facts.upstream_scans.insert(digest(platform), scan);
    }
}

/// Upstream moved just now, the cache has it, and the base has a finding of the old content.
fn fixed_upstream() -> Fleet {
    let mut fleet = through_a_cache();
    fleet.add_finding("b", &hopeless());
    fleet.scan_all();
    reads(&mut fleet, 9_002, NEW);
    cached(&mut fleet, digest(9_002), at(-7_200));
    scanned(&mut fleet, OLD, &[hopeless()]);
    scanned(&mut fleet, NEW, &[]);
    fleet
}

#[test]
fn a_finding_that_the_new_upstream_no_longer_has_starts_the_base_without_a_quiet_period() {
    let mut fleet = fixed_upstream();
    assert_eq!(fleet.start_codes("b"), ["Vulnerable", "ParentChanged"]);
    let plan = fleet.plan();
    let cause = plan.starts[0].reasons.iter().flat_map(Reason::causes).next().unwrap().clone();
    assert_eq!((cause.goal, cause.finding), (Goal::Try("CVE-1".to_owned()), hopeless().key));
    assert_eq!(fleet.run_until_idle(), ["b", "a"]);
    assert_eq!(fleet.hold("b"), Hold::Fresh);
    for kind in [PackageKind::Os, PackageKind::Language] {
        for fix in [Fix::Unknown, Fix::Version("3.0.2".into())] {
            let mut fleet = fixed_upstream();
            fleet.change_findings("b", |finding| (finding.kind, finding.fix) = (kind, fix.clone()));
            assert_eq!(fleet.start_codes("b"), ["Vulnerable", "ParentChanged"], "{kind:?} {fix:?}");
        }
    }
}

#[test]
fn what_scans_do_not_show_makes_no_rebuild_urgent() {
    let new = |fleet: &mut Fleet, scan: Scan| fleet.facts.upstream_scans.insert(digest(NEW[1]), scan);
    let clean = |at| Scan::complete(at, Coverage::OsAndLanguages, Vec::new());
    let cases: [(&str, &dyn Fn(&mut Fleet)); 10] = [
        ("no scan of the new content on one platform", &|fleet| {
            fleet.facts.upstream_scans.remove(&digest(NEW[1]));
        }),
        ("no scan of the old content", &|fleet| {
            fleet.facts.upstream_scans.remove(&digest(OLD[0]));
        }),
        ("the old content did not have it", &|fleet| scanned(fleet, OLD, &[])),
        ("the new content has it", &|fleet| scanned(fleet, NEW, &[hopeless()])),
        ("not read", &|fleet| drop(new(fleet, Scan::Unread("denied".into())))),
        ("failed", &|fleet| drop(new(fleet, Scan::Failed("no".into())))),
        ("scanned before the finding was known", &|fleet| drop(new(fleet, clean(at(-1))))),
        ("too old to show what is not there", &|fleet| {
            let mut scan = clean(fleet.now);
            if let Scan::Complete { absence, .. } = &mut scan {
                *absence = Absence::Unknown;
            }
            new(fleet, scan);
        }),
        ("unclear", &|fleet| {
            let mut scan = clean(fleet.now);
            if let Scan::Complete { unclear, .. } = &mut scan {
                unclear.insert(hopeless().key, Unclear::Status("SUPPRESSED".into()));
            }
            new(fleet, scan);
        }),
        ("a cache that serves the old content", &|fleet| cached(fleet, digest(9_001), at(-7_200))),
    ];
    for (name, change) in cases {
        let mut fleet = fixed_upstream();
        change(&mut fleet);
        assert!(fleet.plan().starts.is_empty(), "{name}");
        let codes: Vec<&str> = fleet.plan().reasons[&id("b")].iter().map(Reason::code).collect();
        assert_eq!(codes, ["ParentChanged"], "{name}");
    }
}

#[test]
fn a_build_that_did_not_bring_the_fix_is_not_made_again() {
    let mut fleet = fixed_upstream();
    fleet.unfixable.insert(hopeless().key);
    assert_eq!(fleet.run_until_idle()[0], "b");
    for _ in 0..5 {
        fleet.wait("1h");
        fleet.scan_all();
        assert_eq!(fleet.run_until_idle(), [""; 0]);
    }
    assert!(matches!(fleet.hold("b"), Hold::CannotHelp { .. }), "{:?}", fleet.hold("b"));
}

#[test]
fn scans_of_a_cache_are_read_only_if_they_may_show_a_fix() {
    let wanted = |fleet: &Fleet| {
        let base = fleet.hierarchy.image(&id("b")).unwrap();
        upstream_scans(&fleet.hierarchy, &fleet.facts, base)
    };
    let mut fleet = fixed_upstream();
    fleet.facts.observed_at = fleet.now;
    let cache: patchwave::image::Repository = "docker-hub/library/debian".parse().unwrap();
    let all = [OLD, NEW].concat().into_iter().map(|n| (cache.clone(), digest(n)));
    assert_eq!(wanted(&fleet), all.collect());
    assert!(wanted(&through_a_cache()).is_empty(), "the tag did not move");
    let mut lagging = fixed_upstream();
    cached(&mut lagging, digest(9_001), at(-7_200));
    assert!(wanted(&lagging).is_empty(), "the cache has no new content to scan");
    fleet.change_findings("b", |finding| finding.severity = patchwave::finding::Severity::Low);
    assert!(wanted(&fleet).is_empty(), "nothing counts");
}
