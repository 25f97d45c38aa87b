//! ECS and EKS as moto implements them, where it is right. Its tasks have no digests and one
//! container each. Its lists have no pages, and its clusters of EKS no Kubernetes.

use patchwave::inventory::{ConsumerKind, Use};
use patchwave_tests::moto::{ACCOUNT, Moto};
use serde_json::{Value, json};

use super::super::{Surveyor, Target};
use super::{REGION, config, reason, seen, unmarked, unread};
use crate::clients::Clients;

const ECS: &str = "AmazonEC2ContainerServiceV20141113";

async fn ecs(moto: &Moto, operation: &str, input: Value) {
    moto.call("ecs", &format!("{ECS}.{operation}"), &input).await.unwrap();
}

#[tokio::test]
async fn motos_clusters_are_read() {
    let moto = Moto::start().await;
    ecs(&moto, "CreateCluster", json!({ "clusterName": "web" })).await;
    let containers = json!([{ "name": "app", "image": "r/app:1", "memory": 128 }]);
    ecs(&moto, "RegisterTaskDefinition", json!({ "family": "shop", "containerDefinitions": containers }))
        .await;
    let run = json!({ "cluster": "web", "taskDefinition": "shop", "count": 3, "launchType": "FARGATE" });
    ecs(&moto, "RunTask", run).await;
    let service =
        json!({ "cluster": "web", "serviceName": "resting", "taskDefinition": "shop", "desiredCount": 0 });
    ecs(&moto, "CreateService", service).await;
    let cluster = json!({ "name": "pods", "roleArn": format!("arn:aws:iam::{ACCOUNT}:role/eks"),
        "resourcesVpcConfig": { "subnetIds": ["subnet-1"] } });
    moto.post("eks", "clusters", &cluster).await;
    let nightly = json!({ "Rule": "nightly", "Targets": [{ "Id": "1", "Arn": "arn:aws:ecs:us-east-1:123456789012:cluster/web",
        "RoleArn": "r", "EcsParameters": { "TaskDefinitionArn": "shop" } }] });
    let rule = json!({ "Name": "nightly", "ScheduleExpression": "rate(1 day)" });
    for (operation, input) in [("PutRule", rule), ("PutTargets", nightly)] {
        moto.call("events", &format!("AWSEvents.{operation}"), &input).await.unwrap();
    }
    let hourly = json!({ "ScheduleExpression": "rate(1 hour)", "FlexibleTimeWindow": { "Mode": "OFF" },
        "Target": { "Arn": "arn:aws:ecs:us-east-1:123456789012:cluster/web", "RoleArn": "r",
            "EcsParameters": { "TaskDefinitionArn": "shop" } } });
    moto.post("scheduler", "schedules/hourly", &hourly).await;
    let surveyor = Surveyor::new(Clients::of(config(moto.url()).await), None, unmarked());
    let regions = vec![REGION.to_owned()];
    let target = Target { account: ACCOUNT.to_owned(), environment: None, role: None, regions };

    let (survey, _) = surveyor.survey(&[target], None, None).await;

    let place = |kind, cluster: Option<&str>| patchwave::inventory::Place {
        account: ACCOUNT.to_owned(),
        environment: None,
        ..super::place(kind, cluster)
    };
    assert_eq!(unread(&survey, &place(ConsumerKind::Ecs, Some("web"))), None);
    assert_eq!(unread(&survey, &place(ConsumerKind::Eks, None)), None);
    assert_eq!(unread(&survey, &place(ConsumerKind::Lambda, None)), None);
    assert_eq!(unread(&survey, &place(ConsumerKind::Batch, None)), None);
    // Three tasks run. The service has no revisions here, so its task definition refers.
    let shop = ("family:shop", "app", None);
    let refer =
        ["service:resting", "rule:nightly", "schedule:default/hourly"].map(|name| (name, "app", None));
    assert_eq!(seen(&survey), [&[shop; 3][..], &refer].concat());
    assert_eq!(survey.sightings.iter().filter(|sighting| sighting.used == Use::Referenced).count(), 3);
    assert_eq!(unread(&survey, &place(ConsumerKind::Schedules, None)), None);
    let why = reason(&survey, &place(ConsumerKind::Eks, Some("pods")));
    assert!(why.contains("certificate authority"), "{why}");
}
