//! What a build that succeeded stands for: a version of its own, or somebody else's.

use patchwave::facts::{Current, Execution, ExecutionDetails, ExecutionState, Version};
use patchwave::image::Digest;
use patchwave::plan::{Hold, needs_history};
use patchwave::record::Success;

use crate::fleet::{Fleet, digest, finding, id};

/// A platform's image on a base that was rebuilt, and its own build under way.
fn building() -> Fleet {
    let mut fleet = Fleet::with_finding("b: scratch\n p: b", "b");
    assert_eq!(fleet.pass(), ["b"]);
    fleet.wait("10m");
    fleet.finish("b");
    fleet.scan_all();
    assert_eq!(fleet.pass(), ["p"]);
    fleet.wait("10m");
    fleet
}

fn succeed(fleet: &mut Fleet, details: ExecutionDetails) {
    fleet.end("p", ExecutionState::Succeeded);
    if let Some(Execution::Found { details: reported, .. }) = &mut fleet.image("p").execution {
        *reported = details;
    }
    fleet.scan_all();
}

fn stands(fleet: &mut Fleet, version: &Version) {
    fleet.image("p").current = Current::Version(version.digest.clone());
}

/// A person pushes on the base that was there before the wave.
fn push_on_old_base(fleet: &mut Fleet, old: &Version) -> Version {
    let base = fleet.image("b").current.clone();
    fleet.image("b").current = Current::Version(old.digest.clone());
    fleet.push(&id("p"));
    fleet.image("b").current = base;
    // A hand push need not name its base.
    fleet.current_mut("p").base = None;
    fleet.current("p").clone()
}

fn success(fleet: &Fleet) -> Option<&Success> {
    fleet.record("p").success.as_ref()
}

fn old_base(fleet: &Fleet) -> Version {
    let replaced =
        fleet.builds.iter().find(|start| start.image == id("b")).unwrap().replaces.clone().unwrap();
    fleet.facts.images[&id("b")].versions[&replaced].clone()
}

fn needs(fleet: &Fleet) -> bool {
    needs_history(&fleet.hierarchy, &fleet.facts, fleet.hierarchy.image(&id("p")).unwrap())
}

#[test]
fn a_roll_back_before_the_success_was_seen_is_not_undone() {
    let mut fleet = building();
    let replaced = fleet.current("p").clone();
    fleet.push(&id("p"));
    let ours = fleet.current("p").digest.clone();
    stands(&mut fleet, &replaced);
    succeed(&mut fleet, ExecutionDetails::default());
    assert!(needs(&fleet), "what stands on the line does not show what the build pushed");
    assert_eq!(fleet.pass(), [""; 0]);
    assert_eq!(success(&fleet).map(|success| &success.version), Some(&ours));
    assert_eq!(fleet.hold("p"), Hold::RolledBack);
}

/// The build pushed nothing that is left, and a person put an even earlier version there.
#[test]
fn an_earlier_version_is_a_roll_back_although_what_the_build_pushed_is_gone() {
    let mut fleet = building();
    let mut earlier = fleet.current("p").clone();
    earlier.digest = digest(900_001);
    earlier.pushed_at = patchwave::time::Span::days(3).before(earlier.pushed_at);
    fleet.image("p").versions.insert(earlier.digest.clone(), earlier.clone());
    stands(&mut fleet, &earlier);
    succeed(&mut fleet, ExecutionDetails::default());
    assert_eq!(fleet.pass(), [""; 0]);
    assert_eq!(fleet.hold("p"), Hold::RolledBack);
    assert!(
        success(&fleet).unwrap().parents.is_empty(),
        "the replaced version was not built on the new base"
    );
}

#[test]
fn a_persons_push_on_the_old_base_is_not_recorded_as_built_on_the_new_one() {
    let mut fleet = building();
    let old = old_base(&fleet);
    fleet.push(&id("p"));
    let ours = fleet.current("p").digest.clone();
    fleet.wait("1m");
    let theirs = push_on_old_base(&mut fleet, &old);
    let ended_at = Some(fleet.now);
    succeed(&mut fleet, ExecutionDetails { ended_at, ..ExecutionDetails::default() });
    assert!(needs(&fleet));
    assert_eq!(fleet.pass(), ["p"], "it is built on the new base again");
    assert_eq!(success(&fleet).map(|success| &success.version), Some(&ours));
    assert_eq!(fleet.builds.last().unwrap().replaces, Some(theirs.digest));
}

#[test]
fn the_digest_that_the_execution_reports_counts_more_than_any_push() {
    let mut fleet = building();
    fleet.push(&id("p"));
    let ours = fleet.current("p").clone();
    fleet.wait("1m");
    fleet.push(&id("p"));
    let theirs = fleet.current("p").digest.clone();
    // It may name a platform's manifest, and digests of other images too.
    let manifest = ours.platforms.values().next().unwrap().digest.clone();
    let pushed = [manifest, digest(900_002)].into();
    succeed(&mut fleet, ExecutionDetails { pushed, ..ExecutionDetails::default() });
    assert!(!needs(&fleet));
    fleet.pass();
    assert_eq!(success(&fleet).map(|success| &success.version), Some(&ours.digest));
    assert_ne!(theirs, ours.digest);
    assert!(fleet.record("p").proof.is_none(), "nothing of a version that does not stand is proved");
}

#[test]
fn a_reported_version_that_could_not_be_read_is_waited_for_and_named() {
    let mut fleet = building();
    fleet.push(&id("p"));
    let gone = digest(900_003);
    fleet.image("p").unread_versions.insert(gone.clone(), "throttled".into());
    succeed(&mut fleet, ExecutionDetails { pushed: [gone].into(), ..ExecutionDetails::default() });
    let plan = fleet.plan();
    assert!(matches!(&plan.holds[&id("p")], Hold::Unresolved { because } if because == "throttled"));
    assert!(
        plan.unknown.iter().any(|unknown| unknown.image == id("p") && unknown.because.contains("throttled"))
    );
    fleet.apply(&plan);
    assert!(fleet.record("p").claim.is_some() && fleet.record("p").is_scheduled());
}

/// Whoever pushes an image writes its annotations.
#[test]
fn a_build_key_counts_only_on_a_version_that_was_pushed_during_its_execution() {
    let mut fleet = building();
    let start = fleet.builds.last().unwrap();
    let (key, token) = (start.key.to_string(), start.token());
    fleet.push(&id("p"));
    fleet.current_mut("p").build_key = Some(key);
    let ours = fleet.current("p").digest.clone();
    let ended_at = Some(fleet.now);
    fleet.wait("5m");
    fleet.push(&id("p"));
    fleet.current_mut("p").build_key = Some(token);
    succeed(&mut fleet, ExecutionDetails { ended_at, ..ExecutionDetails::default() });
    fleet.pass();
    assert_eq!(success(&fleet).map(|success| &success.version), Some(&ours), "the copy came after the end");
}

#[test]
fn a_version_with_another_builds_key_is_not_ours() {
    let mut fleet = building();
    fleet.push(&id("p"));
    fleet.current_mut("p").build_key = Some("00112233445566778899aabbccddeeff00112233-1".into());
    succeed(&mut fleet, ExecutionDetails::default());
    fleet.pass();
    assert_eq!(success(&fleet), None);
}

/// Its pipeline ignores the base that Patchwave sends. Without a pause it would start for ever.
#[test]
fn builds_whose_version_never_stands_are_failures() {
    let mut fleet = building();
    let old = old_base(&fleet);
    for failures in 1..=3_u32 {
        push_on_old_base(&mut fleet, &old);
        succeed(&mut fleet, ExecutionDetails::default());
        fleet.pass();
        assert_eq!(fleet.record("p").failures.as_ref().map(|failures| failures.count), Some(failures));
        for _ in 0..8 {
            fleet.wait("1h");
            fleet.pass();
        }
        assert!(fleet.record("p").claim.is_some(), "after {failures}");
    }
    assert_eq!(success(&fleet), None);
}

#[test]
fn a_reproducible_build_may_equal_an_earlier_version() {
    let mut fleet = building();
    // It was built on the new base once before, by hand.
    fleet.push(&id("p"));
    let mut earlier = fleet.current("p").clone();
    earlier.pushed_at = patchwave::time::Span::hours(1).before(earlier.pushed_at);
    fleet.image("p").versions.insert(earlier.digest.clone(), earlier.clone());
    succeed(&mut fleet, ExecutionDetails::default());
    fleet.pass();
    assert_eq!(success(&fleet).map(|success| &success.version), Some(&earlier.digest));
    assert_eq!(fleet.hold("p"), Hold::Fresh, "it is proved, and not rolled back");
}

#[test]
fn a_build_that_pushed_nothing_new_is_ineffective() {
    for reported in [false, true] {
        let mut fleet = building();
        let replaced = fleet.current("p").digest.clone();
        let pushed = reported.then(|| replaced.clone()).into_iter().collect();
        succeed(&mut fleet, ExecutionDetails { pushed, ..ExecutionDetails::default() });
        let plan = fleet.plan();
        fleet.apply(&plan);
        assert_eq!(success(&fleet).map(|success| &success.version), Some(&replaced));
        let again = fleet.builds.last().unwrap();
        assert_eq!((fleet.builds.len(), again.no_cache), (3, true), "one retry without cache");
    }
}

#[test]
fn without_the_history_nothing_is_concluded() {
    let mut fleet = building();
    fleet.image("p").unread_history = Some("denied".into());
    succeed(&mut fleet, ExecutionDetails::default());
    assert!(matches!(fleet.hold("p"), Hold::Unresolved { because } if because == "denied"));
    assert_eq!(success(&fleet), None);
    fleet.image("p").unread_history = None;
    fleet.pass();
    assert!(success(&fleet).is_some(), "nothing new: ineffective");
}

#[test]
fn a_push_of_another_line_of_the_repository_is_not_ours() {
    let yaml = crate::fleet::family("b: scratch\n p: b\n p2: b")
        .replace("repository: r/p2, tags: ['1']", "repository: r/p, tags: ['2']");
    let mut fleet = Fleet::new(&yaml);
    fleet.add_finding("p", &finding("CVE-1"));
    fleet.scan_all();
    assert_eq!(fleet.pass(), ["p"]);
    fleet.wait("10m");
    fleet.push(&id("p2"));
    let other = fleet.current("p2").clone();
    fleet.image("p").versions.insert(other.digest.clone(), other.clone());
    succeed(&mut fleet, ExecutionDetails::default());
    fleet.pass();
    let version: Option<&Digest> = success(&fleet).map(|success| &success.version);
    assert_ne!(version, Some(&other.digest), "it pushed nothing");
}

#[test]
fn a_failure_that_is_the_accounts_limit_counts_for_nobody() {
    let mut fleet = Fleet::with_finding("b: scratch", "b");
    for _ in 0..4 {
        assert_eq!(fleet.pass(), ["b"]);
        fleet.end("b", ExecutionState::Failed);
        if let Some(Execution::Found { details, .. }) = &mut fleet.image("b").execution {
            details.at_limit = true;
            details.failure = Some("Cannot have more than 60 builds in queue for the account".into());
        }
        assert_eq!(fleet.pass(), [""; 0]);
        assert_eq!(fleet.hold("b").name(), "AtLimit");
        assert_eq!(fleet.record("b").failures.as_ref().map(|failures| failures.count), Some(0));
        fleet.wait("10m");
    }
}

#[test]
fn why_a_build_failed_stands_in_its_hold() {
    let mut fleet = Fleet::with_finding("b: scratch", "b");
    for _ in 0..2 {
        fleet.pass();
        fleet.end("b", ExecutionState::Failed);
        if let Some(Execution::Found { details, .. }) = &mut fleet.image("b").execution {
            details.failure = Some("the action Build/Image failed: no space left".into());
        }
    }
    let Hold::BackOff { because, .. } = fleet.hold("b") else { panic!("{:?}", fleet.hold("b")) };
    assert!(because.ends_with("failed: the action Build/Image failed: no space left"), "{because}");
}

#[test]
fn a_first_build_that_pushed_no_version_of_the_line_is_a_failure() {
    let mut fleet = Fleet::of("b: scratch");
    fleet.image("b").current = Current::Absent;
    assert_eq!(fleet.pass(), ["b"]);
    fleet.end("b", ExecutionState::Succeeded);
    fleet.wait("15m");
    fleet.pass();
    assert_eq!(fleet.hold("b").name(), "InFlight", "a push is not visible at once");
    fleet.wait("1m");
    fleet.pass();
    let failures = fleet.record("b").failures.as_ref().unwrap();
    assert_eq!(failures.count, 1);
    assert!(failures.because.ends_with("pushed no version of the line"), "{}", failures.because);
}

/// A pipeline may push several images into one repository, such as a small one beside each.
#[test]
fn of_two_pushes_of_a_build_the_current_one_counts() {
    for reported in [false, true] {
        let mut fleet = building();
        fleet.push(&id("p"));
        let ours = fleet.current("p").clone();
        fleet.push(&id("p"));
        let other = fleet.current("p").digest.clone();
        stands(&mut fleet, &ours);
        let pushed = if reported { [ours.digest.clone(), other].into() } else { [].into() };
        succeed(&mut fleet, ExecutionDetails { pushed, ..ExecutionDetails::default() });
        fleet.pass();
        assert_eq!(success(&fleet).map(|success| &success.version), Some(&ours.digest));
        assert_ne!(fleet.hold("p"), Hold::RolledBack);
    }
}
