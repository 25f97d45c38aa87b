//! Since when and until when containers run with a finding.

use patchwave::finding::{Scan, Severity};
use patchwave::hierarchy::Hierarchy;
use patchwave::inventory::{Catalog, Change, Folded, Inventory, Missing, Question, Resolution, Survey};
use patchwave::time::Span;

use super::fixture::*;

#[test]
fn a_known_version_stays_known_when_the_registry_loses_it_or_is_unread() {
    let old = version(10, at(1, 0), &vulnerable());
    let with = catalog(&[("apps/checkout", &old, &[])]);
    let sightings = [checkout("web", 10)];
    let first = first_survey(&with, &sightings);

    let silent =
        survey(&first.inventory, &Catalog::default(), &[read(&ecs(), at(3, 0))], &sightings, at(3, 0));
    let entry = silent.inventory.entries.values().next().unwrap();
    assert_eq!(entry.resolution, known("apps/checkout", 10));

    let mut without = catalog(&[]);
    without.miss(&"apps/checkout".parse().unwrap(), &digest(10), Missing::Gone);
    let gone = survey(&silent.inventory, &without, &[read(&ecs(), at(4, 0))], &sightings, at(4, 0));
    let entry = gone.inventory.entries.values().next().unwrap();
    assert_eq!(
        (entry.resolution.image(), entry.resolution.version()),
        (Some(&id("apps/checkout")), Some(&digest(10)))
    );
    assert!(matches!(entry.resolution, Resolution::Gone { .. }));
    let exposures = &gone.inventory.exposures[&id("apps/checkout")];
    assert_eq!(exposures.running[&key("CVE-2026-1")].last_seen, at(4, 0), "it still runs");
}

#[test]
fn an_exposure_ends_when_its_last_container_was_last_seen_and_not_at_the_push() {
    let before_the_push = catalog(&[("apps/checkout", &version(10, at(1, 0), &vulnerable()), &[])]);
    let both = [checkout("web", 10), checkout("worker", 10)];
    let first = first_survey(&before_the_push, &both);
    let image = id("apps/checkout");
    let cve = key("CVE-2026-1");
    assert_eq!(
        first.inventory.exposures[&image].running[&cve].since,
        at(2, 0),
        "the finding is known since the first day, and the version runs since the second"
    );

    let after = patched();
    let half = [checkout("web", 20), checkout("worker", 10)];
    let second = survey(&first.inventory, &after, &[read(&ecs(), at(4, 0))], &half, at(4, 0));
    assert!(second.inventory.exposures[&image].stopped.is_empty(), "pushed, but deployed only in part");
    assert_eq!(second.inventory.mean_time_to_patched(None), None);

    let done = [checkout("web", 20), checkout("worker", 20)];
    let third = survey(&second.inventory, &after, &[read(&ecs(), at(5, 0))], &done, at(5, 0));
    let exposures = &third.inventory.exposures[&image];
    assert!(exposures.running.is_empty());
    assert_eq!(exposures.stopped[0].vulnerable_until, at(4, 0), "when the old version was last seen");
    assert_eq!(third.inventory.mean_time_to_patched(None), Some(Span::days(2)));
    assert_eq!(third.inventory.mean_time_to_patched(Some(Severity::Critical)), None);
    assert!(third.changes.contains(&Change::Patched {
        image,
        finding: cve,
        since: at(2, 0),
        vulnerable_until: at(4, 0)
    }));
}

#[test]
fn a_place_that_was_not_read_keeps_its_entries() {
    let catalog = patched();
    let first = first_survey(&catalog, &[checkout("web", 10)]);
    let second = survey(&first.inventory, &catalog, &[unread(&ecs(), at(3, 0))], &[], at(3, 0));
    assert_eq!(second.inventory.entries, first.inventory.entries);
    assert_eq!(second.inventory.exposures, first.inventory.exposures);
    let answer = second.inventory.answer(&hierarchy(), &Question::default(), at(4, 0));
    let row = &answer.running[0];
    assert_eq!(row.entry.last_seen, at(2, 0));
    assert!(row.unknown[0].contains("2026-03-02T00:00:00Z") && row.unknown[0].contains("it timed out"));
    let place = &answer.places[0];
    assert_eq!((place.read_at, place.age), (Some(at(2, 0)), Some(Span::days(2))));
    assert!(row.is_vulnerable() && answer.is_vulnerable(), "as far as is known");

    let third = survey(&second.inventory, &catalog, &[read(&ecs(), at(5, 0))], &[], at(5, 0));
    assert!(
        third.inventory.entries.is_empty()
            && third.inventory.exposures[&id("apps/checkout")].running.is_empty()
    );
    assert_eq!(third.inventory.exposures[&id("apps/checkout")].stopped[0].vulnerable_until, at(2, 0));
    assert!(third.changes.contains(&Change::ReadAgain { place: ecs().id() }));
}

#[test]
fn a_container_without_a_digest_ends_no_exposure() {
    let catalog = patched();
    let first = first_survey(&catalog, &[checkout("web", 10)]);
    let silent = sighting(&ecs(), "web", "apps/checkout:main-1", None);
    let second = survey(&first.inventory, &catalog, &[read(&ecs(), at(3, 0))], &[silent], at(3, 0));
    assert_eq!(second.inventory.exposures, first.inventory.exposures);
    assert_eq!(second.inventory.entries.len(), 2, "the old entry and the one without a digest");
}

#[test]
fn a_cluster_is_gone_only_when_the_list_says_so_at_the_end_of_a_survey() {
    let catalog = patched();
    let places = [read(&list(), at(2, 0)), read(&ecs(), at(2, 0))];
    let first = survey(&Inventory::default(), &catalog, &places, &[checkout("web", 10)], at(2, 0));
    let then = |places: &[_], ended| {
        let survey = Survey { places: places.to_vec(), sightings: Vec::new() };
        survey_of(&hierarchy(), &first.inventory, &catalog, &survey, ended, at(3, 0))
    };
    let kept = |folded: &Folded| !folded.inventory.entries.is_empty();
    assert!(kept(&then(&[read(&list(), at(3, 0))], false)), "the survey goes on");
    assert!(kept(&then(&[unread(&list(), at(3, 0))], true)), "the list could not be read");
    assert!(kept(&then(&[], true)), "the list was not read");
    assert!(kept(&then(&[read(&list(), at(3, 0)), unread(&ecs(), at(3, 0))], true)), "the cluster exists");
    let gone = then(&[read(&list(), at(3, 0))], true);
    assert!(!kept(&gone) && gone.gone.contains(&ecs().id()));
    assert_eq!(gone.inventory.exposures[&id("apps/checkout")].stopped[0].vulnerable_until, at(2, 0));
}

#[test]
fn a_withdrawn_finding_does_not_count_as_patched() {
    let sightings = [checkout("web", 10)];
    let place = |day| [read(&ecs(), at(day, 0))];
    let with = |scan: &Scan| catalog(&[("apps/checkout", &version(10, at(1, 0), scan), &[])]);
    let first = survey(&Inventory::default(), &with(&vulnerable()), &place(2), &sightings, at(2, 0));
    for silent in [Scan::Pending, Scan::Expired, Scan::Missing, Scan::Failed("x".into())] {
        let unknown = survey(&first.inventory, &with(&silent), &place(3), &sightings, at(3, 0));
        let exposure = &unknown.inventory.exposures[&id("apps/checkout")].running[&key("CVE-2026-1")];
        assert_eq!(exposure.since, at(2, 0), "{silent:?} proves nothing");
    }
    let rescanned = survey(&first.inventory, &with(&clean()), &place(3), &sightings, at(3, 0));
    assert!(!rescanned.inventory.exposures.contains_key(&id("apps/checkout")));
    assert!(rescanned.changes.iter().any(|change| matches!(change, Change::Withdrawn { .. })));
}

#[test]
fn a_version_that_left_the_hierarchy_does_not_count_as_patched() {
    let catalog = patched();
    let first = first_survey(&catalog, &[checkout("web", 10)]);
    let without = HIERARCHY.replace("main-*", "release-*");
    let hierarchy = Hierarchy::parse("h.yaml", &without).unwrap();
    let survey = Survey { places: vec![read(&ecs(), at(3, 0))], sightings: vec![checkout("web", 10)] };
    let catalog = Catalog::default();
    let after = survey_of(&hierarchy, &first.inventory, &catalog, &survey, true, at(3, 0));
    assert_eq!(after.inventory.mean_time_to_patched(None), None, "{:?}", after.changes);
}
