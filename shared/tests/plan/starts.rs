//! What a start holds: its key, its token, its attempt and its parents.

use std::collections::{BTreeMap, BTreeSet};

use patchwave::facts::{Current, ExecutionState};
use patchwave::finding::{Finding, Fix};
use patchwave::intervention::Intervention;
use patchwave::plan::{BuildKey, Hold, Reason, Start};

use crate::fleet::{Fleet, finding, finding_in, id, pinned};

fn fixed_by(vulnerability: &str, package: &str, fix: Fix) -> Finding {
    Finding { fix, ..finding_in(vulnerability, package) }
}

fn to(version: &str) -> Fix {
    Fix::Version(version.into())
}

/// The build keys after each of these findings appeared beside the earlier ones.
fn keys(findings: &[Finding]) -> Vec<BuildKey> {
    let mut fleet = Fleet::of("b: scratch | unknownFix: tryOnce");
    let mut key_with = |found: &Finding| {
        fleet.add_finding("b", found);
        fleet.scan("b");
        fleet.only_start().key
    };
    findings.iter().map(&mut key_with).collect()
}

/// An application that is built on all of these bases.
fn on_many(bases: &[String]) -> Fleet {
    Fleet::of(&format!("{}: scratch\na: {}", bases.join(": scratch\n"), bases.join(" + ")))
}

/// Names of bases. Each takes 100 characters with its digest in a list of parents, except the
/// first, which has this length.
fn bases(number: usize, first: usize) -> Vec<String> {
    let named = |n, length| format!("b-{n:02}-{}", "x".repeat(length - 5));
    (0..number).map(|n| named(n, if n == 0 { first } else { 23 })).collect()
}

fn sent_parents(start: &Start) -> BTreeMap<String, String> {
    serde_json::from_str(&start.variables["PATCHWAVE_PARENTS"]).unwrap()
}

/// Ten entries with their commas and braces take 1,001 characters if the first is as long as the
/// others.
const JUST_FITS: usize = 22;

/// CodePipeline answers a start with the token of a failed execution with that execution.
#[test]
fn a_retry_has_the_same_key_and_another_token() {
    let mut fleet = Fleet::with_finding("b: scratch", "b");
    fleet.pass();
    fleet.end("b", ExecutionState::Failed);
    assert_eq!(fleet.pass(), ["b"]);
    assert_eq!(fleet.builds[0].key, fleet.builds[1].key, "the key is the same");
    assert_ne!(fleet.builds[0].token(), fleet.builds[1].token());
}

/// The last change has the same parents as an earlier build.
#[test]
fn a_parent_that_changes_back_and_forth_is_followed_each_time_with_a_new_key() {
    let mut fleet = Fleet::of("b: scratch\n a: b");
    let first = fleet.current("b").digest.clone();
    fleet.push(&id("b"));
    let second = fleet.current("b").digest.clone();
    let mut keys = BTreeSet::new();
    for digest in [&second, &first, &second] {
        fleet.image("b").current = Current::Version(digest.clone());
        fleet.scan_all();
        fleet.wait("11m");
        assert_eq!(fleet.pass(), ["a"]);
        assert!(keys.insert(fleet.builds.last().unwrap().key.clone()), "each key is new");
        fleet.finish("a");
        assert_eq!(fleet.pass(), Vec::<String>::new());
    }
}

/// When it expires again, the replaced version and the parents are the same as the last time.
#[test]
fn a_rebuild_that_reproduced_its_digest_has_another_key_the_next_time() {
    let mut fleet = Fleet::of("b: scratch");
    for _ in 0..2 {
        fleet.wait("31d");
        fleet.scan_all();
        assert_eq!(fleet.pass(), ["b"]);
        fleet.end("b", ExecutionState::Succeeded);
        fleet.pass();
    }
    assert_ne!(fleet.builds[0].key, fleet.builds[1].key);
}

#[test]
fn a_changed_parent_changes_the_key() {
    let mut fleet = Fleet::with_finding("b: scratch\n a: b", "a");
    fleet.pass();
    fleet.end("a", ExecutionState::Failed);
    fleet.push(&id("b"));
    fleet.scan_all();
    fleet.wait("11m");
    assert_eq!(fleet.pass(), ["a"]);
    assert_ne!(fleet.builds[0].key, fleet.builds[1].key);
}

/// A cached rebuild refreshes nothing.
#[test]
fn a_rebuild_for_age_tells_the_pipeline_to_use_no_cache() {
    let mut fleet = Fleet::of("b: scratch");
    fleet.wait("31d");
    fleet.scan_all();
    fleet.pass();
    assert_eq!(fleet.builds[0].variables["PATCHWAVE_NO_CACHE"], "true");
}

/// Its build replaces the same version for the same finding as the one before the roll-back.
#[test]
fn a_released_roll_back_has_another_key() {
    let mut fleet = Fleet::of("b: scratch");
    let before = fleet.current("b").digest.clone();
    fleet.add_finding("b", &finding("CVE-1"));
    fleet.scan_all();
    let first = fleet.plan().starts.remove(0);
    fleet.run_until_idle();
    fleet.wait("1h");
    fleet.image("b").current = Current::Version(before);
    fleet.decide("b", Intervention::Release);
    let second = fleet.plan().starts.remove(0);
    assert_eq!(first.replaces, second.replaces);
    assert_ne!(first.key, second.key);
    fleet.run_until_idle();
    assert_eq!(fleet.hold("b"), Hold::Fresh);
}

#[test]
fn vulnerabilities_with_the_same_fixed_version_share_a_key() {
    let found = [
        fixed_by("CVE-1", "zlib", to("2")),
        fixed_by("CVE-2", "zlib", to("2")),
        fixed_by("CVE-3", "zlib", to("3")),
    ];
    let keys = keys(&found);
    assert_eq!(keys[0], keys[1]);
    assert_ne!(keys[1], keys[2], "another version");
}

#[test]
fn another_package_gives_another_key() {
    let keys = keys(&[fixed_by("CVE-1", "zlib", to("2")), fixed_by("CVE-1", "openssl", to("2"))]);
    assert_ne!(keys[0], keys[1]);
    assert!(keys.iter().all(|key| key.as_str().len() == 40 && key.to_string() == key.as_str()), "{keys:?}");
}

#[test]
fn without_a_known_fix_each_vulnerability_gives_another_key() {
    let keys = keys(&[fixed_by("CVE-1", "zlib", Fix::Unknown), fixed_by("CVE-2", "zlib", Fix::Unknown)]);
    assert_ne!(keys[0], keys[1]);
}

#[test]
fn a_persons_request_gives_another_key_and_a_second_request_the_same() {
    let mut fleet = Fleet::with_finding("b: scratch", "b");
    let without = fleet.only_start().key;
    let mut requested = || {
        fleet.wait("1m");
        fleet.decide("b", Intervention::Rebuild);
        fleet.only_start().key
    };
    let keys = [requested(), requested()];
    assert_ne!(keys[0], without);
    assert_eq!(keys[0], keys[1]);
}

#[test]
fn the_starts_of_an_image_are_counted_from_one() {
    let mut fleet = Fleet::of("b: scratch");
    let attempts = |fleet: &Fleet| fleet.builds.iter().map(|start| start.attempt).collect::<Vec<_>>();
    fleet.add_finding("b", &fixed_by("CVE-1", "zlib", to("2")));
    fleet.scan("b");
    fleet.pass();
    fleet.end("b", ExecutionState::Failed);
    fleet.pass();
    assert_eq!(attempts(&fleet), [1, 2]);
    fleet.end("b", ExecutionState::Failed);
    fleet.pass();
    fleet.add_finding("b", &fixed_by("CVE-2", "openssl", to("4")));
    fleet.scan("b");
    fleet.wait("1h");
    fleet.pass();
    assert_eq!(attempts(&fleet), [1, 2, 3]);
}

#[test]
fn a_list_of_parents_that_just_fits_is_sent_whole() {
    for (first, all) in [(JUST_FITS, 10), (JUST_FITS + 1, 9)] {
        let mut fleet = on_many(&bases(10, first));
        fleet.add_finding("a", &finding("CVE-1"));
        fleet.scan_all();
        let start = fleet.only_start();
        assert_eq!(sent_parents(&start).len(), all, "none of them changed, and as many as fit are sent");
        assert_eq!(start.parents.len(), 10, "the record always has all of them");
    }
}

#[test]
fn of_too_many_parents_as_many_as_fit_are_sent_the_changed_ones_first() {
    for (first, fit) in [(JUST_FITS, 10), (JUST_FITS + 1, 9)] {
        let bases = bases(12, first);
        let mut fleet = on_many(&bases);
        for base in &bases[..11] {
            fleet.add_finding(base, &finding("CVE-1"));
            fleet.scan(base);
        }
        fleet.run_until_idle();
        let start = fleet.builds.last().expect("something was built");
        assert_eq!(start.image, id("a"));
        assert_eq!(sent_parents(start).into_keys().collect::<Vec<_>>(), bases[..fit]);
        assert!(start.variables["PATCHWAVE_PARENTS"].len() <= 1_000);
    }
}

#[test]
fn a_changed_parent_is_sent_although_others_come_first_by_name() {
    let bases = bases(12, JUST_FITS);
    let mut fleet = on_many(&bases);
    let last = bases.last().expect("twelve");
    fleet.add_finding(last, &finding("CVE-1"));
    fleet.scan(last);
    fleet.run_until_idle();
    let sent = sent_parents(fleet.builds.last().expect("something was built"));
    assert!(sent.contains_key(last) && sent.len() == 10, "{sent:?}");
}

#[test]
fn a_reason_has_the_same_code_in_its_json_and_in_the_pipelines_variable() {
    let mut fleet = Fleet::of("b: scratch\np: b\na: p");
    fleet.add_finding("a", &finding("CVE-1"));
    fleet.decide("a", Intervention::Rebuild);
    fleet.wait("1d");
    fleet.push(&id("p"));
    fleet.wait("30d");
    fleet.scan_all();
    fleet.image("b").current = Current::Absent;
    let mut codes = BTreeSet::new();
    fleet.run_until_idle();
    for start in &fleet.builds {
        for reason in &start.reasons {
            assert_eq!(serde_json::to_value(reason).unwrap()["code"], reason.code());
            codes.insert(reason.code());
        }
        let sent: BTreeSet<&str> = start.variables["PATCHWAVE_REASON"].split(',').collect();
        assert_eq!(sent, start.reasons.iter().map(Reason::code).collect());
    }
    assert_eq!(codes, ["Vulnerable", "ParentChanged", "Expired", "Requested", "NeverBuilt"].into());
}

#[test]
fn the_commit_is_an_input_only_of_a_pipeline_that_is_pinned_to_it() {
    for (pipeline, is_input) in [(pinned("b"), true), (String::new(), false)] {
        let mut fleet = Fleet::with_finding(&format!("b: scratch {pipeline}"), "b");
        let mut inputs = |commit: &str| {
            fleet.set_revision("b", Some(&commit.repeat(5)));
            fleet.only_start().inputs
        };
        assert_eq!(inputs("0123abcd") != inputs("4567cdef"), is_input, "{pipeline}");
    }
}

/// `CodePipeline` answers the token of an earlier start with that start's execution, even if it
/// failed long ago.
#[test]
fn no_start_has_the_token_of_an_earlier_one_whatever_their_goals() {
    let mut fleet = Fleet::with_finding("b: scratch", "b");
    let other = finding_in("CVE-2", "zlib");
    for round in 0..4 {
        if fleet.record("b").claim.is_none() {
            assert_eq!(fleet.pass(), ["b"]);
        }
        fleet.end("b", ExecutionState::Failed);
        // The goals alternate: the second finding comes and goes.
        if round % 2 == 0 {
            fleet.add_finding("b", &other);
        } else {
            fleet.layers.values_mut().for_each(|findings| findings.retain(|found| found.key != other.key));
        }
        fleet.scan_all();
        fleet.pass();
        fleet.wait("33h");
        fleet.scan_all();
    }
    let tokens: std::collections::BTreeSet<String> = fleet.builds.iter().map(Start::token).collect();
    let keys: std::collections::BTreeSet<String> = fleet.builds.iter().map(|s| s.key.to_string()).collect();
    assert!(keys.len() < fleet.builds.len() && tokens.len() == fleet.builds.len(), "{tokens:?}");
}
