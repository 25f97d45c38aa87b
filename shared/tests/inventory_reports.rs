//! What a scanner reports of clusters that could not be read: it adds, and takes nothing away.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod estate;

use std::collections::BTreeMap;

use estate::*;
use patchwave::image::{Digest, Repository};
use patchwave::inventory::{
    Catalog, Change, ConsumerKind, Entry, FoldInput, Folded, Inventory, Place, PlaceRead, Question,
    SeenInUse, Sighting, Survey, fold,
};
use patchwave::time::Timestamp;

/// `apps/checkout` is at version 20, and was at 10 before.
fn two_versions() -> Catalog {
    let clean = complete(at(1, 1), &[]);
    let (old, new) = (version(10, at(1, 0), &clean), version(20, at(1, 5), &clean));
    catalog(&[("apps/checkout", &new, &[&old])])
}

/// What the scanner saw of version `n`'s manifest for amd64 in a cluster, at `seen`.
fn report(cluster: &str, workload: &str, n: u8, seen: Timestamp) -> Reports {
    let seen = SeenInUse {
        account: "444455556666".to_owned(),
        region: "us-east-1".to_owned(),
        kind: ConsumerKind::Eks,
        cluster: cluster.to_owned(),
        workload: workload.to_owned(),
        running: 3,
        at: seen,
    };
    BTreeMap::from([(("apps/checkout".parse().unwrap(), amd64(n)), vec![seen])])
}

type Reports = BTreeMap<(Repository, Digest), Vec<SeenInUse>>;

/// Looks at places in which nothing is seen but what the scanner reports.
fn look_with_reports(before: &Inventory, places: &[PlaceRead], reports: &Reports, now: Timestamp) -> Folded {
    let (survey, hierarchy, catalog) = (Survey::default(), hierarchy(), two_versions());
    let mut survey = Survey { places: places.to_vec(), ..survey };
    survey.add_reports(&hierarchy, reports, now);
    let look =
        FoldInput { survey: &survey, began: now, ended: true, hierarchy: &hierarchy, catalog: &catalog, now };
    fold(before, &look)
}

#[test]
fn what_the_scanner_saw_in_an_unread_cluster_runs_on_weaker_evidence() {
    let now = at(2, 0);
    let reports = report("shop", "shop/Deployment/web", 10, at(1, 20));
    let folded = look_with_reports(&Inventory::default(), &[unread(&eks(), now)], &reports, now);
    let entries: Vec<&Entry> = folded.inventory.entries.values().collect();
    let [entry] = entries[..] else { panic!("{entries:?}") };
    assert!(entry.runs && entry.reported && entry.containers.is_empty());
    assert_eq!((entry.units, entry.since, entry.last_seen), (3, at(1, 20), at(1, 20)));
    assert_eq!(entry.resolution, known("apps/checkout", 10));
    assert_eq!(entry.digest, Some(digest(10)), "the version, whichever platform the scanner saw");

    let answer = folded.inventory.answer(&hierarchy(), &Question::default(), now);
    assert!(answer.running[0].is_behind());
    assert_eq!(answer.running[0].unknown.len(), 1, "its place was not read: {:?}", answer.running[0].unknown);
}

#[test]
fn a_scanner_closes_nothing_and_is_not_asked_about_what_was_read() {
    let reports = report("shop", "shop/Deployment/web", 10, at(1, 20));
    let first =
        look_with_reports(&Inventory::default(), &[unread(&eks(), at(2, 0))], &reports, at(2, 0)).inventory;
    // It sees nothing any more, or what it saw is old: that says nothing.
    for reports in [Reports::new(), reports.clone()] {
        let later = look_with_reports(&first, &[unread(&eks(), at(9, 0))], &reports, at(9, 0));
        assert_eq!(later.inventory.entries, first.entries);
        assert!(later.ended.is_empty());
    }
    let stale = look_with_reports(&Inventory::default(), &[unread(&eks(), at(9, 0))], &reports, at(9, 0));
    assert!(stale.inventory.entries.is_empty(), "it ran there a week ago");
    // A look of one's own does.
    let read_now = look_with_reports(&first, &[read(&eks(), at(2, 1))], &reports, at(2, 1));
    assert!(read_now.inventory.entries.is_empty(), "nothing runs there, whatever the scanner saw before");
    assert_eq!(read_now.ended.len(), 1);
}

#[test]
fn a_report_of_what_was_seen_only_says_that_it_still_runs() {
    let seen =
        Sighting { resolved: Some(format!("x/y@{}", amd64(10))), ..checkout("shop/Deployment/web", 10) };
    let seen = Sighting { place: eks(), ..seen };
    let before =
        look(&Inventory::default(), &two_versions(), &[read(&eks(), at(2, 0))], &[seen], at(2, 0)).inventory;
    let now = at(3, 0);
    let reports = report("shop", "shop/Deployment/web", 10, at(2, 20));
    let folded = look_with_reports(&before, &[unread(&eks(), now)], &reports, now);
    let [entry] = folded.inventory.entries.values().collect::<Vec<_>>()[..] else { panic!("one entry") };
    assert!(!entry.reported);
    assert_eq!((entry.since, entry.last_seen, entry.units), (at(2, 0), at(2, 20), 1));
    assert!(
        folded.changes.iter().all(|change| matches!(change, Change::Unread { .. })),
        "{:?}",
        folded.changes
    );
}

#[test]
fn a_cluster_that_could_not_even_be_listed_is_known_by_its_reports() {
    let now = at(2, 0);
    let list = Place { cluster: None, ..eks() };
    let reports = report("private", "shop/Deployment/web", 20, at(1, 20));
    let folded = look_with_reports(&Inventory::default(), &[unread(&list, now)], &reports, now);
    let place = cluster(ConsumerKind::Eks, "private").id();
    assert_eq!(folded.inventory.unread_because(&place), Some("it timed out"));
    assert!(folded.inventory.entries.keys().all(|key| key.place == place));
    assert_eq!(folded.inventory.entries.len(), 1);

    let listed = look_with_reports(&Inventory::default(), &[read(&list, now)], &reports, now);
    assert!(
        listed.inventory.entries.is_empty(),
        "a list that was read and does not have it says that it is gone"
    );
    let elsewhere = Place { region: "eu-west-1".to_owned(), ..list };
    let elsewhere = look_with_reports(&Inventory::default(), &[unread(&elsewhere, now)], &reports, now);
    assert!(elsewhere.inventory.entries.is_empty());
}

#[test]
fn a_cluster_whose_list_was_not_read_is_as_of_its_last_look() {
    let seen = Sighting { place: eks(), ..checkout("shop/Deployment/web", 10) };
    let list = Place { cluster: None, ..eks() };
    let places = [read(&list, at(2, 0)), read(&eks(), at(2, 0))];
    let before = look(&Inventory::default(), &two_versions(), &places, &[seen], at(2, 0)).inventory;
    assert_eq!(before.unread_because(&eks().id()), None);
    let after = look(&before, &two_versions(), &[unread(&list, at(3, 0))], &[], at(3, 0)).inventory;
    assert_eq!(after.unread_because(&eks().id()), Some("it timed out"));
    let answer = after.answer(&hierarchy(), &Question::default(), at(3, 0));
    assert!(
        answer.running[0].unknown[0].contains("its place was not read"),
        "{:?}",
        answer.running[0].unknown
    );
    // A list that broke off after this cluster says nothing against what was read there since.
    let places = [unread(&list, at(4, 0)), read(&eks(), at(4, 0))];
    let again = look(&after, &two_versions(), &places, &[], at(4, 0)).inventory;
    assert_eq!(again.unread_because(&eks().id()), None);
}

#[test]
fn what_the_scanner_does_not_report_of_a_cluster_may_still_run_there() {
    let both =
        [report("shop", "shop/Deployment/web", 10, at(1, 20)), report("shop", "shop/Job/old", 20, at(1, 20))];
    let both: Reports = both.into_iter().flatten().collect();
    let before =
        look_with_reports(&Inventory::default(), &[unread(&eks(), at(2, 0))], &both, at(2, 0)).inventory;
    assert_eq!(before.entries.len(), 2);
    let one = report("shop", "shop/Deployment/web", 10, at(2, 20));
    let after = look_with_reports(&before, &[unread(&eks(), at(3, 0))], &one, at(3, 0));
    assert_eq!((after.inventory.entries.len(), after.ended.len()), (2, 0));
}

#[test]
fn a_report_from_before_the_last_look_says_nothing() {
    let before =
        look(&Inventory::default(), &two_versions(), &[read(&eks(), at(2, 0))], &[], at(2, 0)).inventory;
    let now = at(2, 4);
    let reports = |hour| report("shop", "shop/Deployment/web", 10, at(1, hour));
    let old = look_with_reports(&before, &[unread(&eks(), now)], &reports(23), now);
    assert!(old.inventory.entries.is_empty(), "an hour later nothing ran there");
    let new = look_with_reports(&before, &[unread(&eks(), now)], &reports(25), now);
    assert_eq!(new.inventory.entries.len(), 1);
}
