//! Times, and what they come to.

use std::time::{Duration, Instant};

/// Runs `work` and returns its answer and how long it took.
#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    let answer = work();
    (answer, began.elapsed())
}

/// Returns the shortest: what else runs on the machine only makes a round longer.
pub(crate) fn fastest(times: Vec<Duration>) -> Duration {
    times.into_iter().min().unwrap_or_default()
}

/// Returns milliseconds.
pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
