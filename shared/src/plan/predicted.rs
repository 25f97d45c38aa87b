//! Predicts, when a start for findings is decided, what the rebuilds below it will be.
//!
//! It reads nothing for that. The time of an image that the pass does not observe counts as the
//! average of those that it does.

use std::collections::BTreeSet;

use super::build_time;
use super::context::Context;
use super::decide::Decision;
use super::to_come::Builds;
use crate::hierarchy::{Direction, Hierarchy, Image, Parent};
use crate::image::ImageId;
use crate::plan::Reason;
use crate::policy::{Mode, Rebuild};
use crate::predicted::Predicted;
use crate::record::{Record, Success};
use crate::time::{Span, Timestamp};

/// Returns what the record of an image holds from now on: what was predicted, and what happened if
/// that is known now.
///
/// A start that repeats one without success keeps the earlier prediction.
pub(super) fn predicted(context: &Context<'_>, decision: &Decision<'_>) -> Option<Predicted> {
    let image = decision.image;
    let record = context.record(&image.id);
    let happened = context.facts.happened.get(&image.id);
    let before = record.predicted.clone().map(|predicted| Predicted {
        happened: predicted.happened.or_else(|| happened.cloned()),
        ..predicted
    });
    let findings = decision.reasons.iter().flat_map(Reason::causes).count();
    let repeats = |before: &Predicted| before.happened.is_none() && success(before, record).is_none();
    if decision.hold.is_some() || findings == 0 || before.as_ref().is_some_and(repeats) {
        return before;
    }
    let is_frozen = |id: &ImageId| context.record(id).frozen.is_some();
    let images = followers(context.hierarchy, image, is_frozen);
    if images.len() < 2 {
        return before;
    }
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Some(Predicted {
        since: context.now,
        images: number(images.len()),
        takes: takes(context, &images),
        findings: number(findings),
        happened: None,
    })
}

/// Returns the build that a prediction is about, once it has succeeded.
pub(super) fn success<'r>(predicted: &Predicted, record: &'r Record) -> Option<&'r Success> {
    record.success.as_ref().filter(|success| is_since(success, predicted.since))
}

/// Whether a build was claimed at that time or later.
pub(super) fn is_since(success: &Success, since: Timestamp) -> bool {
    success.claimed_at.is_some_and(|claimed_at| claimed_at >= since)
}

/// Returns the image and those below that its rebuild leads to, parents first. `is_frozen` says
/// which of them a person froze.
pub(super) fn followers<'h>(
    hierarchy: &'h Hierarchy,
    image: &Image,
    is_frozen: impl Fn(&ImageId) -> bool,
) -> Vec<&'h Image> {
    let Ok(below) = hierarchy.query([&image.id], Direction::Descendants) else { return Vec::new() };
    let mut built: BTreeSet<&ImageId> = BTreeSet::new();
    let mut followers = Vec::new();
    for other in below.resolve().iter() {
        let mut parents = hierarchy.parents(&other.id);
        let follows = parents.any(|parent| built.contains(&parent.image.id));
        if other.id == image.id || (follows && is_automatic(other) && !is_frozen(&other.id)) {
            built.insert(&other.id);
            followers.push(other);
        }
    }
    followers
}

/// Whether the hierarchy file lets Patchwave rebuild an image without a person.
fn is_automatic(image: &Image) -> bool {
    image.policy.mode == Mode::Enforce
        && image.policy.rebuild == Rebuild::Auto
        && image.pipeline.is_some()
        && image.from != Parent::Unknown
        && !image.pinned
}

/// Returns how long the builds of these images take under the limits, parents first.
fn takes<'a>(context: &Context<'a>, images: &[&'a Image]) -> Span {
    let usual = build_time::usual(context);
    let mut builds = Builds::new(context);
    for image in images {
        let parents = builds.above(image);
        builds.add(image, &parents, (Timestamp::MAX, Timestamp::MAX), usual(&image.id));
    }
    let timetable = builds.timetable(build_time::taken(context, &usual));
    let ends = timetable.ends(context.hierarchy.limits());
    Span::between(context.now, ends.into_iter().max().unwrap_or(context.now))
}
