//! What must be true of each record that is written.

use patchwave::image::ImageId;
use patchwave::record::Record;
use patchwave::time::Timestamp;

use crate::state::State;

impl State {
    /// Checks a claim that was withdrawn: its start was refused.
    pub(crate) fn check_withdrawn(&mut self, image: &ImageId, claimed_at: Timestamp, now: Timestamp) {
        if !self.truth.withdrawn(image, claimed_at) {
            self.checker.violation(now, format!("{image} gives a start back that was not refused"));
        }
    }

    /// Checks a record that a pass has written.
    pub(crate) fn check_saved(&mut self, image: &ImageId, record: &Record, now: Timestamp) {
        let counted = record.failures.as_ref().map_or(0, |failures| failures.count);
        let failed = self.truth.failures(image);
        if counted > failed {
            let violation = format!("{image} counts {counted} failures, and {failed} happened");
            self.checker.violation(now, violation);
        }
    }
}
