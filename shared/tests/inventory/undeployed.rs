//! What is rebuilt and not deployed is one notice an owner.

use patchwave::facts::{Facts, Version};
use patchwave::hierarchy::Hierarchy;
use patchwave::inventory::{
    Catalog, ConsumerKind, Inventory, NewVersions, Place, PlaceRead, Sighting, Survey, unsent,
};
use patchwave::notice::{Notice, NoticeState, OwnersNotified, Undeployed};
use patchwave::record::Success;
use patchwave::time::{Span, Timestamp};

use crate::inventory::fixture::{
    HIERARCHY, OWN, at, checkout, clean, cluster, digest, ecs, eks, facts, id, read, sighting, survey_of,
    unread, version, vulnerable,
};

/// The hierarchy of the fixture, where the shop owns the applications and the platform the rest.
fn hierarchy() -> Hierarchy {
    let notify = "arn:aws:sns:us-east-1:111122223333:shop";
    let owned = HIERARCHY
        .replace("tier: application,", "tier: application, owner: shop,")
        .replace("tier: platform,", "tier: platform, owner: platform,");
    let owners = format!("owners: {{ shop: {{ notify: '{notify}' }}, platform: {{}} }}");
    Hierarchy::parse("h.yaml", &format!("{owned}{owners}\n")).unwrap()
}

/// What surveys found out and sent, day by day.
struct Days {
    hierarchy: Hierarchy,
    facts: Facts,
    inventory: Inventory,
}

impl Days {
    /// `apps/checkout` is at version 20, whose push lacks the finding of version 10.
    fn new() -> Self {
        let (old, new) = (version(10, at(1, 0), &vulnerable()), version(20, at(3, 0), &clean()));
        Self::of(facts(&[("apps/checkout", &new, &[&old])]))
    }

    fn of(facts: Facts) -> Self {
        Self { hierarchy: hierarchy(), facts, inventory: Inventory::default() }
    }

    /// Adds a survey, and sends what it makes unsent.
    fn survey(&mut self, places: &[PlaceRead], sightings: &[Sighting], now: Timestamp) -> Vec<Notice> {
        let catalog = Catalog::new(&self.hierarchy, &self.facts);
        let survey = Survey { places: places.to_vec(), sightings: sightings.to_vec() };
        let folded = survey_of(&self.hierarchy, &self.inventory, &catalog, &survey, true, now);
        let new = NewVersions { hierarchy: &self.hierarchy, catalog: &catalog, now };
        let mut notified: OwnersNotified = new.notified(&self.inventory.notified, &folded.inventory);
        let notices = unsent(&self.hierarchy, &notified);
        for (owner, _) in &notices {
            notified.get_mut(owner).unwrap().sent = true;
        }
        self.inventory = Inventory { notified, ..folded.inventory };
        notices.into_iter().map(|(_, notice)| notice).collect()
    }
}

fn workloads(notice: &Notice) -> Vec<&str> {
    notice.asked.workloads.iter().map(|asks| asks.workload.as_str()).collect()
}

#[test]
fn an_owner_gets_one_notice_that_closes_with_the_last_container() {
    let mut days = Days::new();
    let both = [checkout("service:web", 10), checkout("service:worker", 10)];
    let opened = days.survey(&[read(&ecs(), at(4, 0))], &both, at(4, 0));
    let [notice] = &opened[..] else { panic!("{opened:?}") };
    assert_eq!((notice.owner.as_deref(), notice.state), (Some("shop"), NoticeState::Opened));
    assert_eq!(notice.notify.as_deref(), Some("arn:aws:sns:us-east-1:111122223333:shop"));
    assert_eq!(workloads(notice), ["service:web", "service:worker"]);
    assert_eq!(notice.asked.severity, Some(patchwave::finding::Severity::High));
    let first = notice.asked.workloads.first().unwrap();
    assert_eq!((&first.old, &first.new), (&digest(10), &digest(20)));
    assert_eq!(notice.id, format!("shop/rebuiltNotDeployed/{:.0}", at(3, 0).max(at(4, 0))));

    assert_eq!(days.survey(&[read(&ecs(), at(5, 0))], &both, at(5, 0)), [], "it asks nothing else");
    let one = [checkout("service:web", 20), checkout("service:worker", 10)];
    let updated = days.survey(&[read(&ecs(), at(6, 0))], &one, at(6, 0));
    assert_eq!((updated[0].state, workloads(&updated[0])), (NoticeState::Updated, vec!["service:worker"]));

    let nothing = days.survey(&[unread(&ecs(), at(7, 0))], &[], at(7, 0));
    assert_eq!(nothing, [], "what could not be read has not stopped");
    let none = [checkout("service:web", 20), checkout("service:worker", 20)];
    let closed = days.survey(&[read(&ecs(), at(8, 0))], &none, at(8, 0));
    assert_eq!((closed[0].state, closed[0].revision), (NoticeState::Closed, 3));
    assert_eq!(closed[0].id, notice.id);
    let again = days.survey(&[read(&ecs(), at(9, 0))], &both, at(9, 0));
    assert_eq!((again[0].state, again[0].revision), (NoticeState::Opened, 4));
    assert_ne!(again[0].id, notice.id, "it is another notice");
}

#[test]
fn a_release_without_a_fix_and_a_version_on_its_way_are_no_notices() {
    let (old, new) = (version(10, at(1, 0), &clean()), version(20, at(3, 0), &clean()));
    let released = facts(&[("apps/checkout", &new, &[&old])]);
    let sightings = [checkout("service:web", 10)];
    let places = [read(&ecs(), at(4, 0))];
    assert_eq!(Days::of(released.clone()).survey(&places, &sightings, at(4, 0)), []);

    let mut rebuilt = released;
    let success: Success = serde_json::from_value(serde_json::json!({
        "key": "k1", "at": at(3, 0), "version": digest(20), "pushedAt": at(3, 0), "parents": {},
        "since": at(2, 0), "forAge": false,
    }))
    .unwrap();
    rebuilt.images.get_mut(&id("apps/checkout")).unwrap().record.success = Some(success);
    assert_eq!(
        Days::of(rebuilt.clone()).survey(&places, &sightings, at(4, 0)).len(),
        1,
        "Patchwave built it"
    );
    let soon = Span::minutes(59).after(at(3, 0));
    assert_eq!(Days::of(rebuilt).survey(&[read(&ecs(), soon)], &sightings, soon), [], "it is rolling out");
}

#[test]
fn a_notice_stays_open_while_the_line_is_unknown_and_is_updated_by_a_newer_version() {
    let mut days = Days::new();
    let sightings = [checkout("service:web", 10)];
    assert_eq!(days.survey(&[read(&ecs(), at(4, 0))], &sightings, at(4, 0)).len(), 1);
    let known = days.facts.clone();
    let current = &mut days.facts.images.get_mut(&id("apps/checkout")).unwrap().current;
    *current = patchwave::facts::Current::Unread("throttled".into());
    assert_eq!(days.survey(&[read(&ecs(), at(5, 0))], &sightings, at(5, 0)), []);

    days.facts = known;
    let image = days.facts.images.get_mut(&id("apps/checkout")).unwrap();
    let newest: Version = version(30, at(5, 0), &vulnerable());
    image.current = patchwave::facts::Current::Version(newest.digest.clone());
    image.versions.insert(newest.digest.clone(), newest);
    let updated = days.survey(&[read(&ecs(), at(6, 0))], &sightings, at(6, 0));
    assert_eq!(updated[0].asked.workloads.first().unwrap().new, digest(30));
    assert_eq!(updated[0].state, NoticeState::Updated);
}

#[test]
fn what_is_deployed_leaves_the_notice_although_another_line_of_the_owner_is_unknown() {
    let mut days = Days::new();
    days.hierarchy = Hierarchy::parse("h.yaml", HIERARCHY).unwrap();
    let node = version(40, at(1, 0), &vulnerable());
    days.facts.images.extend(facts(&[("platform/node:22", &node, &[])]).images);
    let unknown = &mut days.facts.images.get_mut(&id("platform/node:22")).unwrap().current;
    *unknown = patchwave::facts::Current::Unread("throttled".into());
    let places = [read(&ecs(), at(4, 0)), read(&eks(), at(4, 0))];
    let shell =
        sighting(&eks(), "dev/Pod/shell", "platform/node:22", Some(format!("{OWN}/x@{}", digest(40))));
    let opened = days.survey(&places, &[checkout("service:web", 10), shell.clone()], at(4, 0));
    assert_eq!(workloads(&opened[0]), ["service:web"], "both images belong to no owner");
    let deployed = days.survey(&places, &[checkout("service:web", 20), shell], at(5, 0));
    assert_eq!(deployed[0].state, NoticeState::Closed);
}

#[test]
fn images_of_several_owners_and_of_none_are_separate_notices() {
    let mut days = Days::new();
    let (old, new) = (version(40, at(1, 0), &vulnerable()), version(50, at(3, 0), &clean()));
    days.facts.images.extend(facts(&[("platform/node:22", &new, &[&old])]).images);
    let node = sighting(&eks(), "dev/Pod/shell", "platform/node:22", Some(format!("{OWN}/x@{}", digest(40))));
    let places = [read(&ecs(), at(4, 0)), read(&eks(), at(4, 0))];
    let sightings = [checkout("service:web", 10), node];
    let notices = days.survey(&places, &sightings, at(4, 0));
    let owners: Vec<_> = notices.iter().map(|notice| notice.owner.as_deref()).collect();
    assert_eq!(owners, [Some("platform"), Some("shop")]);
    days.hierarchy = Hierarchy::parse("h.yaml", HIERARCHY).unwrap();
    let moved = days.survey(&places, &sightings, at(5, 0));
    let states: Vec<_> = moved.iter().map(|notice| (notice.owner.as_deref(), notice.state)).collect();
    let closed = NoticeState::Closed;
    assert_eq!(states, [(None, NoticeState::Opened), (Some("platform"), closed), (Some("shop"), closed)]);
}

/// What a notice asks of one workload that runs version 10 by this reference.
fn asks(place: &Place, workload: &str, asked: &str, tags: &[&str]) -> Undeployed {
    let mut days = Days::new();
    let image = days.facts.images.get_mut(&id("apps/checkout")).unwrap();
    let new = image.versions.get_mut(&digest(20)).unwrap();
    new.tags = tags.iter().map(|tag| tag.parse().unwrap()).collect();
    let resolved = match place.kind {
        ConsumerKind::Eks => format!("{OWN}/apps/checkout@{}", digest(10)),
        _ => digest(10).to_string(),
    };
    let sighting =
        Sighting { image: format!("{OWN}/{asked}"), ..sighting(place, workload, "", Some(resolved)) };
    let notices = days.survey(&[read(place, at(4, 0))], &[sighting], at(4, 0));
    notices[0].asked.workloads.first().unwrap().clone()
}

#[test]
fn each_kind_of_workload_gets_the_edit_or_the_command_that_deploys() {
    let new = format!("{OWN}/apps/checkout@{}", digest(20));
    let context = "kubectl --context arn:aws:eks:us-east-1:444455556666:cluster/shop -n pay";
    let command = |place: &Place, workload: &str, asked: &str, tags: &[&str]| {
        asks(place, workload, asked, tags).command.unwrap_or_default()
    };
    let by_digest = format!("apps/checkout@{}", digest(10));
    assert_eq!(
        command(&eks(), "pay/Deployment/web", &by_digest, &[]),
        format!("{context} set image deployment/web main={new}")
    );
    assert_eq!(
        command(&eks(), "pay/CronJob/night", "apps/checkout:main-1", &["main-2"]),
        format!("{context} set image cronjob/night main={new}")
    );
    assert_eq!(
        command(&eks(), "pay/StatefulSet/db", "apps/checkout:main-1", &["main-1"]),
        format!("{context} rollout restart statefulset/db")
    );
    let rollout = command(&eks(), "pay/Rollout/web", "apps/checkout:main-1", &[]);
    assert!(rollout.starts_with("kubectl argo rollouts --context "), "{rollout}");
    let service = "aws ecs update-service --region us-east-1 --cluster shop --service web";
    assert_eq!(
        command(&ecs(), "service:web", "apps/checkout:main-1", &["main-1"]),
        format!("{service} --force-new-deployment")
    );
    let by_digest = asks(&ecs(), "service:web", &by_digest, &["main-1"]);
    assert!(
        by_digest.command.unwrap().starts_with(&format!("{service} --task-definition \"$(aws ecs describe"))
    );
    let edit = format!("register a revision of its task definition with the image of main set to {new}");
    assert!(by_digest.edit.as_ref().unwrap().starts_with(&edit), "{:?}", by_digest.edit);
    let lambda = Place { cluster: None, ..cluster(ConsumerKind::Lambda, "") };
    assert_eq!(
        command(&lambda, "pay-fn", "apps/checkout:main-1", &[]),
        format!(
            "aws lambda update-function-code --region us-east-1 --function-name pay-fn --image-uri {new}"
        )
    );
    let pod = asks(&eks(), "pay/Job/import", "apps/checkout:main-1", &[]);
    let edit = format!("replace {OWN}/apps/checkout:main-1 by {new}");
    assert_eq!((pod.command, pod.edit.as_deref()), (None, Some(edit.as_str())));
    let hostile = command(&ecs(), "service:$(reboot)", "apps/checkout:main-1", &["main-1"]);
    assert!(hostile.contains("--service '$(reboot)'"), "{hostile}");
}

#[test]
fn a_notice_lists_a_hundred_workloads_and_counts_the_others() {
    let mut days = Days::new();
    let many: Vec<_> = (0..130).map(|n| checkout(&format!("service:w{n:03}"), 10)).collect();
    let notices = days.survey(&[read(&ecs(), at(4, 0))], &many, at(4, 0));
    let listed = notices[0].asked.workloads.len();
    assert!((80..=100).contains(&listed), "{listed}");
    let more = format!("{} more workloads run one: `patchwave inventory` lists them", 130 - listed);
    assert!(notices[0].asked.needs.contains(&more), "{:?}", notices[0].asked.needs);
    assert!(serde_json::to_string(&notices[0]).unwrap().len() < 200_000);
}
