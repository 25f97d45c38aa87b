//! What the plan writes down about each image.

use std::collections::{BTreeMap, BTreeSet};

use super::attribution::Attributions;
use super::context::Context;
use super::decide::{Decision, Decisions};
use super::limits;
use super::notice;
use crate::image::ImageId;
use crate::policy::Mode;
use crate::record::Record;

/// The records that differ from those that were read.
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
    // A finding that is parked above makes nothing wait: a wait counted from then on would overlook what moves later.
    let awaits_scan = attribution.is_some_and(|b| !b.unscanned.is_empty());
    let above = awaits_scan || attribution.is_some_and(|b| !b.above.is_empty());
    let follows = above && decision.moving_since.is_some();
    let waits = !decision.reasons.is_empty() || follows;
    // Whatever its hold, the end of what moves above must be seen: a wait that was not ended would begin too early.
    record.unsettled = decision.unsettled || follows;
    let in_flight = record.claim.is_some();
    let lacks_scan = awaits_scan || attribution.is_some_and(|b| b.scan_is_overdue);
    record.scan_awaited_since = lacks_scan.then(|| record.scan_awaited_since.unwrap_or(context.now));
    record.waiting_since = (waits && !in_flight).then(|| record.waiting_since.unwrap_or(context.now));
    if context
        .current(id)
        .is_some_and(|version| version.platforms.values().all(|m| m.scan.completed_at().is_some()))
    {
        // Only what a whole scan lists is remembered: otherwise an unread platform would reset when things were seen.
        record.seen =
            attribution.map(|attribution| limits::seen(attribution.seen.clone())).unwrap_or_default();
        record.ineffective.retain(|finding, _| {
            let version = context.current(id);
            version.is_some_and(|version| version.finding(finding).is_some())
        });
    }
    record.notified = notice::notified(context, attribution, decision);
    // What was not sent is sent by the next pass over the image: the tick makes sure that there is one.
    record.unsettled |= record.notified.values().any(|notified| !notified.sent);
    record
}

/// Images whose slot ended: nothing of theirs runs, their version was pushed, or they have had it for `maxBuildTime`.
pub(super) fn freed(context: &Context<'_>) -> BTreeSet<ImageId> {
    let mut freed = BTreeSet::new();
    for image in context.images().filter(|image| context.facts.slots.held_by.contains(&image.id)) {
        let ended = context.record(&image.id).claim.as_ref().is_none_or(|claim| {
            let is_new = context.current(&image.id).is_some_and(|now| {
                Some(&now.digest) != claim.start.replaces.as_ref() && now.pushed_at > claim.claimed_at
            });
            // What is not known to have started pushed nothing: somebody else did, and the start may still be made.
            let pushed = is_new && claim.is_confirmed();
            pushed || image.policy.max_build_time.after(claim.claimed_at) <= context.now
        });
        if ended {
            freed.insert(image.id.clone());
        }
    }
    freed
}
