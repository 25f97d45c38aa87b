//! The clock of the fakes: the real time, which a test can shift into the past.

use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

/// Tells the fakes the time.
///
/// The functions read the real clock, so the fakes follow it. The versions that a test starts with
/// are pushed under a shifted clock. Every reading is later than the one before, so that no two
/// pushes have the same time.
#[derive(Debug, Default)]
pub struct Clock {
    shift: Mutex<Shift>,
}

#[derive(Debug, Default)]
struct Shift {
    behind: SignedDuration,
    last: Option<Timestamp>,
}

impl Clock {
    /// Returns the time.
    pub fn now(&self) -> Timestamp {
        let mut shift = self.shift.lock().unwrap_or_else(PoisonError::into_inner);
        let shifted = real_now() - shift.behind;
        let now = shift.last.map_or(shifted, |last| shifted.max(last + SignedDuration::from_millis(1)));
        shift.last = Some(now);
        now
    }

    /// Sets the clock back by `hours`, until [`Clock::set_right`].
    pub fn set_back(&self, hours: i64) {
        *self.shift.lock().unwrap_or_else(PoisonError::into_inner) =
            Shift { behind: SignedDuration::from_hours(hours), last: None };
    }

    /// Sets the clock to the real time.
    pub fn set_right(&self) {
        self.shift.lock().unwrap_or_else(PoisonError::into_inner).behind = SignedDuration::ZERO;
    }
}

#[expect(clippy::disallowed_methods, reason = "the only place that reads the real clock")]
fn real_now() -> Timestamp {
    Timestamp::now()
}

/// Returns a time as awsJson writes it: seconds since 1970 with milliseconds.
pub(crate) fn epoch_seconds(time: Timestamp) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of this century fit a double's 53 bits")]
    let milliseconds = time.as_millisecond() as f64;
    milliseconds / 1000.0
}
