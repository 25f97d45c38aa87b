//! Shows the progress of the simulation at a terminal.

use patchwave::time::Timestamp;

use crate::progress;
use crate::render::exact_time;

/// The last line that was shown.
pub(crate) struct Progress {
    builds: usize,
    done: usize,
}

impl Progress {
    pub(crate) fn new(builds: usize) -> Self {
        Self { builds, done: 0 }
    }

    /// Shows the simulated time and how many builds are done, when that changed.
    pub(crate) fn show(&mut self, now: Timestamp, done: usize) {
        if done != self.done {
            self.done = done;
            progress::show(&format!("{}  {done} of {} built", exact_time(now), self.builds));
        }
    }
}
