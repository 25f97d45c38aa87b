//! EventBridge's rules, and Scheduler's schedules.

use serde_json::{Value, json};

use super::{Region, Request, not_found, page};
use crate::awsjson::{Answer, text};

/// Answers about rules. One is what `ListRules` shows of it, with its `Targets`.
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

/// Answers about schedules. One is what `GetSchedule` shows of it.
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

/// The list says of a target only where it is.
fn summary(schedule: &Value) -> Value {
    json!({ "Name": schedule["Name"], "GroupName": schedule["GroupName"],
        "Target": { "Arn": schedule["Target"]["Arn"] } })
}
