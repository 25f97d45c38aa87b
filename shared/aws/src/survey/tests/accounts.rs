//! Other accounts, and invocations that end too early.

use patchwave::hierarchy::Role;
use patchwave::inventory::{ConsumerKind, Survey};
use patchwave::time::Timestamp;
use patchwave_tests::accounts::Region;

use super::super::{Cursor, Target};
use super::{ACCOUNT, Fixture, REGION, cluster, digest, own, place, task};

const OTHER: &str = "444455556666";
const ROLE: &str = "arn:aws:iam::444455556666:role/patchwave-inventory";

fn other(external_id: Option<&str>) -> Target {
    let name = "patchwave-inventory".to_owned();
    Target {
        account: OTHER.to_owned(),
        environment: None,
        role: Some(Role { name, external_id: external_id.map(str::to_owned) }),
        regions: vec![REGION.to_owned(), "eu-west-1".to_owned()],
    }
}

fn with_task(name: &str) -> Region {
    Region {
        ecs: vec![cluster(name, vec![task(name, 1, "family:job", &[("app", Some(digest(1)))])])],
        ..Region::default()
    }
}

fn unread_of(survey: &Survey, account: &str) -> Vec<(ConsumerKind, String)> {
    let of = survey.places.iter().filter(|read| read.place.account == account);
    of.filter_map(|read| Some((read.place.kind, read.unread.clone()?))).collect()
}

#[tokio::test]
async fn other_accounts_are_surveyed_through_their_role() {
    let fixture = Fixture::of(with_task("own")).await;
    fixture.accounts.set(OTHER, REGION, with_task("there"));
    fixture.accounts.set(OTHER, "eu-west-1", with_task("overseas"));
    fixture.accounts.trust(ROLE, Some("shared-id"));

    let (survey, _) = fixture.surveyor.survey(&[own(), other(Some("shared-id"))], None, None).await;

    assert_eq!(unread_of(&survey, OTHER), []);
    let clusters: Vec<_> = survey.sightings.iter().filter_map(|s| s.place.cluster.as_deref()).collect();
    assert_eq!(clusters, ["own", "overseas", "there"]);
    // Once for all regions, under a name that the other account's audit trail shows.
    assert_eq!(fixture.accounts.sessions(), ["patchwave-inventory"]);
}

#[tokio::test]
async fn a_role_that_may_not_be_assumed_leaves_its_account_unread_and_no_other() {
    let fixture = Fixture::of(with_task("own")).await;
    fixture.accounts.set(OTHER, REGION, with_task("there"));
    fixture.accounts.trust(ROLE, Some("shared-id"));

    let (survey, cursor) = fixture.surveyor.survey(&[own(), other(Some("wrong"))], None, None).await;

    assert_eq!(cursor, None);
    assert_eq!((unread_of(&survey, ACCOUNT), survey.sightings.len()), (Vec::new(), 1));
    let unread = unread_of(&survey, OTHER);
    // Both regions, each service.
    assert_eq!(unread.len(), 10);
    for (_, why) in unread {
        assert!(why.starts_with(&format!("cannot assume {ROLE}: ")) && why.contains("AccessDenied"), "{why}");
    }
}

#[tokio::test]
async fn an_account_that_is_named_twice_is_surveyed_once() {
    let fixture = Fixture::of(with_task("own")).await;
    let (survey, _) = fixture.surveyor.survey(&[own(), own()], None, None).await;
    assert_eq!((fixture.accounts.calls("ListClusters"), survey.sightings.len()), (1, 1));
}

fn many(n: usize) -> Region {
    let one = |i: usize| {
        let name = format!("c{i:03}");
        cluster(&name, vec![task(&name, i, "family:job", &[("app", Some(digest(1)))])])
    };
    Region { ecs: (0..n).map(one).collect(), ..Region::default() }
}

/// Surveys with as many invocations as needed. Each has this many seconds until its deadline.
async fn in_parts(fixture: &Fixture, targets: &[Target], seconds: i64) -> Vec<Survey> {
    let mut parts = Vec::new();
    let mut cursor: Option<Cursor> = None;
    for _ in 0..20 {
        let deadline =
            fixture.surveyor.clock.now().checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap();
        let (survey, left) = fixture.surveyor.survey(targets, Some(deadline), cursor).await;
        parts.push(survey);
        let Some(left) = left else { return parts };
        let stored = serde_json::to_string(&left).unwrap();
        cursor = Some(serde_json::from_str(&stored).unwrap());
        assert_eq!(cursor, Some(left));
        // The next invocation begins when this one has ended.
        fixture.surveyor.clock.until(deadline).await;
    }
    panic!("the survey does not end");
}

#[tokio::test]
async fn what_an_invocation_does_not_reach_the_next_one_reads() {
    let fixture = Fixture::of(many(300)).await;

    let parts = in_parts(&fixture, &[own()], 7).await;

    assert!(parts.len() > 1);
    let clusters = |survey: &Survey| {
        survey.places.iter().filter_map(|read| read.place.cluster.clone()).collect::<Vec<_>>()
    };
    let mut read: Vec<String> = parts.iter().flat_map(clusters).collect();
    read.sort();
    assert_eq!(read, (0..300).map(|i| format!("c{i:03}")).collect::<Vec<_>>());
    let unread: Vec<_> = parts.iter().flat_map(|part| unread_of(part, ACCOUNT)).collect();
    assert_eq!(unread, []);
    assert_eq!(parts.iter().map(|part| part.sightings.len()).sum::<usize>(), 300);
    assert_eq!(fixture.accounts.calls("ListClusters"), 3);
}

#[tokio::test]
async fn what_is_left_of_every_account_and_region_is_read() {
    let fixture = Fixture::of(many(150)).await;
    for region in [REGION, "eu-west-1"] {
        fixture.accounts.set(OTHER, region, many(150));
    }
    fixture.accounts.trust(ROLE, Some("shared-id"));

    let parts = in_parts(&fixture, &[own(), other(Some("shared-id"))], 5).await;

    assert!(parts.len() > 1);
    let clusters = parts.iter().flat_map(|part| &part.places).filter(|read| read.place.cluster.is_some());
    assert_eq!(clusters.count(), 3 * 150);
    assert_eq!(parts.iter().map(|part| part.sightings.len()).sum::<usize>(), 3 * 150);
}

#[tokio::test]
async fn a_place_that_two_invocations_do_not_finish_is_unread() {
    // These are more pages than the bucket grants in an invocation's five seconds.
    let tasks = (0..600).map(|n| task("huge", n, "family:job", &[("app", None)])).collect();
    let fixture = Fixture::of(Region { ecs: vec![cluster("huge", tasks)], ..Region::default() }).await;
    fixture.accounts.page(2);

    let parts = in_parts(&fixture, &[own()], 7).await;

    let last = parts.last().unwrap();
    let why = super::reason(last, &place(ConsumerKind::Ecs, Some("huge")));
    assert_eq!(why, "it takes longer than one invocation");
}

#[tokio::test]
async fn a_deadline_in_the_past_does_not_count() {
    let fixture = Fixture::of(with_task("own")).await;
    let (survey, cursor) = fixture.surveyor.survey(&[own()], Some(Timestamp::UNIX_EPOCH), None).await;
    assert_eq!((cursor, survey.sightings.len()), (None, 1));
}

#[tokio::test]
async fn even_a_short_invocation_makes_progress() {
    let fixture = Fixture::of(many(120)).await;
    let parts = in_parts(&fixture, &[own()], 2).await;
    assert!(parts.len() > 1);
    assert_eq!(parts.iter().map(|part| part.sightings.len()).sum::<usize>(), 120);
    assert!(parts.iter().all(|part| !part.places.is_empty() && unread_of(part, ACCOUNT).is_empty()));
}
