//! A token bucket as a pure function of time. It says when a call may be made, and never waits
//! itself.

use std::time::Duration;

use patchwave::time::Timestamp;

use super::clock::{after, before};

/// How often something may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    /// Calls that may be made at once when the bucket is full; at least one.
    pub(crate) burst: u32,
    /// Calls a second when the bucket is empty; at least one.
    pub(crate) per_second: u32,
}

impl Rate {
    fn step(self) -> Duration {
        Duration::from_secs(1) / self.per_second.max(1)
    }

    /// How far the calls may run ahead of their steps.
    fn ahead(self) -> Duration {
        self.step() * self.burst.max(1).saturating_sub(1)
    }
}

/// Starts full, and is refilled evenly.
///
/// It stores one moment instead of a level: when a call would be due if all calls had kept their
/// distance. (ATM's virtual scheduling; ITU-T I.371, annex A.)
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    rate: Rate,
    due: Timestamp,
}

impl Bucket {
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, due: Timestamp::MIN }
    }

    /// Takes a token and returns when its call may be made: now, or later if too many tokens were
    /// taken.
    pub(crate) fn take(&mut self, now: Timestamp) -> Timestamp {
        let due = self.due.max(now);
        self.due = after(due, self.rate.step());
        before(due, self.rate.ahead()).max(now)
    }

    /// Empties the bucket, because the service shows that others use it too.
    pub(crate) fn empty(&mut self, now: Timestamp) {
        self.due = self.due.max(after(now, self.rate.ahead() + self.rate.step()));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATE: Rate = Rate { burst: 100, per_second: 20 };

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(1_700_000_000_000 + milliseconds).unwrap()
    }

    #[test]
    fn a_burst_is_free_and_the_rest_keeps_its_distance() {
        let mut bucket = Bucket::new(RATE);
        let turns: Vec<Timestamp> = (0..140).map(|_| bucket.take(at(0))).collect();
        assert!(turns[..100].iter().all(|turn| *turn == at(0)));
        assert_eq!(turns[100], at(50));
        assert_eq!(turns[139], at(2_000));
    }

    #[test]
    fn an_emptied_bucket_gives_one_token_a_step() {
        let mut bucket = Bucket::new(RATE);
        bucket.empty(at(0));
        assert_eq!([bucket.take(at(0)), bucket.take(at(0))], [at(50), at(100)]);
    }

    proptest! {
        /// AWS's own bucket, which starts full, is never overdrawn. Between any two calls there are
        /// at most `burst` calls and one for each step between them.
        #[test]
        fn no_window_holds_more_than_the_rate_allows(waits in prop::collection::vec(0_i64..60, 1..600)) {
            let mut bucket = Bucket::new(RATE);
            let mut now = 0;
            let turns: Vec<i64> = waits
                .iter()
                .map(|wait| {
                    now += wait;
                    bucket.take(at(now)).as_millisecond() - at(0).as_millisecond()
                })
                .collect();
            for (i, from) in turns.iter().enumerate() {
                for (calls, to) in (1_i64..).zip(turns.iter().skip(i)) {
                    let allowed = 100 + (to - from) / 50;
                    prop_assert!(calls <= allowed, "{calls} calls in {} ms", to - from);
                }
            }
        }

        /// A caller that keeps the distance does not wait.
        #[test]
        fn calls_that_keep_their_distance_never_wait(n in 1_i64..500) {
            let mut bucket = Bucket::new(RATE);
            prop_assert!((0..n).all(|i| bucket.take(at(i * 50)) == at(i * 50)));
        }
    }
}
