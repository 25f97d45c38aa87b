//! How one world went, and the defects that tests plant in it.

use std::collections::BTreeMap;

use crate::coverage::Coverage;
use crate::faults::InjectedFault;

/// A defect that a test plants in the world, to prove that the checker finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlantedDefect {
    /// The ledger ignores fences, so every write succeeds.
    NoFences,
}

/// How one world went.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    pub seed: u64,
    /// Invocations that ended with a report.
    pub passes: u64,
    /// Events that reached a function.
    pub events: u64,
    /// Builds that succeeded.
    pub builds: u64,
    /// Findings that a rebuild could fix and that nothing holds or rebuilds.
    pub lost: u64,
    /// Builds that ran twice at once, or twice with one idempotency key.
    pub duplicates: u64,
    /// How often each fault was injected.
    pub faults: BTreeMap<InjectedFault, u64>,
    #[serde(flatten)]
    pub coverage: Coverage,
    pub violations: Vec<String>,
    /// The hierarchy and everything that happened, if the scenario asked for it.
    #[serde(skip)]
    pub log: Vec<String>,
}
