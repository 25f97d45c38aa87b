//! What a pipeline must declare to be started, and what is sent to it.

use patchwave::facts::{ExecutionMode, Held, PipelineFacts, Replica};
use patchwave::intervention::Intervention;
use patchwave::plan::{Hold, Limit};

use crate::fleet::{Fleet, finding, finding_in, id, pinned};

#[test]
fn a_start_that_codepipeline_would_refuse_is_held_and_its_slot_goes_to_another() {
    let because = |fleet: &Fleet| match fleet.hold("b1") {
        Hold::NoPipeline { because } => because,
        other => panic!("{other:?}"),
    };
    let mut fleet = Fleet::of("b1: scratch\n b2: scratch\n p: b1");
    for base in ["b1", "b2"] {
        fleet.add_finding(base, &finding("CVE-1"));
    }
    fleet.scan_all();
    fleet.facts.pipelines.insert(id("b1"), PipelineFacts::NotFound);
    assert_eq!(because(&fleet), "CodePipeline has no pipeline b1");
    fleet.declare("b1", ExecutionMode::Queued).variables.remove("PATCHWAVE_NO_CACHE");
    assert!(because(&fleet).starts_with("b1 does not declare the variable PATCHWAVE_NO_CACHE"));
    fleet.declare("b1", ExecutionMode::Queued).variables.insert("BRANCH".into(), false);
    assert!(because(&fleet).starts_with("the variable BRANCH of b1 has no default"));
    // A base image has no parents, so the variables about parents are not sent and need no
    // declaration.
    let declared = fleet.declare("b1", ExecutionMode::Parallel);
    for variable in ["PATCHWAVE_BASE_IMAGE", "PATCHWAVE_PARENTS"] {
        declared.variables.remove(variable);
    }
    assert_eq!(fleet.plan().starts.len(), 2);
    fleet.facts.pipelines.insert(id("b1"), PipelineFacts::Unread("denied".into()));
    assert_eq!(fleet.hold("b1"), Hold::Unknown { because: "denied".into() });
    assert_eq!(fleet.pass(), ["b2"]);
}

#[test]
fn a_pinned_pipeline_builds_the_lines_commit_or_nothing() {
    let mut fleet = Fleet::with_finding(&format!("b: scratch {}", pinned("b")), "b");
    assert_eq!(fleet.hold("b"), Hold::UnknownRevision);
    fleet.set_revision("b", Some(&"0123abcd".repeat(5)));
    fleet.pass();
    assert_eq!(fleet.builds[0].sources[0].revision, "0123abcd".repeat(5));
}

#[test]
fn only_declared_variables_are_sent() {
    let mut fleet = Fleet::of(
        "b: scratch\n a: b | pipeline: { name: a, variables: [PATCHWAVE_BASE_IMAGE, PATCHWAVE_BUILD_KEY] }",
    );
    fleet.add_finding("a", &finding("CVE-1"));
    fleet.scan_all();
    fleet.pass();
    let start = &fleet.builds[0];
    let names: Vec<&str> = start.variables.keys().map(String::as_str).collect();
    assert_eq!(names, ["PATCHWAVE_BASE_IMAGE", "PATCHWAVE_BUILD_KEY"]);
    assert_eq!(start.variables["PATCHWAVE_BASE_IMAGE"], format!("r/b@{}", fleet.current("b").digest));
    assert_eq!(start.variables["PATCHWAVE_BUILD_KEY"], start.key.to_string());
    assert!(start.token().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
}

#[test]
fn a_release_that_waits_in_a_superseded_pipeline_is_not_overtaken() {
    let mut fleet = Fleet::with_finding("b: scratch\n p: b\n a: p\n p2: b", "p");
    fleet.declare("p", ExecutionMode::Superseded { busy: true });
    assert_eq!(fleet.pass(), [""; 0]);
    assert_eq!(fleet.limit("p"), Limit::Pipeline);
    assert!(matches!(fleet.hold("a"), Hold::WaitingOn { on, .. } if on == id("p")));
    fleet.declare("p", ExecutionMode::Superseded { busy: false });
    assert_eq!(fleet.pass(), ["p"]);
}

/// A release may wait a week for its approval.
#[test]
fn a_child_with_its_own_finding_does_not_wait_for_a_busy_pipeline_for_ever() {
    let mut fleet = Fleet::of("b: scratch\n p: b\n a: p");
    fleet.add_finding("p", &finding("CVE-1"));
    fleet.add_finding("a", &finding_in("CVE-2", "left-pad"));
    fleet.scan_all();
    fleet.declare("p", ExecutionMode::Superseded { busy: true });
    assert_eq!(fleet.pass(), [""; 0]);
    fleet.wait("2h");
    assert_eq!(fleet.pass(), ["a"]);
}

#[test]
fn a_pipeline_gets_the_variables_of_the_parents_that_its_image_has() {
    let base = ["PATCHWAVE_BASE_IMAGE", "PATCHWAVE_PARENTS"];
    for (parents, sent) in [("b", &base[..]), ("scratch + b", &base[1..]), ("scratch", &base[..0])] {
        let fleet = Fleet::with_finding(&format!("b: scratch\na: {parents}"), "a");
        let start = fleet.only_start();
        let of_parents: Vec<&str> =
            start.variables.keys().map(String::as_str).filter(|name| base.contains(name)).collect();
        assert_eq!(of_parents, sent, "on {parents}");
    }
}

#[test]
fn a_pipeline_with_every_declared_source_and_variable_is_started() {
    let mut fleet = Fleet::with_finding(&format!("b: scratch {}", pinned("b")), "b");
    fleet.set_revision("b", Some(&"0123abcd".repeat(5)));
    let declared = fleet.declare("b", ExecutionMode::Queued);
    // A variable that is sent needs no default, and one with a default need not be sent.
    declared.variables.insert("PATCHWAVE_REASON".into(), false);
    declared.variables.insert("BRANCH".into(), true);
    declared.sources.insert("Other".into());
    declared.revisions.insert("0123abcd".repeat(5));
    let Hold::NoPipeline { because } = fleet.hold("b") else { panic!("{:?}", fleet.hold("b")) };
    assert!(because.starts_with("b has no source action \"Source\""), "{because}");
    let declared = fleet.declare("b", ExecutionMode::Queued);
    declared.sources.insert("Source".into());
    declared.revisions.insert("0123abcd".repeat(5));
    fleet.only_start();
}

/// Whoever may push to a repository may write any commit into an image. Without this rule a push
/// would choose the code that runs with the pipeline's rights.
#[test]
fn a_commit_is_pinned_only_if_an_execution_of_the_pipeline_reported_it() {
    let reported = "0123abcd".repeat(5);
    let mut fleet = Fleet::with_finding(&format!("b: scratch {}", pinned("b")), "b");
    let declare = |fleet: &mut Fleet, revisions: &[&String]| {
        let declared = fleet.declare("b", ExecutionMode::Queued);
        declared.sources.insert("Source".into());
        declared.revisions = revisions.iter().map(|revision| (*revision).clone()).collect();
    };
    for named in ["refs/pull/666/head", "../x.zip", "0123abcd", &"z".repeat(40), &"4567cdef".repeat(5)] {
        fleet.set_revision("b", Some(named));
        declare(&mut fleet, &[&reported]);
        assert_eq!(fleet.hold("b"), Hold::UnknownRevision, "{named}");
        assert_eq!(fleet.pass(), [""; 0]);
    }
    fleet.set_revision("b", Some(&reported));
    assert_eq!(fleet.plan().starts[0].sources[0].revision, reported);
    // CodePipeline forgets executions after a year. The record does not.
    let plan = fleet.plan();
    fleet.image("b").record = plan.records[&id("b")].clone();
    declare(&mut fleet, &[]);
    assert_eq!(fleet.plan().starts.len(), 1);
    fleet.set_revision("b", Some(&"4567cdef".repeat(5)));
    assert_eq!(fleet.hold("b"), Hold::UnknownRevision);
}

/// CodePipeline keeps executions for a year. So a person can say that an older commit is right.
#[test]
fn a_person_accepts_a_commit_that_no_execution_reports_and_the_record_says_who() {
    for decision in [Intervention::Approve, Intervention::Release] {
        let commit = "4567cdef".repeat(5);
        let mut fleet = Fleet::with_finding(&format!("b: scratch {}", pinned("b")), "b");
        let declared = fleet.declare("b", ExecutionMode::Queued);
        declared.sources.insert("Source".into());
        fleet.set_revision("b", Some(&commit));
        assert_eq!(fleet.hold("b"), Hold::UnknownRevision);
        fleet.decide("b", decision);
        assert_eq!(fleet.only_start().sources[0].revision, commit);
        let accepted = fleet.record("b").accepted_revision.clone().unwrap();
        assert_eq!((accepted.decided.by.as_str(), accepted.decided.at), ("jo", fleet.now));
        fleet.set_revision("b", Some(&"6666".repeat(10)));
        assert_eq!(fleet.hold("b"), Hold::UnknownRevision, "no other commit is accepted");
    }
    for (revision, decision) in [("main", Intervention::Release), ("4567cdef", Intervention::Freeze)] {
        let mut fleet = Fleet::of(&format!("b: scratch {}", pinned("b")));
        fleet.set_revision("b", Some(&revision.repeat(5)));
        fleet.decide("b", decision);
        assert_eq!(fleet.record("b").accepted_revision, None, "{revision} by {decision:?}");
    }
}

#[test]
fn a_parent_in_another_registry_is_named_with_its_host() {
    let mut fleet = Fleet::with_finding("b: scratch\n a: b", "a");
    let yaml = "{ version: 1, policy: { mode: enforce }, registries: {\
        home: { host: 111122223333.dkr.ecr.us-east-1.amazonaws.com },\
        products: { host: 222233334444.dkr.ecr.us-east-1.amazonaws.com } }, images: [\
        { id: b, registry: products, tier: base, repository: r/b, tags: [x], from: scratch },\
        { id: a, tier: application, repository: r/a, tags: [x], from: b, pipeline: a }] }";
    fleet.declare("a", ExecutionMode::Queued);
    let sent = |fleet: &Fleet| {
        let variables = fleet.only_start().variables;
        ["PATCHWAVE_BASE_IMAGE", "PATCHWAVE_BASE_REFERENCE"].map(|name| variables.get(name).cloned())
    };
    let digest = fleet.current("b").digest.clone();
    let home = "111122223333.dkr.ecr.us-east-1.amazonaws.com";
    assert_eq!(sent(&fleet), [Some(format!("r/b@{digest}")), Some(format!("{home}/r/b@{digest}"))]);
    fleet.hierarchy = patchwave::hierarchy::Hierarchy::parse("h.yaml", yaml).unwrap();
    let products = "222233334444.dkr.ecr.us-east-1.amazonaws.com";
    assert_eq!(sent(&fleet), [None, Some(format!("{products}/r/b@{digest}"))]);
    fleet.declare("a", ExecutionMode::Queued).variables.remove("PATCHWAVE_BASE_REFERENCE");
    assert_eq!(sent(&fleet), [None, None], "a pipeline that does not declare it does not get it");
}

#[test]
fn a_build_gets_the_nearest_replica_that_holds_its_parent() {
    let mut fleet = Fleet::with_finding("b: scratch\n a: b", "a");
    let yaml = "{ version: 1, policy: { mode: enforce }, registries: {\
        home: { host: 111122223333.dkr.ecr.us-east-1.amazonaws.com },\
        west: { host: 111122223333.dkr.ecr.us-west-2.amazonaws.com, replicaOf: home } },\
        builders: { west: { account: '111122223333', region: us-west-2 } }, images: [\
        { id: b, tier: base, repository: r/b, tags: [x], from: scratch },\
        { id: a, tier: application, repository: r/a, tags: [x], from: b, pipeline: { name: a, builder: west } }] }";
    fleet.declare("a", ExecutionMode::Queued);
    fleet.hierarchy = patchwave::hierarchy::Hierarchy::parse("h.yaml", yaml).unwrap();
    let image = fleet.hierarchy.image(&id("a")).unwrap();
    let parent = fleet.hierarchy.image(&id("b")).unwrap().repository.clone();
    let repository = fleet.hierarchy.nearer_replica(image, &parent).unwrap();
    let west = "111122223333.dkr.ecr.us-west-2.amazonaws.com/r/b";
    assert_eq!(repository.as_str(), west);
    let base = fleet.hierarchy.image(&id("b")).unwrap();
    assert_eq!(fleet.hierarchy.nearer_replica(base, &parent), None, "no pipeline");

    let digest = fleet.current("b").digest.clone();
    let other = fleet.current("a").digest.clone();
    let sent = |fleet: &Fleet| fleet.only_start().variables["PATCHWAVE_BASE_REFERENCE"].clone();
    let home = format!("111122223333.dkr.ecr.us-east-1.amazonaws.com/r/b@{digest}");
    for (at, held, expected, doubts) in [
        (&digest, Held::Yes, format!("{west}@{digest}"), 0),
        (&digest, Held::No, home.clone(), 1),
        (&digest, Held::Unread("denied".into()), home.clone(), 1),
        // Asked before the parent changed.
        (&other, Held::Yes, home.clone(), 0),
    ] {
        let replica = Replica { repository: repository.clone(), digest: at.clone(), held };
        fleet.facts.replicas.insert(id("a"), replica);
        assert_eq!(sent(&fleet), expected);
        assert_eq!(fleet.facts.lagging_replicas().count(), doubts);
    }
    let variables = fleet.only_start().variables;
    assert_eq!(variables["PATCHWAVE_BASE_IMAGE"], format!("r/b@{digest}"), "this names no registry");
}
