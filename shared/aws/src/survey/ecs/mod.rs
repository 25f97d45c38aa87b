//! ECS: tasks run images, and services without tasks refer to them.

mod services;
mod tasks;

use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::TaskDefinition;
use patchwave::inventory::{ConsumerKind, Place};

use super::pace::{Meter, Missed, Pace};
use super::reading::Reading;

/// Most entries on a page of any list. The default is ten.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListServices.html>
const PAGE: i32 = 100;

pub(super) async fn clusters(client: &Client, pace: &Pace, reading: &mut Reading) -> Vec<Place> {
    let mut places = Vec::new();
    let mut from = None;
    loop {
        let call = client.list_clusters().max_results(PAGE).set_next_token(from);
        match pace.call(Meter::EcsClusters, "list ECS clusters", || call.clone().send()).await {
            Ok(output) => {
                let names = output.cluster_arns().iter().map(|arn| last_part(arn));
                places.extend(names.map(|name| reading.cluster_place(ConsumerKind::Ecs, name)));
                from = output.next_token;
            }
            Err(missed) => {
                reading.miss(missed);
                return places;
            }
        }
        if from.is_none() {
            return places;
        }
    }
}

pub(super) async fn cluster(client: &Client, pace: &Pace, reading: &mut Reading) {
    let tasks = tasks::read(client, pace, reading).await;
    services::read(client, pace, reading, &tasks).await;
}

/// Notes what a task definition refers to. A deleted one refers to nothing, because no task can be
/// started from it.
pub(super) async fn refer(
    client: &Client,
    pace: &Pace,
    reading: &mut Reading,
    workload: &str,
    definition: &str,
) {
    let call = client.describe_task_definition().task_definition(definition);
    let operation = format!("describe the task definition {}", last_part(definition));
    match pace.call(Meter::EcsTaskDefinitions, &operation, || call.clone().send()).await {
        Ok(output) => {
            let containers = output.task_definition().map(TaskDefinition::container_definitions);
            for container in containers.unwrap_or_default() {
                let name = container.name().unwrap_or_default();
                reading.refers(workload, name, container.image().unwrap_or_default(), None);
            }
        }
        Err(Missed::Failed(fault)) if fault.message.starts_with("ClientException: Unable to describe") => {}
        Err(missed) => reading.miss(missed),
    }
}

/// Returns what follows an ARN's last slash.
fn last_part(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// Returns a task definition's family.
fn family(definition: &str) -> &str {
    let name = last_part(definition);
    name.split_once(':').map_or(name, |(family, _)| family)
}

/// Names a service as tasks do in their group.
fn service_workload(service: &str) -> String {
    format!("service:{service}")
}
