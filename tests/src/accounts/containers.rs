//! ECS and EKS.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Region, Request, not_found, page};
use crate::awsjson::{Answer, Refusal, text};

/// An ECS cluster. Entries are as ECS describes them.
#[derive(Debug, Clone, Default)]
pub struct EcsCluster {
    pub arn: String,
    /// Tasks whose desired status is `RUNNING`.
    pub tasks: Vec<Value>,
    /// Tasks that are listed but cannot be described, with the reason.
    pub failures: Vec<(String, String)>,
    pub services: Vec<Value>,
    /// The revisions of its services.
    pub revisions: Vec<Value>,
}

/// The task definition `family:revision` has one container of the image `family`.
fn task_definition(name: &str) -> Value {
    let family = name.rsplit('/').next().unwrap_or(name).split(':').next().unwrap_or_default();
    json!({ "taskDefinitionArn": name, "containerDefinitions": [{ "name": "main", "image": family }] })
}

pub(super) fn ecs(operation: &str, region: &Region, input: &Value, size: Option<usize>) -> Answer {
    match operation {
        "ListClusters" => {
            let arns: Vec<Value> = region.ecs.iter().map(|cluster| json!(cluster.arn)).collect();
            list(input, "clusterArns", &arns, 100, size)
        }
        "DescribeTaskDefinition" => {
            Ok(json!({ "taskDefinition": task_definition(text(input, "taskDefinition")) }))
        }
        "DescribeServiceRevisions" => {
            most(input, "serviceRevisionArns", 20)?;
            let all = region.ecs.iter().flat_map(|cluster| &cluster.revisions);
            Ok(described(input, "serviceRevisionArns", "serviceRevisions", "serviceRevisionArn", all))
        }
        _ => {
            let named = |arn: &str| arn.rsplit('/').next() == Some(text(input, "cluster"));
            let Some(cluster) = region.ecs.iter().find(|cluster| named(&cluster.arn)) else {
                return Err(Refusal::new("ClusterNotFoundException", "Cluster not found."));
            };
            in_cluster(operation, cluster, input, size)
        }
    }
}

fn in_cluster(operation: &str, cluster: &EcsCluster, input: &Value, size: Option<usize>) -> Answer {
    let arns =
        |items: &[Value], field: &str| items.iter().map(|item| item[field].clone()).collect::<Vec<_>>();
    match operation {
        "ListTasks" => {
            let mut all = arns(&cluster.tasks, "taskArn");
            all.extend(cluster.failures.iter().map(|(arn, _)| json!(arn)));
            list(input, "taskArns", &all, 100, size)
        }
        "DescribeTasks" => {
            most(input, "tasks", 100)?;
            let mut output = described(input, "tasks", "tasks", "taskArn", cluster.tasks.iter());
            let asked =
                |arn: &str| input["tasks"].as_array().is_some_and(|tasks| tasks.contains(&json!(arn)));
            let failures = cluster.failures.iter().filter(|(arn, _)| asked(arn));
            output["failures"] =
                failures.map(|(arn, reason)| json!({ "arn": arn, "reason": reason })).collect();
            Ok(output)
        }
        "ListServices" => list(input, "serviceArns", &arns(&cluster.services, "serviceArn"), 10, size),
        "DescribeServices" => {
            most(input, "services", 10)?;
            Ok(described(input, "services", "services", "serviceName", cluster.services.iter()))
        }
        other => Err(Refusal::new("InvalidAction", format!("the fake knows no {other}"))),
    }
}

/// Answers one page of a list. `usual` is its size if the caller names none.
fn list(input: &Value, field: &str, items: &[Value], usual: usize, size: Option<usize>) -> Answer {
    let asked = input["maxResults"].as_u64().and_then(|asked| usize::try_from(asked).ok()).unwrap_or(usual);
    if asked > 100 {
        return Err(Refusal::new("InvalidParameterException", "maxResults is at most 100"));
    }
    let (items, next) = page(items, input["nextToken"].as_str(), asked, size)?;
    Ok(json!({ field: items, "nextToken": next }))
}

fn most(input: &Value, field: &str, most: usize) -> Result<(), Refusal> {
    match input[field].as_array() {
        Some(ids) if (1..=most).contains(&ids.len()) => Ok(()),
        _ => Err(Refusal::new("InvalidParameterException", format!("{field}: 1 to {most}"))),
    }
}

/// Answers the items that the caller names by `key`, and lists those that do not exist as failures.
fn described<'v>(
    input: &Value,
    asked: &str,
    field: &str,
    key: &str,
    all: impl Iterator<Item = &'v Value>,
) -> Value {
    let asked: BTreeSet<&str> =
        input[asked].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let found: Vec<&Value> = all.filter(|item| asked.contains(text(item, key))).collect();
    let known: BTreeSet<&str> = found.iter().map(|item| text(item, key)).collect();
    let missing = asked.difference(&known).map(|arn| json!({ "arn": arn, "reason": "MISSING" }));
    let failures: Vec<Value> = missing.collect();
    json!({ field: found, "failures": failures })
}

pub(super) fn eks(operation: &str, region: &Region, request: &Request<'_>, size: Option<usize>) -> Answer {
    if operation == "ListEksClusters" {
        let names: Vec<Value> = region.eks.iter().map(|cluster| cluster["name"].clone()).collect();
        let asked = request.query("maxResults").and_then(|asked| asked.parse().ok()).unwrap_or(100);
        let (names, next) = page(&names, request.query("nextToken").as_deref(), asked, size)?;
        return Ok(json!({ "clusters": names, "nextToken": next }));
    }
    let name = request.path().pop().unwrap_or_default().to_owned();
    match region.eks.iter().find(|cluster| cluster["name"] == name.as_str()) {
        Some(cluster) => Ok(json!({ "cluster": cluster })),
        None => not_found("cluster found for name"),
    }
}
