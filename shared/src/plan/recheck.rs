//! When to recheck, before the next tick.
//!
//! EventBridge delivers events best effort, and some waits end without an event: a quiet period, a back-off. Without a recheck
//! each level of a wave would wait for the tick, up to a quarter of an hour.

use super::context::Context;
use super::decide::{Decision, Decisions};
use super::{Awaited, Hold};
use crate::time::{Span, Timestamp};

/// How often the tick comes in the template. A later recheck is left to the tick.
const TICK: Span = Span::minutes(15);

/// The shortest time to a recheck.
const SHORTEST: Span = Span::minutes(2);

/// A build or scan is rechecked after a quarter of the time that it has taken so far. So the end of a build that emits no
/// event is seen at most a quarter of its time late, and a long build costs few rechecks.
const PART: u32 = 4;

/// Returns when to recheck; nothing if the next tick is early enough.
pub(super) fn recheck_at(context: &Context<'_>, decisions: &Decisions<'_>) -> Option<Timestamp> {
    let unsettled = decisions.values().filter(|decision| decision.unsettled);
    let first = unsettled.filter_map(|decision| wait_ends(context, decision)).min()?;
    (first < TICK.after(context.now)).then_some(first)
}

/// When what this image waits for may have ended.
fn wait_ends(context: &Context<'_>, decision: &Decision<'_>) -> Option<Timestamp> {
    let record = context.record(&decision.image.id);
    let proof = record.proof.as_ref().map(|proof| {
        let since = record.success.as_ref().map_or(context.now, |success| success.at);
        a_quarter_later(since, context.now).min(proof.until.max(context.now))
    });
    let own = match decision.hold.as_ref() {
        None => Some(SHORTEST.after(context.now)),
        Some(Hold::QuietPeriod { until, .. } | Hold::BackOff { until, .. }) => Some(*until),
        Some(Hold::InFlight { .. } | Hold::Unresolved { .. }) => {
            record.claim.as_ref().map(|claim| a_quarter_later(claim.claimed_at, context.now))
        }
        // The scan is an ancestor's, which is observed together with this image.
        Some(Hold::WaitingOn { awaits: Awaited::Scan, .. }) => {
            Some(a_quarter_later(record.scan_awaited_since.unwrap_or(context.now), context.now))
        }
        _ => None,
    };
    proof.into_iter().chain(own).min()
}

/// When to recheck something that has taken since `since`.
fn a_quarter_later(since: Timestamp, now: Timestamp) -> Timestamp {
    Span::between(since, now).share(1, PART).max(SHORTEST).after(now)
}
