//! Decides when to recheck, before the next tick.
//!
//! EventBridge may lose an event, and some waits end without one: a quiet period, a back-off.
//! Without a recheck each level of a wave would wait for the next tick, up to 15 minutes.

use super::context::{Context, TICK};
use super::decide::{Decision, Decisions};
use super::{Awaited, Hold};
use crate::time::{Span, Timestamp};

/// The shortest time to a recheck.
const SHORTEST: Span = Span::minutes(2);

/// Patchwave rechecks a build or scan after a quarter of the time that it has taken so far.
///
/// So it sees the end of a build without an event at most a quarter of the build's time late. A
/// long build costs few rechecks.
const PART: u32 = 4;

/// Returns when to recheck, or nothing if the next tick is early enough.
pub(super) fn recheck_at(context: &Context<'_>, decisions: &Decisions<'_>) -> Option<Timestamp> {
    let unsettled = decisions.values().filter(|decision| decision.unsettled);
    let first = unsettled.filter_map(|decision| wait_ends(context, decision)).min()?;
    (first < TICK.after(context.now)).then_some(first)
}

/// Returns when the wait of this image may have ended.
fn wait_ends(context: &Context<'_>, decision: &Decision<'_>) -> Option<Timestamp> {
    let record = context.record(&decision.image.id);
    let proof = record.proof.as_ref().map(|proof| {
        let since = record.success.as_ref().map_or(context.now, |success| success.at);
        let later = a_quarter_later(since, context.now);
        // A scan that could not be read keeps the proof open after its time limit.
        if proof.until > context.now { later.min(proof.until) } else { later }
    });
    let own = match decision.hold.as_ref() {
        None => Some(SHORTEST.after(context.now)),
        Some(Hold::QuietPeriod { until, .. } | Hold::BackOff { until, .. } | Hold::AtLimit { until, .. }) => {
            Some(*until)
        }
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

/// Returns when to recheck a build or scan that began at `since`.
fn a_quarter_later(since: Timestamp, now: Timestamp) -> Timestamp {
    Span::between(since, now).share(1, PART).max(SHORTEST).after(now)
}
