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
use crate::time::{Span, Timestamp};

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
    let (mut builds, mut images) = (Builds::new(context), Vec::new());
    for image in context.images() {
        let parents = builds.above(image);
        let starts = decisions.get(&image.id).is_some_and(|decision| decision.hold.is_none());
        if !starts && (parents.is_empty() || !can_follow(context, image)) {
            continue;
        }
        // An image below has the finding too, even if no scan has listed it there yet.
        let above = parents.iter().map(|parent| builds.collected[*parent].keep_by).min();
        let known = keep_by.get(&image.id).copied().or(above);
        let Some(keep_by) = known.or((which == Which::All).then_some(Timestamp::MAX)) else { continue };
        images.push(image);
        let latest = latest_start(context, image, keep_by);
        builds.add(image, &parents, (keep_by, latest), usual(&image.id));
    }
    (builds.timetable(build_time::taken(context, &usual)), images)
}

/// Builds that are collected for a timetable, parents first.
pub(super) struct Builds<'c, 'a> {
    context: &'c Context<'a>,
    collected: Vec<Build>,
    place_of: BTreeMap<&'a ImageId, usize>,
}

impl<'c, 'a> Builds<'c, 'a> {
    pub(super) const fn new(context: &'c Context<'a>) -> Self {
        Self { context, collected: Vec::new(), place_of: BTreeMap::new() }
    }

    /// Returns the places of an image's parents that were collected.
    pub(super) fn above(&self, image: &Image) -> BTreeSet<usize> {
        let above = self.context.hierarchy.parents(&image.id);
        above.filter_map(|parent| self.place_of.get(&parent.image.id).copied()).collect()
    }

    /// Adds the build of an image below `parents`. It should start by `latest` to keep its time.
    pub(super) fn add(
        &mut self,
        image: &'a Image,
        parents: &BTreeSet<usize>,
        (keep_by, latest): (Timestamp, Timestamp),
        takes: Span,
    ) {
        let place = self.collected.len();
        for parent in parents {
            self.collected[*parent].children.push(place);
        }
        self.place_of.insert(&image.id, place);
        self.collected.push(Build {
            from: self.context.now,
            keep_by,
            latest,
            below: self.context.hierarchy.builds_below(&image.id).unwrap_or(0),
            takes,
            parents: parents.len(),
            children: Vec::new(),
        });
    }

    /// Returns the timetable, where slots are free again at the times of `taken`.
    pub(super) fn timetable(self, taken: Vec<Timestamp>) -> Timetable {
        let Context { now, facts, .. } = self.context;
        let started_today = facts.slots.started_today;
        Timetable { builds: self.collected, now: *now, taken, started_today }
    }
}

/// Whether the image is rebuilt when a parent is.
fn can_follow(context: &Context<'_>, image: &Image) -> bool {
    !image.pinned && image.from != Parent::Unknown && pipeline::can_start(context, image)
}
