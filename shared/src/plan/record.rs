//! What the plan writes down about each image.

use std::collections::{BTreeMap, BTreeSet};

use super::blame::Blames;
use super::bounded;
use super::decide::{Decision, Decisions};
use super::notice;
use super::scene::Scene;
use crate::image::ImageId;
use crate::policy::Mode;
use crate::record::Record;

/// The records that differ from those that were read.
pub(super) fn changed(
    scene: &Scene<'_>,
    blames: &Blames<'_>,
    decisions: &Decisions<'_>,
) -> BTreeMap<ImageId, Record> {
    let mut records = BTreeMap::new();
    for (id, decision) in decisions {
        let record = record(scene, blames, decision);
        if scene.facts_of(id).is_some_and(|facts| facts.record != record) {
            records.insert((*id).clone(), record);
        }
    }
    records
}

fn record(scene: &Scene<'_>, blames: &Blames<'_>, decision: &Decision<'_>) -> Record {
    let id = &decision.image.id;
    let blame = blames.of.get(id);
    let mut record = scene.record(id).clone();
    record.enforced_since = match scene.mode(decision.image) {
        Mode::Enforce => record.enforced_since.or(Some(scene.now)),
        Mode::Observe => None,
    };
    // A finding that is parked above makes nothing wait: a wait counted from then on would overlook what moves later.
    let awaits_scan = blame.is_some_and(|b| !b.unscanned.is_empty());
    let above = awaits_scan || blame.is_some_and(|b| !b.above.is_empty());
    let follows = above && decision.moving_since.is_some();
    let waits = !decision.reasons.is_empty() || follows;
    // Whatever its hold, the end of what moves above must be seen: a wait that was not ended would begin too early.
    record.unsettled = decision.unsettled || follows;
    let in_flight = record.claim.is_some();
    let lacks_scan = awaits_scan || blame.is_some_and(|b| b.scan_is_overdue);
    record.scan_awaited_since = lacks_scan.then(|| record.scan_awaited_since.unwrap_or(scene.now));
    record.waiting_since = (waits && !in_flight).then(|| record.waiting_since.unwrap_or(scene.now));
    if scene
        .current(id)
        .is_some_and(|version| version.platforms.values().all(|m| m.scan.completed_at().is_some()))
    {
        // Only what a whole scan lists is remembered: otherwise an unread platform would reset when things were seen.
        record.seen = blame.map(|blame| bounded::seen(blame.seen.clone())).unwrap_or_default();
        record.ineffective.retain(|finding, _| {
            let version = scene.current(id);
            version.is_some_and(|version| Scene::finding_in(version, finding).is_some())
        });
    }
    record.told = notice::told(scene, blame, decision);
    // What was not sent is sent by the next pass over the image: the tick makes sure that there is one.
    record.unsettled |= record.told.values().any(|told| !told.sent);
    record
}

/// Images whose slot ended: nothing of theirs runs, their version was pushed, or they have had it for `maxBuildTime`.
pub(super) fn freed(scene: &Scene<'_>) -> BTreeSet<ImageId> {
    let mut freed = BTreeSet::new();
    for image in scene.images().filter(|image| scene.facts.slots.running.contains(&image.id)) {
        let ended = scene.record(&image.id).claim.as_ref().is_none_or(|claim| {
            let is_new = scene.current(&image.id).is_some_and(|now| {
                Some(&now.digest) != claim.start.replaces.as_ref() && now.pushed_at > claim.claimed_at
            });
            // What is not known to have started pushed nothing: somebody else did, and the start may still be made.
            let pushed = is_new && claim.is_confirmed();
            pushed || image.policy.max_build_time.after(claim.claimed_at) <= scene.now
        });
        if ended {
            freed.insert(image.id.clone());
        }
    }
    freed
}
