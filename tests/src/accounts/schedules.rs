//! The rules of EventBridge and the schedules of Scheduler.

use serde_json::{Value, json};

use super::{Region, Request, not_found, page};
use crate::awsjson::{Answer, text};

/// Answers calls about rules. A rule is an entry of `ListRules` with its `Targets`.
pub(super) fn rules(operation: &str, region: &Region, input: &Value, size: Option<usize>) -> Answer {
    let asked = input["Limit"].as_u64().and_then(|asked| usize::try_from(asked).ok()).unwrap_or(100);
    let token = input["NextToken"].as_str();
    if operation == "ListRules" {
        let (rules, next) = page(&region.rules, token, asked, size)?;
        return Ok(json!({ "Rules": rules, "NextToken": next }));
    }
    let Some(rule) = region.rules.iter().find(|rule| rule["Name"] == input["Rule"]) else {
        return not_found("rule");
    };
    let targets = rule["Targets"].as_array().map(Vec::as_slice).unwrap_or_default();
    let (targets, next) = page(targets, token, asked, size)?;
    Ok(json!({ "Targets": targets, "NextToken": next }))
}

/// Answers calls about schedules. A schedule is an answer of `GetSchedule`.
pub(super) fn schedules(
    operation: &str,
    region: &Region,
    request: &Request<'_>,
    size: Option<usize>,
) -> Answer {
    if operation == "ListSchedules" {
        let asked = request.query("MaxResults").and_then(|asked| asked.parse().ok()).unwrap_or(100);
        let (schedules, next) = page(&region.schedules, request.query("NextToken").as_deref(), asked, size)?;
        return Ok(
            json!({ "Schedules": schedules.iter().map(summary).collect::<Vec<_>>(), "NextToken": next }),
        );
    }
    let (name, group) = (request.path().pop().unwrap_or_default(), request.query("groupName"));
    let is_it =
        |schedule: &&Value| schedule["Name"] == name && Some(text(schedule, "GroupName")) == group.as_deref();
    region.schedules.iter().find(is_it).cloned().map_or_else(|| not_found("schedule"), Ok)
}

/// The list shows only the ARN of a target.
fn summary(schedule: &Value) -> Value {
    json!({ "Name": schedule["Name"], "GroupName": schedule["GroupName"],
        "Target": { "Arn": schedule["Target"]["Arn"] } })
}
