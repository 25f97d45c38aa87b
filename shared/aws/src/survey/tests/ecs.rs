//! ECS.

use std::collections::BTreeMap;

use patchwave::inventory::{ConsumerKind, Use};
use patchwave_tests::accounts::{EcsCluster, Region};
use serde_json::json;

use super::{Fixture, NOON, at, cluster, digest, place, reason, revision, seen, service, task, unread};

fn region(clusters: Vec<EcsCluster>) -> Region {
    Region { ecs: clusters, ..Region::default() }
}

#[tokio::test]
async fn every_container_of_every_task_is_seen_however_small_the_pages() {
    let tasks: Vec<_> = (0..5)
        .map(|n| task("web", n, "service:shop", &[("app", Some(digest(1))), ("log", Some(digest(2)))]))
        .collect();
    let services = vec![service("web", "shop", &[])];
    let clusters = (0..3).map(|n| cluster(&format!("empty-{n}"), Vec::new()));
    let web = EcsCluster { services, ..cluster("web", tasks) };
    let fixture = Fixture::of(region(clusters.chain([web]).collect())).await;
    fixture.accounts.page(2);

    let survey = fixture.survey().await;

    assert_eq!(survey.sightings.len(), 10);
    let first = &survey.sightings[0];
    assert_eq!(first.place, place(ConsumerKind::Ecs, Some("web")));
    assert_eq!((first.workload.as_str(), first.container.as_str()), ("service:shop", "app"));
    assert_eq!((first.unit.len(), first.architecture.as_deref()), (32, Some("amd64")));
    assert_eq!(first.resolved, Some(digest(1)));
    assert_eq!(first.used, Use::Running { since: Some(at("2026-01-01T00:00:00Z")) });
    for name in ["empty-0", "empty-1", "empty-2", "web"] {
        assert_eq!(unread(&survey, &place(ConsumerKind::Ecs, Some(name))), None);
    }
    assert_eq!(unread(&survey, &place(ConsumerKind::Ecs, None)), None);
    assert_eq!(survey.places[0].at, at(NOON));
    // Services are not read if their tasks report everything.
    assert_eq!(fixture.accounts.calls("DescribeServices"), 0);
}

#[tokio::test]
async fn a_task_that_stopped_since_it_was_listed_leaves_nothing_unknown_and_any_other_failure_does() {
    let stopped = EcsCluster {
        failures: vec![(super::arn("task/a/gone"), "MISSING".to_owned())],
        ..cluster("a", vec![task("a", 1, "family:job", &[("app", Some(digest(1)))])])
    };
    let hidden = EcsCluster {
        failures: vec![(super::arn("task/b/hidden"), "ACCESS_DENIED".to_owned())],
        ..cluster("b", vec![task("b", 1, "family:job", &[("app", Some(digest(1)))])])
    };
    let fixture = Fixture::of(region(vec![stopped, hidden])).await;

    let survey = fixture.survey().await;

    assert_eq!(unread(&survey, &place(ConsumerKind::Ecs, Some("a"))), None);
    let hidden = reason(&survey, &place(ConsumerKind::Ecs, Some("b")));
    assert_eq!(hidden, "ECS does not describe some tasks: ACCESS_DENIED");
    assert_eq!(survey.sightings.len(), 2);
}

#[tokio::test]
async fn what_has_ended_beside_others_does_not_run_and_what_is_pulled_will() {
    let mut mixed = task("web", 1, "", &[("init", Some(digest(1))), ("app", None)]);
    mixed["containers"][0]["lastStatus"] = json!("STOPPED");
    mixed["containers"][1]["lastStatus"] = json!("PENDING");
    mixed["startedAt"] = json!(null);
    mixed["taskDefinitionArn"] = json!(super::arn("task-definition/nightly:3"));
    let fixture = Fixture::of(region(vec![cluster("web", vec![mixed])])).await;

    let survey = fixture.survey().await;

    let of = |name: &str| survey.sightings.iter().find(|sighting| sighting.container == name).unwrap();
    assert_eq!(of("init").used, Use::Referenced);
    assert_eq!((of("app").used.clone(), &of("app").resolved), (Use::Running { since: None }, &None));
    assert_eq!(of("app").workload, "family:nightly");
}

#[tokio::test]
async fn a_digest_that_tasks_do_not_report_is_the_one_of_their_services_revision() {
    let unresolved = |n| task("web", n, "service:shop", &[("app", None), ("ecs-service-connect-x", None)]);
    let images = |n| BTreeMap::from([("app", digest(n))]);
    let one = EcsCluster {
        services: vec![service("web", "shop", &["1"])],
        revisions: vec![revision("web", "shop", "1", &images(1))],
        ..cluster("web", vec![unresolved(1)])
    };
    let fixture = Fixture::of(region(vec![one.clone()])).await;
    let survey = fixture.survey().await;
    let app = digest(1);
    let expected =
        [("service:shop", "app", Some(app.as_str())), ("service:shop", "ecs-service-connect-x", None)];
    assert_eq!(seen(&survey), expected);

    // While two revisions of the same task definition differ, it is not known which of them a task runs.
    let two = EcsCluster {
        services: vec![service("web", "shop", &["1", "2"])],
        revisions: vec![revision("web", "shop", "1", &images(1)), revision("web", "shop", "2", &images(2))],
        ..one
    };
    let fixture = Fixture::of(region(vec![two])).await;
    assert_eq!(seen(&fixture.survey().await)[0], ("service:shop", "app", None));
}

#[tokio::test]
async fn a_container_that_never_has_a_digest_costs_no_call() {
    let mut guarded =
        task("web", 1, "service:shop", &[("app", Some(digest(1))), ("aws-guardduty-agent-x", None)]);
    guarded["containers"][1]["image"] =
        json!("593207742271.dkr.ecr.us-east-1.amazonaws.com/aws-guardduty-agent-fargate:v1");
    let tasks = vec![guarded];
    let web = EcsCluster { services: vec![service("web", "shop", &["1"])], ..cluster("web", tasks) };
    let fixture = Fixture::of(region(vec![web])).await;
    assert_eq!(fixture.survey().await.sightings.len(), 2);
    assert_eq!(
        fixture.accounts.calls("DescribeServices") + fixture.accounts.calls("DescribeServiceRevisions"),
        0
    );
}

#[tokio::test]
async fn services_that_run_nothing_refer() {
    let resting = EcsCluster {
        services: (0..12).map(|n| service("web", &format!("s{n:02}"), &["1"])).collect(),
        revisions: (0..11)
            .map(|n| revision("web", &format!("s{n:02}"), "1", &BTreeMap::from([("app", digest(n))])))
            .collect(),
        ..cluster("web", Vec::new())
    };
    let fixture = Fixture::of(region(vec![resting])).await;

    let survey = fixture.survey().await;

    assert_eq!(survey.sightings.len(), 12);
    assert!(survey.sightings.iter().all(|sighting| sighting.used == Use::Referenced));
    let third = digest(3);
    assert_eq!(seen(&survey)[3], ("service:s03", "app", Some(third.as_str())));
    // The revision of the last one is gone: its task definition names an image and no digest.
    assert_eq!(seen(&survey)[11], ("service:s11", "main", None));
    assert_eq!(survey.sightings[11].image, "s11");
    assert_eq!(
        (fixture.accounts.calls("DescribeServices"), fixture.accounts.calls("DescribeServiceRevisions")),
        (2, 1)
    );
}

#[tokio::test]
async fn a_throttled_call_is_made_again_and_later_ones_slow_down() {
    let fixture =
        Fixture::of(region(vec![cluster("web", vec![task("web", 1, "family:job", &[("app", None)])])])).await;
    fixture.accounts.refuse("ListTasks", "ThrottlingException", 3);

    let survey = fixture.survey().await;

    assert_eq!(unread(&survey, &place(ConsumerKind::Ecs, Some("web"))), None);
    assert_eq!(survey.sightings.len(), 1);
    assert_eq!(fixture.accounts.calls("ListTasks"), 4);
    assert!(fixture.clock.waited() >= 0.25 + 0.5 + 1.0, "{}", fixture.clock.waited());
}

#[tokio::test]
async fn a_call_that_is_always_throttled_leaves_the_cluster_unread() {
    let fixture =
        Fixture::of(region(vec![cluster("web", vec![task("web", 1, "service:shop", &[("app", None)])])]))
            .await;
    fixture.accounts.refuse("ListServices", "ThrottlingException", 100);

    let survey = fixture.survey().await;

    let why = reason(&survey, &place(ConsumerKind::Ecs, Some("web")));
    assert!(why.starts_with("cannot list ECS services: ThrottlingException"), "{why}");
    // What was seen before the failure is kept.
    assert_eq!(survey.sightings.len(), 1);
    assert_eq!(fixture.accounts.calls("ListServices"), 6);
}

#[tokio::test]
async fn one_cluster_that_may_not_be_read_hides_no_other() {
    let clusters =
        ["a", "b", "c"].map(|name| cluster(name, vec![task(name, 1, "family:job", &[("app", None)])]));
    let fixture = Fixture::of(region(clusters.to_vec())).await;
    fixture.accounts.refuse("ListTasks", "AccessDeniedException", 1);

    let survey = fixture.survey().await;

    assert_eq!(survey.places.iter().filter(|read| read.place.cluster.is_some()).count(), 3);
    let denied: Vec<_> = survey
        .places
        .iter()
        .filter(|read| read.place.cluster.is_some())
        .filter_map(|read| read.unread.as_deref())
        .collect();
    assert_eq!(denied.len(), 1);
    assert!(denied[0].starts_with("cannot list ECS tasks: AccessDeniedException"), "{}", denied[0]);
    assert_eq!(survey.sightings.len(), 2);
}

#[tokio::test]
async fn a_list_of_clusters_that_fails_is_unread_and_not_empty() {
    let fixture = Fixture::of(region(vec![cluster("a", Vec::new())])).await;
    fixture.accounts.refuse("ListClusters", "ExpiredTokenException", 1);
    let why = reason(&fixture.survey().await, &place(ConsumerKind::Ecs, None));
    assert!(why.starts_with("cannot list ECS clusters: ExpiredTokenException"), "{why}");
}

#[tokio::test]
async fn a_cluster_that_was_deleted_since_it_was_listed_is_read_and_empty() {
    let fixture = Fixture::of(region(vec![cluster("a", Vec::new())])).await;
    fixture.accounts.refuse("ListTasks", "ClusterNotFoundException", 1);
    assert_eq!(unread(&fixture.survey().await, &place(ConsumerKind::Ecs, Some("a"))), None);
}

#[tokio::test]
async fn a_task_says_for_which_operating_system_it_runs() {
    let of = |id: usize, family: &str| {
        let mut task = task("web", id, "service:shop", &[("app", Some(digest(1)))]);
        task["platformFamily"] = json!(family);
        task
    };
    let mut instance = task("web", 3, "service:shop", &[("app", Some(digest(1)))]);
    instance["attributes"] = json!([{ "name": "ecs.os-type", "value": "windows" }]);
    let silent = task("web", 4, "service:shop", &[("app", Some(digest(1)))]);
    let tasks = vec![of(1, "Linux"), of(2, "WINDOWS_SERVER_2022_CORE"), instance, silent];
    let fixture = Fixture::of(region(vec![cluster("web", tasks)])).await;
    let survey = fixture.survey().await;
    let on: Vec<Option<&str>> = survey.sightings.iter().map(|seen| seen.os.as_deref()).collect();
    assert_eq!(on, [Some("linux"), Some("windows"), Some("windows"), None]);
}
