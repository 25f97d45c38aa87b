//! What the plan writes into the record of each image.

use std::collections::{BTreeMap, BTreeSet};

use super::attribution::{Attribution, Attributions};
use super::context::Context;
use super::decide::{Decision, Decisions};
use super::limits;
use super::notice;
use super::pipeline;
use super::unread::all_unread;
use super::{Cause, Hold};
use crate::hierarchy::Image;
use crate::image::ImageId;
use crate::policy::Mode;
use crate::record::{Record, Tries, UnreadSince};
use crate::time::{Span, Timestamp};
use crate::unread::Unread;

/// Patchwave reads again what only a person can make readable: after one tick at first, and at
/// least once a day.
const SHORTEST_DISTANCE: Span = Span::minutes(15);
const LONGEST_DISTANCE: Span = Span::days(1);

/// Returns the records that differ from those that were read.
pub(super) fn changed(
    context: &Context<'_>,
    attributions: &Attributions<'_>,
    decisions: &Decisions<'_>,
) -> BTreeMap<ImageId, Record> {
    let mut records = BTreeMap::new();
    for (id, decision) in decisions {
        let record = record(context, attributions, decision);
        if context.facts_of(id).is_some_and(|facts| facts.record != record) {
            records.insert((*id).clone(), record);
        }
    }
    records
}

fn record(context: &Context<'_>, attributions: &Attributions<'_>, decision: &Decision<'_>) -> Record {
    let id = &decision.image.id;
    let attribution = attributions.of.get(id);
    let mut record = context.record(id).clone();
    record.enforced_since = match context.mode(decision.image) {
        Mode::Enforce => record.enforced_since.or(Some(context.now)),
        Mode::Observe => None,
    };
    // A finding of a parked ancestor begins no wait. A wait is not prolonged by later reasons of an
    // ancestor, so a wait that begins too early ignores them.
    let awaits_scan = attribution.is_some_and(|b| !b.unscanned.is_empty());
    let above = awaits_scan || attribution.is_some_and(|b| !b.above.is_empty());
    let follows = above && decision.moving_since.is_some();
    // A try that is not due yet waits for no ancestor.
    let has_reason = !decision.reasons.is_empty() && !matches!(decision.hold, Some(Hold::NextTry { .. }));
    let waits = has_reason || follows;
    // Each tick plans an image that follows a moving ancestor, so that it sees the end of that
    // move. Otherwise the wait would not end, and the next one would begin too early.
    record.unsettled = decision.unsettled || follows;
    let in_flight = record.claim.is_some();
    let lacks_scan = awaits_scan || attribution.is_some_and(|b| b.scan_is_overdue);
    record.scan_awaited_since = lacks_scan.then(|| record.scan_awaited_since.unwrap_or(context.now));
    record.waiting_since = (waits && !in_flight).then(|| record.waiting_since.unwrap_or(context.now));
    if context
        .current(id)
        .is_some_and(|version| version.platforms.values().all(|m| m.scan.completed_at().is_some()))
    {
        // The record changes only if every platform has a scan. Otherwise a platform that could not
        // be read would reset the times when findings were first seen.
        record.seen =
            attribution.map(|attribution| limits::seen(attribution.seen.clone())).unwrap_or_default();
        record.ineffective.retain(|finding, _| {
            let platforms = context.current(id).into_iter().flat_map(|version| version.platforms.values());
            platforms.into_iter().any(|manifest| manifest.scan.lists(finding) != Some(false))
        });
    }
    if let Some(reported) = pipeline::reported_revision(context, decision.image) {
        record.revision = Some(reported.to_owned());
    }
    record.tries = tries(context, decision.image, attribution);
    record.notified = notice::notified(context, attribution, decision);
    // The next pass over the image sends the notices that were not sent. The tick makes that pass.
    record.unsettled |= record.notified.values().any(|notified| !notified.sent);
    let nothing = BTreeSet::new();
    let unscanned = attribution.map_or(&nothing, |attribution| &attribution.unscanned);
    let mut awaited = unscanned.clone();
    if let Some(Hold::WaitingOn { on, .. }) = &decision.hold {
        awaited.insert(on);
    }
    let unread = all_unread(context, decision.image, &awaited);
    record.unread = unread_since(&record, &unread, context.now);
    record.unsettled |= record.unread.is_some();
    record
}

/// Returns what the record keeps of the tries: nothing, once scans show that nothing is left to
/// try.
fn tries(context: &Context<'_>, image: &Image, attribution: Option<&Attribution<'_>>) -> Option<Tries> {
    let before = context.record(&image.id).tries;
    let begins = Tries { last: context.now, count: 0 };
    let has_something = attribution.is_some_and(|found| found.causes.iter().any(Cause::is_retried));
    match context.mode(image) {
        Mode::Observe => before.filter(|tries| tries.count > 0),
        Mode::Enforce if has_something => Some(before.unwrap_or(begins)),
        Mode::Enforce => before.filter(|_| !notice::is_clean(context, image)),
    }
}

/// Returns since when something could not be read, and when to read it again: at growing distances
/// if a person must act first and nothing else keeps the image unsettled, and at every tick
/// otherwise.
fn unread_since(record: &Record, unread: &[Unread], now: Timestamp) -> Option<UnreadSince> {
    if unread.is_empty() {
        return None;
    }
    let since = record.unread.as_ref().map_or(now, |before| before.since);
    let can_wait = !record.unsettled && unread.iter().all(|unread| unread.needs_person);
    let distance = Span::between(since, now).max(SHORTEST_DISTANCE).min(LONGEST_DISTANCE);
    Some(UnreadSince { since, next: if can_wait { distance.after(now) } else { now } })
}
