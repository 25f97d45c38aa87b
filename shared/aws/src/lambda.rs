//! The handler that all functions share. The functions differ in what a schedule means to them.

mod batch;

use std::pin::Pin;

use aws_lambda_events::event::sqs::SqsEvent;
use futures::future::LocalBoxFuture;
use lambda_runtime::{Diagnostic, LambdaEvent, Runtime, service_fn};
use patchwave::hierarchy::Hierarchy;
use patchwave::time::Timestamp;
use patchwave::trigger::{self, Event, InvalidEvent, ScheduleKind, Trigger};
use patchwave_converge::{
    Budget, Failure, FailureKind, Fault, FaultKind, PassSettings, Report, Swept, World, converge, sweep,
};
use serde_json::{Value, json};
use tracing::{Instrument, error, info};

use crate::installation::Installation;
use crate::inventory;
use crate::settings::InvalidSettings;
use crate::telemetry;
use crate::world::AwsWorld;
use batch::Batch;

/// A function: its name, and what a schedule means to it.
///
/// These are values and not an enum, so that only [`Role::INVENTORY`] refers to the sweep. With the
/// sweep come the clients of every service that runs images. The linker leaves both out of the
/// other functions, so their cold starts do not load them.
#[derive(Clone, Copy)]
pub struct Role {
    name: &'static str,
    schedule: ScheduleKind,
    pass: for<'a> fn(Invocation<'a>) -> LocalBoxFuture<'a, Result<Report, Fault>>,
}

impl Role {
    /// Acts on scans and findings.
    pub const SCAN_COMPLETE: Self =
        Self { name: "scan-complete", schedule: ScheduleKind::Tick, pass: |pass| Box::pin(pass.make()) };
    /// Sweeps everything once a day.
    pub const INVENTORY: Self =
        Self { name: "inventory", schedule: ScheduleKind::Sweep, pass: |pass| Box::pin(pass.sweep()) };
    /// Acts on pushes, build results and ticks.
    pub const REBUILD_FANOUT: Self =
        Self { name: "rebuild-fanout", schedule: ScheduleKind::Tick, pass: |pass| Box::pin(pass.make()) };
}

/// Runs a function until Lambda stops it.
///
/// Wrong settings do not stop it. Instead every invocation fails with a message that names the
/// variable, so that the caller sees the reason. If the process ended, only a log line would say
/// so.
pub async fn run(role: Role) -> Result<(), lambda_runtime::Error> {
    // Boxed, so that no binary has to compute the layout of everything that the SDK's futures hold.
    let serving: Pin<Box<dyn Future<Output = _>>> = Box::pin(serve(role));
    serving.await
}

async fn serve(role: Role) -> Result<(), lambda_runtime::Error> {
    telemetry::init();
    let function = Box::pin(Function::new(role)).await;
    Runtime::new(service_fn(|event| Box::pin(function.handle(event)))).run().await
}

/// What lives as long as the function's process.
struct Function {
    role: Role,
    installation: Result<Installation, InvalidSettings>,
}

/// An invocation that failed as a whole.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Settings(#[from] InvalidSettings),
    #[error(transparent)]
    Event(#[from] InvalidEvent),
    #[error("cannot read the SQS batch: {0}")]
    Batch(serde_json::Error),
    #[error(transparent)]
    World(#[from] Fault),
    #[error("not everything could be written; SQS delivers the events again")]
    NotWhole,
    #[error("another invocation was faster; SQS delivers the events again")]
    Raced,
    #[error("not everything could be written: {0}")]
    Unwritten(String),
    #[error("cannot write the report: {0}")]
    Report(serde_json::Error),
}

impl From<Failed> for Diagnostic {
    fn from(failed: Failed) -> Self {
        let error_type = match &failed {
            Failed::Settings(_) => "InvalidSettings",
            Failed::Event(_) | Failed::Batch(_) => "InvalidEvent",
            Failed::World(fault) => match fault.kind {
                FaultKind::Throttled => "Throttled",
                FaultKind::Denied => "Denied",
                FaultKind::Unavailable => "Unavailable",
                FaultKind::Invalid => "Invalid",
            },
            Failed::NotWhole | Failed::Raced | Failed::Unwritten(_) => "NotWhole",
            Failed::Report(_) => "InvalidReport",
        };
        Self { error_type: error_type.to_owned(), error_message: failed.to_string() }
    }
}

impl Function {
    async fn new(role: Role) -> Self {
        Self { role, installation: Installation::read().await }
    }

    async fn handle(&self, event: LambdaEvent<Value>) -> Result<Value, Failed> {
        let request_id = event.context.request_id;
        let span = telemetry::request(self.role.name, &request_id);
        let deadline = i64::try_from(event.context.deadline).ok();
        let deadline = deadline.and_then(|deadline| Timestamp::from_millisecond(deadline).ok());
        let answer = async {
            let answer = self.answer(event.payload, &request_id, deadline).await;
            answer.inspect_err(|failed| error!(target: "patchwave", "{failed}"))
        };
        answer.instrument(span).await
    }

    async fn answer(
        &self,
        payload: Value,
        request_id: &str,
        deadline: Option<Timestamp>,
    ) -> Result<Value, Failed> {
        let owner = format!("{}/{request_id}", self.role.name);
        if payload.get("Records").is_some() {
            let batch: SqsEvent = serde_json::from_value(payload).map_err(Failed::Batch)?;
            let batch = Batch::read(batch.records, self.role.schedule);
            let passed = self.pass(batch.triggers(), batch.continues, owner, deadline).await;
            let passed = passed.and_then(|report| whole(&report));
            return serde_json::to_value(batch.response(passed)).map_err(Failed::Report);
        }
        match trigger::parse(&payload, self.role.schedule)? {
            Event::Trigger(trigger) => answer_of(&self.pass(vec![trigger], 0, owner, deadline).await?),
            Event::Ignored { because } => {
                info!(target: "patchwave", because, "ignored");
                ignored(&because).map_err(Failed::Report)
            }
        }
    }

    /// Makes one pass about all `triggers` together. `continues`: the number of the message that
    /// continues an earlier pass with it; 0 if none does.
    async fn pass(
        &self,
        triggers: Vec<Trigger>,
        continues: u32,
        owner: String,
        deadline: Option<Timestamp>,
    ) -> Result<Report, Failed> {
        if triggers.is_empty() {
            return Ok(Report { is_whole: true, ..Report::default() });
        }
        let installation = self.installation.as_ref().map_err(Clone::clone)?;
        let (world, hierarchy) = installation.world().await?;
        let world = world.after(continues);
        let settings = PassSettings {
            mode: installation.mode(),
            owner,
            budget: Budget {
                deadline: deadline.filter(|deadline| *deadline > world.now()),
                ..Budget::default()
            },
        };
        let invocation = Invocation {
            world: &world,
            hierarchy: &hierarchy,
            triggers: &triggers,
            settings: &settings,
            keeps_tags: installation.keeps_tags(),
        };
        let mut report = (self.role.pass)(invocation).await?;
        let problems = installation.hierarchy_problems(world.now()).into_iter();
        report.errors.extend(problems.map(|message| Failure {
            kind: FailureKind::Read,
            image: None,
            message,
        }));
        telemetry::report(&report, world.now());
        Ok(report)
    }
}

/// A pass that is about to be made.
#[derive(Clone, Copy)]
struct Invocation<'a> {
    world: &'a AwsWorld,
    hierarchy: &'a Hierarchy,
    triggers: &'a [Trigger],
    settings: &'a PassSettings,
    /// Whether a sweep sets and removes keep tags.
    keeps_tags: bool,
}

impl Invocation<'_> {
    async fn make(self) -> Result<Report, Fault> {
        Box::pin(converge(self.world, self.hierarchy, self.triggers, self.settings)).await
    }

    /// Sweeps if a trigger asks for it.
    async fn sweep(self) -> Result<Report, Fault> {
        if !self.triggers.contains(&Trigger::Sweep) {
            return self.make().await;
        }
        let swept = sweep(self.world, self.hierarchy, self.triggers, self.settings);
        let Swept { mut report, seen } = Box::pin(swept).await?;
        seen.iter().for_each(inventory::log);
        // A survey that goes on later does not know yet what runs.
        if let Some(seen) = seen.filter(|seen| self.keeps_tags && seen.has_ended) {
            let until = self.settings.budget.deadline;
            let faults = Box::pin(self.world.keep_tags(self.hierarchy, &seen.answer, until)).await;
            let failure =
                |fault: Fault| Failure { kind: FailureKind::Tag, image: None, message: fault.to_string() };
            report.errors.extend(faults.into_iter().map(failure));
        }
        Ok(report)
    }
}

/// Returns why SQS must deliver the events of a pass again, if it must.
fn whole(report: &Report) -> Result<(), Failed> {
    if report.is_whole {
        return Ok(());
    }
    let raced = report.unwritten().is_none() && !report.raced.is_empty();
    Err(if raced { Failed::Raced } else { Failed::NotWhole })
}

/// Returns a report to whoever invoked the function. If something was not written, the invocation
/// fails: then Lambda tries a sweep again, and an alarm notifies people. A report reaches nobody.
fn answer_of(report: &Report) -> Result<Value, Failed> {
    match report.unwritten() {
        Some(failure) => Err(Failed::Unwritten(failure.message.clone())),
        None => serde_json::to_value(report).map_err(Failed::Report),
    }
}

fn ignored(because: &str) -> Result<Value, serde_json::Error> {
    let mut report = serde_json::to_value(Report::default())?;
    report["ignored"] = json!(because);
    Ok(report)
}

/// Reads a batch as a function does, and returns how many of its messages fail alone.
#[cfg(test)]
pub(crate) fn read_batch(payload: Value, schedule: ScheduleKind) -> Result<usize, serde_json::Error> {
    let batch: SqsEvent = serde_json::from_value(payload)?;
    Ok(Batch::read(batch.records, schedule).response(Ok(())).batch_item_failures.len())
}

#[cfg(test)]
mod tests;
