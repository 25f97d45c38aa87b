//! The shape of ledger and world: what is the same in another world at another time.

use std::hash::{DefaultHasher, Hash, Hasher};

use patchwave::hierarchy::{Hierarchy, Image};

use crate::state::{Happening, State};

impl State {
    /// Hashes what is written down about each image, what is built, and what is going to happen, without names, digests and
    /// times: two steps that differ in these alone are one state.
    pub(crate) fn shape(&self, hierarchy: &Hierarchy) -> u64 {
        // Without a key of its own, so that it is the same everywhere.
        let mut hasher = DefaultHasher::new();
        for image in hierarchy.images() {
            self.shape_of(image, hierarchy, &mut hasher);
        }
        let mut kinds = [0_u8; 8];
        for happening in self.agenda.values() {
            if let Some(kind) = kinds.get_mut(kind(happening)) {
                *kind = kind.saturating_add(1);
            }
        }
        kinds.hash(&mut hasher);
        hasher.finish()
    }

    fn shape_of(&self, image: &Image, hierarchy: &Hierarchy, hasher: &mut DefaultHasher) {
        (image.tier as u8, image.policy.mode as u8, image.policy.rebuild as u8).hash(hasher);
        hierarchy.parents(&image.id).map(|edge| edge.kind as u8).collect::<Vec<_>>().hash(hasher);
        let running = self.pipelines.running().filter(|execution| execution.start.image == image.id).count();
        (running, self.ledger.held_by().contains(&image.id)).hash(hasher);
        let Some(record) = self.ledger.record(&image.id) else { return };
        let claim = record.claim.as_ref();
        (record.unsettled, record.waiting_since.is_some(), record.scan_awaited_since.is_some()).hash(hasher);
        claim
            .map(|claim| (claim.is_confirmed(), claim.start.attempt, claim.start.reasons.len()))
            .hash(hasher);
        record.failures.as_ref().map(|failures| (failures.count, failures.failed)).hash(hasher);
        record.proof.as_ref().map(|proof| (proof.causes.len(), proof.to_prove.len())).hash(hasher);
        let success = record.success.as_ref();
        success
            .map(|success| (record.current.as_ref() == Some(&success.version), success.fixed_nothing))
            .hash(hasher);
        (record.seen.len(), record.ineffective.len()).hash(hasher);
        (record.request.is_some(), record.approval.is_some(), record.frozen.is_some()).hash(hasher);
    }
}

fn kind(happening: &Happening) -> usize {
    match happening {
        Happening::Delivery(_) => 0,
        Happening::ExecutionEnds(_) => 1,
        Happening::Scan(_) => 2,
        Happening::Invocation(_) => 3,
        Happening::Redelivery(..) => 4,
        Happening::Deed(_) | Happening::Commit(_) => 5,
        Happening::Published(_) | Happening::Rescan => 6,
        Happening::Deployment(_)
        | Happening::LastTaskStops(..)
        | Happening::Wake
        | Happening::Tick
        | Happening::Sweep => 7,
    }
}
