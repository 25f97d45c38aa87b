//! Decides when a tick looks at an image again.
//!
//! Events say when to look, and EventBridge may lose them. Some waits end without one: a quiet
//! period, a back-off. So every image that waits has a time at which it is looked at in any case.

use std::collections::{BTreeMap, BTreeSet};

use super::context::{Context, TICK};
use super::decide::Decision;
use super::unread::all_unread;
use super::{Awaited, Hold};
use crate::image::ImageId;
use crate::record::Record;
use crate::time::{Span, Timestamp};
use crate::unread::Unread;

/// The shortest time to a recheck.
const SHORTEST: Span = Span::minutes(2);

/// What only a person can make readable is read again at growing distances, and at least once a
/// day.
const LONGEST: Span = Span::days(1);

/// During a long outage Patchwave reads again every hour.
const LONGEST_OUTAGE: Span = Span::hours(1);

/// Patchwave rechecks a build or scan after a quarter of the time that it has taken so far, and not
/// before its event is overdue. So a long build costs few rechecks.
const PART: u32 = 4;

/// Returns the first recheck of these images, if it is before the next tick.
pub(super) fn first<'a>(
    context: &Context<'a>,
    decided: impl Iterator<Item = &'a &'a ImageId>,
    records: &BTreeMap<ImageId, Record>,
) -> Option<Timestamp> {
    let record = |id: &&'a ImageId| records.get(*id).unwrap_or_else(|| context.record(id)).recheck_at;
    let first = decided.filter_map(record).filter(|at| *at > context.now).min()?;
    (first < TICK.after(context.now)).then_some(first)
}

/// Returns when a tick looks at the image again; nothing if it is settled, or in the queue for a
/// slot.
///
/// A time that lies ahead already is not postponed: most passes that look at an ancestor would
/// otherwise write its record.
pub(super) fn recheck_at(
    context: &Context<'_>,
    decision: &Decision<'_>,
    record: &Record,
    is_unsettled: bool,
    unread: &[Unread],
) -> Option<Timestamp> {
    if record.rolling.is_some() {
        return Some(context.now);
    }
    let tick = TICK.after(context.now);
    // The next pass over the image sends the notices that were not sent.
    let notices = record.notified.values().any(|notified| !notified.sent).then_some(tick);
    let wait = is_unsettled.then(|| wait_ends(context, decision, record)).flatten();
    let unread = (!unread.is_empty()).then(|| {
        let since = record.unread_since.unwrap_or(context.now);
        let is_own = !all_unread(context, decision.image, &BTreeSet::new()).is_empty();
        if !is_own {
            // Whoever finds the parent readable again looks at its children.
            a_quarter_later(since, context.now).min(LONGEST.after(context.now))
        } else if unread.iter().all(|unread| unread.needs_person) {
            Span::between(since, context.now).max(TICK).min(LONGEST).after(context.now)
        } else {
            a_quarter_later(since, context.now).min(LONGEST_OUTAGE.after(context.now))
        }
    });
    let first = notices.into_iter().chain(wait).chain(unread).min()?;
    let planned = context.facts_of(&decision.image.id).and_then(|facts| facts.record.recheck_at);
    Some(planned.filter(|at| *at > context.now).map_or(first, |planned| planned.min(first)))
}

/// Returns when the wait of this image may have ended.
fn wait_ends(context: &Context<'_>, decision: &Decision<'_>, record: &Record) -> Option<Timestamp> {
    if decision.ready.is_some() {
        return None;
    }
    let now = context.now;
    let proof = record.proof.as_ref().map(|proof| {
        let since = record.success.as_ref().map_or(now, |success| success.at);
        let later = a_quarter_later(since, now);
        // A scan that could not be read keeps the proof open after its time limit.
        if proof.until > now { later.min(proof.until) } else { later }
    });
    let own = match decision.hold.as_ref() {
        Some(Hold::QuietPeriod { until, .. } | Hold::BackOff { until, .. } | Hold::AtLimit { until, .. }) => {
            *until
        }
        Some(Hold::WaitingOn { awaits: Awaited::Cache { until }, .. }) => *until,
        Some(Hold::InFlight { .. } | Hold::Unresolved { .. }) => ends_build(context, decision, record),
        Some(Hold::WaitingOn { awaits: Awaited::Start, .. }) => {
            decision.image.policy.max_build_time.after(now)
        }
        Some(Hold::WaitingOn { awaits: Awaited::Hold(hold), on }) => {
            ends_wait(context, decision, (on, hold), record)
        }
        _ => proof.unwrap_or_else(|| a_quarter_later(waits_since(record, now), now)),
    };
    let first = proof.map_or(own, |proof| proof.min(own));
    Some(first.max(SHORTEST.after(now)))
}

/// Returns when to look at a build again: when its claim may be resolved, when it is overdue, and
/// in between.
fn ends_build(context: &Context<'_>, decision: &Decision<'_>, record: &Record) -> Timestamp {
    let now = context.now;
    let Some(claim) = &record.claim else { return TICK.after(now) };
    let later = a_quarter_later(claim.claimed_at, now);
    let lease = (!claim.is_confirmed()).then_some(claim.lease_until);
    let overdue = decision.image.policy.max_build_time.after(claim.claimed_at);
    let ahead = [Some(overdue), lease].into_iter().flatten().filter(|at| *at > now);
    ahead.chain([later]).min().unwrap_or(later)
}

/// Returns when to look at an image again that waits for an ancestor.
///
/// A pass looks at it anyway when the ancestor settles. This time is for the case that the ancestor
/// does not, or that the image need not wait for it any longer.
fn ends_wait(
    context: &Context<'_>,
    decision: &Decision<'_>,
    (on, hold): (&ImageId, &Hold),
    record: &Record,
) -> Timestamp {
    let now = context.now;
    match hold {
        Hold::InFlight { until, .. } if *until > now => *until,
        Hold::AwaitingProof { until } | Hold::QuietPeriod { until, .. } | Hold::BackOff { until, .. } => {
            TICK.after((*until).max(now))
        }
        Hold::AtLimit { .. } => {
            let longest = |since| decision.image.policy.max_wait.after(since);
            let ends = context.record(on).waiting_since.map(longest).filter(|at| *at > now);
            ends.unwrap_or_else(|| longest(now))
        }
        _ => a_quarter_later(waits_since(record, now), now),
    }
}

/// Returns since when the image has waited, for whatever it waits.
fn waits_since(record: &Record, now: Timestamp) -> Timestamp {
    let waits = [record.waiting_since, record.scan_awaited_since, record.unread_since];
    waits.into_iter().flatten().min().unwrap_or(now)
}

/// Returns when to recheck a build or scan that began at `since`.
fn a_quarter_later(since: Timestamp, now: Timestamp) -> Timestamp {
    Span::between(since, now).share(1, PART).max(TICK).after(now)
}
