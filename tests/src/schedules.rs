//! EventBridge Scheduler, as moto plays it: a schedule of the template, and those that a look was asked for with.

use serde_json::{Value, json};

use crate::moto::Moto;

const GROUP: &str = "patchwave";

/// Makes a schedule as in the template.
pub async fn regular(moto: &Moto, name: &str) {
    let input = include_str!("../fixtures/events/scheduler-universal-input.json");
    let regular = json!({
        "GroupName": GROUP, "ScheduleExpression": "cron(0 4 * * ? *)", "FlexibleTimeWindow": { "Mode": "OFF" },
        "Target": { "Arn": "arn:aws:lambda:us-east-1:123456789012:function:inventory",
            "RoleArn": "arn:aws:iam::123456789012:role/scheduler", "Input": input },
    });
    moto.post("scheduler", &format!("schedule-groups/{GROUP}"), &json!({})).await;
    moto.post("scheduler", &format!("schedules/{name}"), &regular).await;
}

/// Returns the schedules that strike once, as they are listed.
pub async fn once(moto: &Moto) -> Vec<Value> {
    let listed = moto.get("scheduler", &format!("schedules?ScheduleGroup={GROUP}")).await;
    let once = |schedule: &&Value| schedule["Name"].as_str().is_some_and(|name| name.contains('-'));
    listed["Schedules"].as_array().into_iter().flatten().filter(once).cloned().collect()
}
