//! The bus, the schedules, the bucket of the hierarchy, and roles.

use patchwave::hierarchy::{Hierarchy, Organization, Role};
use patchwave::notice::Notice;
use patchwave::time::Timestamp;
use serde_json::{Value, json};

use super::{check, failing, of_call};
use crate::clients::Clients;
use crate::eventbridge::Bus;
use crate::hierarchy::HierarchySource;
use crate::organizations;
use crate::scheduler::{Schedule, Scheduler};
use crate::settings::Source;
use crate::sqs::Continuation;
use crate::upstream::secret::Secrets;

fn now() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

fn notice() -> Notice {
    serde_json::from_value(json!({
        "id": "base/os/vulnerable/1", "revision": 1, "state": "opened", "rootCause": "vulnerable",
        "image": "base/os", "tier": "base", "since": now(), "needs": ["a rebuild by Patchwave"],
        "exploited": false, "severity": "critical", "findings": ["CVE-1 in openssl"], "findingCount": 1,
        "affectedImages": 12,
    }))
    .unwrap()
}

fn usual(operation: &str) -> Value {
    match operation {
        "PutEvents" => json!({"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]}),
        "GetSchedule" => json!({"Target": {"Arn": "a", "RoleArn": "r"}}),
        // Not a hierarchy, so that the editions before it are asked for.
        "GetObject" => json!("no hierarchy"),
        "GetSecretValue" => json!({"SecretString": r#"{"username": "jo", "accessToken": "s3cret"}"#}),
        "SendMessage" => json!({"MessageId": "1"}),
        "ListRoots" => json!({"Roots": [{"Id": "r-1"}]}),
        "ListAccountsForParent" => json!({"Accounts": [{"Id": "111122223333", "State": "ACTIVE"}]}),
        _ => json!({}),
    }
}

const WITH_CREDENTIALS: &str = "{version: 1, registry: 111122223333.dkr.ecr.us-east-1.amazonaws.com, \
    upstreams: {hosts: {ghcr.io: {credentials: 'arn:aws:secretsmanager:us-east-1:111122223333:secret:ghcr-AbCdEf'}}}, \
    images: [{tier: base, repository: base/os, tags: ['1'], from: scratch}]}";

/// The accounts of an organisation, whose environments are in their tags.
fn organization() -> Organization {
    Organization { units: Vec::new(), environment_tag: Some("environment".into()), role: None }
}

#[tokio::test]
async fn answers_of_the_other_services() {
    let hierarchy = Hierarchy::parse("h.yaml", WITH_CREDENTIALS).unwrap();
    check("answers_of_the_other_services", async |row| {
        let config = failing(row, usual);
        match row.operation {
            "PutEvents" => {
                let bus = Bus::new(aws_sdk_eventbridge::Client::new(&config), "patchwave".into());
                of_call(bus.notify(&[notice()]).await.remove(0), "sent")
            }
            "GetSchedule" | "CreateSchedule" => {
                let schedule = Schedule { group: "patchwave".into(), name: "daily".into() };
                let scheduler = Scheduler::new(aws_sdk_scheduler::Client::new(&config), schedule);
                of_call(scheduler.schedule_once(now(), now()).await, "scheduled")
            }
            "AssumeRole" => {
                let role = Role { name: "reader".into(), external_id: None };
                of_call(Clients::of(config).assume("444455556666", &role, "test").await, "assumed")
            }
            "SendMessage" => {
                let queue = "https://sqs.us-east-1.amazonaws.com/111122223333/changes".to_owned();
                of_call(Continuation::new(aws_sdk_sqs::Client::new(&config), queue).send(now()).await, "sent")
            }
            "GetSecretValue" => {
                let secrets = Secrets::new(Clients::of(config), hierarchy.upstreams().clone());
                of_call(secrets.of(&"ghcr.io".parse().unwrap()).await, "read")
            }
            "ListRoots" | "ListChildren" | "ListAccountsForParent" | "ListTagsForResource" => {
                let client = aws_sdk_organizations::Client::new(&config);
                of_call(organizations::accounts(&client, &organization()).await, "listed")
            }
            "GetObject" | "ListObjectVersions" => {
                let object = Source::Object { bucket: "conf".into(), key: "h.yaml".into() };
                let source = HierarchySource::new(object).keeping();
                of_call(source.load(|| aws_sdk_s3::Client::new(&config), now()).await, "read")
            }
            other => panic!("no call of {other}"),
        }
    })
    .await;
}
