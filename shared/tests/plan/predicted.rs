//! What a start for findings predicts, and what happened when the findings are gone everywhere.

use patchwave::image::ImageId;
use patchwave::intervention::Intervention;
use patchwave::notice::{Notice, NoticeState};
use patchwave::plan::happened;
use patchwave::predicted::{Happened, Predicted};
use patchwave::time::Span;

use crate::fleet::{Fleet, finding, id};

/// A base with a finding, whose family is built by Patchwave. People are notified.
fn fleet(lines: &str) -> Fleet {
    let mut fleet = Fleet::with_finding(lines, "b");
    fleet.facts.has_listener = true;
    fleet
}

fn predicted(fleet: &Fleet) -> Predicted {
    fleet.record("b").predicted.clone().expect("a prediction")
}

/// What a sweep finds: the facts of all images.
fn over(fleet: &Fleet) -> Option<Happened> {
    let known = fleet.facts.images.iter().collect();
    happened(&fleet.hierarchy, &known).remove(&id("b"))
}

/// Plans as a sweep does, and sends what it says.
fn sweep(fleet: &mut Fleet) -> Vec<Notice> {
    let known = fleet.facts.images.iter().collect();
    fleet.facts.happened = happened(&fleet.hierarchy, &known);
    let plan = fleet.plan();
    fleet.apply(&plan);
    for notice in &plan.notices {
        let image: &ImageId = notice.image.as_ref().unwrap();
        let record = &mut fleet.image(image.as_str()).record;
        record.notified.get_mut(&notice.root_cause).unwrap().sent = true;
    }
    plan.notices
}

#[test]
fn a_start_predicts_what_follows_and_a_sweep_says_what_happened() {
    let mut fleet = fleet("b: scratch\np: b\nq: b\na: p");
    let opened = sweep(&mut fleet).remove(0);
    let begun = predicted(&fleet);
    assert_eq!((begun.images, begun.findings), (4, 1));
    assert_eq!(begun.takes, Span::hours(6), "three builds of maxBuildTime after each other");
    assert_eq!((opened.state, &opened.predicted), (NoticeState::Opened, &Some(begun.clone())));

    fleet.wait("30m");
    fleet.finish("b");
    let closed = sweep(&mut fleet).remove(0);
    assert_eq!((closed.state, closed.predicted.unwrap().happened), (NoticeState::Closed, None));
    assert_eq!(over(&fleet), None, "the images below have the finding");
    fleet.run_until_idle();
    let took = Span::between(begun.since, fleet.now);
    assert_eq!(over(&fleet), Some(Happened { images: 4, took }));

    fleet.wait("20h");
    let again = sweep(&mut fleet).remove(0);
    assert_eq!((again.state, &again.id), (NoticeState::Closed, &closed.id));
    assert!(again.revision > closed.revision);
    let said = again.predicted.unwrap();
    assert_eq!(said, Predicted { happened: Some(Happened { images: 4, took }), ..begun });
    assert!(said.ratio().unwrap() > 1.0, "it took less than six hours");
    assert_eq!(sweep(&mut fleet).len(), 0, "it is said once");
    assert_eq!(over(&fleet), None, "and decided once");
}

#[test]
fn an_image_that_people_rebuild_is_not_predicted_and_neither_is_what_stands_on_it() {
    let mut fleet = fleet(
        "b: scratch\np: b\nn: b | rebuild: nextCommit\nx: n\ng: b | mode: observe\nd: b | pinned: true",
    );
    fleet.pass();
    assert_eq!(predicted(&fleet).images, 2, "b and p");
    fleet.wait("1m");
    fleet.finish("b");
    fleet.run_until_idle();
    assert_eq!(over(&fleet).map(|happened| happened.images), Some(2));
}

#[test]
fn what_is_not_known_is_not_over() {
    let mut fleet = fleet("b: scratch\np: b");
    fleet.run_until_idle();
    assert!(over(&fleet).is_some());
    fleet.fail_scans("p");
    assert_eq!(over(&fleet), None, "a failed scan shows nothing");
    fleet.scan("p");
    assert!(over(&fleet).is_some());
    fleet.facts.images.remove(&id("p"));
    assert_eq!(over(&fleet), None, "an image that was not observed shows nothing");
}

#[test]
fn a_start_that_repeats_one_without_success_keeps_what_was_predicted() {
    let mut fleet = fleet("b: scratch\np: b");
    fleet.pass();
    let first = predicted(&fleet);
    fleet.wait("5m");
    fleet.end("b", patchwave::facts::ExecutionState::Failed);
    fleet.wait("3d");
    assert_eq!(fleet.pass(), ["b"]);
    assert_eq!(predicted(&fleet), first);
    fleet.run_until_idle();
    fleet.wait("1d");
    fleet.add_finding("b", &finding("CVE-9"));
    fleet.scan_all();
    fleet.pass();
    assert!(predicted(&fleet).since > first.since, "the next finding is a prediction of its own");
}

#[test]
fn an_image_that_nothing_follows_predicts_nothing_and_a_frozen_one_does_not_follow() {
    let mut alone = fleet("b: scratch");
    alone.pass();
    assert_eq!(alone.record("b").predicted, None);
    let mut fleet = fleet("b: scratch\np: b\nq: b");
    fleet.decide("p", Intervention::Freeze);
    fleet.pass();
    assert_eq!(predicted(&fleet).images, 2, "b and q");
}
