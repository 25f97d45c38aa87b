//! Notes what happens while the simulation runs.

use std::collections::{BTreeMap, BTreeSet};

use patchwave::image::{Digest, ImageId};
use patchwave::time::Timestamp;
use patchwave_converge::Report;
use patchwave_sim::{Build, Function, Observation, Workload};
use serde_json::Value;

#[derive(Debug, Default)]
pub(crate) struct Watcher {
    pub(crate) builds: Vec<Build>,
    /// When the last old task of a workload stopped, and which digest it ran.
    pub(crate) deployed: Vec<(Timestamp, Workload, Digest)>,
    pub(crate) first_scan: Option<Value>,
    /// When each event about a scan or a finding arrived.
    pub(crate) scans: Vec<Timestamp>,
    /// How many events of each detail type arrived.
    pub(crate) events: BTreeMap<String, usize>,
    pub(crate) passes: usize,
    /// Which images each hold ever held.
    pub(crate) waited: BTreeMap<&'static str, BTreeSet<ImageId>>,
    pub(crate) errors: Vec<String>,
}

impl Watcher {
    /// Counts an observation.
    pub(crate) fn see(&mut self, observation: &Observation) {
        match observation {
            Observation::Delivered { at, to, event } => self.delivered(*at, *to, event),
            Observation::Passed { report, .. } => self.passed(report),
            Observation::Built(build) => self.builds.push((**build).clone()),
            Observation::Deployed { at, workload, replaced } => {
                self.deployed.push((*at, workload.clone(), replaced.clone()));
            }
        }
    }

    fn delivered(&mut self, at: Timestamp, to: Function, event: &Value) {
        if to == Function::ScanComplete {
            self.scans.push(at);
            self.first_scan.get_or_insert_with(|| event.clone());
        }
        let kind = event.get("detail-type").and_then(Value::as_str).unwrap_or_default();
        *self.events.entry(kind.to_owned()).or_default() += 1;
    }

    fn passed(&mut self, report: &Report) {
        self.passes += 1;
        self.errors.extend(report.errors.iter().map(|failure| failure.message.clone()));
        for held in report.waiting() {
            self.waited.entry(held.hold.name()).or_default().insert(held.image.clone());
        }
    }
}
