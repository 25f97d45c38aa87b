//! Reports of the scanner about clusters that could not be read: they add entries and remove none.

use std::collections::BTreeMap;

use patchwave::image::{Digest, Repository};
use patchwave::inventory::{
    Change, ConsumerKind, Entry, Folded, Inventory, Place, PlaceRead, Question, SeenInUse, Sighting, Survey,
};
use patchwave::time::Timestamp;

use super::fixture::*;

/// A report that the amd64 manifest of version `n` was seen in a cluster at `seen`.
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

/// Folds a survey in which only the scanner reports anything.
fn survey_with_reports(
    before: &Inventory,
    places: &[PlaceRead],
    reports: &Reports,
    now: Timestamp,
) -> Folded {
    let hierarchy = hierarchy();
    let mut survey = Survey { places: places.to_vec(), ..Survey::default() };
    survey.add_reports(&hierarchy, reports, now);
    survey_of(&hierarchy, before, &two_versions(), &survey, true, now)
}

#[test]
fn a_report_of_an_unread_cluster_is_weaker_evidence_that_a_version_runs() {
    let now = at(2, 0);
    let reports = report("shop", "shop/Deployment/web", 10, at(1, 20));
    let folded = survey_with_reports(&Inventory::default(), &[unread(&eks(), now)], &reports, now);
    let entries: Vec<&Entry> = folded.inventory.entries.values().collect();
    let [entry] = entries[..] else { panic!("{entries:?}") };
    assert!(entry.runs && entry.reported && entry.containers.is_empty());
    assert_eq!((entry.units, entry.since, entry.last_seen), (3, at(1, 20), at(1, 20)));
    assert_eq!(entry.resolution, known("apps/checkout", 10));
    assert_eq!(entry.digest, Some(digest(10)), "the digest is that of the version, not of its platform");

    let answer = folded.inventory.answer(&hierarchy(), &Question::default(), now);
    assert!(answer.running[0].is_behind());
    assert_eq!(answer.running[0].unknown.len(), 1, "the place was not read: {:?}", answer.running[0].unknown);
}

#[test]
fn a_report_ends_nothing_and_does_not_count_for_a_cluster_that_was_read() {
    let reports = report("shop", "shop/Deployment/web", 10, at(1, 20));
    let first =
        survey_with_reports(&Inventory::default(), &[unread(&eks(), at(2, 0))], &reports, at(2, 0)).inventory;
    // Neither missing nor old reports end an entry.
    for reports in [Reports::new(), reports.clone()] {
        let later = survey_with_reports(&first, &[unread(&eks(), at(9, 0))], &reports, at(9, 0));
        assert_eq!(later.inventory.entries, first.entries);
        assert!(later.ended.is_empty());
    }
    let stale = survey_with_reports(&Inventory::default(), &[unread(&eks(), at(9, 0))], &reports, at(9, 0));
    assert!(stale.inventory.entries.is_empty(), "a report of a week ago does not count");
    // A survey of the cluster ends it.
    let read_now = survey_with_reports(&first, &[read(&eks(), at(2, 1))], &reports, at(2, 1));
    assert!(
        read_now.inventory.entries.is_empty(),
        "nothing runs there, whatever the scanner reported before"
    );
    assert_eq!(read_now.ended.len(), 1);
}

#[test]
fn a_report_of_a_known_container_only_says_that_it_still_runs() {
    let seen =
        Sighting { resolved: Some(format!("x/y@{}", amd64(10))), ..checkout("shop/Deployment/web", 10) };
    let seen = Sighting { place: eks(), ..seen };
    let before = survey(&Inventory::default(), &two_versions(), &[read(&eks(), at(2, 0))], &[seen], at(2, 0))
        .inventory;
    let now = at(3, 0);
    let reports = report("shop", "shop/Deployment/web", 10, at(2, 20));
    let folded = survey_with_reports(&before, &[unread(&eks(), now)], &reports, now);
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
    let folded = survey_with_reports(&Inventory::default(), &[unread(&list, now)], &reports, now);
    let place = cluster(ConsumerKind::Eks, "private").id();
    assert_eq!(folded.inventory.unread_because(&place), Some("it timed out"));
    assert!(folded.inventory.entries.keys().all(|key| key.place == place));
    assert_eq!(folded.inventory.entries.len(), 1);

    let listed = survey_with_reports(&Inventory::default(), &[read(&list, now)], &reports, now);
    assert!(
        listed.inventory.entries.is_empty(),
        "a cluster that is missing from a list that was read is gone"
    );
    let elsewhere = Place { region: "eu-west-1".to_owned(), ..list };
    let elsewhere = survey_with_reports(&Inventory::default(), &[unread(&elsewhere, now)], &reports, now);
    assert!(elsewhere.inventory.entries.is_empty());
}

#[test]
fn a_cluster_whose_list_was_not_read_is_as_of_its_last_reading() {
    let seen = Sighting { place: eks(), ..checkout("shop/Deployment/web", 10) };
    let list = Place { cluster: None, ..eks() };
    let places = [read(&list, at(2, 0)), read(&eks(), at(2, 0))];
    let before = survey(&Inventory::default(), &two_versions(), &places, &[seen], at(2, 0)).inventory;
    assert_eq!(before.unread_because(&eks().id()), None);
    let after = survey(&before, &two_versions(), &[unread(&list, at(3, 0))], &[], at(3, 0)).inventory;
    assert_eq!(after.unread_because(&eks().id()), Some("it timed out"));
    let answer = after.answer(&hierarchy(), &Question::default(), at(3, 0));
    assert!(
        answer.running[0].unknown[0].contains("its place was not read"),
        "{:?}",
        answer.running[0].unknown
    );
    // A list that broke off after this cluster does not make the later reading of it unread.
    let places = [unread(&list, at(4, 0)), read(&eks(), at(4, 0))];
    let again = survey(&after, &two_versions(), &places, &[], at(4, 0)).inventory;
    assert_eq!(again.unread_because(&eks().id()), None);
}

#[test]
fn a_workload_without_a_report_may_still_run() {
    let both =
        [report("shop", "shop/Deployment/web", 10, at(1, 20)), report("shop", "shop/Job/old", 20, at(1, 20))];
    let both: Reports = both.into_iter().flatten().collect();
    let before =
        survey_with_reports(&Inventory::default(), &[unread(&eks(), at(2, 0))], &both, at(2, 0)).inventory;
    assert_eq!(before.entries.len(), 2);
    let one = report("shop", "shop/Deployment/web", 10, at(2, 20));
    let after = survey_with_reports(&before, &[unread(&eks(), at(3, 0))], &one, at(3, 0));
    assert_eq!((after.inventory.entries.len(), after.ended.len()), (2, 0));
}

#[test]
fn a_report_from_before_the_last_survey_does_not_count() {
    let before =
        survey(&Inventory::default(), &two_versions(), &[read(&eks(), at(2, 0))], &[], at(2, 0)).inventory;
    let now = at(2, 4);
    let reports = |hour| report("shop", "shop/Deployment/web", 10, at(1, hour));
    let old = survey_with_reports(&before, &[unread(&eks(), now)], &reports(23), now);
    assert!(old.inventory.entries.is_empty(), "an hour after the report nothing ran there");
    let new = survey_with_reports(&before, &[unread(&eks(), now)], &reports(25), now);
    assert_eq!(new.inventory.entries.len(), 1);
}
