//! How long builds take: each about as long as the last one of its image.

use super::context::Context;
use crate::hierarchy::Image;
use crate::image::ImageId;
use crate::time::{Span, Timestamp};

/// A build of which nothing is known takes about this long where only the order depends on it.
const TYPICAL: Span = Span::minutes(10);

/// Returns how long an image's last build took, until Patchwave saw that it had ended.
pub(super) fn last(context: &Context<'_>, id: &ImageId) -> Option<Span> {
    let success = context.record(id).success.as_ref()?;
    Some(Span::between(success.claimed_at?, success.at))
}

/// Returns how long builds take. Without an earlier build of the image it is the average of those
/// that are known, and `maxBuildTime` if none is.
pub(super) fn usual<'c>(context: &'c Context<'_>) -> impl Fn(&ImageId) -> Span + use<'c> {
    let known: Vec<Span> = context.images().filter_map(|image| last(context, &image.id)).collect();
    let total: u64 = known.iter().map(|span| u64::from(span.as_seconds())).sum();
    let average =
        total.checked_div(known.len() as u64).map(|average| u32::try_from(average).unwrap_or(u32::MAX));
    move |id| {
        let longest = || context.hierarchy.image(id).map(|image| image.policy.max_build_time);
        let usual = last(context, id).or_else(|| average.map(Span::seconds));
        usual.or_else(|| longest().ok()).unwrap_or(Span::ZERO)
    }
}

/// Returns when each slot that is taken now is free.
pub(super) fn taken(context: &Context<'_>, usual: impl Fn(&ImageId) -> Span) -> Vec<Timestamp> {
    let claimed_at = |id| context.record(id).claim.as_ref().map_or(context.now, |claim| claim.claimed_at);
    let running = context.facts.slots.held_by.iter();
    running.map(|id| usual(id).after(claimed_at(id)).max(context.now)).collect()
}

/// Returns how long it takes to build an image and then the longest chain below it, in minutes.
///
/// Builds below count as typical ones. Their records need not be read for it, and a rank in the
/// queue does not depend on what else a pass observes.
pub(super) fn chain(context: &Context<'_>, image: &Image) -> u32 {
    let below = context.hierarchy.builds_below(&image.id).unwrap_or_default();
    let own = last(context, &image.id).unwrap_or(TYPICAL);
    own.as_seconds().saturating_add(TYPICAL.as_seconds().saturating_mul(below)) / 60
}
