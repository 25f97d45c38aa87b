//! What the plan writes into the record of each image.

use std::collections::{BTreeMap, BTreeSet};

use super::attribution::{Attribution, Attributions};
use super::context::Context;
use super::decide::{Decision, Decisions};
use super::limits;
use super::notice;
use super::pipeline;
use super::predicted;
use super::recheck;
use super::unread::all_unread;
use super::{Cause, Hold};
use crate::facts::Version;
use crate::hierarchy::Image;
use crate::image::ImageId;
use crate::policy::Mode;
use crate::record::{Record, Rolling, Tries};
use crate::time::Timestamp;

/// How many carriers of each finding a record names. If one no longer carries it, others still show
/// it.
const OF_EACH_FINDING: usize = 3;
/// Most carriers that a record names.
const MOST_CARRIERS: usize = 30;

/// Returns the records to write: those that differ from those that were read, and those of images
/// that could not be read.
///
/// Another pass may have read such an image before something changed, and may have written that it
/// is settled. This pass leaves the image to its next time, and its write finds out whether that
/// time still stands.
pub(super) fn changed(
    context: &Context<'_>,
    attributions: &Attributions<'_>,
    decisions: &Decisions<'_>,
) -> BTreeMap<ImageId, Record> {
    let mut records = BTreeMap::new();
    for (id, decision) in decisions {
        let record = record(context, attributions, decision);
        let is_unread = record.unread_since.is_some();
        if context.facts_of(id).is_some_and(|facts| is_unread || facts.record != record) {
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
    let in_flight = record.claim.is_some();
    let lacks_scan = awaits_scan || attribution.is_some_and(|b| b.scan_is_overdue);
    record.scan_awaited_since = lacks_scan.then(|| record.scan_awaited_since.unwrap_or(context.now));
    record.waiting_since = (waits && !in_flight).then(|| record.waiting_since.unwrap_or(context.now));
    if is_scanned(context, id) {
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
    record.predicted = predicted::predicted(context, decision);
    record.notified = notice::notified(context, attribution, decision, &record);
    record.moving_since = decision.moving_since;
    record.carriers = carriers(context, decision.image, attribution);
    let is_awaited = attribution.is_some_and(|attribution| attribution.is_awaited);
    let scanned_at = scanned_at(context, decision.image);
    let still = record.awaited_after.filter(|after| scanned_at <= *after);
    let is_scan_there = still.is_none() && record.awaited_after.is_some();
    record.awaited_after = still.or_else(|| is_awaited.then_some(scanned_at));
    let nothing = BTreeSet::new();
    let unscanned = attribution.map_or(&nothing, |attribution| &attribution.unscanned);
    let mut awaited = unscanned.clone();
    if let Some(Hold::WaitingOn { on, .. }) = &decision.hold {
        awaited.insert(on);
    }
    let unread = all_unread(context, decision.image, &awaited);
    record.unread_since = (!unread.is_empty()).then(|| record.unread_since.unwrap_or(context.now));
    record.rolling = rolling(context, decision.image, attribution, (&record, is_scan_there));
    record.ready.clone_from(&decision.ready);
    // A tick looks at an image that follows a moving ancestor, so that it sees the end of that
    // move. Otherwise the wait would not end, and the next one would begin too early.
    let is_unsettled = decision.unsettled || follows;
    record.recheck_at = recheck::recheck_at(context, decision, &record, is_unsettled, &unread);
    record
}

/// Returns since when all platforms of the current version are scanned.
fn scanned_at(context: &Context<'_>, image: &Image) -> Timestamp {
    let platforms = context.current(&image.id).into_iter().flat_map(|version| version.platforms.values());
    let times: Option<Vec<Timestamp>> = platforms.map(|manifest| manifest.scan.completed_at()).collect();
    times.unwrap_or_default().into_iter().min().unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Returns the images that the next pass must observe to see what this image answers for: a few for
/// each finding, and first those that the record names already.
fn carriers(
    context: &Context<'_>,
    image: &Image,
    attribution: Option<&Attribution<'_>>,
) -> BTreeSet<ImageId> {
    let named = &context.record(&image.id).carriers;
    // What could not be read now may still carry its findings.
    let mut carriers: BTreeSet<ImageId> = named.iter().filter(|id| !is_seen(context, id)).cloned().collect();
    for found in attribution.into_iter().flat_map(|attribution| attribution.carriers.values()) {
        let (known, others): (Vec<&ImageId>, Vec<&ImageId>) =
            found.iter().partition(|id| named.contains(**id));
        carriers.extend(known.into_iter().chain(others).take(OF_EACH_FINDING).cloned());
    }
    while carriers.len() > MOST_CARRIERS {
        carriers.pop_last();
    }
    carriers
}

/// Whether all is known about what a carrier carries, or it left the hierarchy. A new version is
/// not scanned at once.
fn is_seen(context: &Context<'_>, carrier: &ImageId) -> bool {
    context.hierarchy.image(carrier).is_err() || is_scanned(context, carrier)
}

/// Whether every platform of the current version has a completed scan.
fn is_scanned(context: &Context<'_>, id: &ImageId) -> bool {
    let is_complete = |version: &Version| version.platforms.values().all(|m| m.scan.completed_at().is_some());
    context.current(id).is_some_and(is_complete)
}

/// Returns which children must still be looked at. The walk over them begins when the image
/// settles or changes, and when a finding that they may wait for is gone.
fn rolling(
    context: &Context<'_>,
    image: &Image,
    attribution: Option<&Attribution<'_>>,
    (after, is_scan_there): (&Record, bool),
) -> Option<Rolling> {
    let read = &context.facts_of(&image.id)?.record;
    let carries =
        |id: &ImageId| attribution.is_some_and(|of| of.carriers.values().any(|all| all.contains(id)));
    let none_carries =
        !read.carriers.is_empty() && read.carriers.iter().all(|id| is_seen(context, id) && !carries(id));
    let is_gone = none_carries || read.seen.keys().any(|finding| !after.seen.contains_key(finding));
    let is_readable = read.unread_since.is_some() && after.unread_since.is_none();
    let ends = (is_gone || is_scan_there || is_readable) && read.rolling.is_none();
    let settles = read.moving_since.is_some();
    let changes = read.current.is_some() && read.current != after.current;
    let begins = after.moving_since.is_none() && (settles || changes || ends);
    if !begins && read.rolling.is_none() {
        return None;
    }
    // Children in scope are decided about in this very plan.
    let is_decided = |id: &ImageId| context.facts_of(id).is_some() && !context.facts.carriers.contains(id);
    if context.hierarchy.children(&image.id).all(|child| is_decided(&child.image.id)) {
        return None;
    }
    if begins {
        let since = read.rolling.as_ref().map_or(context.now, |rolling| rolling.since);
        return Some(Rolling { since, after: None });
    }
    let rolling = read.rolling.clone()?;
    match context.facts.rolled.get(&image.id) {
        Some(after) => after.clone().map(|last| Rolling { after: Some(last), ..rolling }),
        None => Some(rolling),
    }
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
        // A finding may be a parent's as long as the parent's scan is missing. It is not gone.
        Mode::Enforce if attribution.is_some_and(|found| !found.unscanned.is_empty()) => before,
        Mode::Enforce => before.filter(|_| !notice::is_clean(context, image)),
    }
}
