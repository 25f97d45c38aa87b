//! EventBridge Scheduler in moto: a schedule of the template, and the one-time schedules of
//! rechecks.

use serde_json::{Value, json};

use crate::moto::Moto;

const GROUP: &str = "patchwave";

/// Creates a schedule like one of the template.
pub async fn create(moto: &Moto, name: &str) {
    let input = include_str!("../fixtures/events/scheduler-universal-input.json");
    let regular = json!({
        "GroupName": GROUP, "ScheduleExpression": "cron(0 4 * * ? *)", "FlexibleTimeWindow": { "Mode": "OFF" },
        "Target": { "Arn": "arn:aws:lambda:us-east-1:123456789012:function:inventory",
            "RoleArn": "arn:aws:iam::123456789012:role/scheduler", "Input": input },
    });
    moto.post("scheduler", &format!("schedule-groups/{GROUP}"), &json!({})).await;
    moto.post("scheduler", &format!("schedules/{name}"), &regular).await;
}

/// Returns the one-time schedules, as they are listed.
pub async fn rechecks(moto: &Moto) -> Vec<Value> {
    let listed = moto.get("scheduler", &format!("schedules?ScheduleGroup={GROUP}")).await;
    let once = |schedule: &&Value| schedule["Name"].as_str().is_some_and(|name| name.contains('-'));
    listed["Schedules"].as_array().into_iter().flatten().filter(once).cloned().collect()
}
