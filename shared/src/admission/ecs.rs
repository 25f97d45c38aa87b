//! ECS has no admission: a rule of EventBridge tells people when a task runs something else.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::allowed::Allowed;

/// The longest event pattern that EventBridge takes, in characters.
/// <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html>
const LONGEST: usize = 4_096;

/// A template with a rule that notices images of other repositories.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EcsRule {
    /// A CloudFormation template.
    pub template: Value,
    /// Whether the rule names repositories. If they are too many for a pattern, it names hosts.
    pub is_exact: bool,
}

/// Returns the template. It notices an image; it does not stop the task.
pub fn ecs_rule(allowed: &BTreeSet<Allowed>) -> EcsRule {
    let exact: Vec<String> = allowed.iter().flat_map(wildcards).collect();
    let pattern = pattern(&json!([{"anything-but": {"wildcard": exact}}]));
    let is_exact = pattern.to_string().len() <= LONGEST;
    let pattern = if is_exact {
        pattern
    } else {
        self::pattern(&json!([{"anything-but": {"wildcard": hosts(allowed)}}]))
    };
    EcsRule { template: template(&pattern), is_exact }
}

/// Which images of a repository an event may name, in EventBridge's wildcards.
fn wildcards(allowed: &Allowed) -> Vec<String> {
    match allowed {
        Allowed::Repository(name) => vec![name.clone(), format!("{name}:*"), format!("{name}@*")],
        Allowed::Host { host, repositories } => vec![format!("{host}/{repositories}*")],
        Allowed::Account { account, domain, repositories } => {
            vec![format!("{account}.dkr.ecr.*.{domain}/{repositories}*")]
        }
    }
    .into_iter()
    .map(|wildcard| wildcard.replace("**", "*"))
    .collect()
}

fn hosts(allowed: &BTreeSet<Allowed>) -> BTreeSet<String> {
    let host = |one: &Allowed| match one {
        Allowed::Repository(name) => format!("{}/*", name.split('/').next().unwrap_or_default()),
        Allowed::Host { host, .. } => format!("{host}/*"),
        Allowed::Account { account, domain, .. } => format!("{account}.dkr.ecr.*.{domain}/*"),
    };
    allowed.iter().map(host).collect()
}

fn pattern(images: &Value) -> Value {
    json!({
        "source": ["aws.ecs"],
        "detail-type": ["ECS Task State Change"],
        "detail": {"lastStatus": ["RUNNING"], "containers": {"image": images}},
    })
}

fn template(pattern: &Value) -> Value {
    let input = json!({
        "InputPathsMap": {"task": "$.detail.taskArn", "group": "$.detail.group"},
        "InputTemplate": "\"The task <task> of <group> runs an image that is neither built nor approved\"",
    });
    json!({
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "Notices ECS tasks that run an image of a repository that Patchwave's hierarchy does not name",
        "Parameters": {"TopicArn": {"Type": "String", "Description": "The SNS topic that is notified"}},
        "Resources": {
            "UnapprovedImages": {
                "Type": "AWS::Events::Rule",
                "Properties": {
                    "Description": "A task runs an image that is neither built nor approved",
                    "EventPattern": pattern,
                    "Targets": [{"Id": "topic", "Arn": {"Ref": "TopicArn"}, "InputTransformer": input}],
                },
            },
        },
    })
}
