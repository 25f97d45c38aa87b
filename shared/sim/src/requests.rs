//! Counts what Patchwave asks of AWS, which bills for it.
//!
//! DynamoDB bills by size. Records are weighed only where requests are counted, because writing
//! JSON takes longer than most scenarios.

use patchwave::facts::Version;
use patchwave::image::ImageId;
use patchwave::record::Record;
use patchwave::table;
use patchwave::time::Span;
use patchwave::trigger::{ReportedState, Trigger};
use patchwave_converge::Report;
use serde::Serialize;

use crate::observation::Function;
use crate::pipelines::Execution;

/// The bytes of a read unit and of a write unit of DynamoDB.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html>
const READ: u64 = 4 * 1024;
const WRITE: u64 = 1024;

/// A write in a transaction counts twice.
const IN_TRANSACTION: u64 = 2;

/// The bytes of an item's attributes, without the image id and the JSON.
const ATTRIBUTES: u64 = 64;

/// What Patchwave asked for in a simulated time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Requests {
    pub scan_complete: Invoked,
    pub rebuild_fanout: Invoked,
    pub inventory: Invoked,
    /// Ticks of the schedule, without rechecks.
    pub ticks: u64,
    /// Rechecks that passes requested. Many may request the same minute.
    pub rechecks_requested: u64,
    /// Rechecks that were made.
    pub rechecks: u64,
    /// Queries of the schedule. They are eventually consistent, so they cost half.
    pub schedule: Asked,
    pub records: Asked,
    /// Reads of where images run.
    pub deployments: Asked,
    pub slots: Asked,
    /// Halves of a read unit that all of these reads took.
    pub half_read_units: u64,
    pub saves: u64,
    /// Attempts to claim, each a transaction of four writes.
    pub claims: u64,
    /// Attempts to give a slot back, each a transaction of a check and a write.
    pub frees: u64,
    /// Write units that all of these writes took, with those of the index.
    pub write_units: u64,
    /// Bytes that claims wrote to the audit trail.
    pub audit_bytes: u64,
    /// Bytes of all records at the end.
    pub record_bytes: u64,
    /// Reads of current versions.
    pub currents: Asked,
    /// Most images that one page observed.
    pub largest_page: u64,
    /// Reads of other versions.
    pub versions: Asked,
    /// Reads of repositories' histories.
    pub histories: Asked,
    /// Reads of scans.
    pub scans: Asked,
    /// Those of them that were complete. Only these have several pages.
    pub complete_scans: u64,
    /// Reads of pipelines' declarations.
    pub pipelines: Asked,
    /// Reads of executions.
    pub executions: u64,
    pub starts: u64,
    pub scan_requests: u64,
    pub notices: Asked,
    /// Builds that Patchwave started and that succeeded.
    pub builds: u64,
    /// Platform manifests that these builds pushed.
    pub manifests_built: u64,
    /// Minutes that these builds took, each rounded up.
    pub build_minutes: u64,
    /// Workloads that changed to another version.
    pub rollouts: u64,
    /// Halves of a read unit, and write units, for upstream tags.
    #[serde(skip)]
    pub upstream_half_read_units: u64,
    #[serde(skip)]
    pub upstream_write_units: u64,
}

/// What a function handled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Invoked {
    pub messages: u64,
    /// Invocations, each with a batch of messages.
    pub invocations: u64,
    /// Images that all invocations observed.
    pub images: u64,
    /// Log lines: one for each image that waits or starts, each proof, each unknown and each pass.
    pub log_lines: u64,
}

/// Calls that each concern many items.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Asked {
    pub calls: u64,
    /// Items of all calls together.
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

    /// Adds a strongly consistent read of an item.
    pub(crate) fn read(&mut self, bytes: u64) {
        self.half_read_units += 2 * units(bytes, READ);
    }

    /// Adds an eventually consistent query of the index.
    pub(crate) fn query(&mut self, bytes: u64) {
        self.half_read_units += units(bytes, READ);
    }

    /// Adds consistent reads of so many upstream tags and hosts. Those that are there have these
    /// bytes.
    pub(crate) fn read_upstreams(&mut self, bytes: impl Iterator<Item = u64>, asked: usize) {
        let there: Vec<u64> = bytes.map(|bytes| units(bytes, READ)).collect();
        let missing = asked.saturating_sub(there.len()) as u64;
        self.upstream_half_read_units += 2 * (there.iter().sum::<u64>() + missing);
    }

    /// Adds writes of upstream tags and hosts.
    pub(crate) fn keep_upstreams(&mut self, bytes: impl Iterator<Item = u64>) {
        self.upstream_write_units += bytes.map(|bytes| units(bytes, WRITE)).sum::<u64>();
    }

    /// Adds a write of a record, and its change of the index.
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

    /// Adds a transaction that writes a record, two counters and the audit trail.
    pub(crate) fn withdraw(&mut self, write: Write) {
        self.claim(write, 0);
        self.claims -= 1;
    }

    /// Adds a build that Patchwave started.
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

/// The bytes of a record before and after a write, and whether its entry in the index changes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Write {
    pub(crate) before: u64,
    pub(crate) after: u64,
    pub(crate) moves: bool,
}

fn units(bytes: u64, of: u64) -> u64 {
    bytes.div_ceil(of).max(1)
}

/// Returns the bytes of a record's item. [`table`] describes the other attributes.
pub(crate) fn record_bytes(image: &ImageId, record: &Record) -> u64 {
    ATTRIBUTES + (table::RECORD.len() + image.as_str().len()) as u64 + json_bytes(record)
}

/// Returns the bytes of a value as JSON.
pub(crate) fn json_bytes(value: &impl Serialize) -> u64 {
    serde_json::to_vec(value).map_or(0, |json| json.len() as u64)
}

/// Returns the bytes of an image in the schedule, or in the set of slots.
pub(crate) fn key_bytes(image: &ImageId) -> u64 {
    ATTRIBUTES / 2 + image.as_str().len() as u64
}

/// Counts the lines that a function logs about a report.
pub(crate) fn lines(report: &Report) -> usize {
    let Report { started, proofs, unknown, doubts, errors, .. } = report;
    started.len() + report.waiting().count() + proofs.len() + unknown.len() + doubts.len() + errors.len() + 1
}

/// Returns whether a rule of the deployment delivers an event. Pushes of parts of an index and
/// starts of executions are filtered out.
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
    fn reads_count_by_four_kilobytes_and_queries_of_the_index_by_half() {
        let mut requests = Requests::default();
        requests.read(0);
        assert_eq!(requests.half_read_units, 2, "a read without an item costs a unit");
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
