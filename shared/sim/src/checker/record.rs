//! What must be true of each record that is written.

use patchwave::hierarchy::Hierarchy;
use patchwave::image::ImageId;
use patchwave::record::{Record, Success};
use patchwave::time::Timestamp;

use crate::not_yet::NotYet;
use crate::state::State;

impl State {
    /// Checks a claim that was withdrawn: its start was refused.
    pub(crate) fn check_withdrawn(&mut self, image: &ImageId, claimed_at: Timestamp, now: Timestamp) {
        if !self.truth.withdrawn(image, claimed_at) {
            self.checker.violation(now, format!("{image} gives a start back that was not refused"));
        }
    }

    /// Checks a record that a pass has written.
    pub(crate) fn check_saved(
        &mut self,
        hierarchy: &Hierarchy,
        image: &ImageId,
        before: Option<&Success>,
        record: &Record,
        now: Timestamp,
    ) {
        self.check_success(hierarchy, image, before, record, now);
        let counted = record.failures.as_ref().map_or(0, |failures| failures.count);
        let failed = self.truth.failures(image);
        if counted > failed {
            let violation = format!("{image} counts {counted} failures, and {failed} happened");
            self.checker.violation(now, violation);
        }
    }

    /// Checks a success that was just recorded: the version is one that a build of Patchwave
    /// pushed, and it was built on the recorded parents.
    fn check_success(
        &mut self,
        hierarchy: &Hierarchy,
        image: &ImageId,
        before: Option<&Success>,
        record: &Record,
        now: Timestamp,
    ) {
        let Some(success) = record.success.as_ref() else { return };
        let is_old = before.is_some_and(|before| before.at == success.at && before.key == success.key);
        let Ok(known) = hierarchy.image(image) else { return };
        let Some(pushed) = self.registry.pushed(&known.repository, &success.version) else { return };
        if is_old {
            return;
        }
        let is_ours = pushed.execution.is_some();
        let wrong: Vec<String> = success
            .parents
            .iter()
            .filter(|(parent, digest)| pushed.parents.get(*parent) != Some(*digest))
            .map(|(parent, _)| format!("{image} is recorded as built on a {parent} that it is not built on"))
            .collect();
        if !is_ours && !self.truth.leaves_out(NotYet::PersonsPushIsSuccess) {
            self.checker.violation(now, format!("a person's version of {image} is recorded as a success"));
        }
        for violation in wrong.into_iter().filter(|_| is_ours) {
            if !self.truth.leaves_out(NotYet::RecordedParents) {
                self.checker.violation(now, violation);
            }
        }
    }
}
