//! Batch: job definitions refer to images. Running jobs are tasks of ECS or pods of EKS, and are
//! seen there.

use aws_sdk_batch::Client;
use aws_sdk_batch::types::{
    ContainerProperties, EcsProperties, EcsTaskProperties, EksProperties, JobDefinition, NodeProperties,
};

use super::pace::{Meter, Pace};
use super::reading::Reading;

/// Most job definitions on a page.
/// <https://docs.aws.amazon.com/batch/latest/APIReference/API_DescribeJobDefinitions.html>
const PAGE: i32 = 100;

/// Reads all job definitions of a region.
pub(super) async fn read(client: &Client, pace: &Pace, reading: &mut Reading) {
    let mut from = None;
    loop {
        let call = client.describe_job_definitions().status("ACTIVE").max_results(PAGE).set_next_token(from);
        match pace.call(Meter::Batch, "describe Batch job definitions", || call.clone().send()).await {
            Ok(output) => {
                output.job_definitions().iter().for_each(|definition| note(definition, reading));
                from = output.next_token;
            }
            Err(missed) => return reading.miss(missed),
        }
        if from.is_none() {
            return;
        }
    }
}

fn note(definition: &JobDefinition, reading: &mut Reading) {
    let name = definition.job_definition_name().unwrap_or_default();
    let workload = format!("{name}:{}", definition.revision().unwrap_or_default());
    let mut images =
        images(definition.container_properties(), definition.ecs_properties(), definition.eks_properties());
    for node in definition.node_properties().map(NodeProperties::node_range_properties).unwrap_or_default() {
        images.extend(self::images(node.container(), node.ecs_properties(), node.eks_properties()));
    }
    for (container, image) in images {
        reading.refers(&workload, container, image, None);
    }
}

/// Returns the containers that a definition names in any of its three forms, with their images.
fn images<'d>(
    container: Option<&'d ContainerProperties>,
    tasks: Option<&'d EcsProperties>,
    pods: Option<&'d EksProperties>,
) -> Vec<(&'d str, &'d str)> {
    let tasks = tasks.map(EcsProperties::task_properties).unwrap_or_default();
    let pod = pods.and_then(EksProperties::pod_properties);
    let of_pods = pod.into_iter().flat_map(|pod| pod.containers().iter().chain(pod.init_containers()));
    let single = container.into_iter().map(|container| (None, container.image()));
    let of_tasks = tasks.iter().flat_map(EcsTaskProperties::containers).map(|c| (c.name(), c.image()));
    single
        .chain(of_tasks)
        .chain(of_pods.map(|container| (container.name(), container.image())))
        .filter_map(|(name, image)| Some((name.unwrap_or_default(), image?)))
        .collect()
}
