//! Fingerprints of states, to count how many distinct states a run visits.

use std::hash::{DefaultHasher, Hash, Hasher};

use patchwave::hierarchy::{Hierarchy, Image};

use crate::state::{Scheduled, State};

/// The most images of a world whose states are counted.
const LARGEST: usize = 64;

/// The fingerprints of all states so far.
#[derive(Debug, Default)]
pub(crate) struct Fingerprints {
    seen: Vec<u64>,
    changes_at_last: u64,
}

impl Fingerprints {
    /// Adds the state if it changed. Only small worlds with faults are recorded: a run counts no
    /// others, and a state of thousands of images is never seen twice.
    pub(crate) fn record(&mut self, state: &State, hierarchy: &Hierarchy) {
        let counts = state.faults.has_faults() && hierarchy.len() <= LARGEST;
        if counts && self.changes_at_last != state.changes() {
            self.changes_at_last = state.changes();
            self.seen.push(state.fingerprint(hierarchy));
        }
    }

    pub(crate) fn into_seen(self) -> Vec<u64> {
        self.seen
    }
}

impl State {
    /// Hashes the record of each image, its builds, and what is scheduled. Names, digests and times
    /// are left out: states that differ only in these count as one.
    fn fingerprint(&self, hierarchy: &Hierarchy) -> u64 {
        // This hasher has no random key, so fingerprints are the same everywhere.
        let mut hasher = DefaultHasher::new();
        for image in hierarchy.images() {
            self.hash_image(image, hierarchy, &mut hasher);
        }
        let mut kinds = [0_u8; 8];
        for scheduled in self.agenda.entries() {
            if let Some(kind) = kinds.get_mut(kind(scheduled)) {
                *kind = kind.saturating_add(1);
            }
        }
        kinds.hash(&mut hasher);
        hasher.finish()
    }

    fn hash_image(&self, image: &Image, hierarchy: &Hierarchy, hasher: &mut DefaultHasher) {
        (image.tier as u8, image.policy.mode as u8, image.policy.rebuild as u8).hash(hasher);
        hierarchy.parents(&image.id).map(|edge| edge.kind as u8).collect::<Vec<_>>().hash(hasher);
        let builds =
            self.pipelines.in_progress().filter(|execution| execution.start.image == image.id).count();
        (builds, self.ledger.held_by().contains(&image.id)).hash(hasher);
        let Some(record) = self.ledger.record(&image.id) else { return };
        let claim = record.claim.as_ref();
        (
            record.recheck_at.is_some(),
            record.ready.is_some(),
            record.waiting_since.is_some(),
            record.scan_awaited_since.is_some(),
        )
            .hash(hasher);
        (record.moving_since.is_some(), record.rolling.is_some(), record.carriers.len()).hash(hasher);
        claim
            .map(|claim| (claim.is_confirmed(), claim.start.attempt, claim.start.reasons.len()))
            .hash(hasher);
        record.failures.as_ref().map(|failures| (failures.count, failures.ended)).hash(hasher);
        record.proof.as_ref().map(|proof| (proof.causes.len(), proof.to_prove.len())).hash(hasher);
        let success = record.success.as_ref();
        success
            .map(|success| (record.current.as_ref() == Some(&success.version), success.fixed_nothing))
            .hash(hasher);
        (record.seen.len(), record.ineffective.len()).hash(hasher);
        (record.request.is_some(), record.approval.is_some(), record.frozen.is_some()).hash(hasher);
    }
}

fn kind(scheduled: &Scheduled) -> usize {
    match scheduled {
        Scheduled::Delivery(_) => 0,
        Scheduled::ExecutionPushes(_) | Scheduled::ExecutionEnds(_) | Scheduled::ForeignExecutionEnds(_) => 1,
        Scheduled::Scan(_) => 2,
        Scheduled::Invocation(_) => 3,
        Scheduled::Redelivery(..) => 4,
        Scheduled::PersonAction(_) | Scheduled::Commit(_) => 5,
        Scheduled::Published(_) | Scheduled::Rescan => 6,
        Scheduled::Deployment(_)
        | Scheduled::LastTaskStops(..)
        | Scheduled::Recheck
        | Scheduled::Tick
        | Scheduled::Sweep => 7,
    }
}
