//! Services: what idle services refer to, and the digests that tasks do not report.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{ContainerImage, Service, ServiceRevision, TaskSet};

use super::tasks::{Seen, Unresolved};
use super::{PAGE, last_part, service_workload};
use crate::survey::pace::{Meter, Pace};
use crate::survey::reading::Reading;

/// Most services that one call describes.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeServices.html>
const MOST_SERVICES: usize = 10;
/// Most service revisions that one call describes.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeServiceRevisions.html>
const MOST_REVISIONS: usize = 20;

/// Reads only the services whose tasks do not report everything. All others are known from their
/// tasks.
pub(super) async fn read(client: &Client, pace: &Pace, reading: &mut Reading, seen: &Seen) {
    let without_digest: BTreeSet<&str> = seen.unresolved.iter().map(|u| u.service.as_str()).collect();
    let listed = list(client, pace, reading).await;
    let asked: Vec<String> = listed
        .into_iter()
        .filter(|name| !seen.services.contains(name) || without_digest.contains(name.as_str()))
        .collect();
    let services = describe(client, pace, reading, &asked).await;
    let revisions = revisions(client, pace, reading, &services).await;
    resolve(reading, &seen.unresolved, &revisions);
    for service in services.iter().filter(|service| idle(service, seen)) {
        refer(client, pace, reading, service, &revisions).await;
    }
}

/// Returns whether no task of a service was seen to run.
fn idle(service: &Service, seen: &Seen) -> bool {
    !seen.services.contains(service.service_name().unwrap_or_default())
}

async fn list(client: &Client, pace: &Pace, reading: &mut Reading) -> Vec<String> {
    let mut names = Vec::new();
    let mut from = None;
    loop {
        let call = client.list_services().cluster(reading.cluster()).max_results(PAGE).set_next_token(from);
        match pace.call(Meter::EcsServices, "list ECS services", || call.clone().send()).await {
            Ok(output) => {
                names.extend(output.service_arns().iter().map(|arn| last_part(arn).to_owned()));
                from = output.next_token;
            }
            Err(missed) => {
                reading.miss(missed);
                return names;
            }
        }
        if from.is_none() {
            return names;
        }
    }
}

/// Describes services. Those that ended since they were listed are left out.
async fn describe(client: &Client, pace: &Pace, reading: &mut Reading, names: &[String]) -> Vec<Service> {
    let mut services = Vec::new();
    for names in names.chunks(MOST_SERVICES) {
        let call = client.describe_services().cluster(reading.cluster()).set_services(Some(names.to_vec()));
        match pace.call(Meter::EcsServices, "describe ECS services", || call.clone().send()).await {
            Ok(output) => {
                for failure in output.failures().iter().filter(|f| f.reason() != Some("MISSING")) {
                    let reason = failure.reason().unwrap_or("no reason given");
                    reading.unread(format!("ECS does not describe some services: {reason}"));
                }
                let described = output.services.unwrap_or_default().into_iter();
                services.extend(described.filter(|service| service.status() != Some("INACTIVE")));
            }
            Err(missed) => {
                reading.miss(missed);
                return services;
            }
        }
    }
    services
}

/// Describes the revisions that services run or would run, by service.
async fn revisions(
    client: &Client,
    pace: &Pace,
    reading: &mut Reading,
    services: &[Service],
) -> BTreeMap<String, Vec<ServiceRevision>> {
    let arns: Vec<String> = services
        .iter()
        .flat_map(Service::current_service_revisions)
        .filter_map(|revision| revision.arn().map(str::to_owned))
        .collect();
    let mut found: BTreeMap<String, Vec<ServiceRevision>> = BTreeMap::new();
    for arns in arns.chunks(MOST_REVISIONS) {
        let call = client.describe_service_revisions().set_service_revision_arns(Some(arns.to_vec()));
        let operation = "describe ECS service revisions";
        match pace.call(Meter::EcsRevisions, operation, || call.clone().send()).await {
            Ok(output) => {
                for failure in output.failures().iter().filter(|f| f.reason() != Some("MISSING")) {
                    let reason = failure.reason().unwrap_or("no reason given");
                    reading.unread(format!("ECS does not describe some service revisions: {reason}"));
                }
                for revision in output.service_revisions.unwrap_or_default() {
                    let service = last_part(revision.service_arn().unwrap_or_default()).to_owned();
                    found.entry(service).or_default().push(revision);
                }
            }
            Err(missed) => {
                reading.miss(missed);
                return found;
            }
        }
    }
    found
}

/// Gives containers without a digest the one that ECS resolved for all tasks of their service, if
/// there is only one.
///
/// During a deployment of the same task definition there are two revisions. If their digests
/// differ, it is unknown which of them a container runs.
fn resolve(
    reading: &mut Reading,
    unresolved: &[Unresolved],
    revisions: &BTreeMap<String, Vec<ServiceRevision>>,
) {
    for container in unresolved {
        let Some(sighting) = reading.sightings().get_mut(container.sighting) else { continue };
        let revisions = revisions.get(&container.service).map(Vec::as_slice).unwrap_or_default();
        let digests: BTreeSet<Option<&str>> = revisions
            .iter()
            .filter(|revision| revision.task_definition() == Some(&container.definition))
            .flat_map(ServiceRevision::container_images)
            .filter(|image| image.container_name() == Some(&sighting.container))
            .map(ContainerImage::image_digest)
            .collect();
        if let [Some(digest)] = digests.into_iter().collect::<Vec<_>>()[..] {
            sighting.resolved = Some(digest.to_owned());
        }
    }
}

/// Notes what an idle service would run. Its revisions name the digests, its task definition names
/// only images.
async fn refer(
    client: &Client,
    pace: &Pace,
    reading: &mut Reading,
    service: &Service,
    revisions: &BTreeMap<String, Vec<ServiceRevision>>,
) {
    let name = service.service_name().unwrap_or_default();
    let workload = service_workload(name);
    let revisions = revisions.get(name).map(Vec::as_slice).unwrap_or_default();
    let images: Vec<_> = revisions.iter().flat_map(ServiceRevision::container_images).collect();
    for image in &images {
        let container = image.container_name().unwrap_or_default();
        reading.refers(&workload, container, image.image().unwrap_or_default(), image.image_digest());
    }
    if !images.is_empty() {
        return;
    }
    for definition in definitions(service) {
        super::refer(client, pace, reading, &workload, definition).await;
    }
}

/// Returns the task definitions that a service names. A service with task sets has none of its own.
fn definitions(service: &Service) -> BTreeSet<&str> {
    let of_sets = service.task_sets().iter().filter_map(TaskSet::task_definition);
    service.task_definition().into_iter().chain(of_sets).collect()
}
