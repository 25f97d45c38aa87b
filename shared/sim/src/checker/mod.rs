//! What must be true, even while faults are injected.
//!
//! [`Checker`] checks each execution and each report as it happens, [`start`] checks each start
//! before it is made, and [`liveness`] checks the quiet world at the end.

mod holds;
mod liveness;
mod notices;
mod purpose;
mod record;
mod registries;
mod start;
mod ticks;
mod undeployed;

use std::collections::BTreeMap;

use patchwave::facts::ExecutionState;
use patchwave::hierarchy::Hierarchy;
use patchwave::image::{ImageId, Repository};
use patchwave::plan::{Awaited, Hold, Reason};
use patchwave::time::Timestamp;
use patchwave_converge::{Failure, FailureKind, Report};

pub(crate) use start::StartCheck;

use crate::coverage::Occurred;
use crate::pipelines::{BuildResult, Execution, Pipelines};
use holds::JUST_ENDED;
use ticks::Looks;

/// Collects violations, counts builds, and logs what happens if it is asked to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Checker {
    pub(crate) violations: Vec<String>,
    pub(crate) log: Vec<String>,
    pub(crate) is_logging: bool,
    pub(crate) builds: u64,
    pub(crate) duplicates: u64,
    pub(crate) lost: u64,
    /// When a pass last found an image that waits for a scan that Patchwave cannot request.
    pub(crate) waited_for_unrequested_scan: Option<Timestamp>,
    successes_by_key: BTreeMap<String, u32>,
    starts_by_day: BTreeMap<String, u32>,
    pub(crate) occurred: Occurred,
    looks: Looks,
    /// When each repository last changed.
    changed: BTreeMap<Repository, Timestamp>,
    /// The last hold of each image in the log.
    last_holds: BTreeMap<ImageId, String>,
}

impl Checker {
    pub(crate) fn log(&mut self, now: Timestamp, line: impl FnOnce() -> String) {
        if self.is_logging {
            self.log.push(format!("{}  {}", now.strftime("%d %H:%M:%S"), line()));
        }
    }

    pub(crate) fn violation(&mut self, now: Timestamp, violation: String) {
        self.log(now, || format!("VIOLATION: {violation}"));
        self.violations.push(violation);
    }

    /// Checks that at most one build succeeds for each idempotency key.
    pub(crate) fn execution_ended(&mut self, execution: &Execution, now: Timestamp) {
        let Execution { start, state, result, .. } = execution;
        self.log(now, || match result {
            BuildResult::Hangs(_) => format!("build of {} ended: {state:?} (it hung)", start.image),
            result => format!("build of {} ended: {state:?} ({result:?})", start.image),
        });
        if !result.pushes() {
            return;
        }
        self.builds += 1;
        let successes = self.successes_by_key.entry(start.key.to_string()).or_default();
        *successes += 1;
        if *successes > 1 {
            self.duplicates += 1;
            self.violation(now, format!("{} was built twice with the key {}", start.image, start.key));
        }
    }

    /// Checks that a sweep gives every image exactly one start or hold. It makes a start again only
    /// if the build fails meanwhile.
    pub(crate) fn swept(
        &mut self,
        hierarchy: &Hierarchy,
        report: &Report,
        pipelines: &Pipelines,
        now: Timestamp,
    ) {
        // A ledger that does not answer ends the sweep after some of its pages.
        let is_cut_off = |error: &Failure| error.kind == FailureKind::Read && error.image.is_none();
        if !report.is_whole && report.errors.iter().any(is_cut_off) {
            return;
        }
        for image in hierarchy.images() {
            let starts = report.started.iter().filter(|started| started.image == image.id).count();
            let holds = report.held.iter().filter(|held| held.image == image.id).count();
            // Nothing is decided about an image whose record cannot be read. An error names it.
            let is_unreadable = report.errors.iter().any(|error| error.image.as_ref() == Some(&image.id))
                && starts + holds == 0;
            let has_failed = |execution: &&Execution| {
                !matches!(execution.state, ExecutionState::InProgress | ExecutionState::Succeeded)
                    && JUST_ENDED.after(execution.ends_at) > now
            };
            let failed = pipelines.all_of(&image.id).filter(has_failed).count();
            let is_right = starts.min(1) + holds == 1 && starts <= 1 + failed;
            if !is_right && !is_unreadable {
                let violation = format!("{} has {starts} starts and {holds} holds in one sweep", image.id);
                self.violation(now, violation);
            }
        }
    }

    /// Logs what changed in a report.
    pub(crate) fn passed(&mut self, report: &Report, now: Timestamp) {
        if waits_for_unrequested_scan(report) {
            self.waited_for_unrequested_scan = Some(now);
        }
        self.occurred.in_report(report);
        if self.is_logging {
            self.log_report(report, now);
        }
    }

    fn log_report(&mut self, report: &Report, now: Timestamp) {
        for started in &report.started {
            let codes: Vec<&str> = started.reasons.iter().map(Reason::code).collect();
            self.last_holds.remove(&started.image);
            self.log(now, || format!("started {}: {}", started.image, codes.join(", ")));
        }
        for held in &report.held {
            let text = hold_text(&held.hold);
            if self.last_holds.insert(held.image.clone(), text.clone()).as_ref() != Some(&text) {
                self.log(now, || format!("held {}: {text}", held.image));
            }
        }
        for error in &report.errors {
            self.log(now, || format!("error: {}", error.message));
        }
    }
}

fn waits_for_unrequested_scan(report: &Report) -> bool {
    report.held.iter().any(|held| match &held.hold {
        Hold::WaitingOn { on, awaits: Awaited::Scan } => {
            report.scans_requested.iter().all(|scan| scan.image != *on)
        }
        _ => false,
    })
}

fn hold_text(hold: &Hold) -> String {
    match hold {
        Hold::WaitingOn { on, awaits: Awaited::Hold(hold) } => format!("WaitingOn {on}, {}", hold_text(hold)),
        Hold::WaitingOn { on, awaits } => format!("WaitingOn {on}, {awaits:?}"),
        Hold::Quarantined { findings } | Hold::CannotHelp { findings, .. } => {
            let findings: Vec<&str> = findings.iter().map(|key| &*key.vulnerability).collect();
            format!("{} {}", hold.name(), findings.join(" "))
        }
        Hold::Unknown { because } | Hold::Unresolved { because } => format!("{}: {because}", hold.name()),
        _ => hold.name().to_owned(),
    }
}
