//! What broke earlier wordings of the planner's rules, one story each. A wording that brings one back fails here.

#![expect(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "tests may fail loudly")]

mod village;

use std::collections::BTreeSet;

use patchwave::facts::{Current, Execution, ExecutionMode, ExecutionState};
use patchwave::finding::{Coverage, Finding, FindingKey, Fix, PackageKind, Scan, Severity};
use patchwave::hierarchy::Line;
use patchwave::intervention::Intervention;
use patchwave::line::{Candidate, current};
use patchwave::plan::{Hold, Limit, Reason};
use village::{Village, digest, finding, id};

fn named(vulnerability: &str, package: &str) -> Finding {
    Finding {
        key: FindingKey { vulnerability: vulnerability.into(), package: package.into() },
        ..finding(vulnerability)
    }
}

/// 1. A start with the token of a failed one returns the failed one.
#[test]
fn a_retry_really_starts() {
    let mut village = Village::of("b: scratch");
    village.infect("b", &finding("CVE-1"));
    village.scan_all();
    village.pass();
    village.end("b", ExecutionState::Failed);
    assert_eq!(village.pass(), ["b"]);
    assert_eq!(village.builds[0].key, village.builds[1].key, "the intent is the same");
    assert_ne!(village.builds[0].token(), village.builds[1].token());
}

/// 2. Two planners that saw different findings have different keys: the claim is the image's, not the key's.
#[test]
fn two_intents_are_one_claim() {
    let mut village = Village::of("b: scratch");
    village.infect("b", &finding("CVE-1"));
    village.scan_all();
    village.pass();
    village.infect("b", &named("CVE-2", "zlib"));
    village.scan_all();
    assert!(matches!(village.hold("b"), Hold::InFlight { .. }));
}

/// 3a. The parent goes D1 → D2 → D1 → D2: the last change has the same parents as an earlier build.
#[test]
fn a_parent_that_goes_to_and_fro_is_followed_each_time() {
    let mut village = Village::of("b: scratch\n a: b");
    let first = village.current("b").digest.clone();
    village.push(&id("b"));
    let second = village.current("b").digest.clone();
    let mut keys = BTreeSet::new();
    for digest in [&second, &first, &second] {
        village.image("b").current = Current::Version(digest.clone());
        village.scan_all();
        village.wait("11m");
        assert_eq!(village.pass(), ["a"]);
        assert!(keys.insert(village.builds.last().unwrap().key.clone()), "the key of an earlier build");
        village.finish("a");
        assert_eq!(village.pass(), Vec::<String>::new());
    }
}

/// 3b. A person pushes a cached, vulnerable build on the same parents.
#[test]
fn a_vulnerable_push_over_a_fixed_build_is_rebuilt() {
    let mut village = Village::of("b: scratch");
    village.infect("b", &finding("CVE-1"));
    village.scan_all();
    village.play();
    village.wait("1h");
    village.push(&id("b"));
    village.infect("b", &finding("CVE-1"));
    village.scan_all();
    assert_eq!(village.play(), ["b"]);
}

/// 3c. A reproducible base reaches its age limit: the same digest again must not be expired for ever.
#[test]
fn a_reproduced_build_restarts_its_age() {
    let mut village = Village::of("b: scratch\n a: b");
    village.wait("31d");
    village.scan_all();
    village.facts.images.get_mut(&id("a")).unwrap().record.success = None;
    assert_eq!(village.pass(), ["b"]);
    village.end("b", ExecutionState::Succeeded);
    assert_eq!(village.pass(), ["a"], "the descendants do not wait");
    assert_eq!(village.hold("b"), Hold::Fresh);
}

/// 3c. The next time it expires is another intent: the replaced version and the parents are the same as last time.
#[test]
fn a_reproduced_build_has_a_new_key_the_next_time() {
    let mut village = Village::of("b: scratch");
    for _ in 0..2 {
        village.wait("31d");
        village.scan_all();
        assert_eq!(village.pass(), ["b"]);
        village.end("b", ExecutionState::Succeeded);
        village.pass();
    }
    assert_ne!(village.builds[0].key, village.builds[1].key);
}

/// A parent changes between a failed build and the next: that is another intent, and not a retry of the same.
#[test]
fn the_key_knows_the_parents() {
    let mut village = Village::of("b: scratch\n a: b");
    village.infect("a", &finding("CVE-1"));
    village.scan_all();
    village.pass();
    village.end("a", ExecutionState::Failed);
    village.push(&id("b"));
    village.scan_all();
    village.wait("11m");
    assert_eq!(village.pass(), ["a"]);
    assert_ne!(village.builds[0].key, village.builds[1].key);
}

/// A copied stage is pushed while its child is built on the version before: only our own record tells, for the child was
/// pushed after it.
#[test]
fn what_we_told_a_build_is_believed_before_what_the_clock_says() {
    let mut village = Village::of("b: scratch\n p: scratch\n a: b + p");
    village.infect("a", &finding("CVE-1"));
    village.scan_all();
    assert_eq!(village.pass(), ["a"]);
    village.wait("1h");
    village.push(&id("p"));
    village.scan_all();
    village.wait("1h");
    village.push(&id("a"));
    village.scan_all();
    village.end("a", ExecutionState::Succeeded);
    assert_eq!(village.pass(), ["a"], "once more, on the parent that changed meanwhile");
}

/// 3d. A second vulnerability without a known fix in the same package is an intent of its own.
#[test]
fn a_second_unfixed_vulnerability_in_a_package_is_tried() {
    let unknown = |vulnerability| Finding { fix: Fix::Unknown, ..finding(vulnerability) };
    let mut village = Village::of("b: scratch | unknownFix: tryOnce");
    village.infect("b", &unknown("CVE-1"));
    village.stubborn.insert(unknown("CVE-1").key);
    village.scan_all();
    assert_eq!(village.play(), ["b"]);
    village.infect("b", &unknown("CVE-2"));
    village.scan_all();
    assert_eq!(village.play(), ["b"]);
}

/// 4. A parked platform is vulnerable: the application with its own critical does not wait for it.
#[test]
fn parked_parents_do_not_deadlock() {
    let mut village = Village::of("b: scratch\n p: b | rebuild: never\n a: p");
    village.infect("p", &finding("CVE-1"));
    village.infect("a", &named("CVE-2", "zlib"));
    village.scan_all();
    assert_eq!(village.play(), ["a"]);
}

/// 5. The base is pushed every hour and the platform builds for longer: the application is not starved by it.
#[test]
fn a_busy_base_does_not_starve_the_applications() {
    let mut village = Village::of("b: scratch\n p: b\n a: p");
    village.push(&id("b"));
    let mut built = 0;
    for hour in 0..24 {
        village.wait("1h");
        village.push(&id("b"));
        village.scan_all();
        village.wait("11m");
        built += village.pass().iter().filter(|image| *image == "a").count();
        // Every second hour all that runs ends, on parents that have moved on meanwhile.
        if hour % 2 == 1 {
            for name in ["p", "a"] {
                if village.image(name).record.claim.is_some() {
                    village.push(&id(name));
                    village.scan(name);
                    village.end(name, ExecutionState::Succeeded);
                }
            }
            built += village.pass().iter().filter(|image| *image == "a").count();
        }
    }
    assert!(built >= 6, "{built} builds in a day");
}

/// 5. A finding in base and application together: the application waits for a platform that has no reason yet.
#[test]
fn settling_is_transitive() {
    let mut village = Village::of("b: scratch\n p: b\n a: p");
    village.infect("b", &finding("CVE-1"));
    village.infect("a", &named("CVE-2", "zlib"));
    village.scan_all();
    assert_eq!(village.play(), ["b", "p", "a"]);
}

/// 6. A base that does not run is never rescanned: its old scan says clean, and hundreds of children must not each try.
#[test]
fn an_old_scan_that_says_clean_is_not_believed() {
    let children: Vec<String> = (0..40).map(|n| format!("a{n:02}: b")).collect();
    let mut village = Village::of(&format!("b: scratch\n{}", children.join("\n")));
    village.coverage = Coverage::Os;
    village.scan("b");
    village.infect("b", &finding("CVE-1"));
    village.wait("25h");
    for n in 0..40 {
        village.scan(&format!("a{n:02}"));
    }
    let plan = village.plan();
    assert!(plan.starts.is_empty());
    assert!(plan.scans.iter().all(|scan| scan.image == id("b")) && !plan.scans.is_empty());
    village.apply(&plan);
    village.scan("b");
    village.pass();
    assert_eq!(village.builds.len(), 1, "the base, once");
}

/// 7. An application pins a vulnerable library: each push of the base rebuilds it once, not twice.
#[test]
fn a_pinned_library_adds_no_builds() {
    let mut village = Village::of("b: scratch\n a: b");
    let pinned = Finding { kind: PackageKind::Language, ..finding("CVE-1") };
    village.infect("a", &pinned);
    village.stubborn.insert(pinned.key.clone());
    for _ in 0..10 {
        village.wait("1h");
        village.push(&id("b"));
        village.scan_all();
        village.wait("11m");
        assert_eq!(village.play(), ["a"]);
    }
}

/// 7. A quarantine for one finding blocks no other.
#[test]
fn a_quarantine_is_as_wide_as_its_finding() {
    let mut village = Village::of("b: scratch");
    village.infect("b", &finding("CVE-1"));
    village.stubborn.insert(finding("CVE-1").key);
    village.scan_all();
    assert_eq!(village.play(), ["b", "b"]);
    village.infect("b", &named("CVE-2", "zlib"));
    village.scan_all();
    assert_eq!(village.play(), ["b"]);
}

/// 8. Production runs commit A and main is at B: the rebuild of A keeps A's place, and B stays the line's version.
#[test]
fn a_pattern_line_never_goes_backwards() {
    let pushed = |n: u64, tag: &str, at: i64, revision: &str| Candidate {
        digest: digest(n),
        tags: vec![tag.parse().unwrap()],
        pushed_at: village::at(at),
        revision: Some(revision.into()),
    };
    let line = Line::Newest("main-*".parse().unwrap());
    let history =
        [pushed(1, "main-a", 0, "a"), pushed(2, "main-b", 60, "b"), pushed(3, "main-a-rebuilt", 120, "a")];
    assert_eq!(current(&line, &history).map(|now| &now.digest), Some(&digest(2)));
}

/// 9. An old fleet is enforced for the first time: not everything is due on day one.
#[test]
fn adoption_is_spread() {
    let fleet: Vec<String> = (0..60).map(|n| format!("b{n:02}: scratch")).collect();
    let mut village = Village::of(&fleet.join("\n"));
    village.wait("365d");
    village.scan_all();
    for facts in village.facts.images.values_mut() {
        facts.record.enforced_since = None;
    }
    let first = village.pass().len();
    assert!(first <= 6, "{first} of 60 on the first day");
    for _ in 0..31 {
        village.wait("1d");
        village.facts.slots.started_today = 0;
        village.play();
    }
    let built: BTreeSet<_> = village.builds.iter().map(|start| &start.image).collect();
    assert_eq!(built.len(), 60, "and all within maxAge");
}

/// 10. Freed slots go to the most urgent of all that wait, not to the siblings of the last event.
#[test]
fn a_critical_does_not_wait_for_siblings() {
    let yaml = village::family("b1: scratch\n b2: scratch\n a1: b1\n a2: b1\n a3: b1\n a4: b1")
        .replace("mode: enforce", "mode: enforce, maxConcurrentBuilds: 1");
    let mut village = Village::new(&yaml);
    village.infect("b1", &Finding { severity: Severity::High, ..finding("CVE-1") });
    village.scan_all();
    assert_eq!(village.pass(), ["b1"]);
    village.infect("b2", &finding("CVE-2"));
    village.scan_all();
    village.pass();
    assert_eq!(village.hold("b2"), Hold::AtLimit { limit: Limit::ConcurrentBuilds });
    village.finish("b1");
    assert_eq!(village.pass(), ["b2"]);
}

/// 10. Somebody else's push does not free the slot of a start that is claimed and still to be made.
#[test]
fn a_push_frees_no_slot_before_the_start() {
    let yaml = village::family("b1: scratch\n b2: scratch")
        .replace("mode: enforce", "mode: enforce, maxConcurrentBuilds: 1");
    let mut village = Village::new(&yaml);
    village.infect("b1", &finding("CVE-1"));
    village.scan_all();
    assert_eq!(village.pass(), ["b1"]);
    let execution = village.image("b1").record.claim.as_mut().unwrap().execution.take();
    let found = village.image("b1").execution.replace(Execution::NotFound);
    village.wait("1m");
    village.push(&id("b1"));
    village.infect("b2", &finding("CVE-1"));
    village.scan_all();
    assert_eq!(village.pass(), [""; 0], "its owner stands still");
    village.image("b1").record.claim.as_mut().unwrap().execution = execution;
    village.image("b1").execution = found;
    assert_eq!(village.pass(), ["b2"], "pushed, whoever did it");
}

/// 10. Pipelines that stand at a manual approval do not stop the fleet.
#[test]
fn a_build_that_lasts_too_long_gives_its_slot_back() {
    let yaml = village::family("b1: scratch\n b2: scratch")
        .replace("mode: enforce", "mode: enforce, maxConcurrentBuilds: 1, maxBuildTime: 2h");
    let mut village = Village::new(&yaml);
    village.infect("b1", &finding("CVE-1"));
    village.infect("b2", &finding("CVE-1"));
    village.scan_all();
    assert_eq!(village.pass(), ["b1"]);
    village.wait("121m");
    assert_eq!(village.pass(), ["b2"]);
    assert!(matches!(village.hold("b1"), Hold::InFlight { .. }), "it is still not started again");
}

/// 11. A parent that was rebuilt for its age brings its children nothing new: they wait for their own deadline.
#[test]
fn age_does_not_build_a_chain_twice() {
    let mut village = Village::of("b: scratch\n p: b\n a: p");
    // The platform and the application were built ten days after the base.
    village.wait("10d");
    village.push(&id("p"));
    village.push(&id("a"));
    village.wait("20d");
    village.scan_all();
    assert_eq!(village.play(), ["b"], "only the base is due");
    village.wait("11d");
    village.scan_all();
    assert_eq!(village.play(), ["p", "a"]);
}

/// 11. A cached rebuild refreshes nothing.
#[test]
fn a_rebuild_for_age_sends_no_cache() {
    let mut village = Village::of("b: scratch");
    village.wait("31d");
    village.scan_all();
    village.pass();
    assert_eq!(village.builds[0].variables["PATCHWAVE_NO_CACHE"], "true");
}

/// 12. A provenance document changes the index and no platform manifest: hundreds of children have nothing to do.
#[test]
fn an_index_is_not_its_content() {
    let mut village = Village::of("b: scratch\n a: b");
    let mut version = village.current("b").clone();
    version.digest = digest(424_242);
    village.wait("1h");
    version.pushed_at = village.now;
    let facts = village.image("b");
    facts.current = Current::Version(version.digest.clone());
    facts.versions.insert(version.digest.clone(), version);
    village.wait("1h");
    assert_eq!(village.play(), Vec::<String>::new());
}

/// 13. A developer's release waits in a SUPERSEDED pipeline: our start would overtake it.
#[test]
fn a_waiting_release_is_not_overtaken() {
    let mut village = Village::of("b: scratch\n p: b\n a: p\n p2: b");
    village.infect("p", &finding("CVE-1"));
    village.scan_all();
    village.declare("p", ExecutionMode::Superseded { busy: true });
    assert_eq!(village.pass(), [""; 0]);
    assert_eq!(village.hold("p"), Hold::AtLimit { limit: Limit::Pipeline });
    assert!(matches!(village.hold("a"), Hold::WaitingOn { on, .. } if on == id("p")));
    village.declare("p", ExecutionMode::Superseded { busy: false });
    assert_eq!(village.pass(), ["p"]);
}

/// 13. The release waits a week for its approval: the children that have reasons of their own do not.
#[test]
fn a_busy_pipeline_does_not_block_what_is_below_it_for_ever() {
    let mut village = Village::of("b: scratch\n p: b\n a: p");
    village.infect("p", &finding("CVE-1"));
    village.infect("a", &named("CVE-2", "left-pad"));
    village.scan_all();
    village.declare("p", ExecutionMode::Superseded { busy: true });
    assert_eq!(village.pass(), [""; 0]);
    village.wait("2h");
    assert_eq!(village.pass(), ["a"]);
}

/// 13. A busy repository overtakes our builds again and again: that is nobody's failure and trips no breaker.
#[test]
fn being_overtaken_is_not_a_failure() {
    let mut village = Village::of("b: scratch");
    village.infect("b", &finding("CVE-1"));
    village.scan_all();
    for _ in 0..5 {
        assert_eq!(village.pass(), ["b"]);
        village.end("b", ExecutionState::Superseded);
        assert_eq!(village.pass(), [""; 0], "it pauses for the quiet period");
        village.wait("10m");
    }
    assert_eq!(village.image("b").record.failures.as_ref().map(|row| row.count), Some(0));
}

/// 14. The parent is recorded as settled, its children are not, and the process dies: so children are recorded first.
#[test]
fn children_are_unsettled_before_their_parent_settles() {
    let mut village = Village::of("b: scratch\n a: b | maxAge: 20d");
    village.infect("b", &finding("CVE-1"));
    village.scan_all();
    village.pass();
    village.finish("b");
    let plan = village.plan();
    assert!(!plan.records[&id("b")].unsettled);
    let child = plan.records.get(&id("a")).unwrap_or(&village.facts.images[&id("a")].record);
    assert!(child.unsettled, "before or in the same plan; apply writes what enters before what leaves");
}

/// 15. The base counts criticals, the application highs: an inherited high is the base's to rebuild.
#[test]
fn an_inherited_finding_is_somebodys() {
    let mut village = Village::of("b: scratch | rebuildAt: critical\n a: b | rebuildAt: high");
    village.infect("b", &Finding { severity: Severity::High, ..finding("CVE-1") });
    village.scan_all();
    assert_eq!(village.play(), ["b", "a"]);
}

/// 16. A proof that is not needed is not waited for.
#[test]
fn a_build_that_was_not_for_findings_is_not_waited_for() {
    let mut village = Village::of("b: scratch\n p: b\n a: p");
    village.infect("b", &finding("CVE-1"));
    village.scan_all();
    village.pass();
    village.finish("b");
    assert_eq!(village.pass(), ["p"]);
    village.push(&id("p"));
    village.end("p", ExecutionState::Succeeded);
    assert!(village.current("p").platforms.values().all(|m| m.scan == Scan::Missing));
    assert_eq!(village.pass(), ["a"]);
}

/// 16. An ineffective parent is not rolled to hundreds of children.
#[test]
fn what_fixed_nothing_does_not_roll() {
    let mut village = Village::of("b: scratch\n a1: b\n a2: b");
    village.infect("b", &finding("CVE-1"));
    village.stubborn.insert(finding("CVE-1").key);
    village.scan_all();
    assert_eq!(village.play(), ["b", "b"]);
}

/// 11, the other way. A rebuild for age brought a fix by the way: whoever carries that finding follows at once.
#[test]
fn a_fix_that_came_with_age_rolls_to_those_that_need_it() {
    let mut village = Village::of("b: scratch\n a: b");
    village.infect("b", &finding("CVE-1"));
    village.scan_all();
    assert_eq!(village.pass(), ["b"]);
    let age = Reason::Expired { age: "30d".parse().unwrap(), since: village.now };
    village.image("b").record.claim.as_mut().unwrap().start.reasons = vec![age];
    village.finish("b");
    assert_eq!(village.play(), ["a"]);
}

/// 16, the other way. The first build fixed one of two findings; the retry for the other, in vain, does not take that back.
#[test]
fn a_retry_in_vain_does_not_hold_an_earlier_fix() {
    let mut village = Village::of("b: scratch\n a1: b\n a2: b");
    village.infect("b", &finding("CVE-1"));
    village.infect("b", &finding("CVE-2"));
    village.stubborn.insert(finding("CVE-1").key);
    village.scan_all();
    assert_eq!(village.play(), ["b", "b", "a1", "a2"]);
}

/// 17. Back-off ends by itself: 1, 2, 4 … 32 hours, and then every 32.
#[test]
fn back_off_is_reachable_and_ends() {
    let mut village = Village::of("b: scratch");
    village.infect("b", &finding("CVE-1"));
    village.scan_all();
    assert_eq!(village.pass(), ["b"]);
    village.end("b", ExecutionState::Failed);
    for hours in [1, 2, 4, 8, 16, 32, 32, 32] {
        assert_eq!(village.pass(), ["b"]);
        village.end("b", ExecutionState::Failed);
        village.pass();
        village.wait(&format!("{}m", hours * 60 - 1));
        assert!(matches!(village.hold("b"), Hold::BackOff { .. }), "{hours} h");
        village.wait("1m");
        village.facts.slots.started_today = 0;
    }
    assert!(matches!(&village.builds[0].reasons[..], [Reason::Vulnerable { .. }]));
}

/// 17. A person has a verb for every hold that waits for people, and an approval survives new causes.
#[test]
fn every_hold_that_waits_for_a_person_has_a_verb() {
    let mut village = Village::of("b: scratch | rebuild: approval");
    village.infect("b", &finding("CVE-1"));
    village.scan_all();
    assert_eq!(village.hold("b"), Hold::NeedsApproval);
    village.decide("b", Intervention::Approve);
    village.infect("b", &named("CVE-2", "zlib"));
    village.scan_all();
    assert_eq!(village.play(), ["b"], "bound to the version, not to its findings");
    village.infect("b", &finding("CVE-3"));
    village.scan_all();
    assert_eq!(village.hold("b"), Hold::NeedsApproval, "the new version needs a new one");

    let mut village = Village::of("b: scratch");
    village.decide("b", Intervention::Rebuild);
    village.decide("b", Intervention::Rebuild);
    assert_eq!(village.play(), ["b"], "one request is one build");

    village.decide("b", Intervention::Freeze);
    village.infect("b", &finding("CVE-1"));
    village.scan_all();
    assert_eq!(village.hold("b"), Hold::Frozen);
    village.decide("b", Intervention::Release);
    assert_eq!(village.play(), ["b"]);
}

/// 17. Quarantine ends by a person, a policy, or somebody else's push.
#[test]
fn quarantine_has_ways_out() {
    let quarantined = || {
        let mut village = Village::of("b: scratch");
        village.infect("b", &finding("CVE-1"));
        village.stubborn.insert(finding("CVE-1").key);
        village.scan_all();
        village.play();
        assert!(matches!(village.hold("b"), Hold::Quarantined { .. }));
        village
    };
    let mut released = quarantined();
    released.decide("b", Intervention::Release);
    assert_eq!(released.play(), ["b", "b"]);

    let mut pushed = quarantined();
    pushed.wait("1h");
    pushed.push(&id("b"));
    pushed.scan_all();
    assert_eq!(pushed.play(), ["b", "b"]);

    let mut changed = quarantined();
    let yaml = village::family("b: scratch | rebuildAt: medium");
    changed.hierarchy = patchwave::hierarchy::Hierarchy::parse("changed.yaml", &yaml).unwrap();
    assert_eq!(changed.play(), ["b", "b"]);
}

/// 9. A rolled-back image is left alone until a person says otherwise, and its children follow it.
#[test]
fn a_roll_back_is_a_decision() {
    let mut village = Village::of("b: scratch\n a: b");
    let before = village.current("b").digest.clone();
    village.infect("b", &finding("CVE-1"));
    village.scan_all();
    village.play();
    village.wait("1h");
    village.image("b").current = Current::Version(before);
    assert_eq!(village.hold("b"), Hold::RolledBack);
    assert_eq!(village.pass(), ["a"], "the child follows");
    village.finish("a");
    village.decide("b", Intervention::Release);
    assert_eq!(village.play(), ["b", "a"]);
}

/// What is built after a released roll-back is another intent, although it replaces the same version for the same finding.
#[test]
fn a_roll_back_and_its_release_do_not_bring_a_key_back() {
    let mut village = Village::of("b: scratch");
    let before = village.current("b").digest.clone();
    village.infect("b", &finding("CVE-1"));
    village.scan_all();
    let first = village.plan().starts.remove(0);
    village.play();
    village.wait("1h");
    village.image("b").current = Current::Version(before);
    village.decide("b", Intervention::Release);
    let second = village.plan().starts.remove(0);
    assert_eq!(first.replaces, second.replaces);
    assert_ne!(first.key, second.key);
    village.play();
    assert_eq!(village.hold("b"), Hold::Fresh);
}
