//! Which starts the limit of a day does not hold: those that would miss a deadline tomorrow.
//!
//! A limit spreads what can wait. A deadline counts here from the later of two times: when the
//! finding appeared, and when the image was first enforced. Otherwise everything would be overdue
//! on the first day, and the limit would hold nothing. A try of an unknown fix and a rebuild for
//! age keep no deadline.

use std::collections::BTreeMap;

use super::context::Context;
use super::{Cause, Reason};
use crate::hierarchy::Image;
use crate::image::ImageId;
use crate::time::{Span, Timestamp};

const DAY: Span = Span::days(1);

/// The time by which each image, or one below it, must be rebuilt to keep its deadline.
pub(super) type KeepBy<'a> = BTreeMap<&'a ImageId, Timestamp>;

/// Whether the image must start today: after the end of the day (UTC) there is no time left for its
/// build and those below it.
pub(super) fn must_start_today(
    context: &Context<'_>,
    image: &Image,
    reasons: &[Reason],
    keep_by: &KeepBy<'_>,
) -> bool {
    let keeps = |reason: &Reason| match reason {
        Reason::Vulnerable { causes, .. } => !causes.iter().all(Cause::is_retried),
        Reason::Expired { .. } => false,
        Reason::ParentChanged { .. } | Reason::Requested { .. } | Reason::NeverBuilt { .. } => true,
    };
    let is_last_day = |keep_by: &Timestamp| latest_start(context, image, *keep_by) < end_of_day(context.now);
    reasons.iter().any(keeps) && keep_by.get(&image.id).is_some_and(is_last_day)
}

/// Returns when the image must start at the latest, if it and those below it are to be built by
/// then. A build takes `maxBuildTime` at most.
pub(super) fn latest_start(context: &Context<'_>, image: &Image, keep_by: Timestamp) -> Timestamp {
    let time = context.hierarchy.time_to_build(&image.id).unwrap_or(image.policy.max_build_time);
    time.before(keep_by)
}

/// Returns when the day (UTC) ends.
pub(super) fn end_of_day(now: Timestamp) -> Timestamp {
    let since_midnight = now.as_second().rem_euclid(i64::from(DAY.as_seconds()));
    let since_midnight = Span::seconds(u32::try_from(since_midnight).unwrap_or(0));
    DAY.after(since_midnight.before(now))
}
