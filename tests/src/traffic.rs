//! What passes on the wire: every call is counted, and a share of them is refused as AWS throttles.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::awsjson::Refusal;
use crate::settle::Dice;

/// Which calls are refused as throttled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Throttle {
    #[default]
    Never,
    /// One in five of the calls that were not made before, and never its repetition: a limit that backing off gets under.
    /// The seed decides which of the five.
    OneInFive(u64),
}

/// The calls that all fakes were asked for.
#[derive(Debug, Default)]
pub struct Traffic(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    calls: BTreeMap<String, usize>,
    refused: usize,
    throttle: Throttle,
    /// Calls that were not made before, counted from the last change of the throttle.
    fresh: u64,
    /// What was refused and is yet to be repeated.
    owed: BTreeSet<String>,
}

impl Traffic {
    /// Begins to count anew, with this throttle.
    pub fn begin(&self, throttle: Throttle) {
        *self.state() = State { throttle, ..State::default() };
    }

    /// Counts a call; `Err` if it is throttled. `call` tells it from every other: a repetition is the same call.
    pub fn admit(&self, operation: &str, call: &str) -> Result<(), Refusal> {
        let mut state = self.state();
        *state.calls.entry(operation.to_owned()).or_default() += 1;
        if !state.is_refused(operation, call) {
            return Ok(());
        }
        state.refused += 1;
        Err(Refusal::new("ThrottlingException", "Rate exceeded"))
    }

    /// Returns how many calls were made, refused ones too.
    pub fn calls(&self) -> usize {
        self.state().calls.values().sum()
    }

    /// Returns how many calls of an operation were made, refused ones too.
    pub fn calls_of(&self, operation: &str) -> usize {
        self.state().calls.get(operation).copied().unwrap_or_default()
    }

    /// Returns how many calls of each operation were made.
    pub fn by_operation(&self) -> BTreeMap<String, usize> {
        self.state().calls.clone()
    }

    /// Returns how many calls were refused.
    pub fn refused(&self) -> usize {
        self.state().refused
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_refused(&mut self, operation: &str, call: &str) -> bool {
        match self.throttle {
            Throttle::Never => false,
            Throttle::OneInFive(seed) => {
                let name = format!("{operation} {call}");
                if self.owed.remove(&name) {
                    return false;
                }
                let (block, place) = (self.fresh / 5, self.fresh % 5);
                self.fresh += 1;
                // The first five are let through: however many calls follow, no more than a fifth of them is refused.
                let chosen = Dice(seed.wrapping_mul(1_000_003).wrapping_add(block)).roll(5) as u64;
                let is_refused = block > 0 && place == chosen;
                if is_refused {
                    self.owed.insert(name);
                }
                is_refused
            }
        }
    }
}
