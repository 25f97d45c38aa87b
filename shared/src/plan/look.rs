//! When to look again, if no event tells before.
//!
//! Events are delivered best effort, and some things end without one: a quiet period, a pause after failures. Whoever waits
//! for the tick loses up to a quarter of an hour at each level of a wave.

use super::decide::{Decision, Decisions};
use super::scene::Scene;
use super::{Awaited, Hold};
use crate::time::{Span, Timestamp};

/// How often the tick comes by default. A look that is further off is its business.
const TICK: Span = Span::minutes(15);

/// How soon a look comes at the earliest.
const SOONEST: Span = Span::minutes(2);

/// What is under way is looked at again after this part of the time that it has taken so far: a build whose end nobody tells
/// is seen after at most a quarter more, and a long one costs few looks.
const PART: u32 = 4;

/// Returns when something may have ended by itself, if that is before the next tick.
pub(super) fn again(scene: &Scene<'_>, decisions: &Decisions<'_>) -> Option<Timestamp> {
    let looks = decisions.values().filter(|decision| decision.unsettled);
    let first = looks.filter_map(|decision| at(scene, decision)).min()?;
    (first < TICK.after(scene.now)).then_some(first)
}

fn at(scene: &Scene<'_>, decision: &Decision<'_>) -> Option<Timestamp> {
    let record = scene.record(&decision.image.id);
    let proof = record.proof.as_ref().map(|proof| {
        let since = record.success.as_ref().map_or(scene.now, |success| success.at);
        next(since, scene.now).min(proof.until.max(scene.now))
    });
    let own = match decision.hold.as_ref() {
        None => Some(SOONEST.after(scene.now)),
        Some(Hold::QuietPeriod { until, .. } | Hold::BackOff { until, .. }) => Some(*until),
        Some(Hold::InFlight { .. } | Hold::Unresolved { .. }) => {
            record.claim.as_ref().map(|claim| next(claim.claimed_at, scene.now))
        }
        // What a scan is awaited for is above it, and is looked at with it.
        Some(Hold::WaitingOn { awaits: Awaited::Scan, .. }) => {
            Some(next(record.scan_awaited_since.unwrap_or(scene.now), scene.now))
        }
        _ => None,
    };
    proof.into_iter().chain(own).min()
}

/// When to look again at what has been under way since `since`.
fn next(since: Timestamp, now: Timestamp) -> Timestamp {
    Span::between(since, now).share(1, PART).max(SOONEST).after(now)
}
