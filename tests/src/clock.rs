//! The fakes' clock: the real one, shifted at will and never standing still.

use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

/// Says when things happen in the fakes.
///
/// The functions read the real clock, so the fakes follow it; the past that an organisation starts with is written under
/// a shifted one. Every reading is later than the one before, so that no two pushes tie.
#[derive(Debug, Default)]
pub struct Clock {
    hands: Mutex<Hands>,
}

#[derive(Debug, Default)]
struct Hands {
    behind: SignedDuration,
    last: Option<Timestamp>,
}

impl Clock {
    /// Returns the time.
    pub fn now(&self) -> Timestamp {
        let mut hands = self.hands.lock().unwrap_or_else(PoisonError::into_inner);
        let shifted = real_now() - hands.behind;
        let now = hands.last.map_or(shifted, |last| shifted.max(last + SignedDuration::from_millis(1)));
        hands.last = Some(now);
        now
    }

    /// Shows the time as it was `hours` ago, until [`Clock::be_right`].
    pub fn go_back(&self, hours: i64) {
        *self.hands.lock().unwrap_or_else(PoisonError::into_inner) =
            Hands { behind: SignedDuration::from_hours(hours), last: None };
    }

    /// Shows the real time again.
    pub fn be_right(&self) {
        self.hands.lock().unwrap_or_else(PoisonError::into_inner).behind = SignedDuration::ZERO;
    }
}

#[expect(clippy::disallowed_methods, reason = "the harness's one look at the real clock")]
fn real_now() -> Timestamp {
    Timestamp::now()
}

/// Writes a time as awsJson does: seconds since 1970 with milliseconds.
pub(crate) fn epoch_seconds(time: Timestamp) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of this century fit a double's 53 bits")]
    let milliseconds = time.as_millisecond() as f64;
    milliseconds / 1000.0
}
