//! Rules and schedules that start tasks.

use patchwave::inventory::{ConsumerKind, Use};
use patchwave_tests::accounts::Region;
use serde_json::{Value, json};

use super::{Fixture, arn, place, reason, unread};

fn definition(family: &str) -> String {
    arn(&format!("task-definition/{family}:1"))
}

/// A rule with targets: a queue, and a cluster on which it starts each of these.
fn rule(name: &str, families: &[&str]) -> Value {
    let mut targets = vec![json!({ "Id": "queue", "Arn": "arn:aws:sqs:us-east-1:111122223333:q" })];
    targets.extend(families.iter().map(|family| {
        json!({ "Id": family, "Arn": arn("cluster/web"), "RoleArn": "r",
            "EcsParameters": { "TaskDefinitionArn": definition(family), "TaskCount": 1 } })
    }));
    json!({ "Name": name, "State": "ENABLED", "Targets": targets })
}

fn schedule(name: &str, target: &Value) -> Value {
    json!({ "Name": name, "GroupName": "jobs", "Target": target })
}

fn with_schedules() -> Region {
    let on_a_cluster = |family: &str| {
        json!({ "Arn": arn("cluster/web"), "RoleArn": "r",
            "EcsParameters": { "TaskDefinitionArn": definition(family) } })
    };
    let input = json!({ "Cluster": "web", "TaskDefinition": "report" }).to_string();
    Region {
        rules: vec![
            rule("nightly", &["backup", "cleanup"]),
            rule("others", &[]),
            rule("on-upload", &["thumbnail"]),
        ],
        schedules: vec![
            schedule("hourly", &on_a_cluster("sync")),
            schedule("queue", &json!({ "Arn": "arn:aws:sqs:us-east-1:111122223333:q", "RoleArn": "r" })),
            schedule(
                "monthly",
                &json!({ "Arn": "arn:aws:scheduler:::aws-sdk:ecs:runTask", "RoleArn": "r", "Input": input }),
            ),
        ],
        ..Region::default()
    }
}

#[tokio::test]
async fn what_only_a_rule_or_a_schedule_starts_is_referred_to() {
    let fixture = Fixture::of(with_schedules()).await;
    fixture.accounts.page(1);
    let survey = fixture.survey().await;
    assert_eq!(unread(&survey, &place(ConsumerKind::Schedules, None)), None);
    let seen: Vec<(&str, &str)> =
        survey.sightings.iter().map(|s| (s.workload.as_str(), s.image.as_str())).collect();
    let expected = [
        ("rule:nightly", "backup"),
        ("rule:nightly", "cleanup"),
        ("rule:on-upload", "thumbnail"),
        ("schedule:jobs/hourly", "sync"),
        ("schedule:jobs/monthly", "report"),
    ];
    assert_eq!(seen, expected);
    assert!(survey.sightings.iter().all(|sighting| sighting.used == Use::Referenced));
    // Schedules that cannot start a task are not read.
    assert_eq!(fixture.accounts.calls("GetSchedule"), 2);
}

#[tokio::test]
async fn what_was_deleted_since_refers_to_nothing_and_what_fails_is_unread() {
    let fixture = Fixture::of(with_schedules()).await;
    fixture.accounts.refuse("ListTargetsByRule", "ResourceNotFoundException", 1);
    fixture.accounts.refuse("GetSchedule", "ResourceNotFoundException", 1);
    let survey = fixture.survey().await;
    assert_eq!(unread(&survey, &place(ConsumerKind::Schedules, None)), None);
    assert_eq!(survey.sightings.len(), 2);

    // Rules that cannot be listed hide no schedules, and the other way round.
    fixture.accounts.refuse("ListRules", "AccessDeniedException", 1);
    let survey = fixture.survey().await;
    let why = reason(&survey, &place(ConsumerKind::Schedules, None));
    assert!(why.starts_with("cannot list EventBridge rules: AccessDenied"), "{why}");
    assert_eq!(survey.sightings.len(), 2);
    fixture.accounts.refuse("GetSchedule", "AccessDeniedException", 1);
    let survey = fixture.survey().await;
    let why = reason(&survey, &place(ConsumerKind::Schedules, None));
    assert!(why.starts_with("cannot get the schedule jobs/hourly: AccessDenied"), "{why}");
    assert_eq!(survey.sightings.len(), 3);
}

#[tokio::test]
async fn a_task_definition_that_was_deleted_is_no_reference_and_one_that_may_not_be_read_is_unread() {
    let fixture = Fixture::of(with_schedules()).await;
    fixture.accounts.refuse_saying(
        "DescribeTaskDefinition",
        "ClientException",
        "Unable to describe task definition.",
        1,
    );
    let survey = fixture.survey().await;
    assert_eq!((unread(&survey, &place(ConsumerKind::Schedules, None)), survey.sightings.len()), (None, 4));
    fixture.accounts.refuse("DescribeTaskDefinition", "AccessDeniedException", 1);
    let survey = fixture.survey().await;
    let why = reason(&survey, &place(ConsumerKind::Schedules, None));
    assert!(why.starts_with("cannot describe the task definition backup:1: AccessDenied"), "{why}");
    assert_eq!(survey.sightings.len(), 4);
}
