//! When a registry is left alone. Every answer of a host is about all of its tags: a limit counts
//! what all of them ask.

use serde::{Deserialize, Serialize};

use crate::time::{Span, Timestamp};
use crate::unread::Unread;

/// The first pause after a failure. Each further one is twice as long.
const FIRST: Span = Span::minutes(15);
/// The first pause after a limit that does not say how long.
const LIMITED: Span = Span::hours(1);
/// The longest pause. The longest window of a limit that is known is Docker Hub's, six hours.
const LONGEST: Span = Span::hours(6);
/// How many requests of a limit are left to those who pull from the same address.
const LEFT_TO_BUILDS: u32 = 5;

/// What is known of a registry's host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Host {
    /// Until when it is not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused_until: Option<Timestamp>,
    /// How many failures and limits in a row there were.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub failures: u32,
    /// Why it is not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<Unread>,
}

impl Host {
    /// Returns why the host is not asked at `now`, if it is not.
    pub fn is_paused(&self, now: Timestamp) -> Option<Unread> {
        let until = self.paused_until.filter(|until| *until > now)?;
        let because = self.because.as_ref().map_or_else(String::new, |why| format!(": {why}"));
        Some(format!("its registry is left alone until {until:.0}{because}").into())
    }

    /// Takes note of an answer. `left` is how many requests of its limit are left, if it says so.
    pub fn answered(&mut self, left: Option<u32>, now: Timestamp) {
        *self = Self::default();
        if left.is_some_and(|left| left < LEFT_TO_BUILDS) {
            self.paused_until = Some(LIMITED.after(now));
            self.because = Some("the rest of its rate limit is left to builds".into());
        }
    }

    /// Takes note that the host gave no answer.
    pub fn failed(&mut self, why: Unread, now: Timestamp) {
        self.pause(FIRST, None, why, now);
    }

    /// Takes note that the host's rate limit is reached. `retry_after` is how long it asks to wait.
    pub fn limited(&mut self, retry_after: Option<Span>, why: Unread, now: Timestamp) {
        self.pause(LIMITED, retry_after, why, now);
    }

    fn pause(&mut self, first: Span, asked: Option<Span>, why: Unread, now: Timestamp) {
        let doubled = Span::seconds(first.as_seconds().saturating_mul(1 << self.failures.min(5)));
        let pause = asked.map_or(doubled, |asked| asked.max(FIRST)).min(LONGEST);
        self.paused_until = Some(pause.after(now));
        self.failures = self.failures.saturating_add(1);
        self.because = Some(why);
    }
}
