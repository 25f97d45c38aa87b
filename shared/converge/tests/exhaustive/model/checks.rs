//! What must hold in a state of the model.

use super::{BASE, Images, ModelState, Run, Violation};
use crate::diamond::{Diamond, IMAGES, id, time};

impl ModelState {
    /// Checks what must hold in every state.
    pub(crate) fn check(&self, diamond: &Diamond) -> Result<(), Violation> {
        for run in self.runs.iter().filter(|run| !run.is_over()) {
            if !self.held_by.has(run.image) {
                return Err(format!("{} is being built and has no slot", id(run.image)));
            }
        }
        for image in 0..4 {
            let failed = self.runs.iter().filter(|run| run.image == image && run.has_failed()).count();
            let counted =
                self.record(diamond, image).and_then(|record| Some(record.failures.as_ref()?.count));
            if counted.is_some_and(|counted| counted as usize > failed) {
                return Err(format!("{} has {counted:?} failures, not {failed}", id(image)));
            }
        }
        Ok(())
    }

    pub(crate) fn is_quiet(&self, diamond: &Diamond) -> bool {
        self.runs.iter().all(Run::is_over) && self.scheduled(diamond) == Images::default()
    }

    /// Checks what must hold when nothing is left to do.
    pub(crate) fn check_converged(&self, diamond: &Diamond) -> Result<(), Violation> {
        for (image, name) in (0..4).zip(IMAGES) {
            let builds = self.runs.iter().filter(|run| run.image == image && !run.has_failed()).count();
            let pushes = self.by_hand.len();
            // The base need not be built if a person has pushed the fix.
            let least = if image == BASE { usize::from(pushes == 0) } else { 1 };
            if !(least..=1 + pushes).contains(&builds) {
                return Err(format!("in the end {name} was built {builds} times"));
            }
            if !self.is_built_on_the_current_base(diamond, image) {
                return Err(format!("in the end {name} is built on an old version of its parent"));
            }
            if diamond.versions.get(self.current[usize::from(image)]).is_vulnerable {
                return Err(format!("in the end {name} is vulnerable"));
            }
            if self.record(diamond, image).is_none_or(|record| record.claim.is_some()) {
                return Err(format!("in the end {name} is claimed"));
            }
        }
        if self.held_by != Images::default() {
            return Err(format!(
                "in the end {:?} hold slots",
                self.held_by.iter().map(id).collect::<Vec<_>>()
            ));
        }
        Ok(())
    }

    fn is_built_on_the_current_base(&self, diamond: &Diamond, image: u8) -> bool {
        let current = |image: u8| diamond.versions.get(self.current[usize::from(image)]);
        let parent = match image {
            BASE => return true,
            3 => 1,
            _ => BASE,
        };
        current(image).version.base.as_ref() == Some(&current(parent).version.digest)
    }

    /// Returns whether a claim waits for its lease to pass. Nothing else in the model waits for
    /// time.
    pub(crate) fn has_unconfirmed_claim(&self, diamond: &Diamond) -> bool {
        (0..4).any(|image| {
            let record = self.record(diamond, image);
            record
                .and_then(|record| record.claim.clone())
                .is_some_and(|claim| !claim.is_confirmed() && claim.lease_until > time(self.now))
        })
    }
}
