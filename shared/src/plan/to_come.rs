//! The builds that a plan leads to: those that could start, and those below that follow.

use std::collections::{BTreeMap, BTreeSet};

use super::attribution::Attributions;
use super::context::Context;
use super::deadline::latest_start;
use super::decide::Decisions;
use super::timetable::{Build, Timetable};
use super::urgency::keep_by;
use super::{build_time, pipeline};
use crate::hierarchy::{Image, Parent};
use crate::image::ImageId;
use crate::time::Timestamp;

/// Which builds to collect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// Those that have a deadline to keep.
    WithDeadline,
    All,
}

/// Collects the builds that the plan leads to, parents first, each with its image.
pub(super) fn to_come<'a>(
    context: &Context<'a>,
    attributions: &Attributions<'a>,
    decisions: &Decisions<'a>,
    which: Which,
) -> (Timetable, Vec<&'a Image>) {
    let keep_by = keep_by(context, attributions, decisions);
    let usual = build_time::usual(context);
    let (mut builds, mut images): (Vec<Build>, Vec<&Image>) = (Vec::new(), Vec::new());
    let mut place_of: BTreeMap<&ImageId, usize> = BTreeMap::new();
    for image in context.images() {
        let above = context.hierarchy.parents(&image.id);
        let parents: BTreeSet<usize> =
            above.filter_map(|parent| place_of.get(&parent.image.id).copied()).collect();
        let starts = decisions.get(&image.id).is_some_and(|decision| decision.hold.is_none());
        if !starts && (parents.is_empty() || !can_follow(context, image)) {
            continue;
        }
        // An image below has the finding too, even if no scan has listed it there yet.
        let above = parents.iter().map(|parent| builds[*parent].keep_by).min();
        let known = keep_by.get(&image.id).copied().or(above);
        let Some(keep_by) = known.or((which == Which::All).then_some(Timestamp::MAX)) else { continue };
        let place = builds.len();
        for parent in &parents {
            builds[*parent].children.push(place);
        }
        place_of.insert(&image.id, place);
        images.push(image);
        builds.push(Build {
            from: context.now,
            keep_by,
            latest: latest_start(context, image, keep_by),
            below: context.hierarchy.builds_below(&image.id).unwrap_or(0),
            takes: usual(&image.id),
            parents: parents.len(),
            children: Vec::new(),
        });
    }
    let taken = build_time::taken(context, &usual);
    let started_today = context.facts.slots.started_today;
    (Timetable { builds, now: context.now, taken, started_today }, images)
}

/// Whether the image is rebuilt when a parent is.
fn can_follow(context: &Context<'_>, image: &Image) -> bool {
    !image.pinned && image.from != Parent::Unknown && pipeline::can_start(context, image)
}
