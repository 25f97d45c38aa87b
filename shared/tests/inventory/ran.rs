//! The last versions that an environment ran before are known, for a roll-back.

use patchwave::facts::{DeployedVersion, Deployments};
use patchwave::inventory::{Answer, Inventory, PlaceRead, Question, Sighting, Use};
use patchwave::time::Timestamp;

use crate::inventory::fixture::{
    at, catalog, checkout, clean, digest, ecs, eks, hierarchy, id, read, sighting, survey, unread, version,
};

/// A survey of each day, of the ECS cluster, that sees the checkout's service run these versions.
fn days(days: &[&[u8]]) -> Inventory {
    let numbers = [10, 20, 30, 40, 50, 60];
    let versions: Vec<_> = numbers.iter().map(|n| version(*n, at(1, 0), &clean())).collect();
    let others: Vec<_> = versions.iter().collect();
    let catalog = catalog(&[("apps/checkout", &versions[5], &others)]);
    let mut inventory = Inventory::default();
    for (day, versions) in (2..).zip(days) {
        let now = at(day, 0);
        let sighting = |n: &u8| started(checkout("service:web", *n), now);
        let sightings: Vec<_> = versions.iter().map(sighting).collect();
        inventory = survey(&inventory, &catalog, &[read(&ecs(), now)], &sightings, now).inventory;
    }
    inventory
}

fn started(sighting: Sighting, since: Timestamp) -> Sighting {
    Sighting { used: Use::Running { since: Some(since) }, ..sighting }
}

fn ran(inventory: &Inventory) -> Vec<DeployedVersion> {
    let ran = inventory.ran.get(&id("apps/checkout"));
    ran.and_then(|ran| ran.get("prod")).cloned().unwrap_or_default()
}

fn versions(inventory: &Inventory) -> Vec<u8> {
    let number = |n: &u8| digest(*n);
    let all = [10, 20, 30, 40, 50, 60];
    let of = |ran: DeployedVersion| *all.iter().find(|n| number(n) == ran.version).unwrap();
    ran(inventory).into_iter().map(of).collect()
}

#[test]
fn the_last_three_versions_before_what_runs_are_kept_with_when() {
    let inventory = days(&[&[10], &[20], &[20, 30], &[40], &[50]]);
    assert_eq!(versions(&inventory), [40, 30, 20], "of five, the last three before what runs");
    let newest = &ran(&inventory)[0];
    assert_eq!((newest.since, newest.last_seen), (at(5, 0), at(5, 0)));
    assert_eq!(ran(&inventory)[2].last_seen, at(4, 0));
    assert_eq!(versions(&days(&[&[10], &[20], &[10]])), [20], "what runs again is not before");
    let both = days(&[&[10], &[20], &[10], &[20]]);
    assert_eq!((versions(&both), ran(&both)[0].last_seen), (vec![10], at(4, 0)));
}

#[test]
fn what_could_not_be_read_has_not_stopped_and_a_pod_of_a_person_is_no_deployment() {
    let inventory = days(&[&[10]]);
    let catalog = catalog(&[("apps/checkout", &version(10, at(1, 0), &clean()), &[])]);
    let later = |places: &[PlaceRead], sightings: &[Sighting], now: Timestamp| {
        survey(&inventory, &catalog, places, sightings, now).inventory
    };
    assert!(ran(&later(&[unread(&ecs(), at(3, 0))], &[], at(3, 0))).is_empty());
    assert_eq!(versions(&later(&[read(&ecs(), at(3, 0))], &[], at(3, 0))), [10]);

    let pod = |workload: &str| {
        let resolved = format!("x.example/apps/checkout@{}", digest(10));
        started(sighting(&eks(), workload, "apps/checkout:main-1", Some(resolved)), at(2, 0))
    };
    let night = [pod("jobs/CronJob/night"), pod("jobs/Pod/shell")];
    let first =
        survey(&Inventory::default(), &catalog, &[read(&eks(), at(2, 0))], &night, at(2, 0)).inventory;
    let second = survey(&first, &catalog, &[read(&eks(), at(3, 0))], &[], at(3, 0)).inventory;
    assert_eq!((first.entries.len(), second.ran.len()), (2, 0));
}

#[test]
fn a_pass_reads_what_ran_and_an_earlier_format_has_none() {
    let inventory = days(&[&[10], &[20]]);
    let deployments = &inventory.deployments()[&id("apps/checkout")];
    assert_eq!(deployments.ran["prod"][0].version, digest(10));
    let earlier: Deployments = serde_json::from_str(r#"{ "environments": {} }"#).unwrap();
    assert!(earlier.ran.is_empty());

    let asked = Question { image: Some(id("apps/checkout")), ..Question::default() };
    let answer = inventory.answer(&hierarchy(), &asked, at(3, 0));
    assert_eq!((answer.ran.len(), &answer.ran[0].ran.version), (1, &digest(10)));
    let test = Question { environment: Some("test".into()), ..Question::default() };
    assert!(inventory.answer(&hierarchy(), &test, at(3, 0)).ran.is_empty());
    let mut json = serde_json::to_value(&answer).unwrap();
    json.as_object_mut().unwrap().remove("ran");
    assert!(serde_json::from_value::<Answer>(json).unwrap().ran.is_empty());
}
