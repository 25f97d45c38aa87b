//! EventBridge: rules and schedules that start tasks of ECS. What only they start refers to images,
//! and runs nothing now.

use aws_sdk_eventbridge::Client as Events;
use aws_sdk_eventbridge::types::Target as RuleTarget;
use aws_sdk_scheduler::Client as Scheduler;
use aws_sdk_scheduler::types::{ScheduleSummary, Target};
use serde_json::Value;

use super::ecs;
use super::pace::{Meter, Missed, Pace};
use super::reading::Reading;

/// Most entries on a page of any list.
/// <https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_ListRules.html>,
/// <https://docs.aws.amazon.com/scheduler/latest/APIReference/API_ListSchedules.html>
const PAGE: i32 = 100;
/// The target of a schedule that calls ECS's API itself, with the call's input.
const RUN_TASK: &str = ":aws-sdk:ecs:runTask";

/// What starts tasks.
pub(super) struct Schedules {
    pub(super) events: Events,
    pub(super) scheduler: Scheduler,
    pub(super) ecs: aws_sdk_ecs::Client,
}

/// What starts a task, and the task definition.
type Start = (String, String);

impl Schedules {
    /// Reads all schedules, and the rules of the default bus. That bus is the one with scheduled
    /// rules and AWS's own events.
    pub(super) async fn read(&self, pace: &Pace, reading: &mut Reading) {
        let mut starts = Vec::new();
        for found in [self.rules(pace, &mut starts).await, self.schedules(pace, &mut starts).await] {
            if let Err(missed) = found {
                reading.miss(missed);
            }
        }
        starts.sort();
        starts.dedup();
        for (workload, definition) in starts {
            ecs::refer(&self.ecs, pace, reading, &workload, &definition).await;
        }
    }

    async fn rules(&self, pace: &Pace, starts: &mut Vec<Start>) -> Result<(), Missed> {
        let mut from = None;
        loop {
            let call = self.events.list_rules().limit(PAGE).set_next_token(from);
            let output = pace.call(Meter::Events, "list EventBridge rules", || call.clone().send()).await?;
            for rule in output.rules().iter().filter_map(|rule| rule.name()) {
                // The rule was deleted since it was listed.
                tolerate_gone(self.rule(pace, rule, starts).await)?;
            }
            from = output.next_token;
            if from.is_none() {
                return Ok(());
            }
        }
    }

    async fn rule(&self, pace: &Pace, rule: &str, starts: &mut Vec<Start>) -> Result<(), Missed> {
        let mut from = None;
        loop {
            let call = self.events.list_targets_by_rule().rule(rule).limit(PAGE).set_next_token(from);
            let operation = format!("list the targets of the rule {rule}");
            let output = pace.call(Meter::Events, &operation, || call.clone().send()).await?;
            let definitions = output.targets().iter().filter_map(RuleTarget::ecs_parameters);
            starts.extend(
                definitions.map(|ecs| (format!("rule:{rule}"), ecs.task_definition_arn().to_owned())),
            );
            from = output.next_token;
            if from.is_none() {
                return Ok(());
            }
        }
    }

    async fn schedules(&self, pace: &Pace, starts: &mut Vec<Start>) -> Result<(), Missed> {
        let mut from = None;
        loop {
            let call = self.scheduler.list_schedules().max_results(PAGE).set_next_token(from);
            let output = pace.call(Meter::Schedules, "list schedules", || call.clone().send()).await?;
            for schedule in output.schedules().iter().filter(|schedule| starts_tasks(schedule)) {
                tolerate_gone(self.schedule(pace, schedule, starts).await)?;
            }
            from = output.next_token;
            if from.is_none() {
                return Ok(());
            }
        }
    }

    /// The list names only what a schedule calls. The schedule itself names the task definition.
    async fn schedule(
        &self,
        pace: &Pace,
        schedule: &ScheduleSummary,
        starts: &mut Vec<Start>,
    ) -> Result<(), Missed> {
        let (group, name) = (schedule.group_name().unwrap_or_default(), schedule.name().unwrap_or_default());
        let call = self.scheduler.get_schedule().group_name(group).name(name);
        let operation = format!("get the schedule {group}/{name}");
        let output = pace.call(Meter::Schedules, &operation, || call.clone().send()).await?;
        let definition = output.target().and_then(definition);
        starts.extend(definition.map(|definition| (format!("schedule:{group}/{name}"), definition)));
        Ok(())
    }
}

fn tolerate_gone(read: Result<(), Missed>) -> Result<(), Missed> {
    match read {
        Err(Missed::Gone) => Ok(()),
        read => read,
    }
}

/// Returns whether a schedule's target is a cluster of ECS, or ECS's API.
fn starts_tasks(schedule: &ScheduleSummary) -> bool {
    let arn = schedule.target().map_or("", |target| target.arn());
    (arn.contains(":ecs:") && arn.contains(":cluster/")) || arn.ends_with(RUN_TASK)
}

/// Returns the task definition that a schedule starts.
fn definition(target: &Target) -> Option<String> {
    if let Some(ecs) = target.ecs_parameters() {
        return Some(ecs.task_definition_arn().to_owned());
    }
    let input: Value = serde_json::from_str(target.input()?).ok()?;
    Some(input["TaskDefinition"].as_str()?.to_owned())
}
