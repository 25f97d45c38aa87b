//! How the survey reads the time and waits. Tests use a clock that moves only when the survey
//! waits.

use std::time::Duration;

use futures::future::BoxFuture;
use jiff::SignedDuration;
use patchwave::time::Timestamp;

/// A clock that can also wait.
pub trait Clock: Send + Sync {
    /// Returns the time.
    fn now(&self) -> Timestamp;

    /// Waits until `then`, or not at all if that has passed.
    fn until(&self, then: Timestamp) -> BoxFuture<'_, ()>;
}

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct WallClock;

impl Clock for WallClock {
    #[expect(clippy::disallowed_methods, reason = "the edge reads the clock")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn until(&self, then: Timestamp) -> BoxFuture<'_, ()> {
        let wait = Duration::try_from(then.duration_since(self.now())).unwrap_or_default();
        Box::pin(async move {
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
        })
    }
}

/// Returns the moment this long after `start`, or the last representable one.
pub(super) fn after(start: Timestamp, wait: Duration) -> Timestamp {
    let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
    start.saturating_add(wait).unwrap_or(Timestamp::MAX)
}

/// Returns the moment this long before `end`, or the first representable one.
pub(super) fn before(end: Timestamp, wait: Duration) -> Timestamp {
    let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
    end.saturating_sub(wait).unwrap_or(Timestamp::MIN)
}
