//! What several places say about a deployed version is a set.

use patchwave::facts::{Current, DeployedVersion, Deployments, Facts};
use patchwave::inventory::{Catalog, Inventory, Place, Sighting, Use};
use patchwave::notice::{NoticeState, RootCause};
use patchwave::plan::{Hold, plan};
use patchwave::policy::Mode;
use patchwave::time::Timestamp;
use patchwave::unread::Unread;

use super::fixture::*;

/// A container of a workload that runs version `n` since this hour.
fn runs(place: &Place, workload: &str, n: u8, hour: u32) -> Sighting {
    let used = Use::Running { since: Some(at(1, hour)) };
    let resolved = Some(format!("{OWN}/apps/checkout@{}", digest(n)));
    Sighting { used, ..sighting(place, workload, "apps/checkout:main-1", resolved) }
}

fn deployments(catalog: &Catalog, sightings: &[Sighting]) -> Deployments {
    let places: Vec<_> = [ecs(), eks(), stranger()].iter().map(|place| read(place, at(2, 0))).collect();
    let folded = survey(&Inventory::default(), catalog, &places, sightings, at(2, 0));
    let image = id("apps/checkout");
    folded.inventory.deployments().remove(&image).unwrap_or_default()
}

/// A cluster of the same environment in somebody else's account.
fn stranger() -> Place {
    Place { account: "666677778888".to_owned(), ..eks() }
}

fn version(
    deployed: Result<DeployedVersion, String>,
) -> Result<(patchwave::image::Digest, Timestamp), String> {
    deployed.map(|deployed| (deployed.version, deployed.since))
}

fn deployed(
    sightings: &[Sighting],
    workloads: &[&str],
) -> Result<(patchwave::image::Digest, Timestamp), String> {
    let workloads: Vec<String> = workloads.iter().map(|&glob| glob.to_owned()).collect();
    version(deployments(&two_versions(), sightings).deployed("prod", &workloads))
}

const CHECKOUT: &str = "shop/Deployment/checkout";

#[test]
fn a_pod_a_job_or_a_task_of_an_old_version_moves_no_line() {
    let service = runs(&eks(), CHECKOUT, 20, 1);
    for (place, workload) in [
        (eks(), "play/Pod/old"),
        (eks(), "play/Job/old"),
        (eks(), "play/CronJob/old"),
        (stranger(), "play/Pod/old"),
        (ecs(), "family:old"),
    ] {
        let old = runs(&place, workload, 10, 9);
        assert_eq!(deployed(&[service.clone(), old], &[]), Ok((digest(20), at(1, 1))), "{workload}");
    }
    let pod = runs(&eks(), "play/Pod/old", 10, 9);
    assert_eq!(deployed(&[pod], &[]).unwrap_err(), "the inventory has not seen the image there");
}

#[test]
fn a_container_that_did_not_start_moves_no_line() {
    let old = Sighting { used: Use::Running { since: None }, ..runs(&eks(), "play/Deployment/old", 10, 9) };
    let both = [runs(&eks(), CHECKOUT, 20, 1), old];
    assert_eq!(deployed(&both, &[]), Ok((digest(20), at(1, 1))));
}

#[test]
fn services_that_run_several_versions_leave_the_line_unknown_and_all_are_named() {
    let both = [runs(&eks(), CHECKOUT, 20, 1), runs(&stranger(), "play/Deployment/old", 10, 9)];
    assert_eq!(
        deployed(&both, &[]).unwrap_err(),
        "services run several versions: 0a0a0a0a0a0a in 666677778888/shop/play/Deployment/old; 141414141414 in \
         444455556666/shop/shop/Deployment/checkout; deploy one, or name under `workloads` whose version counts"
    );
}

#[test]
fn workloads_say_whose_version_counts() {
    let both = [
        runs(&eks(), CHECKOUT, 20, 1),
        runs(&stranger(), "play/Deployment/old", 10, 9),
        runs(&stranger(), CHECKOUT, 10, 9),
    ];
    let new = Ok((digest(20), at(1, 1)));
    assert_eq!(deployed(&both[..2], &["shop/shop/*"]), new);
    assert_eq!(deployed(&both[..2], &["shop/*/Deployment/check*", "other/*"]), new);
    assert!(deployed(&both, &["shop/shop/*"]).unwrap_err().contains("several versions"), "by name alone");
    assert_eq!(deployed(&both, &["444455556666/shop/shop/*"]), new, "the account tells them apart");
    assert!(deployed(&both, &["nowhere/*"]).unwrap_err().contains("no workload that counts"));
    let service = [runs(&ecs(), "service:web", 20, 1), runs(&ecs(), "service:old", 10, 9)];
    assert_eq!(deployed(&service, &["shop/service/web"]), new);
}

#[test]
fn two_builds_of_one_commit_agree_and_the_later_one_counts() {
    let of = |n, day, commit: &str| patchwave::facts::Version {
        revision: Some(commit.to_owned()),
        ..super::fixture::version(n, at(day, 0), &clean())
    };
    let both = [runs(&eks(), CHECKOUT, 10, 1), runs(&eks(), "shop/Deployment/worker", 20, 9)];
    let catalog = |old, new| catalog(&[("apps/checkout", &of(20, 2, new), &[&of(10, 1, old)])]);
    let deployed = |catalog: &Catalog| version(deployments(catalog, &both).deployed("prod", &[]));
    assert_eq!(deployed(&catalog("a", "a")), Ok((digest(20), at(1, 9))));
    assert!(deployed(&catalog("a", "b")).is_err());
}

#[test]
fn what_an_item_has_no_room_for_is_left_out_and_told() {
    let many: Vec<Sighting> =
        (0..1_005).map(|n| runs(&eks(), &format!("shop/Deployment/d{n:04}"), 20, 1)).collect();
    let deployments = deployments(&two_versions(), &many);
    let running = &deployments.running["prod"][0];
    assert_eq!((running.workloads.len(), running.left_out), (1_000, 5));
    assert!(deployments.deployed("prod", &[]).is_ok());
    assert!(deployments.deployed("prod", &["shop/*".to_owned()]).is_err());
}

#[test]
fn the_owner_is_told_once_what_people_must_decide_and_when_they_have() {
    let hierarchy = with_a_deployed_line();
    let image = id("apps/checkout@prod");
    let version = super::fixture::version(20, at(1, 0), &clean());
    let mut facts = facts(&[("apps/checkout@prod", &version, &[])]);
    facts.has_listener = true;
    let known = facts.images[&image].current.clone();
    let pass = |facts: &mut Facts, current: Current| {
        facts.images.get_mut(&image).unwrap().current = current;
        let plan = plan(&hierarchy, facts, Mode::Enforce, at(2, 0));
        let told: Vec<_> =
            plan.notices.iter().map(|n| (n.root_cause, n.state, n.asked.needs.clone())).collect();
        let read = facts.images[&image].record.clone();
        let mut record = plan.records.get(&image).cloned().unwrap_or(read);
        record.notified.values_mut().for_each(|notified| notified.sent = true);
        facts.images.get_mut(&image).unwrap().record = record;
        (plan.holds[&image].clone(), told)
    };
    let because = "cannot find what prod runs of apps/checkout: services run several versions";
    let unread = Current::Unread(Unread { because: because.into(), needs_person: true });
    let (hold, told) = pass(&mut facts, unread.clone());
    assert!(matches!(&hold, Hold::Unknown { because } if because.contains("several versions")), "{hold:?}");
    assert_eq!(told, [(RootCause::Undecided, NoticeState::Opened, [because.to_owned()].into())]);
    assert_eq!(pass(&mut facts, unread).1, []);
    assert_eq!(pass(&mut facts, known).1[0].1, NoticeState::Closed);
}
