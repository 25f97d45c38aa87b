//! When a rebuild is tried for findings whose fix the scanner does not name.
//!
//! Basic scanning names no fix. A fix may be published any day, and nobody says so. All such
//! findings of an image share one schedule: a try, and again 1, 2, 4, 8, 8 … days after the last
//! one while any of them counts. That makes [`TRIES_IN_THIRTY_DAYS`]: on days 0, 1, 3, 7, 15 and
//! 23.

use super::attribution::Attribution;
use super::context::Context;
use super::reasons::per_mille_of_chain;
use super::{Cause, limits};
use crate::finding::Severity;
use crate::hierarchy::Image;
use crate::policy::Mode;
use crate::record::{Record, Tries};
use crate::time::{Span, Timestamp};

/// How many builds `unknownFix: retry` makes of an image in its first thirty days, if no try helps.
pub const TRIES_IN_THIRTY_DAYS: usize = 6;

/// Within this time, or `maxAge` if that is shorter, the fleet's first tries are spread.
const FIRST_TRIES: Span = Span::days(7);

/// The longest distance between two tries is `2^3` days.
const MOST_DOUBLINGS: u32 = 3;

/// The shortest distance between two tries.
const DAY: Span = Span::days(1);

/// What appeared so long before there was something to try was known before tries existed.
const LONG_KNOWN: Span = Span::days(2);

/// A try starts less than this early: the daily sweep reaches an image sooner on some days.
const EARLY: Span = Span::minutes(15);

/// Returns until when the image waits for its next try; nothing if a try is due.
pub(super) fn waits_until(
    context: &Context<'_>,
    image: &Image,
    attribution: &Attribution<'_>,
) -> Option<Timestamp> {
    if context.mode(image) == Mode::Observe {
        return None;
    }
    let retried = || attribution.causes.iter().filter(|cause| cause.is_retried());
    let record = context.record(&image.id);
    let tries = record.tries.unwrap_or(Tries { last: context.now, count: 0 });
    let planned = match tries.count {
        0 if retried().any(|cause| is_old(record, tries, cause)) => first(context, image, tries),
        0 => tries.last,
        count => Span::days(1 << (count - 1).min(MOST_DOUBLINGS)).after(tries.last),
    };
    // Only if there is room for the times of all findings, the record knows which are new.
    let is_new = |cause: &Cause| {
        (cause.severity == Severity::Critical || cause.exploited)
            && cause.since > tries.last
            && limits::has_room_for(&attribution.seen)
    };
    let soonest = if tries.count == 0 { tries.last } else { DAY.after(tries.last) };
    let until = if retried().any(is_new) { planned.min(soonest) } else { planned };
    (until >= EARLY.after(context.now)).then_some(until)
}

/// Whether the finding was there before the image was enforced, or before its findings were tried.
fn is_old(record: &Record, tries: Tries, cause: &Cause) -> bool {
    record.enforced_since.is_none_or(|enforced| cause.since <= enforced)
        || LONG_KNOWN.after(cause.since) < tries.last
}

/// Returns when the first try is made for what was there before. All images of a chain get the same
/// share.
fn first(context: &Context<'_>, image: &Image, tries: Tries) -> Timestamp {
    let longest = image.policy.max_age.min(FIRST_TRIES);
    longest.share(per_mille_of_chain(context, image), 1_000).after(tries.last)
}
