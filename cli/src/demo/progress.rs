//! How far a long simulation is, for whoever waits for it at a terminal.

use std::io::{self, IsTerminal, Write};

use patchwave::time::Timestamp;

use crate::render::exact_time;

/// A line on standard error that is written over and over; nothing where that is no terminal.
pub(crate) struct Progress {
    is_shown: bool,
    builds: usize,
    done: usize,
}

impl Progress {
    pub(crate) fn new(builds: usize) -> Self {
        Self { is_shown: io::stderr().is_terminal(), builds, done: 0 }
    }

    /// Shows the virtual time and how many builds are done, when that changed.
    pub(crate) fn show(&mut self, now: Timestamp, done: usize) {
        if done != self.done {
            self.done = done;
            self.write(&format!("{}  {done} of {} built", exact_time(now), self.builds));
        }
    }

    /// Leaves nothing behind.
    pub(crate) fn clear(&self) {
        self.write("");
    }

    fn write(&self, line: &str) {
        if self.is_shown {
            let mut stderr = io::stderr().lock();
            // Nobody misses a line that could not be shown.
            let _ = write!(stderr, "\r\x1b[2K{line}").and_then(|()| stderr.flush());
        }
    }
}
