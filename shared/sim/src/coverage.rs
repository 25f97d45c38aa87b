//! What happened in worlds, so that a run shows what it tests.

use std::collections::{BTreeMap, BTreeSet};

use patchwave::plan::{Awaited, Hold, Limit, Reason, Verdict};
use patchwave_converge::Report;
use serde::Serialize;

use crate::not_yet::NotYet;

/// What happened in one world or in many. Each name counts the worlds in which it occurred.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Coverage {
    /// Executions that Patchwave started.
    pub executions: u64,
    /// Those of them that met a fault or a person's action.
    pub executions_met: u64,
    /// People's actions that changed something.
    pub actions: u64,
    /// Those of them that fell into a build of their image.
    pub actions_in_builds: u64,
    pub holds: BTreeMap<&'static str, u64>,
    /// What images waited for, by the holds `WaitingOn` and `AtLimit`.
    pub awaited: BTreeMap<&'static str, u64>,
    /// Why builds started.
    pub reasons: BTreeMap<&'static str, u64>,
    /// What proofs said.
    pub verdicts: BTreeMap<&'static str, u64>,
    /// How often a run left out what Patchwave does not survive yet.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub not_yet: BTreeMap<NotYet, u64>,
}

impl Coverage {
    /// Adds the coverage of other worlds.
    pub(crate) fn add(&mut self, other: &Self) {
        self.executions += other.executions;
        self.executions_met += other.executions_met;
        self.actions += other.actions;
        self.actions_in_builds += other.actions_in_builds;
        for (not_yet, times) in &other.not_yet {
            *self.not_yet.entry(*not_yet).or_default() += times;
        }
        let names = [
            (&mut self.holds, &other.holds),
            (&mut self.awaited, &other.awaited),
            (&mut self.reasons, &other.reasons),
            (&mut self.verdicts, &other.verdicts),
        ];
        for (ours, theirs) in names {
            for (name, worlds) in theirs {
                *ours.entry(name).or_default() += worlds;
            }
        }
    }
}

/// The names that occurred in one world.
#[derive(Debug, Clone, Default)]
pub(crate) struct Occurred {
    holds: BTreeSet<&'static str>,
    awaited: BTreeSet<&'static str>,
    reasons: BTreeSet<&'static str>,
    verdicts: BTreeSet<&'static str>,
}

impl Occurred {
    pub(crate) fn in_report(&mut self, report: &Report) {
        for held in &report.held {
            self.holds.insert(held.hold.name());
            self.awaited.extend(awaited(&held.hold));
        }
        self.reasons.extend(report.started.iter().flat_map(|started| &started.reasons).map(Reason::code));
        self.verdicts.extend(report.proofs.iter().map(|proof| verdict(proof.verdict)));
    }

    /// Returns the coverage of this one world. The executions and actions are still to be counted.
    pub(crate) fn coverage(&self) -> Coverage {
        let once = |names: &BTreeSet<&'static str>| names.iter().map(|name| (*name, 1)).collect();
        Coverage {
            holds: once(&self.holds),
            awaited: once(&self.awaited),
            reasons: once(&self.reasons),
            verdicts: once(&self.verdicts),
            ..Coverage::default()
        }
    }
}

fn awaited(hold: &Hold) -> Option<&'static str> {
    match hold {
        Hold::WaitingOn { awaits: Awaited::Start, .. } => Some("start"),
        Hold::WaitingOn { awaits: Awaited::Scan, .. } => Some("scan"),
        Hold::WaitingOn { awaits: Awaited::Hold(hold), .. } => Some(hold.name()),
        Hold::AtLimit { limit: Limit::ConcurrentBuilds, .. } => Some("concurrentBuilds"),
        Hold::AtLimit { limit: Limit::StartsPerDay, .. } => Some("startsPerDay"),
        Hold::AtLimit { limit: Limit::OwnersBuilds, .. } => Some("ownersBuilds"),
        Hold::AtLimit { limit: Limit::Pipeline, .. } => Some("pipeline"),
        _ => None,
    }
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Fixed => "fixed",
        Verdict::Ineffective => "ineffective",
        Verdict::Unscanned => "unscanned",
        Verdict::Unknown => "unknown",
        Verdict::Expired => "expired",
        Verdict::Removed => "removed",
    }
}
