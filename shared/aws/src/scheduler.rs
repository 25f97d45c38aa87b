//! EventBridge Scheduler: schedules an extra invocation of a function.
//!
//! The extra schedule runs once and is then deleted. Everything else is as in the function's
//! regular schedule. A delayed message to itself would also work, but only sixteen times: then
//! Lambda detects a loop and stops the function.
//! <https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html>

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_scheduler::Client;
use aws_sdk_scheduler::error::ProvideErrorMetadata;
use aws_sdk_scheduler::types::{ActionAfterCompletion, FlexibleTimeWindow, FlexibleTimeWindowMode, Target};
use patchwave::time::Timestamp;
use patchwave_converge::Fault;

use crate::fault::{fault, invalid};

/// How far ahead a minute must be. The call may take this long, and Scheduler refuses a minute that
/// has passed.
const AHEAD: Duration = Duration::from_secs(30);
/// Longest name of a schedule.
/// <https://docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html>
const LONGEST_NAME: usize = 64;

/// A schedule, by group and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Schedule {
    pub(crate) group: String,
    pub(crate) name: String,
}

/// Schedules extra invocations of a function.
#[derive(Debug, Clone)]
pub(crate) struct Scheduler {
    client: Client,
    schedule: Schedule,
    /// The regular schedule's target, read once.
    target: Arc<Mutex<Option<Target>>>,
}

impl Scheduler {
    /// `schedule` is the function's regular schedule.
    pub(crate) fn new(client: Client, schedule: Schedule) -> Self {
        Self { client, schedule, target: Arc::default() }
    }

    /// Schedules an invocation at the first whole minute from `at` on that is still ahead. Several
    /// requests for one minute make one invocation.
    pub(crate) async fn schedule_once(&self, at: Timestamp, now: Timestamp) -> Result<(), Fault> {
        let Schedule { group, name } = &self.schedule;
        let target = self.target().await?;
        let minute = minute(at, now);
        let operation = || format!("schedule an invocation at {minute}");
        let exactly = FlexibleTimeWindow::builder().mode(FlexibleTimeWindowMode::Off).build();
        let exactly = exactly.map_err(|error| invalid(operation(), error.to_string()))?;
        let call = self.client.create_schedule();
        let made = call
            .group_name(group)
            .name(name_of(name, minute))
            .description("An extra invocation that Patchwave scheduled.")
            .schedule_expression(minute.strftime("at(%Y-%m-%dT%H:%M:%S)").to_string())
            .schedule_expression_timezone("UTC")
            .flexible_time_window(exactly)
            .action_after_completion(ActionAfterCompletion::Delete)
            .target(target)
            .send()
            .await;
        match made {
            Ok(_) => Ok(()),
            // Another caller has scheduled this minute.
            Err(error) if error.code() == Some("ConflictException") => Ok(()),
            Err(error) => Err(fault(operation(), &error)),
        }
    }

    async fn target(&self) -> Result<Target, Fault> {
        let known = self.target.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(target) = known {
            return Ok(target);
        }
        let Schedule { group, name } = &self.schedule;
        let operation = || format!("read the schedule {group}/{name}");
        let output = self.client.get_schedule().group_name(group).name(name).send().await;
        let output = output.map_err(|error| fault(operation(), &error))?;
        let target = output.target.ok_or_else(|| invalid(operation(), "it has no target"))?;
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = Some(target.clone());
        Ok(target)
    }
}

/// Returns the first whole minute from `at` on that is at least [`AHEAD`] from now. Scheduler is
/// precise to the minute.
fn minute(at: Timestamp, now: Timestamp) -> Timestamp {
    let at = at.max(now.saturating_add(AHEAD).unwrap_or(Timestamp::MAX));
    let seconds = at.as_second() + i64::from(at.subsec_nanosecond() > 0);
    let minutes = seconds.div_euclid(60) + i64::from(seconds.rem_euclid(60) > 0);
    Timestamp::from_second(minutes * 60).unwrap_or(at)
}

/// Names the schedule of this minute. A long name keeps its end, because CloudFormation makes names
/// differ there.
fn name_of(name: &str, minute: Timestamp) -> String {
    let minute = minute.strftime("-%Y%m%dT%H%M").to_string();
    let keep = LONGEST_NAME.saturating_sub(minute.len());
    let from = name.char_indices().rev().take(keep).last().map_or(0, |(place, _)| place);
    format!("{}{minute}", &name[from..])
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use patchwave_converge::FaultKind;
    use patchwave_tests::moto::Moto;
    use serde_json::{Value, json};

    use super::*;
    use crate::fake;
    use crate::survey::tests::config;

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    fn daily() -> Schedule {
        Schedule { group: "patchwave".into(), name: "daily".into() }
    }

    #[test]
    fn a_minute_is_whole_ahead_and_never_early() {
        let now = at("2026-01-01T12:00:00Z");
        let of = |asked: &str| minute(at(asked), now).to_string();
        assert_eq!(of("2026-01-01T12:07:00Z"), "2026-01-01T12:07:00Z");
        assert_eq!(of("2026-01-01T12:07:00.001Z"), "2026-01-01T12:08:00Z");
        assert_eq!(of("2026-01-01T12:07:59Z"), "2026-01-01T12:08:00Z");
        assert_eq!(of("2020-01-01T00:00:00Z"), "2026-01-01T12:01:00Z", "a time in the past counts as now");
        assert_eq!(of("2026-01-01T12:00:00Z"), "2026-01-01T12:01:00Z");
        let late = at("2026-01-01T12:00:45Z");
        assert_eq!(minute(late, late).to_string(), "2026-01-01T12:02:00Z", "12:01 may have passed by then");
        minute(Timestamp::MAX, Timestamp::MAX);
        minute(Timestamp::MIN, Timestamp::MIN);
    }

    #[test]
    fn a_long_name_keeps_its_end() {
        let minute = at("2026-01-01T12:01:00Z");
        assert_eq!(name_of("daily", minute), "daily-20260101T1201");
        let long = name_of(&format!("{}-Daily-EXAMPLE", "a".repeat(51)), minute);
        assert_eq!(long.len(), LONGEST_NAME);
        assert!(long.ends_with("a-Daily-EXAMPLE-20260101T1201"), "{long}");
    }

    /// moto has the template's schedule. The second caller that asks for a minute finds its
    /// schedule there.
    #[tokio::test]
    async fn many_requests_for_a_minute_make_one_schedule_like_the_regular_one() {
        let moto = Moto::start().await;
        let target = json!({
            "Arn": "arn:aws:lambda:us-east-1:123456789012:function:inventory",
            "RoleArn": "arn:aws:iam::123456789012:role/scheduler",
            "Input": r#"{"kind": "inventory.run", "scheduled_time": "<aws.scheduler.scheduled-time>"}"#,
            "RetryPolicy": { "MaximumEventAgeInSeconds": 21600, "MaximumRetryAttempts": 20 },
            "DeadLetterConfig": { "Arn": "arn:aws:sqs:us-east-1:123456789012:inventory-dead" },
        });
        let regular = json!({ "GroupName": "patchwave", "ScheduleExpression": "cron(0 4 * * ? *)",
            "FlexibleTimeWindow": { "Mode": "OFF" }, "Target": target });
        moto.post("scheduler", "schedule-groups/patchwave", &json!({})).await;
        moto.post("scheduler", "schedules/daily", &regular).await;
        let config = config(moto.url()).await;
        let scheduler = || Scheduler::new(Client::new(&config), daily());
        let (one, other) = (scheduler(), scheduler());
        let now = at("2026-01-01T12:00:00Z");

        for seconds in ["01", "02", "59"] {
            one.schedule_once(at(&format!("2026-01-01T12:06:{seconds}Z")), now).await.unwrap();
            other.schedule_once(at("2026-01-01T12:07:00Z"), now).await.unwrap();
        }
        one.schedule_once(at("2026-01-01T12:09:00Z"), now).await.unwrap();

        let client = Client::new(&config);
        let listed = client.list_schedules().group_name("patchwave").send().await.unwrap();
        let mut names: Vec<&str> = listed.schedules().iter().filter_map(|found| found.name()).collect();
        names.sort_unstable();
        assert_eq!(names, ["daily", "daily-20260101T1207", "daily-20260101T1209"]);
        let get = |name: &str| client.get_schedule().group_name("patchwave").name(name).send();
        let (regular, made) = (get("daily").await.unwrap(), get("daily-20260101T1207").await.unwrap());
        assert_eq!(made.schedule_expression(), Some("at(2026-01-01T12:07:00)"));
        assert_eq!(made.schedule_expression_timezone(), Some("UTC"));
        assert_eq!(made.action_after_completion(), Some(&ActionAfterCompletion::Delete));
        assert_eq!(made.flexible_time_window().unwrap().mode(), &FlexibleTimeWindowMode::Off);
        assert_eq!(made.target(), regular.target());
    }

    #[tokio::test]
    async fn the_regular_schedule_is_read_once_and_a_refusal_is_a_fault() {
        let reads = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&reads);
        let config = fake::raw(move |request| {
            let (status, body, code) = if request.method() == "GET" {
                counted.fetch_add(1, Ordering::Relaxed);
                (200, json!({ "Target": { "Arn": "a", "RoleArn": "r" } }), "")
            } else if request.uri().to_string().contains("T1207") {
                (403, json!({ "Message": "no" }), "AccessDeniedException")
            } else {
                (200, json!({ "ScheduleArn": "a" }), "")
            };
            let response = http::Response::builder().status(status).header("x-amzn-errortype", code);
            response.header("content-type", "application/json").body(Value::to_string(&body)).unwrap()
        });
        let scheduler = Scheduler::new(Client::new(&config), daily());
        let now = at("2026-01-01T12:00:00Z");
        let refused = scheduler.clone().schedule_once(at("2026-01-01T12:07:00Z"), now).await.unwrap_err();
        assert_eq!(refused.kind, FaultKind::Denied);
        assert_eq!(refused.operation, "schedule an invocation at 2026-01-01T12:07:00Z");
        scheduler.schedule_once(at("2026-01-01T12:09:00Z"), now).await.unwrap();
        assert_eq!(reads.load(Ordering::Relaxed), 1);
    }
}
