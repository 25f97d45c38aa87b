//! What is true of the world, whatever Patchwave believes. The checker judges by it.

use std::collections::{BTreeMap, BTreeSet};

use patchwave::image::{Digest, ImageId};
use patchwave::intervention::Intervention;
use patchwave::policy::Mode;
use patchwave::time::Timestamp;
use patchwave_converge::FaultKind;

use crate::faults::InjectedFault;
use crate::ledger::day;
use crate::not_yet::NotYet;
use crate::state::State;

/// What people did, and what met builds.
#[derive(Debug, Clone)]
pub(crate) struct Truth {
    /// The version that a person put back in place of one that Patchwave built.
    pub(crate) put_back: BTreeMap<ImageId, Digest>,
    /// The images that a person froze.
    pub(crate) frozen: BTreeSet<ImageId>,
    /// When a person last edited the hierarchy.
    pub(crate) edited_at: Option<Timestamp>,
    /// The mode that the deployment allows at most.
    pub(crate) ceiling: Mode,
    /// When people last used a verb of the command line on an image.
    pub(crate) decided_at: BTreeMap<ImageId, Timestamp>,
    /// Until when the hierarchy file cannot be used.
    pub(crate) broken_until: Option<Timestamp>,
    /// Executions that Patchwave started.
    pub(crate) executions: u64,
    /// Those of them that met a fault or a person's action.
    met: BTreeSet<String>,
    /// The claims that were written, by their day.
    claims: BTreeMap<i64, u32>,
    /// Those of them that gave their share of the day back.
    given_back: BTreeMap<i64, u32>,
    pub(crate) refused_starts: u64,
    /// The images whose last start was refused.
    refused: BTreeSet<ImageId>,
    /// How many builds and starts of an image failed.
    failed: BTreeMap<ImageId, u32>,
    /// How often something was left out that Patchwave does not survive yet.
    pub(crate) not_yet: BTreeMap<NotYet, u64>,
    /// People's actions that changed something.
    pub(crate) actions: u64,
    /// Those of them that fell into a build of their image.
    pub(crate) actions_in_builds: u64,
}

impl Default for Truth {
    fn default() -> Self {
        Self {
            ceiling: Mode::Enforce,
            put_back: BTreeMap::new(),
            frozen: BTreeSet::new(),
            edited_at: None,
            decided_at: BTreeMap::new(),
            broken_until: None,
            executions: 0,
            met: BTreeSet::new(),
            claims: BTreeMap::new(),
            given_back: BTreeMap::new(),
            refused_starts: 0,
            refused: BTreeSet::new(),
            failed: BTreeMap::new(),
            not_yet: BTreeMap::new(),
            actions: 0,
            actions_in_builds: 0,
        }
    }
}

impl Truth {
    /// A person deploys Patchwave with a ceiling. No event tells the functions of it.
    pub(crate) fn deploy(&mut self, ceiling: Mode, now: Timestamp) {
        if ceiling != self.ceiling {
            self.ceiling = ceiling;
            self.edited_at = Some(now);
        }
    }

    /// Notes that a fault or a person's action met an execution.
    pub(crate) fn met(&mut self, execution: &str) {
        self.met.insert(execution.to_owned());
    }

    /// Notes that a start was refused. A refusal that only means later is no failure.
    pub(crate) fn refused(&mut self, image: &ImageId, kind: FaultKind) {
        self.refused_starts += 1;
        self.refused.insert(image.clone());
        if kind != FaultKind::Throttled {
            self.failed(image);
        }
    }

    /// Notes that a build or a start failed.
    pub(crate) fn failed(&mut self, image: &ImageId) {
        *self.failed.entry(image.clone()).or_default() += 1;
    }

    pub(crate) fn failures(&self, image: &ImageId) -> u32 {
        self.failed.get(image).copied().unwrap_or(0)
    }

    /// Notes a claim that was written.
    pub(crate) fn claimed(&mut self, image: &ImageId, claimed_at: Timestamp) {
        self.refused.remove(image);
        *self.claims.entry(day(claimed_at)).or_default() += 1;
    }

    /// Notes that a claim gave its share of the day back. Returns whether its start was refused.
    pub(crate) fn withdrawn(&mut self, image: &ImageId, claimed_at: Timestamp) -> bool {
        *self.given_back.entry(day(claimed_at)).or_default() += 1;
        self.refused.remove(image)
    }

    /// Returns how many starts count for each day: those that were made, and those of which nobody
    /// knows that they were not.
    pub(crate) fn starts(&self) -> impl Iterator<Item = (i64, u32)> {
        self.claims.iter().map(|(day, claims)| {
            (*day, claims.saturating_sub(self.given_back.get(day).copied().unwrap_or(0)))
        })
    }

    /// Returns how many of the executions met a fault or a person's action.
    pub(crate) fn executions_met(&self) -> u64 {
        self.met.len() as u64
    }

    /// Returns whether to leave something out that Patchwave does not survive yet, and counts it.
    pub(crate) fn leaves_out(&mut self, not_yet: NotYet) -> bool {
        if not_yet.is_left_out() {
            *self.not_yet.entry(not_yet).or_default() += 1;
        }
        not_yet.is_left_out()
    }

    /// Notes a decision of a person.
    pub(crate) fn decided(&mut self, intervention: Intervention, image: &ImageId, now: Timestamp) {
        self.decided_at.insert(image.clone(), now);
        match intervention {
            Intervention::Freeze => {
                self.frozen.insert(image.clone());
            }
            Intervention::Release => {
                self.frozen.remove(image);
                self.allow_replacing(image);
            }
            Intervention::Rebuild => self.allow_replacing(image),
            Intervention::Approve => {}
        }
    }

    /// From now on Patchwave may replace whatever version the image has.
    pub(crate) fn allow_replacing(&mut self, image: &ImageId) {
        self.put_back.remove(image);
    }
}

impl State {
    /// Counts a person's action that changed something.
    pub(crate) fn acted(&mut self, kind: InjectedFault, image: &ImageId) {
        self.faults.note(kind);
        self.truth.actions += 1;
        let building: Vec<String> = self
            .pipelines
            .in_progress()
            .filter(|execution| execution.start.image == *image)
            .map(|execution| execution.id.clone())
            .collect();
        let is_unsettled =
            self.ledger.record(image).is_some_and(|record| record.claim.is_some() || record.proof.is_some());
        if !building.is_empty() || is_unsettled {
            self.truth.actions_in_builds += 1;
            // A build whose version does not stand on the line counts as failed.
            self.truth.failed(image);
        }
        for execution in building {
            self.truth.met(&execution);
        }
    }
}
