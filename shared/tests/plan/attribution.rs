//! Which image is to be rebuilt for a finding, and who waits for it.

use patchwave::finding::{Coverage, Finding, PackageKind, Scan, Severity};
use patchwave::intervention::Intervention;
use patchwave::plan::{Awaited, Evidence, Hold, Reason};
use patchwave::time::Span;

use crate::fleet::{Fleet, PLATFORMS, at, finding, high, id};

#[test]
fn a_finding_that_the_parent_no_longer_has_rebuilds_only_the_child() {
    let mut fleet = Fleet::of("b: scratch\n a: b");
    fleet.add_finding("b", &finding("CVE-1"));
    fleet.push(&id("b"));
    fleet.wait("20m");
    fleet.scan_all();
    let plan = fleet.plan();
    assert_eq!(fleet.run_until_idle(), ["a"]);
    assert!(matches!(
        &plan.reasons[&id("a")][..],
        [Reason::ParentChanged { evidence: Evidence::Annotation, .. }]
    ));
}

#[test]
fn a_parent_that_was_not_scanned_since_the_finding_appeared_is_scanned_first() {
    let mut fleet = Fleet::of("b: scratch\n a1: b\n a2: b");
    fleet.coverage = Coverage::Os;
    fleet.scan("b");
    fleet.add_finding("b", &finding("CVE-1"));
    fleet.wait("22h");
    fleet.scan("a1");
    fleet.scan("a2");
    assert!(fleet.plan().scans.is_empty(), "the registry would refuse it: one was made that day");
    fleet.wait("1h");
    let plan = fleet.plan();
    assert!(plan.starts.is_empty(), "an old scan that says clean is not believed");
    assert_eq!(plan.scans.len(), 2, "both platforms of b");
    assert_eq!(plan.holds[&id("a1")], Hold::WaitingOn { on: id("b"), awaits: Awaited::Scan });
    fleet.apply(&plan);
    // The scan comes, and the reason belongs to the base.
    fleet.scan("b");
    assert_eq!(fleet.run_until_idle(), ["b", "a1", "a2"]);
}

#[test]
fn no_scan_is_requested_where_inspector_scans() {
    let mut fleet = Fleet::of("b: scratch\n a: b");
    fleet.add_finding("b", &finding("CVE-1"));
    fleet.wait("25h");
    fleet.scan("a");
    assert_eq!(fleet.hold("a"), Hold::WaitingOn { on: id("b"), awaits: Awaited::Scan });
    assert!(fleet.plan().scans.is_empty(), "Inspector repeats its scans itself");
}

#[test]
fn one_child_is_rebuilt_if_the_scan_of_its_parent_does_not_come() {
    let mut fleet = Fleet::of("b: scratch\n a1: b\n a2: b");
    fleet.add_finding("b", &finding("CVE-1"));
    fleet.wait("1h");
    fleet.scan("a1");
    fleet.scan("a2");
    fleet.pass();
    fleet.wait("31m");
    assert_eq!(fleet.pass(), ["a1"], "one child for each parent and finding");
    assert_eq!(fleet.hold("a2"), Hold::WaitingOn { on: id("b"), awaits: Awaited::Scan });
}

#[test]
fn a_layer_names_the_image_that_introduced_a_finding_without_a_scan_of_that_image() {
    let mut fleet = Fleet::of("b: scratch\n p: b\n a: p");
    let layer = fleet.own_layer("b");
    fleet.add_finding("b", &Finding { layer: Some(layer), ..finding("CVE-1") });
    fleet.wait("1h");
    fleet.scan("a");
    assert_eq!(fleet.pass(), ["b"]);
}

#[test]
fn an_old_layer_of_the_base_does_not_make_a_finding_of_the_base_one_of_the_platform() {
    let mut fleet = Fleet::of("b: scratch\n p: b\n a: p");
    let vulnerable = |fleet: &mut Fleet| {
        for layer in fleet.own_layers("b") {
            let of_layer = Finding { layer: Some(layer.clone()), ..finding("CVE-1") };
            fleet.layers.entry(layer).or_default().push(of_layer);
        }
    };
    vulnerable(&mut fleet);
    // The base is pushed again, with the same package in another layer, and the platform follows.
    fleet.wait("1h");
    fleet.push(&id("b"));
    vulnerable(&mut fleet);
    fleet.wait("1h");
    fleet.push(&id("p"));
    fleet.scan_all();
    fleet.decide("b", Intervention::Freeze);
    fleet.wait("1d");
    assert_eq!(fleet.start_codes("p"), Vec::<&str>::new(), "the base has it");
}

#[test]
fn a_finding_of_a_copied_stage_belongs_to_that_stage() {
    let mut fleet = Fleet::of("b: scratch\n p: b\n a: b + p");
    let go = Finding { kind: PackageKind::Language, ..finding("CVE-1") };
    fleet.add_finding("p", &go);
    fleet.add_finding("a", &go);
    fleet.scan_all();
    assert!(
        matches!(fleet.hold("p"), Hold::CannotHelp { .. }),
        "the Go version of p is pinned by its commit"
    );
    assert!(matches!(fleet.hold("a"), Hold::WaitingOn { on, .. } if on == id("p")));
}

#[test]
fn a_copied_stage_that_was_not_scanned_since_the_finding_appeared_is_scanned_first() {
    let mut fleet = Fleet::of("b: scratch\n p: b\n a: b + p");
    let go = Finding { kind: PackageKind::Language, ..finding("CVE-1") };
    fleet.add_finding("a", &go);
    fleet.wait("1h");
    fleet.scan("b");
    fleet.scan("a");
    assert_eq!(fleet.hold("a"), Hold::WaitingOn { on: id("p"), awaits: Awaited::Scan });
}

#[test]
fn a_parent_without_a_pipeline_leaves_its_finding_to_the_highest_carrier_with_one() {
    let mut fleet = Fleet::with_finding("b: scratch | pipeline: none\n p: b\n a: p", "b");
    assert_eq!(fleet.pass(), ["p"]);
    assert_eq!(
        fleet.hold("b"),
        Hold::NoPipeline { because: "the hierarchy does not name a pipeline".into() }
    );
}

#[test]
fn a_finding_that_only_the_default_policy_counts_is_fixed_in_the_base() {
    let mut fleet = Fleet::of("b: scratch | rebuildAt: critical\n a: b");
    fleet.add_finding("b", &high("CVE-1"));
    fleet.scan_all();
    assert_eq!(fleet.run_until_idle(), ["b", "a"]);
}

/// A base that does not run is not scanned again, and hundreds of children must not each be
/// rebuilt.
#[test]
fn an_old_clean_scan_of_the_base_is_not_believed() {
    let children: Vec<String> = (0..40).map(|n| format!("a{n:02}: b")).collect();
    let mut fleet = Fleet::of(&format!("b: scratch\n{}", children.join("\n")));
    fleet.coverage = Coverage::Os;
    fleet.scan("b");
    fleet.add_finding("b", &finding("CVE-1"));
    fleet.wait("25h");
    for n in 0..40 {
        fleet.scan(&format!("a{n:02}"));
    }
    let plan = fleet.plan();
    assert!(plan.starts.is_empty());
    assert!(plan.scans.iter().all(|scan| scan.image == id("b")) && !plan.scans.is_empty());
    fleet.apply(&plan);
    fleet.scan("b");
    fleet.pass();
    assert_eq!(fleet.builds.len(), 1, "the base is built, once");
}

/// Basic scanning scans a version once a day. Applications are scanned after the base was rebuilt,
/// and the base cannot be scanned again so soon.
#[test]
fn a_finding_that_the_bases_rebuild_fixed_needs_no_other_scan_of_the_base() {
    let mut fleet = Fleet::of("b: scratch\na: b");
    fleet.coverage = Coverage::Os;
    fleet.add_finding("b", &finding("CVE-1"));
    fleet.scan("b");
    assert_eq!(fleet.pass(), ["b"]);
    fleet.wait("10m");
    fleet.finish("b");
    fleet.scan("b");
    fleet.wait("1m");
    fleet.scan("a");
    fleet.change_findings("a", |found| (found.layer, found.first_observed) = (None, None));
    assert_eq!(fleet.pass(), ["a"]);
    let base = fleet.record("b");
    assert!(
        base.carriers.is_empty() && base.awaited_after.is_none(),
        "the base answers for nothing: {base:?}"
    );
}

#[test]
fn a_finding_that_only_the_applications_policy_counts_is_fixed_in_the_base() {
    let mut fleet = Fleet::of("b: scratch | rebuildAt: critical\n a: b | rebuildAt: high");
    fleet.add_finding("b", &high("CVE-1"));
    fleet.scan_all();
    assert_eq!(fleet.run_until_idle(), ["b", "a"]);
}

#[test]
fn a_finding_exploited_on_one_platform_is_due_at_once() {
    let mut fleet = Fleet::with_finding("b: scratch", "b");
    for (exploited, due) in [([true, false], 0), ([false, true], 0), ([false, false], 24)] {
        let mut platforms = exploited.into_iter();
        fleet.change_findings("b", |found| found.exploited = platforms.next().unwrap());
        let start = fleet.plan().starts.pop().expect("it starts");
        assert_eq!(start.due.duration_since(start.since).as_hours(), due, "{exploited:?}");
        let cause = start.reasons[0].causes().next().unwrap().clone();
        assert_eq!(cause.exploited, due == 0);
    }
}

#[test]
fn a_finding_is_exploited_if_the_scan_of_any_carrier_says_so() {
    let mut fleet = Fleet::with_finding("b: scratch\np: b\nq: b", "b");
    fleet.change_findings("p", |found| found.exploited = true);
    let start = fleet.plan().starts.pop().expect("b starts");
    assert_eq!(start.image, id("b"));
    assert!(
        start.reasons[0].causes().all(|cause| cause.exploited),
        "the scan of p says so, and that of q does not"
    );
}

#[test]
fn a_cause_has_the_worst_severity_and_the_earliest_date_of_its_carriers() {
    let mut fleet = Fleet::with_finding("b: scratch\np: b\nq: b", "b");
    let since = |minutes| Some(Span::minutes(minutes).before(at(0)));
    let facts = [
        ("b", Severity::High, since(1)),
        ("p", Severity::Critical, since(9)),
        ("q", Severity::High, since(5)),
    ];
    for (name, severity, first_observed) in facts {
        fleet.change_findings(name, |found| {
            (found.severity, found.first_observed) = (severity, first_observed);
        });
    }
    let start = fleet.plan().starts.pop().expect("b starts");
    let causes: Vec<_> = start.reasons[0].causes().map(|cause| (cause.severity, Some(cause.since))).collect();
    assert_eq!((start.image, causes), (id("b"), vec![(Severity::Critical, since(9))]));
}

#[test]
fn a_carrier_waits_for_the_parked_image_whose_rebuild_would_bring_the_fix() {
    let mut fleet = Fleet::with_finding("b: scratch\np: b\na: p", "b");
    fleet.decide("p", Intervention::Freeze);
    assert_eq!(fleet.pass(), ["b"]);
    fleet.wait("10m");
    fleet.finish("b");
    fleet.pass();
    let Hold::WaitingOn { on, awaits: Awaited::Hold(hold) } = fleet.hold("a") else {
        panic!("{:?}", fleet.hold("a"))
    };
    assert_eq!((on, hold.name()), (id("p"), "Frozen"));
}

#[test]
fn only_platforms_without_a_scan_since_the_finding_appeared_are_scanned() {
    let mut fleet = Fleet::of("b: scratch\np: b");
    fleet.add_finding("b", &finding("CVE-1"));
    fleet.scan("p");
    let appeared = fleet.now;
    let [first, last] = PLATFORMS;
    for (platform, scan) in
        [(first, Scan::complete(appeared, Coverage::Os, [])), (last, Scan::Failed("FAILED".into()))]
    {
        let version = fleet.image("b").versions.values_mut().next_back().unwrap();
        version.platforms.get_mut(&platform.parse().unwrap()).unwrap().scan = scan;
    }
    fleet.forget_layers("b");
    fleet.wait("25h");
    let requested: Vec<String> =
        fleet.plan().scans.into_iter().map(|scan| scan.platform.to_string()).collect();
    assert_eq!(requested, [last]);
}

#[test]
fn a_finding_in_the_childs_own_layer_belongs_to_the_child_although_its_parent_has_it_too() {
    let mut fleet = Fleet::of("b: scratch\na: b");
    fleet.wait("1h");
    fleet.push(&id("b"));
    for name in ["b", "a"] {
        for layer in fleet.own_layers(name) {
            let found = Finding { layer: Some(layer.clone()), ..finding("CVE-1") };
            fleet.layers.entry(layer).or_default().push(found);
        }
    }
    fleet.scan_all();
    fleet.decide("b", Intervention::Freeze);
    fleet.wait("1d");
    assert_eq!(fleet.start_codes("a"), ["Vulnerable", "ParentChanged"]);
}

#[test]
fn an_unknown_base_is_not_taken_to_have_brought_a_finding() {
    let mut fleet = Fleet::of("b: scratch\na: b");
    fleet.image("a").versions.values_mut().for_each(|version| version.base = None);
    fleet.forget_layers("b");
    fleet.add_finding("a", &finding("CVE-1"));
    fleet.wait("1h");
    fleet.push(&id("b"));
    fleet.forget_layers("b");
    fleet.scan_all();
    fleet.wait("1d");
    assert_eq!(fleet.start_codes("a"), ["Vulnerable", "ParentChanged"]);
}
