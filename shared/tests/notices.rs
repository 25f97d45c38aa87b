//! What people are told: one story for each root cause, and no flood.

#![expect(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "tests may fail loudly")]

mod village;

use patchwave::facts::ExecutionState;
use patchwave::finding::{Finding, FindingKey, Fix, PackageKind, Scan, Severity};
use patchwave::hierarchy::Hierarchy;
use patchwave::image::ImageId;
use patchwave::intervention::Intervention;
use patchwave::notice::{Notice, NoticeState, RootCause};
use village::{Village, finding};

/// Plans, applies, and sends what is to be told; returns it as `image state severity: needs`.
fn told(village: &mut Village) -> Vec<String> {
    let plan = village.plan();
    village.apply(&plan);
    for notice in &plan.notices {
        let record = &mut village.image(notice.image.as_str()).record;
        assert!(record.unsettled, "{}: what is not sent must be found by the tick", notice.image);
        record.notified.get_mut(&notice.root_cause).unwrap().sent = true;
    }
    plan.notices.iter().map(line).collect()
}

fn line(notice: &Notice) -> String {
    let needs: Vec<&str> = notice.asked.needs.iter().map(String::as_str).collect();
    let severity = notice.asked.severity.map(|severity| format!(" {severity}")).unwrap_or_default();
    format!("{} {:?}{severity}: {}", notice.image, notice.state, needs.join("; "))
}

fn listened(lines: &str) -> Village {
    let mut village = Village::of(lines);
    village.facts.has_listener = true;
    village
}

/// A base of which only what is critical counts, and an application of which everything does.
fn a_picky_application() -> Village {
    let yaml = village::family("b: scratch\n a: b | rebuildAt: low");
    let mut village = Village::new(&yaml.replace("policy: { mode", "policy: { rebuildAt: critical, mode"));
    village.facts.has_listener = true;
    village
}

fn high(vulnerability: &str) -> Finding {
    Finding { severity: Severity::High, ..finding(vulnerability) }
}

/// Plays a build of `image` to its end and the scan that proves it.
fn build(village: &mut Village, image: &str) {
    village.wait("10m");
    village.finish(image);
}

#[test]
fn a_cve_in_a_base_is_one_story_however_many_carry_it() {
    let mut village = listened("b: scratch\n p1: b\n p2: b\n a1: p1\n a2: p2");
    village.infect("b", &finding("CVE-1"));
    village.scan_all();
    let plan = village.plan();
    assert_eq!(plan.notices.len(), 1);
    assert_eq!((plan.notices[0].affected_images, plan.notices[0].finding_count), (5, 1));
    assert_eq!(told(&mut village), ["b Opened critical: a rebuild by Patchwave"]);
    assert_eq!(told(&mut village), [""; 0], "it is told once");
    build(&mut village, "b");
    assert_eq!(told(&mut village), ["b Closed critical: a rebuild by Patchwave"]);
    for image in ["p1", "p2", "a1", "a2"] {
        build(&mut village, image);
        assert_eq!(told(&mut village), [""; 0], "what follows is no cause of its own");
    }
}

#[test]
fn more_of_the_same_is_no_news_and_worse_is() {
    let mut village = listened("b: scratch");
    village.infect("b", &high("CVE-1"));
    village.scan_all();
    assert_eq!(told(&mut village), ["b Opened high: a rebuild by Patchwave"]);
    for n in 2..20 {
        village.infect("b", &high(&format!("CVE-{n}")));
    }
    village.scan_all();
    assert_eq!(told(&mut village), [""; 0]);
    village.infect("b", &finding("CVE-20"));
    village.scan_all();
    assert_eq!(told(&mut village), ["b Updated critical: a rebuild by Patchwave"]);
}

#[test]
fn a_story_keeps_its_id_from_opening_to_closing() {
    let mut village = listened("b: scratch");
    village.infect("b", &high("CVE-1"));
    village.scan_all();
    let opened = village.plan().notices;
    told(&mut village);
    build(&mut village, "b");
    let closed = village.plan().notices;
    assert_eq!((&opened[0].id, opened[0].revision), (&closed[0].id, 1));
    assert_eq!((closed[0].revision, closed[0].state), (2, NoticeState::Closed));
}

#[test]
fn what_comes_back_is_a_new_story_with_a_higher_revision() {
    let mut village = listened("b: scratch");
    village.infect("b", &high("CVE-1"));
    village.scan_all();
    let first = village.plan().notices;
    told(&mut village);
    build(&mut village, "b");
    told(&mut village);
    village.wait("3d");
    village.infect("b", &high("CVE-2"));
    village.scan_all();
    let second = village.plan().notices;
    assert_ne!(first[0].id, second[0].id);
    assert_eq!((second[0].state, second[0].revision), (NoticeState::Opened, 3));
}

#[test]
fn unknown_closes_nothing() {
    let mut village = listened("b: scratch");
    // Nothing starts for it: a build under way would keep its story open whatever the scans say.
    village.infect("b", &Finding { fix: Fix::NotPublished, ..finding("CVE-1") });
    village.scan_all();
    assert_eq!(told(&mut village).len(), 1);
    for scan in [Scan::Expired, Scan::Missing, Scan::Failed("no".into())] {
        for version in village.image("b").versions.values_mut() {
            for manifest in version.platforms.values_mut() {
                manifest.scan = scan.clone();
            }
        }
        assert_eq!(told(&mut village), [""; 0], "{scan:?}");
    }
}

#[test]
fn an_owner_is_told_once_of_a_package_that_a_commit_pins() {
    let mut village = listened("b: scratch\n a: b");
    let pinned = Finding {
        key: FindingKey { vulnerability: "CVE-9".into(), package: "requests".into() },
        kind: PackageKind::Language,
        fix: Fix::Version("2.0".into()),
        ..finding("CVE-9")
    };
    village.infect("a", &pinned);
    village.scan_all();
    let first = told(&mut village);
    assert!(
        matches!(first.as_slice(), [line] if line.starts_with("a Opened critical: a commit")),
        "{first:?}"
    );
    for _ in 0..3 {
        village.wait("6h");
        village.scan_all();
        assert_eq!(told(&mut village), [""; 0]);
    }
}

#[test]
fn what_rebuilding_does_not_fix_is_updated_not_opened_again() {
    let mut village = listened("b: scratch");
    village.infect("b", &finding("CVE-1"));
    village.stubborn.insert(finding("CVE-1").key);
    village.scan_all();
    assert_eq!(told(&mut village), ["b Opened critical: a rebuild by Patchwave"]);
    build(&mut village, "b");
    assert_eq!(told(&mut village), [""; 0], "one retry");
    build(&mut village, "b");
    let quarantined = told(&mut village);
    assert_eq!(quarantined, ["b Updated critical: a check of the build: rebuilds did not fix the finding"]);
}

/// Ends the build that runs badly, and waits until the next has begun; returns what was told.
fn fail(village: &mut Village) -> Vec<String> {
    village.end("b", ExecutionState::Failed);
    let told_of_end = told(village);
    village.wait("33h");
    told_of_end.into_iter().chain(told(village)).collect()
}

#[test]
fn three_failures_in_a_row_are_one_story_until_a_build_succeeds() {
    let mut village = listened("b: scratch");
    village.infect("b", &finding("CVE-1"));
    village.scan_all();
    told(&mut village);
    let stories: Vec<Vec<String>> = (0..5).map(|_| fail(&mut village)).collect();
    let opened = "b Opened: a repair of the pipeline b: its last builds failed";
    assert_eq!(stories, [vec![], vec![], vec![opened.to_owned()], vec![], vec![]]);
    build(&mut village, "b");
    let closed = told(&mut village);
    assert_eq!(closed.len(), 2, "{closed:?}");
    assert!(closed.iter().all(|line| line.starts_with("b Closed")), "{closed:?}");

    village.infect("b", &finding("CVE-2"));
    village.scan_all();
    assert_eq!(told(&mut village), ["b Opened critical: a rebuild by Patchwave"]);
    assert_eq!(fail(&mut village), [""; 0], "three in a row again, and not one more");
}

#[test]
fn a_story_of_failures_names_no_findings() {
    let mut village = listened("b: scratch");
    village.infect("b", &finding("CVE-1"));
    village.scan_all();
    told(&mut village);
    for _ in 0..2 {
        fail(&mut village);
    }
    village.end("b", ExecutionState::Failed);
    let notices = village.plan().notices;
    assert_eq!((notices[0].root_cause, notices[0].finding_count), (RootCause::Failing, 0));
    assert_eq!(notices[0].findings, []);
}

#[test]
fn whoever_keeps_an_image_from_being_rebuilt_is_asked() {
    let mut village = listened("b: scratch | rebuild: approval");
    village.infect("b", &finding("CVE-1"));
    village.scan_all();
    let asked = "b Opened critical: the image's owner: patchwave approve, or a new version";
    assert_eq!(told(&mut village), [asked]);
}

#[test]
fn what_is_exploited_is_said_to_be() {
    let mut village = listened("b: scratch");
    village.infect("b", &high("CVE-1"));
    village.scan_all();
    assert!(!village.plan().notices[0].asked.exploited);
    told(&mut village);
    village.infect("b", &Finding { exploited: true, ..high("CVE-2") });
    village.scan_all();
    let notices = village.plan().notices;
    assert_eq!((notices[0].state, notices[0].asked.exploited), (NoticeState::Updated, true));
}

#[test]
fn while_a_build_is_under_way_nothing_is_closed() {
    let mut village = listened("b: scratch");
    village.infect("b", &finding("CVE-1"));
    village.scan_all();
    told(&mut village);
    village.wait("1m");
    village.push(&"b".parse().unwrap());
    village.scan("b");
    assert_eq!(
        told(&mut village),
        [""; 0],
        "somebody's push is clean, and what the build will push may not be"
    );
    village.end("b", ExecutionState::Stopped);
    assert_eq!(told(&mut village), ["b Closed critical: a rebuild by Patchwave"]);
}

#[test]
fn nobody_listens_and_nothing_is_recorded_so_that_a_later_listener_is_told_all() {
    let mut village = Village::of("b: scratch");
    village.infect("b", &finding("CVE-1"));
    village.scan_all();
    assert_eq!(told(&mut village), [""; 0]);
    village.facts.has_listener = true;
    assert_eq!(told(&mut village), ["b Opened critical: a rebuild by Patchwave"]);
}

#[test]
fn who_sees_only_a_part_closes_nothing_on_behalf_of_what_it_does_not_see() {
    let mut village = a_picky_application();
    let low = Finding { severity: Severity::Low, fix: Fix::NotPublished, ..finding("CVE-1") };
    village.infect("b", &low);
    village.scan_all();
    assert_eq!(
        told(&mut village).len(),
        1,
        "a low finding of the base counts, because the application counts it"
    );
    let application: ImageId = "a".parse().unwrap();
    let hidden = village.facts.images.remove(&application).unwrap();
    assert_eq!(told(&mut village), [""; 0]);
    village.facts.images.insert(application, hidden);
    assert_eq!(told(&mut village), [""; 0]);
    assert!(village.image("b").record.notified.contains_key(&RootCause::Vulnerable));
}

const TWO_FAMILIES: &str = "b1: scratch\n a: b1\n b2: scratch";

/// Two bases and an application on the first. Nobody counts what is low, and the first base has something low.
fn two_families() -> Village {
    let mut village = listened(TWO_FAMILIES);
    village.infect("b1", &Finding { severity: Severity::Low, ..finding("CVE-0") });
    village.infect("b1", &finding("CVE-1"));
    village.scan_all();
    assert_eq!(told(&mut village), ["b1 Opened critical: a rebuild by Patchwave"]);
    village
}

fn hide(village: &mut Village, image: &str) {
    village.facts.images.remove(&image.parse::<ImageId>().unwrap());
}

const CLOSED: [&str; 1] = ["b1 Closed critical: a rebuild by Patchwave"];

#[test]
fn a_clean_image_closes_its_story_though_one_of_those_on_it_is_not_seen() {
    let mut village = two_families();
    build(&mut village, "b1");
    village.infect("b1", &Finding { severity: Severity::Low, ..finding("CVE-0") });
    village.scan_all();
    hide(&mut village, "a");
    assert_eq!(told(&mut village), CLOSED, "nobody counts what is left");
}

#[test]
fn a_suppression_closes_a_story_if_all_whom_it_may_concern_are_seen() {
    for unseen in ["", "b2", "a"] {
        let mut village = two_families();
        village.decide("b1", Intervention::Freeze);
        village.end("b1", ExecutionState::Stopped);
        told(&mut village);
        let suppressed = "mode: enforce, suppress: [{ vulnerability: CVE-1, images: [r/b1, r/a], until: 2030-01-01, reason: not reachable }]";
        let yaml = village::family(TWO_FAMILIES).replace("mode: enforce", suppressed);
        village.hierarchy = Hierarchy::parse("village.yaml", &yaml).unwrap();
        if !unseen.is_empty() {
            hide(&mut village, unseen);
        }
        let closed = told(&mut village).iter().any(|line| line.starts_with("b1 Closed"));
        assert_eq!(closed, unseen != "a", "without {unseen:?}");
    }
}

#[test]
fn of_a_part_only_more_is_asked_and_never_less() {
    let mut village = a_picky_application();
    village.infect("b", &Finding { severity: Severity::Low, fix: Fix::NotPublished, ..finding("CVE-1") });
    village.infect("b", &finding("CVE-2"));
    village.scan_all();
    assert_eq!(told(&mut village).len(), 1);
    hide(&mut village, "a");
    assert_eq!(told(&mut village), [""; 0], "a fix that the application alone waits for is still waited for");
}

#[test]
fn what_was_asked_in_a_story_that_is_over_is_not_asked_in_the_next() {
    let mut village = listened("b: scratch\n a: b");
    village.infect("b", &finding("CVE-1"));
    village.scan_all();
    told(&mut village);
    build(&mut village, "b");
    assert_eq!(told(&mut village).len(), 1, "closed");
    village.infect("b", &high("CVE-2"));
    village.scan_all();
    hide(&mut village, "a");
    assert_eq!(told(&mut village), ["b Opened high: a rebuild by Patchwave"]);
}
