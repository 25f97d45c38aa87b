//! Parses raw events into triggers: what Patchwave has to check, and not what is true.
//!
//! AWS delivers events best effort, more than once and out of order. So a trigger only says what to
//! check. An event that changes nothing is [`Event::Ignored`] with its reason, and the error of one
//! that cannot be read names the field.
//!
//! Shapes: <https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-eventbridge.html>,
//! <https://docs.aws.amazon.com/inspector/latest/user/eventbridge-integration.html> and
//! <https://docs.aws.amazon.com/codepipeline/latest/userguide/detect-state-changes-cloudwatch-events.html>.

mod wire;

use serde::Serialize;
use serde_json::Value;

use crate::image::{Digest, Repository, Tag};
use wire::{ExecutionDetail, Head, ImageDetail, NamedImage, Wire, read, required};

/// A reason to read facts again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Trigger {
    /// A scan finished or failed, or a finding or its coverage changed: the scans of this image may
    /// be new.
    Scanned {
        /// The registry's.
        at: AccountRegion,
        repository: Repository,
        /// A platform manifest or an index, if the event names one.
        #[serde(skip_serializing_if = "Option::is_none")]
        digest: Option<Digest>,
        /// Those that the event names. The image may have others.
        tags: Vec<Tag>,
    },
    /// An image was pushed, deleted, archived, restored, replicated in or cached through.
    RepositoryChanged {
        /// The registry's.
        at: AccountRegion,
        repository: Repository,
        /// If the event names one.
        #[serde(skip_serializing_if = "Option::is_none")]
        digest: Option<Digest>,
        /// Those that the event names. The image may have others.
        tags: Vec<Tag>,
    },
    /// An execution of a pipeline changed state.
    Execution {
        /// The pipeline's.
        at: AccountRegion,
        /// 1 to 100 characters.
        pipeline: String,
        /// 1 to 100 characters.
        execution: String,
        /// The state at the time of the event. A later event may arrive earlier.
        state: ReportedState,
    },
    /// Check what is unsettled.
    Tick,
    /// Check everything.
    Sweep,
}

/// Where an event happened. The caller compares it with its own registry and builders.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct AccountRegion {
    /// Twelve digits.
    pub account: String,
    /// Such as `us-east-1`.
    pub region: String,
}

/// The state of a pipeline execution, in AWS's words.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ReportedState {
    Started,
    /// It continues after a failed stage was retried.
    Resumed,
    /// Its stop was requested.
    Stopping,
    Stopped,
    Succeeded,
    Failed,
    /// A newer execution took its place.
    Superseded,
    /// It was cancelled because its pipeline changed.
    Canceled,
    /// A state that this list does not have yet.
    #[serde(untagged)]
    Other(String),
}

impl From<String> for ReportedState {
    fn from(word: String) -> Self {
        match word.as_str() {
            "STARTED" => Self::Started,
            "RESUMED" => Self::Resumed,
            "STOPPING" => Self::Stopping,
            "STOPPED" => Self::Stopped,
            "SUCCEEDED" => Self::Succeeded,
            "FAILED" => Self::Failed,
            "SUPERSEDED" => Self::Superseded,
            "CANCELED" => Self::Canceled,
            _ => Self::Other(word),
        }
    }
}

/// What a schedule means to the function that it calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScheduleKind {
    /// Check what is unsettled.
    Tick,
    /// Check everything.
    Sweep,
}

/// What an event asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "an ignored event must still be reported"]
pub enum Event {
    Trigger(Trigger),
    /// There is nothing to do, and that is not an error.
    Ignored {
        /// For the log.
        because: String,
    },
}

impl Event {
    fn ignored(because: impl Into<String>) -> Self {
        Self::Ignored { because: because.into() }
    }

    fn scanned(image: NamedImage) -> Self {
        let NamedImage { at, repository, digest, tags } = image;
        Self::Trigger(Trigger::Scanned { at, repository, digest, tags })
    }

    fn repository_changed(image: NamedImage) -> Self {
        let NamedImage { at, repository, digest, tags } = image;
        Self::Trigger(Trigger::RepositoryChanged { at, repository, digest, tags })
    }
}

/// An event that cannot be read. Delivering it again does not help; the tick and the sweep find
/// what it was about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read {}: {path}: {problem}", named(.detail_type.as_deref()))]
pub struct InvalidEvent {
    /// The event's `detail-type`, cut short; `None` if it has none.
    pub detail_type: Option<String>,
    /// The JSON path of the field, such as `detail.repository-name`; `.` is the whole event.
    pub path: String,
    /// What is wrong with it. Text from the event is cut short.
    pub problem: String,
}

impl InvalidEvent {
    fn new(path: impl Into<String>, problem: impl AsRef<str>) -> Self {
        Self { detail_type: None, path: path.into(), problem: short(problem.as_ref()) }
    }
}

fn named(detail_type: Option<&str>) -> String {
    detail_type.map_or_else(|| "an event without a type".to_owned(), |name| format!("the event {name:?}"))
}

/// Cuts text from an event short, because messages and logs print it.
fn short(text: &str) -> String {
    const LONGEST: usize = 300;
    text.chars().take(LONGEST).collect()
}

/// Reads one raw event, as a rule or a schedule delivers it. Fields that Patchwave does not need
/// may be anything.
pub fn parse(event: &Value, schedule: ScheduleKind) -> Result<Event, InvalidEvent> {
    if !event.is_object() {
        return Err(InvalidEvent::new(".", "not a JSON object; send an EventBridge event"));
    }
    let head: Head = wire::checked(event)?;
    let Some(detail_type) = head.detail_type else { return without_detail_type(event, schedule) };
    required(head.source, "source")
        .and_then(|source| by_type(&source, &detail_type, event, schedule))
        .map_err(|invalid| InvalidEvent { detail_type: Some(short(&detail_type)), ..invalid })
}

/// Reads an event without a type. A schedule that calls a function directly sends its own input,
/// without an event around it. Patchwave's schedules send these keywords.
/// <https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html>
fn without_detail_type(event: &Value, schedule: ScheduleKind) -> Result<Event, InvalidEvent> {
    let has = |key| event.get(key).is_some();
    if has("schedule_arn") || has("scheduled_time") {
        return Ok(scheduled(schedule));
    }
    if has("Records") {
        return Err(InvalidEvent::new("Records", "an SQS batch, not an event; read the body of each record"));
    }
    Err(InvalidEvent::new(
        "detail-type",
        "missing; send an EventBridge event, or schedule_arn and scheduled_time",
    ))
}

fn by_type(
    source: &str,
    detail_type: &str,
    event: &Value,
    schedule: ScheduleKind,
) -> Result<Event, InvalidEvent> {
    match (source, detail_type) {
        ("patchwave", _) => Ok(Event::ignored("Patchwave's own event")),
        ("aws.events" | "aws.scheduler", "Scheduled Event") => Ok(scheduled(schedule)),
        // Patchwave asks the registry whether the scan completed or failed.
        ("aws.ecr", "ECR Image Scan") => Ok(Event::scanned(read(event)?.image()?)),
        ("aws.ecr", "ECR Image Action") => image_action(read(event)?),
        ("aws.ecr", "ECR Replication Action") => image_action_result(read(event)?),
        ("aws.ecr", "ECR Pull Through Cache Action") => cached_through(read(event)?),
        ("aws.ecr", "ECR Referrer Action") => {
            Ok(Event::ignored("a referrer does not change the image it refers to"))
        }
        ("aws.ecr", "ECR Scan Resource Change") => {
            Ok(Event::ignored("only configuration; the next sweep reads it"))
        }
        ("aws.inspector2", "Inspector2 Scan" | "Inspector2 Finding" | "Inspector2 Coverage") => {
            inspector_event(read(event)?)
        }
        ("aws.codepipeline", "CodePipeline Pipeline Execution State Change") => execution(read(event)?),
        (
            "aws.codepipeline",
            "CodePipeline Stage Execution State Change" | "CodePipeline Action Execution State Change",
        ) => Ok(Event::ignored("only a whole execution's state counts")),
        ("aws.ecs", "ECS Task State Change") => Ok(Event::ignored("the inventory finds what runs")),
        _ => Ok(Event::ignored(format!(
            "Patchwave does not act on {:?} from {:?}",
            short(detail_type),
            short(source)
        ))),
    }
}

fn scheduled(schedule: ScheduleKind) -> Event {
    Event::Trigger(match schedule {
        ScheduleKind::Tick => Trigger::Tick,
        ScheduleKind::Sweep => Trigger::Sweep,
    })
}

fn image_action(event: Wire<ImageDetail>) -> Result<Event, InvalidEvent> {
    let action = required(event.detail.action_type.as_deref(), "detail.action-type")?;
    if !matches!(action, "PUSH" | "DELETE" | "UPDATE_STORAGE_CLASS") {
        return Ok(Event::ignored(format!("{:?} is not known to change an image", short(action))));
    }
    image_action_result(event)
}

fn image_action_result(event: Wire<ImageDetail>) -> Result<Event, InvalidEvent> {
    let result = required(event.detail.result.as_deref(), "detail.result")?;
    if result != "SUCCESS" {
        return Ok(Event::ignored(format!("nothing changed: its result is {:?}", short(result))));
    }
    Ok(Event::repository_changed(event.image()?))
}

/// AWS does not document the failures, so everything but success counts as one.
fn cached_through(event: Wire<ImageDetail>) -> Result<Event, InvalidEvent> {
    let status = required(event.detail.sync_status.as_deref(), "detail.sync-status")?;
    if status != "SUCCESS" {
        let why =
            [Some(status), event.detail.failure_code.as_deref(), event.detail.failure_reason.as_deref()];
        let why = why.into_iter().flatten().map(short).collect::<Vec<_>>().join(": ");
        return Ok(Event::ignored(format!("nothing was cached: {why:?}")));
    }
    Ok(Event::repository_changed(event.image()?))
}

/// Inspector also scans functions and machines, and it sends events about members' images to the
/// organisation's administrator. So the resource says which image this is and whose, and the
/// envelope does not.
fn inspector_event(mut event: Wire<ImageDetail>) -> Result<Event, InvalidEvent> {
    let resources = std::mem::take(&mut event.resources);
    if !resources.is_empty() {
        let Some(image) = resources.into_iter().find_map(|resource| resource.0) else {
            return Ok(Event::ignored("not about a container image in ECR"));
        };
        event.detail.repository_name = Some(image);
    }
    required(event.detail.repository_name.as_ref(), "resources")?;
    Ok(Event::scanned(event.image()?))
}

fn execution(event: Wire<ExecutionDetail>) -> Result<Event, InvalidEvent> {
    let at = event.place()?;
    let ExecutionDetail { pipeline, execution_id, state } = event.detail;
    Ok(Event::Trigger(Trigger::Execution {
        at,
        pipeline: required(pipeline, "detail.pipeline")?.into(),
        execution: required(execution_id, "detail.execution-id")?.into(),
        state: String::from(required(state, "detail.state")?).into(),
    }))
}
