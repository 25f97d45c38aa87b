//! The calls on the wire: every call is counted, and some are throttled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::awsjson::Refusal;
use crate::random::Random;

/// Which calls are throttled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Throttle {
    #[default]
    Never,
    /// One in five of the new calls, but never the repetition of a call. So a client that backs off
    /// gets below the limit. The seed decides which of the five.
    OneInFive(u64),
}

/// The calls to all fakes.
#[derive(Debug, Default)]
pub struct Traffic(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    calls: BTreeMap<String, usize>,
    /// Which accounts' credentials asked about each repository.
    callers: BTreeMap<String, BTreeSet<String>>,
    refused: usize,
    throttle: Throttle,
    /// The number of new calls since the last change of the throttle.
    fresh: u64,
    /// Calls that were refused and not repeated yet.
    to_repeat: BTreeSet<String>,
    /// What each operation is refused with.
    refusals: BTreeMap<String, Refusal>,
}

impl Traffic {
    /// Sets the throttle, and counts from zero.
    pub fn begin(&self, throttle: Throttle) {
        *self.state() = State { throttle, ..State::default() };
    }

    /// Refuses every call of an operation with an exception, until [`Self::admit_all`].
    pub fn refuse(&self, operation: &str, exception: &str) {
        let refusal = Refusal::new(exception, "refused by the test");
        self.state().refusals.insert(operation.to_owned(), refusal);
    }

    /// Ends all refusals.
    pub fn admit_all(&self) {
        self.state().refusals.clear();
    }

    /// Notes whose credentials signed a call about a repository.
    pub fn note_caller(&self, repository: &str, account: &str) {
        self.state().callers.entry(repository.to_owned()).or_default().insert(account.to_owned());
    }

    /// Returns which accounts' credentials asked about each repository.
    pub fn callers(&self) -> BTreeMap<String, BTreeSet<String>> {
        self.state().callers.clone()
    }

    /// Counts a call. Returns `Err` if it is throttled or refused. `call` is the same text for a
    /// repetition and another one for every other call.
    pub fn admit(&self, operation: &str, call: &str) -> Result<(), Refusal> {
        let mut state = self.state();
        *state.calls.entry(operation.to_owned()).or_default() += 1;
        if let Some(refusal) = state.refusals.get(operation) {
            return Err(refusal.clone());
        }
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
                if self.to_repeat.remove(&name) {
                    return false;
                }
                let (block, place) = (self.fresh / 5, self.fresh % 5);
                self.fresh += 1;
                // The first five are never refused, so that at any time no more than a fifth of the
                // calls is.
                let chosen = Random(seed.wrapping_mul(1_000_003).wrapping_add(block)).below(5) as u64;
                let is_refused = block > 0 && place == chosen;
                if is_refused {
                    self.to_repeat.insert(name);
                }
                is_refused
            }
        }
    }
}
