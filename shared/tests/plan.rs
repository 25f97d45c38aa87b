//! The planner, played: one story for each rule.

#![expect(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "tests may fail loudly")]

mod village;

use patchwave::facts::{Current, Execution, ExecutionMode, ExecutionState, PipelineFacts};
use patchwave::finding::{Coverage, Finding, Fix, PackageKind, Scan, Severity};
use patchwave::plan::{Awaited, Evidence, Hold, Limit, Reason, Verdict};
use patchwave::record::Claim;
use village::{Village, at, finding, id};

const DIAMOND: &str = "b: scratch
                       p1: b
                       p2: b
                       a: p1 + p2";

#[test]
fn nothing_starts_in_a_clean_fleet() {
    let mut village = Village::of(DIAMOND);
    assert_eq!(village.play(), Vec::<String>::new());
    assert_eq!(village.hold("a"), Hold::Fresh);
}

#[test]
fn a_fix_rolls_from_the_base_and_builds_a_diamond_once() {
    let mut village = Village::of(DIAMOND);
    village.infect("b", &finding("CVE-1"));
    village.scan_all();
    assert_eq!(village.play(), ["b", "p1", "p2", "a"]);
    assert_eq!(village.hold("a"), Hold::Fresh);
    assert!(village.current("a").platforms.values().all(|manifest| manifest.scan.findings().is_empty()));
    assert!(village.builds[0].no_cache, "the package layer has the same inputs: a cached one is the old one");
    assert!(!village.builds[1].no_cache);
}

#[test]
fn the_carriers_wait_and_say_for_whom() {
    let mut village = Village::of(DIAMOND);
    village.infect("b", &finding("CVE-1"));
    village.scan_all();
    let plan = village.plan();
    assert_eq!(plan.starts.len(), 1);
    assert_eq!(plan.holds[&id("a")], Hold::WaitingOn { on: id("b"), awaits: Awaited::Start });
    village.apply(&plan);
    assert!(
        matches!(village.hold("a"), Hold::WaitingOn { on, awaits: Awaited::Hold(hold) } if on == id("b") && matches!(*hold, Hold::InFlight { .. }))
    );
    assert!(village.plan().starts.is_empty());
}

#[test]
fn a_finding_on_both_ends_of_a_chain_builds_the_application_once() {
    let mut village = Village::of("b: scratch\n p: b\n a: p");
    village.infect("b", &finding("CVE-1"));
    village.infect("a", &finding("CVE-2"));
    village.scan_all();
    assert_eq!(village.play(), ["b", "p", "a"]);
}

#[test]
fn an_introduced_finding_that_the_parent_lost_rebuilds_only_the_child() {
    let mut village = Village::of("b: scratch\n a: b");
    village.infect("b", &finding("CVE-1"));
    village.push(&id("b"));
    village.wait("20m");
    village.scan_all();
    let plan = village.plan();
    assert_eq!(village.play(), ["a"]);
    assert!(matches!(
        &plan.reasons[&id("a")][..],
        [Reason::ParentChanged { evidence: Evidence::Annotation, .. }]
    ));
}

#[test]
fn a_parent_that_was_not_scanned_since_the_finding_appeared_is_scanned_first() {
    let mut village = Village::of("b: scratch\n a1: b\n a2: b");
    village.coverage = Coverage::Os;
    village.scan("b");
    village.infect("b", &finding("CVE-1"));
    village.wait("23h");
    village.scan("a1");
    village.scan("a2");
    assert!(village.plan().scans.is_empty(), "it would be refused: one was made that day");
    village.wait("1h");
    let plan = village.plan();
    assert!(plan.starts.is_empty(), "an old scan that says clean is not believed");
    assert_eq!(plan.scans.len(), 2, "both platforms of b");
    assert_eq!(plan.holds[&id("a1")], Hold::WaitingOn { on: id("b"), awaits: Awaited::Scan });
    village.apply(&plan);
    // The scan comes: the reason belongs to the base.
    village.scan("b");
    assert_eq!(village.play(), ["b", "a1", "a2"]);
}

#[test]
fn inspector_is_not_asked_for_a_scan() {
    let mut village = Village::of("b: scratch\n a: b");
    village.infect("b", &finding("CVE-1"));
    village.wait("25h");
    village.scan("a");
    assert_eq!(village.hold("a"), Hold::WaitingOn { on: id("b"), awaits: Awaited::Scan });
    assert!(village.plan().scans.is_empty(), "it scans again by itself");
}

#[test]
fn if_the_parents_scan_does_not_come_one_image_tries() {
    let mut village = Village::of("b: scratch\n a1: b\n a2: b");
    village.infect("b", &finding("CVE-1"));
    village.wait("1h");
    village.scan("a1");
    village.scan("a2");
    village.pass();
    village.wait("31m");
    assert_eq!(village.pass(), ["a1"], "one for each parent and finding");
    assert_eq!(village.hold("a2"), Hold::WaitingOn { on: id("b"), awaits: Awaited::Scan });
}

#[test]
fn a_layer_names_the_image_that_introduced_a_finding_without_any_scan_of_it() {
    let mut village = Village::of("b: scratch\n p: b\n a: p");
    let layer = village.own_layer("b");
    village.infect("b", &patchwave::finding::Finding { layer: Some(layer), ..finding("CVE-1") });
    village.wait("1h");
    village.scan("a");
    assert_eq!(village.pass(), ["b"]);
}

#[test]
fn a_finding_of_a_copied_stage_belongs_to_that_stage() {
    let mut village = Village::of("b: scratch\n p: b\n a: b + p");
    let go = patchwave::finding::Finding { kind: PackageKind::Language, ..finding("CVE-1") };
    village.infect("p", &go);
    village.infect("a", &go);
    village.scan_all();
    assert!(
        matches!(village.hold("p"), Hold::CannotHelp { .. }),
        "the Go version of p is pinned by its commit"
    );
    assert!(matches!(village.hold("a"), Hold::WaitingOn { on, .. } if on == id("p")));
}

#[test]
fn a_copied_stage_that_was_not_scanned_since_is_scanned_first() {
    let mut village = Village::of("b: scratch\n p: b\n a: b + p");
    let go = patchwave::finding::Finding { kind: PackageKind::Language, ..finding("CVE-1") };
    village.infect("a", &go);
    village.wait("1h");
    village.scan("b");
    village.scan("a");
    assert_eq!(village.hold("a"), Hold::WaitingOn { on: id("p"), awaits: Awaited::Scan });
}

#[test]
fn what_a_rebuild_cannot_help_is_not_rebuilt() {
    let mut village = Village::of("b: scratch\n a: b");
    village.infect("a", &patchwave::finding::Finding { kind: PackageKind::Language, ..finding("CVE-1") });
    village.infect("b", &patchwave::finding::Finding { fix: Fix::NotPublished, ..finding("CVE-2") });
    village.scan_all();
    assert_eq!(village.play(), Vec::<String>::new());
    assert!(matches!(village.hold("a"), Hold::CannotHelp { .. }));
    assert!(matches!(village.hold("b"), Hold::CannotHelp { .. }));
}

#[test]
fn an_unknown_fix_is_tried_once_where_policy_says_so() {
    let unknown = patchwave::finding::Finding { fix: Fix::Unknown, ..finding("CVE-1") };
    let mut village = Village::of("b: scratch | unknownFix: tryOnce");
    village.infect("b", &unknown);
    village.stubborn.insert(unknown.key.clone());
    village.scan_all();
    assert_eq!(village.play(), ["b"]);
    assert!(matches!(village.hold("b"), Hold::Quarantined { .. }));

    let mut village = Village::of("b: scratch");
    village.infect("b", &unknown);
    village.scan_all();
    assert_eq!(village.play(), Vec::<String>::new(), "by default it rides along");
}

#[test]
fn a_rebuild_that_fixes_nothing_is_tried_again_once_and_does_not_roll() {
    let mut village = Village::of("b: scratch\n a: b");
    village.infect("b", &finding("CVE-1"));
    village.stubborn.insert(finding("CVE-1").key);
    village.scan_all();
    assert_eq!(village.play(), ["b", "b"]);
    assert!(matches!(village.hold("b"), Hold::Quarantined { .. }));
    assert!(matches!(village.hold("a"), Hold::WaitingOn { on, .. } if on == id("b")));
    assert_ne!(village.builds[0].key, village.builds[1].key);
}

#[test]
fn a_quarantine_for_one_finding_blocks_no_other_and_ends_with_a_new_fix() {
    let mut village = Village::of("b: scratch");
    village.infect("b", &finding("CVE-1"));
    village.stubborn.insert(finding("CVE-1").key);
    village.scan_all();
    village.play();
    village.infect("b", &patchwave::finding::Finding { key: finding("CVE-2").key, ..finding("CVE-2") });
    village.scan_all();
    assert_eq!(village.play(), ["b"], "CVE-2 is fixed by one build");
    for findings in village.layers.values_mut() {
        for finding in findings.iter_mut() {
            finding.fix = Fix::Version("3.0.3".into());
        }
    }
    village.scan_all();
    assert_eq!(village.play(), ["b", "b"], "a newly published fix is tried");
}

#[test]
fn a_finding_whose_metadata_moved_starts_nothing() {
    let mut village = Village::of("b: scratch");
    let stubborn = finding("CVE-1");
    village.infect("b", &stubborn);
    village.stubborn.insert(stubborn.key.clone());
    village.scan_all();
    assert_eq!(village.play(), ["b", "b"], "one retry, then quarantine");
    for (severity, exploited, seen) in [(Severity::High, false, 5), (Severity::Critical, true, 500)] {
        let moved = Finding { severity, exploited, first_observed: Some(at(seen)), ..stubborn.clone() };
        let layer = village.own_layer("b");
        village.layers.insert(layer, vec![moved]);
        village.scan_all();
        assert_eq!(village.play(), [""; 0], "{severity}");
    }
}

#[test]
fn a_parent_that_changes_while_its_child_builds_makes_it_stale_once() {
    let mut village = Village::of("b: scratch\n a: b");
    village.infect("a", &finding("CVE-1"));
    village.scan_all();
    assert_eq!(village.pass(), ["a"]);
    let told = village.current("b").digest.clone();
    village.push(&id("b"));
    village.scan("b");
    let version = village.current("a").digest.clone();
    village.push(&id("a"));
    village.scan("a");
    village.image("a").record.claim.as_mut().unwrap().start.parents.insert(id("b"), told);
    village.end("a", ExecutionState::Succeeded);
    assert_ne!(village.current("a").digest, version);
    village.wait("1h");
    assert_eq!(village.play(), ["a"], "stale again, once");
}

#[test]
fn proof_gates_the_wave_until_it_is_in_or_its_wait_is_over() {
    let mut village = Village::of("b: scratch\n a: b");
    village.infect("b", &finding("CVE-1"));
    village.scan_all();
    village.pass();
    village.wait("5m");
    village.push(&id("b"));
    village.end("b", ExecutionState::Succeeded);
    assert_eq!(village.pass(), Vec::<String>::new());
    assert!(matches!(village.hold("b"), Hold::AwaitingProof { .. }));
    assert_eq!(village.plan().scans.len(), 2, "nobody has begun the scans that prove it");
    assert!(
        matches!(village.hold("a"), Hold::WaitingOn { awaits: Awaited::Hold(hold), .. } if matches!(*hold, Hold::AwaitingProof { .. }))
    );
    village.wait("31m");
    let plan = village.plan();
    assert!(plan.proofs.iter().all(|proof| proof.verdict == Verdict::Unscanned) && plan.proofs.len() == 2);
    assert_eq!(village.pass(), ["a"], "the proof did not come: it rolls");
}

#[test]
fn proof_is_given_for_every_platform() {
    let mut village = Village::of("b: scratch");
    village.infect("b", &finding("CVE-1"));
    village.scan_all();
    village.pass();
    village.wait("5m");
    village.finish("b");
    let proofs = village.plan().proofs;
    let platforms: Vec<&str> = proofs.iter().map(|proof| proof.platform.as_str()).collect();
    assert_eq!(platforms, village::PLATFORMS);
    assert!(proofs.iter().all(|proof| proof.verdict == Verdict::Fixed && proof.coverage.is_some()));
}

#[test]
fn an_expired_scan_proves_nothing() {
    let mut village = Village::of("b: scratch");
    village.infect("b", &finding("CVE-1"));
    village.scan_all();
    village.pass();
    village.finish("b");
    let digest = village.current("b").digest.clone();
    for manifest in village.image("b").versions.get_mut(&digest).unwrap().platforms.values_mut() {
        manifest.scan = Scan::Expired;
    }
    assert!(village.plan().proofs.iter().all(|proof| proof.verdict == Verdict::Expired));
    assert!(matches!(village.hold("b"), Hold::Unknown { .. }), "expired is not clean");
}

#[test]
fn unknown_is_never_clean() {
    for scan in [Scan::Missing, Scan::Pending, Scan::Failed("UNSUPPORTED_IMAGE".into()), Scan::Expired] {
        let mut village = Village::of("b: scratch");
        let digest = village.current("b").digest.clone();
        let version = village.image("b").versions.get_mut(&digest).unwrap();
        version.platforms.values_mut().next().unwrap().scan = scan.clone();
        let plan = village.plan();
        assert!(matches!(plan.holds[&id("b")], Hold::Unknown { .. }), "{scan:?}");
        assert_eq!(plan.unknown.len(), 1);
    }
    let mut village = Village::of("b: scratch\n a: b");
    village.image("b").current = Current::Unknown("throttled".into());
    assert!(matches!(village.hold("b"), Hold::Unknown { .. }));
    assert!(village.plan().starts.is_empty());
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
        let mut village = Village::of(&format!("b: scratch\n p: b | {policy}\n a: p"));
        village.infect("p", &finding("CVE-1"));
        village.infect("a", &finding("CVE-2"));
        village.scan_all();
        assert_eq!(village.pass(), ["a"], "{policy}");
        assert_eq!(village.hold("p").name(), name);
    }
}

#[test]
fn a_finding_in_a_parked_parent_is_waited_for_by_name() {
    let mut village = Village::of("b: scratch\n p: b | rebuild: never\n a: p");
    village.infect("p", &finding("CVE-1"));
    village.scan_all();
    assert_eq!(village.pass(), Vec::<String>::new());
    assert_eq!(
        village.hold("a"),
        Hold::WaitingOn { on: id("p"), awaits: Awaited::Hold(Box::new(Hold::Frozen)) }
    );
}

#[test]
fn a_parent_without_a_pipeline_leaves_its_finding_to_the_highest_carrier_that_has_one() {
    let mut village = Village::of("b: scratch | pipeline: none\n p: b\n a: p");
    village.infect("b", &finding("CVE-1"));
    village.scan_all();
    assert_eq!(village.pass(), ["p"]);
    assert_eq!(
        village.hold("b"),
        Hold::NoPipeline { because: "the hierarchy does not name a pipeline for it".into() }
    );
}

#[test]
fn what_codepipeline_would_refuse_is_held_with_the_reason_and_its_slot_goes_to_another() {
    let because = |village: &Village| match village.hold("b1") {
        Hold::NoPipeline { because } => because,
        other => panic!("{other:?}"),
    };
    let mut village = Village::of("b1: scratch\n b2: scratch\n p: b1");
    for base in ["b1", "b2"] {
        village.infect(base, &finding("CVE-1"));
    }
    village.scan_all();
    village.facts.pipelines.insert(id("b1"), PipelineFacts::NotFound);
    assert_eq!(because(&village), "CodePipeline has no pipeline b1");
    village.declare("b1", ExecutionMode::Queued).variables.remove("PATCHWAVE_NO_CACHE");
    assert!(because(&village).starts_with("b1 does not declare the variable PATCHWAVE_NO_CACHE"));
    village.declare("b1", ExecutionMode::Queued).variables.insert("BRANCH".into(), false);
    assert!(because(&village).starts_with("the variable BRANCH of b1 has no default"));
    // Nothing is sent that a base image does not have, so nothing of it need be declared.
    let declared = village.declare("b1", ExecutionMode::Parallel);
    for variable in ["PATCHWAVE_BASE_IMAGE", "PATCHWAVE_PARENTS"] {
        declared.variables.remove(variable);
    }
    assert_eq!(village.plan().starts.len(), 2);
    village.facts.pipelines.insert(id("b1"), PipelineFacts::Unknown("denied".into()));
    assert_eq!(village.hold("b1"), Hold::Unknown { because: "denied".into() });
    assert_eq!(village.pass(), ["b2"]);
}

#[test]
fn a_failed_build_backs_off_and_its_branch_is_held() {
    let mut village = Village::of("b: scratch\n p1: b\n p2: b\n a1: p1\n a2: p2");
    village.infect("b", &finding("CVE-1"));
    village.scan_all();
    village.pass();
    village.finish("b");
    assert_eq!(village.pass(), ["p1", "p2"]);
    for (attempt, hours) in [(1, 0), (2, 1), (3, 2), (4, 4)] {
        village.end("p1", ExecutionState::Failed);
        if hours > 0 {
            village.pass();
            assert!(
                matches!(village.hold("p1"), Hold::BackOff { failures, .. } if failures == attempt),
                "{:?}",
                village.hold("p1")
            );
            village.wait(&format!("{hours}h"));
        }
        village.pass();
        assert_eq!(village.image("p1").record.last_attempt.as_ref().unwrap().number, attempt + 1);
        if attempt == 1 {
            village.finish("p2");
            assert_eq!(village.pass(), ["a2"], "the other branch goes on");
        }
    }
    let starts: Vec<_> = village.builds.iter().filter(|start| start.image == id("p1")).collect();
    assert!(starts.iter().all(|start| start.key == starts[0].key), "one intent");
    let tokens: std::collections::BTreeSet<_> = starts.iter().map(|start| start.token()).collect();
    assert_eq!(tokens.len(), starts.len(), "a new token for each attempt");
}

#[test]
fn a_changed_parent_starts_a_new_row_of_failures() {
    let mut village = Village::of("b: scratch\n a: b");
    village.infect("a", &finding("CVE-1"));
    village.scan_all();
    for _ in 0..2 {
        village.pass();
        village.end("a", ExecutionState::Failed);
    }
    village.pass();
    assert!(matches!(village.hold("a"), Hold::BackOff { .. }));
    village.push(&id("b"));
    village.scan("b");
    village.wait("11m");
    assert_eq!(village.pass(), ["a"]);
}

#[test]
fn a_stopped_build_is_not_a_failure_and_pauses() {
    let mut village = Village::of("b: scratch");
    village.infect("b", &finding("CVE-1"));
    village.scan_all();
    village.pass();
    village.end("b", ExecutionState::Superseded);
    village.pass();
    assert!(matches!(village.hold("b"), Hold::BackOff { failures: 0, .. }));
    village.wait("10m");
    assert_eq!(village.pass(), ["b"]);
}

#[test]
fn a_claim_whose_owner_is_gone_is_resolved_before_anything_starts() {
    let mut village = Village::of("b: scratch");
    village.infect("b", &finding("CVE-1"));
    village.scan_all();
    village.pass();
    let claim = village.image("b").record.claim.clone().unwrap();
    village.image("b").record.claim = Some(Claim { execution: None, ..claim });

    village.image("b").execution = Some(Execution::NotFound);
    assert!(matches!(village.hold("b"), Hold::InFlight { .. }), "the lease still runs");
    village.wait("17m");
    village.image("b").execution = Some(Execution::Unknown("throttled".into()));
    assert!(matches!(village.hold("b"), Hold::Unresolved { .. }));
    village.image("b").execution =
        Some(Execution::Found { id: "found".into(), state: ExecutionState::InProgress });
    assert!(matches!(village.hold("b"), Hold::InFlight { execution: Some(found), .. } if found == "found"));
    village.image("b").execution = Some(Execution::NotFound);
    let plan = village.plan();
    assert_eq!(plan.starts[0].attempt, 2, "abandoned: the same intent, a new attempt");
}

#[test]
fn a_success_that_pushed_nothing_is_ineffective_and_consumes_its_reasons() {
    let mut village = Village::of("b: scratch");
    village.infect("b", &finding("CVE-1"));
    village.scan_all();
    village.pass();
    village.end("b", ExecutionState::Succeeded);
    let plan = village.plan();
    assert!(plan.proofs.iter().all(|proof| proof.verdict == Verdict::Ineffective));
    assert_eq!(village.apply(&plan), ["b"], "one retry");
    village.end("b", ExecutionState::Succeeded);
    village.pass();
    assert!(matches!(village.hold("b"), Hold::Quarantined { .. }));
}

#[test]
fn an_index_that_changed_around_the_same_manifests_is_no_change() {
    let mut village = Village::of("b: scratch\n a: b");
    let mut version = village.current("b").clone();
    version.digest = village::digest(999_999);
    version.pushed_at = at(60);
    let facts = village.image("b");
    facts.current = Current::Version(version.digest.clone());
    facts.versions.insert(version.digest.clone(), version);
    village.wait("1h");
    assert_eq!(village.hold("a"), Hold::Fresh);
}

#[test]
fn a_dropped_platform_is_proof_removed_and_a_change_for_those_that_use_it() {
    let mut village = Village::of("b: scratch\n a: b");
    village.infect("b", &finding("CVE-1"));
    village.scan_all();
    village.pass();
    village.finish("b");
    let digest = village.current("b").digest.clone();
    village.image("b").versions.get_mut(&digest).unwrap().platforms.pop_last();
    let plan = village.plan();
    let verdicts: Vec<Verdict> = plan.proofs.iter().map(|proof| proof.verdict).collect();
    assert_eq!(verdicts, [Verdict::Fixed, Verdict::Removed]);
    assert_eq!(village.apply(&plan), ["a"]);
}

#[test]
fn without_annotations_layers_tell_and_without_layers_time() {
    let mut village = Village::of("b: scratch\n a: b");
    let digest = village.current("a").digest.clone();
    village.image("a").versions.get_mut(&digest).unwrap().base = None;
    village.wait("1h");
    village.push(&id("b"));
    village.scan_all();
    village.wait("11m");
    let evidence = |village: &Village| match &village.plan().reasons[&id("a")][..] {
        [Reason::ParentChanged { evidence, .. }] => *evidence,
        other => panic!("{other:?}"),
    };
    assert_eq!(evidence(&village), Evidence::Layers);
    for manifest in village.image("a").versions.get_mut(&digest).unwrap().platforms.values_mut() {
        manifest.layers = manifest.layers[1..].into();
    }
    assert_eq!(evidence(&village), Evidence::Time);
    let now = village.now;
    village.image("a").record.enforced_since = Some(now);
    assert_eq!(
        village.hold("a"),
        Hold::Fresh,
        "overdue when first enforced, by time alone: spread over maxAge"
    );
}

#[test]
fn a_common_first_layer_is_no_kinship() {
    let mut village = Village::of("b: scratch\n p: b\n a: p");
    let digest = village.current("a").digest.clone();
    village.image("a").versions.get_mut(&digest).unwrap().base = None;
    village.wait("1h");
    village.push(&id("p"));
    village.scan_all();
    village.wait("11m");
    assert_eq!(
        village.pass(),
        ["a"],
        "it starts with the base's layer, as every version of p does, and not with p's own"
    );
}

#[test]
fn a_persons_push_is_followed_after_it_has_been_still() {
    let mut village = Village::of("b: scratch\n a: b");
    village.wait("1h");
    village.push(&id("b"));
    village.scan_all();
    assert!(matches!(village.hold("a"), Hold::QuietPeriod { .. }));
    village.pass();
    // Pushed again and again: never longer than maxWait.
    for _ in 0..14 {
        village.wait("9m");
        village.push(&id("b"));
        village.scan_all();
        village.pass();
    }
    assert!(village.image("a").record.claim.is_some(), "after maxWait it starts all the same");
}

#[test]
fn a_child_waits_only_for_reasons_that_are_older_than_its_own_wait() {
    let mut village = Village::of("b: scratch\n p: b\n a: p");
    village.infect("a", &finding("CVE-2"));
    village.infect("b", &finding("CVE-1"));
    village.scan_all();
    village.pass();
    village.finish("b");
    assert_eq!(village.pass(), ["p"]);
    // While p builds, the base gets another finding: a does not wait for that one too.
    village.wait("1h");
    village.infect("b", &finding("CVE-3"));
    village.scan("b");
    assert_eq!(village.pass(), ["b"]);
    village.push(&id("p"));
    village.scan("p");
    village.end("p", ExecutionState::Succeeded);
    assert_eq!(village.pass(), ["a"]);
}

#[test]
fn what_runs_in_production_goes_first() {
    let mut village = Village::of("b1: scratch\n b2: scratch\n a1: b1\n a2: b2");
    village.infect("a1", &finding("CVE-1"));
    village.infect("a2", &finding("CVE-2"));
    village.scan_all();
    let first = |village: &Village| village.plan().starts[0].image.clone();
    assert_eq!(first(&village), id("a1"), "nothing tells them apart but their names");
    let deployed = |image: &str| patchwave::facts::DeployedVersion {
        version: village.current(image).digest.clone(),
        since: at(0),
        last_seen: at(0),
    };
    let environment = |name: &str| patchwave::facts::Deployments {
        environments: [(name.to_owned(), deployed("a2"))].into(),
    };
    let (test, prod) = (environment("test"), environment("Prod"));
    village.facts.deployments.insert(id("a2"), test);
    assert_eq!(first(&village), id("a1"));
    village.facts.deployments.insert(id("a2"), prod);
    assert_eq!(first(&village), id("a2"));
}

#[test]
fn limits_hold_the_less_urgent() {
    let yaml = village::family("b1: scratch\n b2: scratch\n p: b2\n a: p")
        .replace("mode: enforce", "mode: enforce, maxConcurrentBuilds: 1, maxStartsPerDay: 2");
    let mut village = Village::new(&yaml);
    village.infect("b1", &finding("CVE-1"));
    village.infect("b2", &finding("CVE-1"));
    village.scan_all();
    assert_eq!(village.pass(), ["b2"], "the longer chain goes first");
    assert_eq!(village.hold("b1"), Hold::AtLimit { limit: Limit::ConcurrentBuilds });
    village.finish("b2");
    assert_eq!(village.pass(), ["p"], "what it unblocks is as urgent, and its chain still longer");
    village.finish("p");
    assert_eq!(village.pass(), Vec::<String>::new());
    assert_eq!(village.hold("b1"), Hold::AtLimit { limit: Limit::StartsPerDay });
}

#[test]
fn an_owner_with_many_images_leaves_slots_to_others() {
    let yaml =
        village::family("a1: scratch | owner: shop\n a2: scratch | owner: shop\n a3: scratch | owner: pay");
    let mut village = Village::new(
        &yaml.replace("images:\n", "owners: { shop: { maxConcurrentBuilds: 1 }, pay: {} }\nimages:\n"),
    );
    for name in ["a1", "a2", "a3"] {
        village.infect(name, &finding("CVE-1"));
    }
    village.scan_all();
    assert_eq!(village.pass(), ["a1", "a3"]);
    assert_eq!(village.hold("a2"), Hold::AtLimit { limit: Limit::OwnersBuilds });
    village.finish("a1");
    assert_eq!(village.pass(), ["a2"], "the proof may still come: the slot is free");
}

#[test]
fn what_is_exploited_goes_first() {
    let yaml = village::family("b1: scratch\n b2: scratch")
        .replace("mode: enforce", "mode: enforce, maxConcurrentBuilds: 1");
    let mut village = Village::new(&yaml);
    village.infect("b1", &finding("CVE-1"));
    village.infect(
        "b2",
        &patchwave::finding::Finding { exploited: true, severity: Severity::High, ..finding("CVE-2") },
    );
    village.scan_all();
    assert_eq!(village.pass(), ["b2"]);
}

#[test]
fn the_carrier_whose_policy_counts_a_finding_has_it_rebuilt_above() {
    let mut village = Village::of("b: scratch | rebuildAt: critical\n a: b");
    village.infect("b", &patchwave::finding::Finding { severity: Severity::High, ..finding("CVE-1") });
    village.scan_all();
    assert_eq!(village.play(), ["b", "a"]);
}

#[test]
fn a_suppression_silences_the_images_that_it_names_and_no_others() {
    let suppress = |images: &str| {
        let yaml = village::family("b: scratch\n a: b").replace(
            "mode: enforce",
            &format!(
                "mode: enforce, suppress: [{{ vulnerability: CVE-1, images: [{images}], until: 2030-01-01, reason: not reachable }}]"
            ),
        );
        let mut village = Village::new(&yaml);
        village.infect("b", &finding("CVE-1"));
        village.scan_all();
        village
    };
    assert_eq!(suppress("'r/b'").play(), ["b", "a"]);
    let mut both = suppress("'r/b', 'r/a'");
    assert_eq!(both.play(), Vec::<String>::new());
    assert!(matches!(both.hold("b"), Hold::Suppressed { .. }));
}

#[test]
fn an_image_expires_with_its_chain_and_is_built_without_cache() {
    let mut village = Village::of("b: scratch\n a: b");
    village.wait("30d");
    village.scan_all();
    assert_eq!(village.play(), ["b", "a"], "each once");
    assert!(matches!(&village.builds[0].reasons[..], [Reason::Expired { .. }]));
    assert!(village.builds[0].no_cache);
}

#[test]
fn what_was_overdue_when_first_enforced_is_spread() {
    let mut village =
        Village::of("b1: scratch\n b2: scratch\n b3: scratch\n b4: scratch\n b5: scratch\n b6: scratch");
    village.wait("90d");
    village.scan_all();
    for facts in village.facts.images.values_mut() {
        facts.record.enforced_since = None;
    }
    assert!(village.pass().len() < 3, "not all on day one");
}

#[test]
fn a_rolled_back_image_is_left_alone() {
    let mut village = Village::of("b: scratch");
    let before = village.current("b").digest.clone();
    village.infect("b", &finding("CVE-1"));
    village.scan_all();
    village.play();
    village.image("b").current = Current::Version(before);
    assert_eq!(village.hold("b"), Hold::RolledBack);
}

#[test]
fn a_missing_stable_tag_is_built() {
    let mut village = Village::of("b: scratch\n a: b");
    village.image("a").current = Current::Absent;
    village.image("a").versions.clear();
    assert_eq!(village.pass(), ["a"]);
    assert!(matches!(&village.builds[0].reasons[..], [Reason::NeverBuilt { .. }]));
}

#[test]
fn observe_is_a_ceiling() {
    let mut village = Village::of("b: scratch");
    village.infect("b", &finding("CVE-1"));
    village.scan_all();
    let plan = patchwave::plan::plan(
        &village.hierarchy,
        &village.facts,
        patchwave::policy::Mode::Observe,
        village.now,
    );
    assert!(plan.starts.is_empty());
    assert_eq!(plan.holds[&id("b")], Hold::Observing);
    assert!(plan.reasons.contains_key(&id("b")), "it says what it would do");
}

#[test]
fn a_pinned_pipeline_builds_the_lines_commit_or_nothing() {
    let mut village = Village::of(&format!("b: scratch {}", village::pinned("b")));
    village.infect("b", &finding("CVE-1"));
    village.scan_all();
    assert_eq!(village.hold("b"), Hold::UnknownRevision);
    village.set_revision("b", Some(&"0123abcd".repeat(5)));
    village.pass();
    assert_eq!(village.builds[0].sources[0].revision, "0123abcd".repeat(5));
}

#[test]
fn only_declared_variables_are_sent() {
    let mut village = Village::of(
        "b: scratch\n a: b | pipeline: { name: a, variables: [PATCHWAVE_BASE_IMAGE, PATCHWAVE_BUILD_KEY] }",
    );
    village.infect("a", &finding("CVE-1"));
    village.scan_all();
    village.pass();
    let start = &village.builds[0];
    let names: Vec<&str> = start.variables.keys().map(String::as_str).collect();
    assert_eq!(names, ["PATCHWAVE_BASE_IMAGE", "PATCHWAVE_BUILD_KEY"]);
    assert_eq!(start.variables["PATCHWAVE_BASE_IMAGE"], format!("r/b@{}", village.current("b").digest));
    assert_eq!(start.variables["PATCHWAVE_BUILD_KEY"], start.key.to_string());
    assert!(start.token().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
}

#[test]
fn what_no_rebuild_can_help_makes_none_more_urgent() {
    let yaml = village::family("b1: scratch\n b2: scratch")
        .replace("mode: enforce", "mode: enforce, maxConcurrentBuilds: 1");
    let mut village = Village::new(&yaml);
    let pinned = patchwave::finding::Finding { kind: PackageKind::Language, ..finding("CVE-1") };
    village.infect("b1", &pinned);
    village.scan_all();
    village.pass();
    village.wait("20d");
    village.infect("b1", &patchwave::finding::Finding { severity: Severity::High, ..finding("CVE-2") });
    village.infect("b2", &finding("CVE-3"));
    village.scan_all();
    assert_eq!(village.pass(), ["b2"], "its critical is due before the other's high");
}
