//! What people are notified of: one notice for each root cause.

use patchwave::facts::{Execution, ExecutionState};
use patchwave::finding::{Finding, Fix, PackageKind, Scan, Severity};
use patchwave::hierarchy::Hierarchy;
use patchwave::image::ImageId;
use patchwave::intervention::Intervention;
use patchwave::notice::{Notice, NoticeState, RootCause};

use crate::fleet::{Fleet, family, finding, finding_in, high};

/// Plans, applies and sends the notices; returns them as `image state severity: needs`.
fn notify(fleet: &mut Fleet) -> Vec<String> {
    let plan = fleet.plan();
    fleet.apply(&plan);
    for notice in &plan.notices {
        let image = notice.image.as_ref().unwrap();
        let record = &mut fleet.image(image.as_str()).record;
        assert!(record.is_scheduled(), "{image}: the tick must find an unsent notice");
        record.notified.get_mut(&notice.root_cause).unwrap().sent = true;
    }
    plan.notices.iter().map(line).collect()
}

fn line(notice: &Notice) -> String {
    let needs: Vec<&str> = notice.asked.needs.iter().map(String::as_str).collect();
    let severity = notice.asked.severity.map(|severity| format!(" {severity}")).unwrap_or_default();
    format!("{} {:?}{severity}: {}", notice.image.as_ref().unwrap(), notice.state, needs.join("; "))
}

fn with_listener(lines: &str) -> Fleet {
    let mut fleet = Fleet::of(lines);
    fleet.facts.has_listener = true;
    fleet
}

/// Only critical findings of the base count, and all findings of the application.
fn picky_application() -> Fleet {
    let mut fleet = Fleet::with_policy(
        "b: scratch
 a: b | rebuildAt: low",
        "rebuildAt: critical",
    );
    fleet.facts.has_listener = true;
    fleet
}

/// Ends the build of `image` with success, and the scan that proves it.
fn finish(fleet: &mut Fleet, image: &str) {
    fleet.wait("10m");
    fleet.finish(image);
}

#[test]
fn a_cve_in_a_base_is_one_notice_however_many_images_carry_it() {
    let mut fleet = with_listener("b: scratch\n p1: b\n p2: b\n a1: p1\n a2: p2");
    fleet.add_finding("b", &finding("CVE-1"));
    fleet.scan_all();
    let plan = fleet.plan();
    assert_eq!(plan.notices.len(), 1);
    assert_eq!((plan.notices[0].affected_images, plan.notices[0].finding_count), (5, 1));
    assert_eq!(notify(&mut fleet), ["b Opened critical: a rebuild by Patchwave"]);
    assert_eq!(notify(&mut fleet), [""; 0], "it is sent once");
    finish(&mut fleet, "b");
    assert_eq!(notify(&mut fleet), ["b Closed critical: a rebuild by Patchwave"]);
    for image in ["p1", "p2", "a1", "a2"] {
        finish(&mut fleet, image);
        assert_eq!(notify(&mut fleet), [""; 0], "the children are no cause of their own");
    }
}

#[test]
fn only_a_worse_severity_updates_a_notice() {
    let mut fleet = with_listener("b: scratch");
    fleet.add_finding("b", &high("CVE-1"));
    fleet.scan_all();
    assert_eq!(notify(&mut fleet), ["b Opened high: a rebuild by Patchwave"]);
    for n in 2..20 {
        fleet.add_finding("b", &high(&format!("CVE-{n}")));
    }
    fleet.scan_all();
    assert_eq!(notify(&mut fleet), [""; 0]);
    fleet.add_finding("b", &finding("CVE-20"));
    fleet.scan_all();
    assert_eq!(notify(&mut fleet), ["b Updated critical: a rebuild by Patchwave"]);
}

#[test]
fn a_notice_keeps_its_id_from_opening_to_closing() {
    let mut fleet = with_listener("b: scratch");
    fleet.add_finding("b", &high("CVE-1"));
    fleet.scan_all();
    let opened = fleet.plan().notices;
    notify(&mut fleet);
    finish(&mut fleet, "b");
    let closed = fleet.plan().notices;
    assert_eq!((&opened[0].id, opened[0].revision), (&closed[0].id, 1));
    assert_eq!((closed[0].revision, closed[0].state), (2, NoticeState::Closed));
}

#[test]
fn a_cause_that_returns_is_a_new_notice_with_a_higher_revision() {
    let mut fleet = with_listener("b: scratch");
    fleet.add_finding("b", &high("CVE-1"));
    fleet.scan_all();
    let first = fleet.plan().notices;
    notify(&mut fleet);
    finish(&mut fleet, "b");
    notify(&mut fleet);
    fleet.wait("3d");
    fleet.add_finding("b", &high("CVE-2"));
    fleet.scan_all();
    let second = fleet.plan().notices;
    assert_ne!(first[0].id, second[0].id);
    assert_eq!((second[0].state, second[0].revision), (NoticeState::Opened, 3));
}

#[test]
fn a_missing_scan_closes_no_notice() {
    let mut fleet = with_listener("b: scratch");
    // Nothing starts for this finding, because a build under way would keep the notice open.
    fleet.add_finding("b", &Finding { fix: Fix::NotPublished, ..finding("CVE-1") });
    fleet.scan_all();
    assert_eq!(notify(&mut fleet).len(), 1);
    for scan in [Scan::Expired, Scan::Missing, Scan::Failed("no".into())] {
        fleet.manifests("b").for_each(|manifest| manifest.scan = scan.clone());
        assert_eq!(notify(&mut fleet), [""; 0], "{scan:?}");
    }
}

#[test]
fn an_owner_is_notified_once_of_a_package_that_a_commit_pins() {
    let mut fleet = with_listener("b: scratch\n a: b");
    let pinned = Finding {
        kind: PackageKind::Language,
        fix: Fix::Version("2.0".into()),
        ..finding_in("CVE-9", "requests")
    };
    fleet.add_finding("a", &pinned);
    fleet.scan_all();
    let first = notify(&mut fleet);
    assert!(
        matches!(first.as_slice(), [line] if line.starts_with("a Opened critical: update the package")),
        "{first:?}"
    );
    for _ in 0..3 {
        fleet.wait("6h");
        fleet.scan_all();
        assert_eq!(notify(&mut fleet), [""; 0]);
    }
}

#[test]
fn a_finding_that_rebuilds_did_not_fix_is_an_update_and_no_new_notice() {
    let mut fleet = with_listener("b: scratch");
    fleet.add_finding("b", &finding("CVE-1"));
    fleet.unfixable.insert(finding("CVE-1").key);
    fleet.scan_all();
    assert_eq!(notify(&mut fleet), ["b Opened critical: a rebuild by Patchwave"]);
    finish(&mut fleet, "b");
    assert_eq!(notify(&mut fleet), [""; 0], "one retry");
    finish(&mut fleet, "b");
    let quarantined = notify(&mut fleet);
    assert_eq!(quarantined, ["b Updated critical: find out why the rebuild did not fix it"]);
}

/// Makes the running build fail, and waits until the next one has begun; returns the notices.
fn fail(fleet: &mut Fleet) -> Vec<String> {
    fleet.end("b", ExecutionState::Failed);
    let at_end = notify(fleet);
    // A build that has begun would hang by then.
    if fleet.record("b").claim.is_none() {
        fleet.wait("33h");
    }
    at_end.into_iter().chain(notify(fleet)).collect()
}

#[test]
fn three_failures_in_a_row_are_one_notice_until_a_build_succeeds() {
    let mut fleet = with_listener("b: scratch");
    fleet.add_finding("b", &finding("CVE-1"));
    fleet.scan_all();
    notify(&mut fleet);
    let notices: Vec<Vec<String>> = (0..5).map(|_| fail(&mut fleet)).collect();
    let opened = "b Opened: repair the pipeline b: its last builds failed";
    assert_eq!(notices, [vec![], vec![], vec![opened.to_owned()], vec![], vec![]]);
    finish(&mut fleet, "b");
    let closed = notify(&mut fleet);
    assert_eq!(closed.len(), 2, "{closed:?}");
    assert!(closed.iter().all(|line| line.starts_with("b Closed")), "{closed:?}");

    fleet.add_finding("b", &finding("CVE-2"));
    fleet.scan_all();
    assert_eq!(notify(&mut fleet), ["b Opened critical: a rebuild by Patchwave"]);
    assert_eq!(fail(&mut fleet), [""; 0], "the failures are counted from zero again");
}

#[test]
fn a_notice_of_failures_names_no_findings() {
    let mut fleet = with_listener("b: scratch");
    fleet.add_finding("b", &finding("CVE-1"));
    fleet.scan_all();
    notify(&mut fleet);
    for _ in 0..2 {
        fail(&mut fleet);
    }
    fleet.end("b", ExecutionState::Failed);
    let notices = fleet.plan().notices;
    assert_eq!((notices[0].root_cause, notices[0].finding_count), (RootCause::Failing, 0));
    assert_eq!(notices[0].findings, []);
}

#[test]
fn a_notice_names_who_keeps_its_image_from_being_rebuilt() {
    let mut fleet = with_listener("b: scratch | rebuild: approval");
    fleet.add_finding("b", &finding("CVE-1"));
    fleet.scan_all();
    let asked = "b Opened critical: to approve it: patchwave approve b";
    assert_eq!(notify(&mut fleet), [asked]);
}

#[test]
fn a_notice_says_that_a_finding_is_exploited() {
    let mut fleet = with_listener("b: scratch");
    fleet.add_finding("b", &high("CVE-1"));
    fleet.scan_all();
    assert!(!fleet.plan().notices[0].asked.exploited);
    notify(&mut fleet);
    fleet.add_finding("b", &Finding { exploited: true, ..high("CVE-2") });
    fleet.scan_all();
    let notices = fleet.plan().notices;
    assert_eq!((notices[0].state, notices[0].asked.exploited), (NoticeState::Updated, true));
}

#[test]
fn no_notice_closes_while_a_build_is_under_way() {
    let mut fleet = with_listener("b: scratch");
    fleet.add_finding("b", &finding("CVE-1"));
    fleet.scan_all();
    notify(&mut fleet);
    fleet.wait("1m");
    fleet.push(&"b".parse().unwrap());
    fleet.scan("b");
    assert_eq!(
        notify(&mut fleet),
        [""; 0],
        "the push of a person is clean, but that of the build may not be"
    );
    fleet.end("b", ExecutionState::Stopped);
    assert_eq!(notify(&mut fleet), ["b Closed critical: a rebuild by Patchwave"]);
}

#[test]
fn without_a_listener_nothing_is_recorded_and_a_later_listener_gets_every_notice() {
    let mut fleet = Fleet::with_finding("b: scratch", "b");
    assert_eq!(notify(&mut fleet), [""; 0]);
    fleet.facts.has_listener = true;
    assert_eq!(notify(&mut fleet), ["b Opened critical: a rebuild by Patchwave"]);
}

#[test]
fn a_plan_of_a_part_closes_no_notice_of_images_outside_it() {
    let mut fleet = picky_application();
    let low = Finding { severity: Severity::Low, fix: Fix::NotPublished, ..finding("CVE-1") };
    fleet.add_finding("b", &low);
    fleet.scan_all();
    assert_eq!(
        notify(&mut fleet).len(),
        1,
        "a low finding of the base counts, because the application counts it"
    );
    let application: ImageId = "a".parse().unwrap();
    let outside = fleet.facts.images.remove(&application).unwrap();
    assert_eq!(notify(&mut fleet), [""; 0]);
    fleet.facts.images.insert(application, outside);
    assert_eq!(notify(&mut fleet), [""; 0]);
    assert!(fleet.image("b").record.notified.contains_key(&RootCause::Vulnerable));
}

const TWO_FAMILIES: &str = "b1: scratch\n a: b1\n b2: scratch";

/// Two bases, and an application on the first, which has a low finding that no policy counts.
fn two_families() -> Fleet {
    let mut fleet = with_listener(TWO_FAMILIES);
    fleet.add_finding("b1", &Finding { severity: Severity::Low, ..finding("CVE-0") });
    fleet.add_finding("b1", &finding("CVE-1"));
    fleet.scan_all();
    assert_eq!(notify(&mut fleet), ["b1 Opened critical: a rebuild by Patchwave"]);
    fleet
}

fn hide(fleet: &mut Fleet, image: &str) {
    fleet.facts.images.remove(&image.parse::<ImageId>().unwrap());
}

const CLOSED: [&str; 1] = ["b1 Closed critical: a rebuild by Patchwave"];

#[test]
fn a_clean_image_closes_its_notice_although_a_child_is_outside_the_plan() {
    let mut fleet = two_families();
    finish(&mut fleet, "b1");
    fleet.add_finding("b1", &Finding { severity: Severity::Low, ..finding("CVE-0") });
    fleet.scan_all();
    hide(&mut fleet, "a");
    assert_eq!(notify(&mut fleet), CLOSED, "no policy counts the finding that is left");
}

#[test]
fn a_suppression_closes_a_notice_only_if_every_image_concerned_is_in_the_plan() {
    for outside in ["", "b2", "a"] {
        let mut fleet = two_families();
        fleet.decide("b1", Intervention::Freeze);
        fleet.end("b1", ExecutionState::Stopped);
        notify(&mut fleet);
        let suppressed = "mode: enforce, suppress: [{ vulnerability: CVE-1, images: [r/b1, r/a], until: 2030-01-01, reason: not reachable }]";
        let yaml = family(TWO_FAMILIES).replace("mode: enforce", suppressed);
        fleet.hierarchy = Hierarchy::parse("fleet.yaml", &yaml).unwrap();
        if !outside.is_empty() {
            hide(&mut fleet, outside);
        }
        let closed = notify(&mut fleet).iter().any(|line| line.starts_with("b1 Closed"));
        assert_eq!(closed, outside != "a", "without {outside:?}");
    }
}

#[test]
fn a_plan_of_a_part_never_asks_for_less_than_before() {
    let mut fleet = picky_application();
    fleet.add_finding("b", &Finding { severity: Severity::Low, fix: Fix::NotPublished, ..finding("CVE-1") });
    fleet.add_finding("b", &finding("CVE-2"));
    fleet.scan_all();
    assert_eq!(notify(&mut fleet).len(), 1);
    hide(&mut fleet, "a");
    assert_eq!(
        notify(&mut fleet),
        [""; 0],
        "the notice still waits for the fix that only the application needs"
    );
}

#[test]
fn a_new_notice_does_not_ask_for_what_a_closed_one_asked() {
    let mut fleet = with_listener("b: scratch\n a: b");
    fleet.add_finding("b", &finding("CVE-1"));
    fleet.scan_all();
    notify(&mut fleet);
    finish(&mut fleet, "b");
    assert_eq!(notify(&mut fleet).len(), 1, "closed");
    fleet.add_finding("b", &high("CVE-2"));
    fleet.scan_all();
    hide(&mut fleet, "a");
    assert_eq!(notify(&mut fleet), ["b Opened high: a rebuild by Patchwave"]);
}

#[test]
fn a_build_that_hangs_is_a_notice_that_says_what_waits() {
    let mut fleet = Fleet::with_finding("b: scratch", "b");
    fleet.facts.has_listener = true;
    fleet.pass();
    let hanging = |fleet: &Fleet| fleet.record("b").notified.get(&RootCause::Hanging).cloned();
    fleet.wait("119m");
    fleet.pass();
    assert_eq!(hanging(&fleet), None);
    if let Some(Execution::Found { details, .. }) = &mut fleet.image("b").execution {
        details.runs = Some("waits for the action Release/Approve".into());
    }
    fleet.wait("1m");
    fleet.pass();
    let needs = hanging(&fleet).unwrap().asked.needs;
    assert_eq!(
        needs.into_iter().collect::<Vec<_>>(),
        ["end the execution execution-0 of the pipeline b: it waits for the action Release/Approve"]
    );
    fleet.finish("b");
    fleet.pass();
    assert!(hanging(&fleet).unwrap().closed);
}
