//! The planner's types of time. The planner gets the time as an argument and never reads a clock.

use std::fmt;
use std::str::FromStr;

use jiff::SignedDuration;
pub use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A length of time in whole seconds, written `30d`, `2h`, `10m` or `45s`; at most 10 years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("pattern" = "^[0-9]+[smhd]$"))]
pub struct Span(u32);

const UNITS: [(char, u32); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];
const LONGEST: u32 = 10 * 366 * 86_400;

impl Span {
    /// No time.
    pub const ZERO: Self = Self(0);

    /// Makes a span of `n` seconds, at most ten years.
    pub const fn seconds(n: u32) -> Self {
        Self(if n < LONGEST { n } else { LONGEST })
    }

    /// Makes a span of `n` minutes.
    pub const fn minutes(n: u32) -> Self {
        Self::seconds(n.saturating_mul(60))
    }

    /// Makes a span of `n` hours.
    pub const fn hours(n: u32) -> Self {
        Self::seconds(n.saturating_mul(3_600))
    }

    /// Makes a span of `n` days.
    pub const fn days(n: u32) -> Self {
        Self::seconds(n.saturating_mul(86_400))
    }

    /// Returns the length in seconds.
    pub const fn as_seconds(self) -> u32 {
        self.0
    }

    /// Writes the span in one whole unit, as people say it: `254 days`, `27 hours`, `1 minute`.
    pub fn in_words(self) -> String {
        let (number, unit) = match self.0 {
            seconds @ ..120 => (seconds, "second"),
            seconds @ ..7_200 => (seconds / 60, "minute"),
            seconds @ ..172_800 => (seconds / 3_600, "hour"),
            seconds => (seconds / 86_400, "day"),
        };
        format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
    }

    /// Returns the sum of both spans, at most ten years.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self::seconds(self.0.saturating_add(other.0))
    }

    /// Returns this share of the span. A `numerator` above `denominator` gives the whole span.
    #[must_use]
    pub fn share(self, numerator: u32, denominator: u32) -> Self {
        let part = u64::from(self.0) * u64::from(numerator) / u64::from(denominator.max(1));
        Self(u32::try_from(part).unwrap_or(self.0).min(self.0))
    }

    /// Returns the time this long after `start`, or the last representable time.
    pub fn after(self, start: Timestamp) -> Timestamp {
        start.saturating_add(SignedDuration::from_secs(i64::from(self.0))).unwrap_or(Timestamp::MAX)
    }

    /// Returns the time this long before `end`, or the first representable time.
    pub fn before(self, end: Timestamp) -> Timestamp {
        end.saturating_sub(SignedDuration::from_secs(i64::from(self.0))).unwrap_or(Timestamp::MIN)
    }

    /// Returns how long `end` is after `start`, or no time if it is not after it.
    pub fn between(start: Timestamp, end: Timestamp) -> Self {
        let seconds = end.as_second().saturating_sub(start.as_second()).max(0);
        Self::seconds(u32::try_from(seconds).unwrap_or(LONGEST))
    }
}

/// A text that is not a length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a duration (a whole number and s, m, h or d, such as 10m or 30d, at most 3660d)")]
pub struct InvalidSpan(String);

impl FromStr for Span {
    type Err = InvalidSpan;

    fn from_str(text: &str) -> Result<Self, InvalidSpan> {
        let invalid = || InvalidSpan(text.chars().take(50).collect());
        let unit = text.chars().next_back().ok_or_else(invalid)?;
        let (_, seconds) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(invalid)?;
        let digits = &text[..text.len() - unit.len_utf8()];
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(invalid());
        }
        let count: u32 = digits.parse().map_err(|_| invalid())?;
        let length = count.checked_mul(*seconds).filter(|length| *length <= LONGEST).ok_or_else(invalid)?;
        Ok(Self(length))
    }
}

impl TryFrom<String> for Span {
    type Error = InvalidSpan;

    fn try_from(text: String) -> Result<Self, InvalidSpan> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

impl fmt::Display for Span {
    /// Writes the span in the largest unit that divides it. Parsing that text gives the same span.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, seconds) =
            UNITS.iter().find(|(_, s)| self.0.is_multiple_of(*s) && self.0 > 0).unwrap_or(&('s', 1));
        write!(f, "{}{unit}", self.0 / seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_people_write() {
        assert_eq!("30d".parse::<Span>(), Ok(Span::days(30)));
        assert_eq!("10m".parse::<Span>(), Ok(Span::minutes(10)));
        for bad in ["", "10", "m", "-1h", "1.5h", "10 m", "1w", "99999999999d", "4000d", "1é"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }

    #[test]
    fn words_name_one_unit() {
        let words = |seconds| Span::seconds(seconds).in_words();
        assert_eq!([1, 119, 7_199].map(words), ["1 second", "119 seconds", "119 minutes"]);
        assert_eq!([172_799, 172_800, 6_107 * 3_600].map(words), ["47 hours", "2 days", "254 days"]);
    }

    #[test]
    fn never_leaves_the_calendar() {
        assert_eq!(Span::days(3660).after(Timestamp::MAX), Timestamp::MAX);
        assert_eq!(Span::between(Timestamp::MAX, Timestamp::MIN), Span::ZERO);
    }

    proptest! {
        #[test]
        fn writing_and_reading_give_the_same_span(seconds in 0..LONGEST) {
            let span = Span::seconds(seconds);
            prop_assert_eq!(span.to_string().parse::<Span>(), Ok(span));
        }
    }
}
