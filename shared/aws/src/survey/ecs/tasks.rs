//! Running tasks, and all their containers.

use std::collections::BTreeSet;

use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{Attribute, Container, Task};
use patchwave::inventory::{Sighting, Use, is_added_by_aws};

use super::{PAGE, family, last_part};
use crate::survey::pace::{Meter, Pace};
use crate::survey::reading::Reading;
use crate::time::timestamp;

/// Most tasks that one call describes.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html>
const MOST_TASKS: usize = 100;

/// What the tasks of a cluster do not report, so that its services must.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The services that run at least one task.
    pub(super) services: BTreeSet<String>,
    /// Containers of services' tasks that have no digest.
    pub(super) unresolved: Vec<Unresolved>,
}

/// A container without a digest.
#[derive(Debug)]
pub(super) struct Unresolved {
    /// Its index in the sightings.
    pub(super) sighting: usize,
    pub(super) service: String,
    /// The task definition's ARN.
    pub(super) definition: String,
}

pub(super) async fn read(client: &Client, pace: &Pace, reading: &mut Reading) -> Seen {
    let mut seen = Seen::default();
    let arns = list(client, pace, reading).await;
    for arns in arns.chunks(MOST_TASKS) {
        let call = client.describe_tasks().cluster(reading.cluster()).set_tasks(Some(arns.to_vec()));
        match pace.call(Meter::EcsTasks, "describe ECS tasks", || call.clone().send()).await {
            Ok(output) => {
                for task in output.tasks() {
                    note(task, reading, &mut seen);
                }
                // A missing task has stopped since it was listed.
                for failure in output.failures().iter().filter(|f| f.reason() != Some("MISSING")) {
                    let reason = failure.reason().unwrap_or("no reason given");
                    reading.unread(format!("ECS does not describe some tasks: {reason}"));
                }
            }
            Err(missed) => {
                reading.miss(missed);
                return seen;
            }
        }
    }
    seen
}

/// Lists the tasks that should run. Tasks that are stopping are left out.
async fn list(client: &Client, pace: &Pace, reading: &mut Reading) -> Vec<String> {
    let mut arns = Vec::new();
    let mut from = None;
    loop {
        let call = client.list_tasks().cluster(reading.cluster()).max_results(PAGE).set_next_token(from);
        match pace.call(Meter::EcsTasks, "list ECS tasks", || call.clone().send()).await {
            Ok(output) => {
                arns.extend(output.task_arns.unwrap_or_default());
                from = output.next_token;
            }
            Err(missed) => {
                reading.miss(missed);
                return arns;
            }
        }
        if from.is_none() {
            return arns;
        }
    }
}

fn note(task: &Task, reading: &mut Reading, seen: &mut Seen) {
    let definition = task.task_definition_arn().unwrap_or_default();
    let workload = match task.group() {
        Some(group) if !group.is_empty() => group.to_owned(),
        _ => format!("family:{}", family(definition)),
    };
    let service = workload.strip_prefix("service:").map(str::to_owned);
    seen.services.extend(service.clone());
    for container in task.containers() {
        let sighting = Sighting {
            place: reading.place().clone(),
            workload: workload.clone(),
            unit: last_part(task.task_arn().unwrap_or_default()).to_owned(),
            container: container.name().unwrap_or_default().to_owned(),
            image: container.image().unwrap_or_default().to_owned(),
            resolved: container.image_digest().filter(|digest| !digest.is_empty()).map(str::to_owned),
            architecture: architecture(task),
            os: os(task),
            used: used(task, container),
        };
        if let Some(service) = &service
            && sighting.resolved.is_none()
            && !is_added_by_aws(&sighting)
        {
            seen.unresolved.push(Unresolved {
                sighting: reading.sightings().len(),
                service: service.clone(),
                definition: definition.to_owned(),
            });
        }
        reading.note(sighting);
    }
}

/// Returns how a container is used. One that has ended beside running ones, such as an init
/// container, does not run.
fn used(task: &Task, container: &Container) -> Use {
    if container.last_status() == Some("STOPPED") {
        return Use::Referenced;
    }
    Use::Running { since: task.started_at().and_then(timestamp) }
}

/// Returns the processor's architecture, by the name that images have for it.
fn architecture(task: &Task) -> Option<String> {
    let attribute = task.attributes().iter().find(|attribute| attribute.name() == "ecs.cpu-architecture")?;
    Some(match attribute.value()? {
        "x86_64" => "amd64".to_owned(),
        other => other.to_owned(),
    })
}

/// Returns the operating system, by the name that images have for it. ECS names the family of a
/// task on Fargate, and the attribute of an instance of one's own.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Task.html>
fn os(task: &Task) -> Option<String> {
    let mut attributes = task.attributes().iter();
    let attribute = attributes.find(|attribute| attribute.name() == "ecs.os-type").and_then(Attribute::value);
    let family = task.platform_family().or(attribute)?.to_ascii_lowercase();
    ["linux", "windows"].into_iter().find(|os| family.starts_with(os)).map(str::to_owned)
}
