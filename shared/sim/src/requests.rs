//! Counts what Patchwave asks of its world: what it would be billed for.
//!
//! DynamoDB counts by size, so records are weighed: only where a world is played for its requests, because writing JSON takes
//! longer than most histories.

use patchwave::facts::Version;
use patchwave::image::ImageId;
use patchwave::record::Record;
use patchwave::table;
use patchwave::time::Span;
use patchwave::trigger::{ReportedState, Trigger};
use patchwave_converge::Report;
use serde::Serialize;

use crate::moment::Function;
use crate::pipelines::Execution;

/// DynamoDB counts reads in units of so many bytes, and writes in smaller ones.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html>
const READ: u64 = 4 * 1024;
const WRITE: u64 = 1024;

/// A write in a transaction counts twice.
const IN_TRANSACTION: u64 = 2;

/// What an item takes beside its image's id and its JSON: names and values of its attributes.
const ATTRIBUTES: u64 = 64;

/// Requests in a simulated time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Requests {
    /// What reached `scan-complete`.
    pub scan_complete: Invoked,
    /// What reached `rebuild-fanout`.
    pub rebuild_fanout: Invoked,
    /// What reached `inventory`.
    pub inventory: Invoked,
    /// Ticks of the schedule.
    pub ticks: u64,
    /// Looks between two ticks that were asked for, and those that came of it: many may ask for the same minute.
    pub looks_asked: u64,
    /// Looks between two ticks.
    pub looks: u64,
    /// Queries of the index of the unsettled. It need not be up to date, so it costs half.
    pub unsettled: Asked,
    /// Records read.
    pub records: Asked,
    /// Reads of where images run.
    pub running: Asked,
    /// Reads of the slots.
    pub slots: Asked,
    /// Halves of a read unit that all of these took.
    pub half_read_units: u64,
    /// Records written.
    pub saves: u64,
    /// Claims asked for: transactions of four writes.
    pub claims: u64,
    /// Slots given back: transactions of a check and a write.
    pub frees: u64,
    /// Write units that all of these took, with those of the index.
    pub write_units: u64,
    /// Bytes that claims left in the audit trail.
    pub audit_bytes: u64,
    /// Bytes of all records at the end.
    pub record_bytes: u64,
    /// Reads of current versions.
    pub currents: Asked,
    /// Reads of other versions.
    pub versions: Asked,
    /// Reads of repositories' histories.
    pub histories: Asked,
    /// Reads of scans.
    pub scans: Asked,
    /// Reads of pipelines' declarations.
    pub pipelines: Asked,
    /// Reads of executions.
    pub executions: u64,
    /// Starts asked for.
    pub starts: u64,
    /// Scans asked for.
    pub scan_requests: u64,
    /// Notices sent.
    pub notices: Asked,
    /// Builds that pipelines made, Patchwave's alone.
    pub builds: u64,
    /// Platform manifests that they pushed.
    pub manifests_built: u64,
    /// Minutes that they took, each rounded up.
    pub build_minutes: u64,
    /// Workloads that changed to another version.
    pub deployments: u64,
}

/// What reached a function.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Invoked {
    /// Events.
    pub messages: u64,
    /// Invocations, each with a batch of them.
    pub invocations: u64,
    /// Images looked at, in all of them.
    pub images: u64,
    /// Lines logged: one for each image that waits or starts, each proof and each thing unknown, and one for the whole.
    pub log_lines: u64,
}

/// Calls that are about many things at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Asked {
    /// How often.
    pub calls: u64,
    /// About how many things, in all.
    pub items: u64,
}

impl Asked {
    pub(crate) fn about(&mut self, items: usize) {
        self.calls += 1;
        self.items += items as u64;
    }
}

impl Requests {
    pub(crate) fn of(&mut self, function: Function) -> &mut Invoked {
        match function {
            Function::ScanComplete => &mut self.scan_complete,
            Function::RebuildFanout => &mut self.rebuild_fanout,
            Function::Inventory => &mut self.inventory,
        }
    }

    /// Adds the read of an item that says what it reads is up to date.
    pub(crate) fn read(&mut self, bytes: u64) {
        self.half_read_units += 2 * units(bytes, READ);
    }

    /// Adds a query of the index of keys.
    pub(crate) fn query(&mut self, bytes: u64) {
        self.half_read_units += units(bytes, READ);
    }

    /// Adds a record's write over what was there, and what it changes in the index.
    pub(crate) fn save(&mut self, write: Write) {
        self.saves += 1;
        self.write_units += units(write.before.max(write.after), WRITE) + u64::from(write.moves);
    }

    /// Adds a transaction that writes a record, two counters and the audit trail.
    pub(crate) fn claim(&mut self, write: Write, audit: u64) {
        self.claims += 1;
        self.audit_bytes += audit;
        let whole = units(write.before.max(write.after), WRITE) + 2 + units(audit, WRITE);
        self.write_units += IN_TRANSACTION * whole + u64::from(write.moves);
    }

    /// Adds a build of Patchwave's.
    pub(crate) fn built(&mut self, execution: &Execution, version: &Version) {
        self.builds += 1;
        self.manifests_built += version.platforms.len() as u64;
        let seconds = Span::between(execution.started_at, execution.ends_at).as_seconds();
        self.build_minutes += u64::from(seconds.div_ceil(60));
    }

    /// Adds a transaction that checks a record and writes a counter.
    pub(crate) fn free(&mut self, record: u64) {
        self.frees += 1;
        self.write_units += IN_TRANSACTION * (units(record, WRITE) + 1);
    }
}

/// How large a record was and is, and whether it enters or leaves the index of the unsettled.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Write {
    pub(crate) before: u64,
    pub(crate) after: u64,
    pub(crate) moves: bool,
}

fn units(bytes: u64, of: u64) -> u64 {
    bytes.div_ceil(of).max(1)
}

/// Returns the bytes of a record's item: [`table`] says what else is in it.
pub(crate) fn record_bytes(image: &ImageId, record: &Record) -> u64 {
    ATTRIBUTES + (table::RECORD.len() + image.as_str().len()) as u64 + json_bytes(record)
}

/// Returns the bytes of something's JSON.
pub(crate) fn json_bytes(value: &impl Serialize) -> u64 {
    serde_json::to_vec(value).map_or(0, |json| json.len() as u64)
}

/// Returns the bytes of an image in the index of the unsettled, or in the set of the running.
pub(crate) fn key_bytes(image: &ImageId) -> u64 {
    ATTRIBUTES / 2 + image.as_str().len() as u64
}

/// Counts the lines that a function logs about a report.
pub(crate) fn lines(report: &Report) -> usize {
    let Report { started, proofs, unknown, doubts, errors, .. } = report;
    started.len() + report.waiting().count() + proofs.len() + unknown.len() + doubts.len() + errors.len() + 1
}

/// Tells whether a rule of the deployment hands an event on: no part of an index, and no execution that began.
pub(crate) fn is_handed_on(trigger: &Trigger) -> bool {
    match trigger {
        Trigger::RepositoryChanged { tags, .. } => !tags.is_empty(),
        Trigger::Execution { state, .. } => *state != ReportedState::Started,
        Trigger::Scanned { .. } | Trigger::Tick | Trigger::Sweep => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_count_by_four_kilobytes_and_what_may_be_stale_by_half() {
        let mut requests = Requests::default();
        requests.read(0);
        assert_eq!(requests.half_read_units, 2, "that there is no item is an answer");
        requests.read(READ + 1);
        requests.query(READ);
        assert_eq!(requests.half_read_units, 2 + 4 + 1);
    }

    #[test]
    fn writes_count_by_the_larger_of_old_and_new_and_twice_in_a_transaction() {
        let counted = |count: fn(&mut Requests)| {
            let mut requests = Requests::default();
            count(&mut requests);
            requests.write_units
        };
        assert_eq!(counted(|r| r.save(Write { before: 2 * WRITE + 1, after: WRITE, moves: false })), 3);
        assert_eq!(counted(|r| r.save(Write { before: 0, after: WRITE, moves: true })), 2, "and the index");
        assert_eq!(counted(|r| r.claim(Write { before: 0, after: 1, moves: true }, 1)), 2 * (1 + 2 + 1) + 1);
        assert_eq!(counted(|r| r.free(WRITE + 1)), 2 * (2 + 1));
    }
}
