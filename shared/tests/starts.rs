//! What a start says: which intent it is, on which parents, and what its proof will judge.

#![expect(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "tests may fail loudly")]

mod village;

use std::collections::{BTreeMap, BTreeSet};

use patchwave::facts::{Current, ExecutionMode, ExecutionState};
use patchwave::finding::{Finding, FindingKey, Fix, PackageKind, Severity};
use patchwave::intervention::Intervention;
use patchwave::plan::{BuildKey, Hold, Reason, Start};
use village::{Village, finding, id};

fn only_start(village: &Village) -> Start {
    let mut starts = village.plan().starts;
    assert_eq!(starts.len(), 1, "{starts:?}");
    starts.remove(0)
}

fn of(vulnerability: &str, package: &str, fix: Fix) -> Finding {
    let key = FindingKey { vulnerability: vulnerability.into(), package: package.into() };
    Finding { key, fix, ..finding(vulnerability) }
}

fn to(version: &str) -> Fix {
    Fix::Version(version.into())
}

/// The build keys after each of these findings was found beside those before.
fn keys(findings: &[Finding]) -> Vec<BuildKey> {
    let mut village = Village::of("b: scratch | unknownFix: tryOnce");
    let mut key_with = |found: &Finding| {
        village.infect("b", found);
        village.scan("b");
        only_start(&village).key
    };
    findings.iter().map(&mut key_with).collect()
}

#[test]
fn the_same_fixed_version_is_the_same_intent_whatever_it_answers() {
    let found = [of("CVE-1", "zlib", to("2")), of("CVE-2", "zlib", to("2")), of("CVE-3", "zlib", to("3"))];
    let keys = keys(&found);
    assert_eq!(keys[0], keys[1]);
    assert_ne!(keys[1], keys[2], "another version");
}

#[test]
fn another_package_is_another_intent() {
    let keys = keys(&[of("CVE-1", "zlib", to("2")), of("CVE-1", "openssl", to("2"))]);
    assert_ne!(keys[0], keys[1]);
    assert!(keys.iter().all(|key| key.as_str().len() == 40 && key.to_string() == key.as_str()), "{keys:?}");
}

#[test]
fn without_a_known_fix_each_vulnerability_is_an_intent() {
    let keys = keys(&[of("CVE-1", "zlib", Fix::Unknown), of("CVE-2", "zlib", Fix::Unknown)]);
    assert_ne!(keys[0], keys[1]);
}

#[test]
fn a_request_is_an_intent_of_its_own_and_asking_again_is_the_same() {
    let mut village = Village::of("b: scratch");
    village.infect("b", &finding("CVE-1"));
    village.scan("b");
    let unasked = only_start(&village).key;
    let mut asked = || {
        village.wait("1m");
        village.decide("b", Intervention::Rebuild);
        only_start(&village).key
    };
    let keys = [asked(), asked()];
    assert_ne!(keys[0], unasked);
    assert_eq!(keys[0], keys[1]);
}

#[test]
fn another_intent_counts_its_attempts_from_one() {
    let mut village = Village::of("b: scratch");
    let attempts = |village: &Village| village.builds.iter().map(|start| start.attempt).collect::<Vec<_>>();
    village.infect("b", &of("CVE-1", "zlib", to("2")));
    village.scan("b");
    village.pass();
    village.end("b", ExecutionState::Failed);
    village.pass();
    assert_eq!(attempts(&village), [1, 2]);
    village.end("b", ExecutionState::Failed);
    village.pass();
    village.infect("b", &of("CVE-2", "openssl", to("4")));
    village.scan("b");
    village.wait("1h");
    village.pass();
    assert_eq!(attempts(&village), [1, 2, 1]);
}

/// An application on as many bases as their names are.
fn on_many(bases: &[String]) -> Village {
    Village::of(&format!("{}: scratch\na: {}", bases.join(": scratch\n"), bases.join(" + ")))
}

/// Names of bases: the first is of this length, the others take 100 characters each with their digest in a list of parents.
fn bases(number: usize, first: usize) -> Vec<String> {
    let named = |n, length| format!("b-{n:02}-{}", "x".repeat(length - 5));
    (0..number).map(|n| named(n, if n == 0 { first } else { 23 })).collect()
}

fn told(start: &Start) -> BTreeMap<String, String> {
    serde_json::from_str(&start.variables["PATCHWAVE_PARENTS"]).unwrap()
}

/// Ten entries are 1,001 characters with their commas and braces, if the first is as long as the others.
const JUST_FITS: usize = 22;

#[test]
fn a_list_of_parents_that_just_fits_is_whole() {
    for (first, all) in [(JUST_FITS, 10), (JUST_FITS + 1, 0)] {
        let mut village = on_many(&bases(10, first));
        village.infect("a", &finding("CVE-1"));
        village.scan_all();
        let start = only_start(&village);
        assert_eq!(told(&start).len(), all, "none of them changed");
        assert_eq!(start.parents.len(), 10, "what is written down is always whole");
    }
}

#[test]
fn of_too_many_parents_as_many_of_the_changed_as_fit_are_told() {
    for (first, fit) in [(JUST_FITS, 10), (JUST_FITS + 1, 9)] {
        let bases = bases(12, first);
        let mut village = on_many(&bases);
        for base in &bases[..11] {
            village.infect(base, &finding("CVE-1"));
            village.scan(base);
        }
        village.play();
        let start = village.builds.last().expect("something was built");
        assert_eq!(start.image, id("a"));
        assert_eq!(told(start).into_keys().collect::<Vec<_>>(), bases[..fit]);
        assert!(start.variables["PATCHWAVE_PARENTS"].len() <= 1_000);
    }
}

#[test]
fn a_proof_judges_what_policy_counts_and_what_the_build_is_for() {
    let mut village = Village::of("b: scratch | rebuildAt: critical\n a: b");
    let severe = |vulnerability, severity| Finding { severity, ..finding(vulnerability) };
    let pinned = Finding { kind: PackageKind::Language, ..severe("CVE-4", Severity::Critical) };
    village.infect("b", &severe("CVE-1", Severity::Low));
    // The application's policy counts it.
    village.infect("b", &severe("CVE-2", Severity::High));
    village.infect("b", &severe("CVE-3", Severity::Critical));
    // No rebuild can help it, and one may.
    village.infect("b", &pinned);
    village.scan_all();
    let judged: BTreeSet<String> =
        only_start(&village).to_prove.iter().map(|item| item.finding.vulnerability.to_string()).collect();
    assert_eq!(judged.into_iter().collect::<Vec<_>>(), ["CVE-2", "CVE-3", "CVE-4"]);
    assert_eq!(village.plan().starts[0].image, id("b"));
    assert_eq!(village.plan().unknown.len(), 0, "a record has room for all of them");
}

#[test]
fn a_pipeline_is_told_of_what_its_image_is_built_on_and_of_nothing_else() {
    let base = ["PATCHWAVE_BASE_IMAGE", "PATCHWAVE_PARENTS"];
    for (parents, told) in [("b", &base[..]), ("scratch + b", &base[1..]), ("scratch", &base[..0])] {
        let mut village = Village::of(&format!("b: scratch\na: {parents}"));
        village.infect("a", &finding("CVE-1"));
        village.scan_all();
        let start = only_start(&village);
        let of_parents: Vec<&str> =
            start.variables.keys().map(String::as_str).filter(|name| base.contains(name)).collect();
        assert_eq!(of_parents, told, "on {parents}");
    }
}

#[test]
fn a_pipeline_that_has_what_it_declares_takes_a_start() {
    let mut village = Village::of(&format!("b: scratch {}", village::pinned("b")));
    village.infect("b", &finding("CVE-1"));
    village.scan("b");
    village.set_revision("b", Some(&"0123abcd".repeat(5)));
    let declared = village.declare("b", ExecutionMode::Queued);
    // What is sent needs no default, and what has one need not be sent.
    declared.variables.insert("PATCHWAVE_REASON".into(), false);
    declared.variables.insert("BRANCH".into(), true);
    declared.sources.insert("Other".into());
    let Hold::NoPipeline { because } = village.hold("b") else { panic!("{:?}", village.hold("b")) };
    assert!(because.starts_with("b has no source action \"Source\""), "{because}");
    village.declare("b", ExecutionMode::Queued).sources.insert("Source".into());
    only_start(&village);
}

#[test]
fn a_reason_is_called_what_its_json_calls_it_and_so_the_pipeline_is_told() {
    let mut village = Village::of("b: scratch\np: b\na: p");
    village.infect("a", &finding("CVE-1"));
    village.decide("a", Intervention::Rebuild);
    village.wait("1d");
    village.push(&id("p"));
    village.wait("30d");
    village.scan_all();
    village.image("b").current = Current::Absent;
    let mut codes = BTreeSet::new();
    village.play();
    for start in &village.builds {
        for reason in &start.reasons {
            assert_eq!(serde_json::to_value(reason).unwrap()["code"], reason.code());
            codes.insert(reason.code());
        }
        let told: BTreeSet<&str> = start.variables["PATCHWAVE_REASON"].split(',').collect();
        assert_eq!(told, start.reasons.iter().map(Reason::code).collect());
    }
    assert_eq!(codes, ["Vulnerable", "ParentChanged", "Expired", "Requested", "NeverBuilt"].into());
}

#[test]
fn the_commit_is_an_input_where_the_pipeline_is_pinned_to_it() {
    for (pipeline, is_input) in [(village::pinned("b"), true), (String::new(), false)] {
        let mut village = Village::of(&format!("b: scratch {pipeline}"));
        village.infect("b", &finding("CVE-1"));
        village.scan("b");
        let mut inputs = |commit: &str| {
            village.set_revision("b", Some(&commit.repeat(5)));
            only_start(&village).inputs
        };
        assert_eq!(inputs("0123abcd") != inputs("4567cdef"), is_input, "{pipeline}");
    }
}
