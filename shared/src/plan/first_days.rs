//! What the first enforcement of a whole fleet starts, day by day.
//!
//! Everything that was overdue before is spread over days, and limits spread it further. So this
//! plans each day of the next thirty as if every image were enforced from now on. It takes each
//! image when it first could start, with those below that follow, and puts all through the limits.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::context::Context;
use super::deadline::end_of_day;
use super::timetable::{Build, Timetable};
use super::to_come::{Which, to_come};
use super::{Limit, Shortfall, decided, shortfall};
use crate::facts::Facts;
use crate::hierarchy::Hierarchy;
use crate::image::ImageId;
use crate::policy::{Limits, Mode};
use crate::record::Tries;
use crate::time::{Span, Timestamp};

/// For how many days it looks ahead.
const DAYS: u32 = 30;

/// What the first enforcement starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FirstDays {
    /// How many images are built at least once in thirty days.
    pub builds: usize,
    /// The days on which builds start, each image on the day of its first one.
    pub days: Vec<FirstDay>,
    /// The deadlines that the limits cannot keep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shortfall: Option<Shortfall>,
}

/// The builds of one day (UTC).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FirstDay {
    /// Such as `2026-11-30`.
    pub day: String,
    /// The limit that this day reaches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
    /// In the order of their starts.
    pub images: Vec<ImageId>,
}

/// Predicts what starts on which day if every image is enforced from `now` on.
pub fn first_enforcement(hierarchy: &Hierarchy, facts: &Facts, now: Timestamp) -> FirstDays {
    let enforced = hierarchy.clone().with_mode(Mode::Enforce);
    let facts = enforced_from(facts.clone(), now);
    let (timetable, images) = next_month(&enforced, &facts, now);
    let limits = enforced.limits();
    FirstDays {
        builds: images.len(),
        days: by_day(&timetable, &images, limits),
        shortfall: shortfall(&enforced, &facts, Mode::Enforce, now),
    }
}

/// Marks every record as enforced since now, so that later days spread what was overdue.
fn enforced_from(mut facts: Facts, now: Timestamp) -> Facts {
    for image in facts.images.values_mut() {
        image.record.enforced_since.get_or_insert(now);
        image.record.tries.get_or_insert(Tries { last: now, count: 0 });
    }
    facts
}

/// Collects the first build of each image in the next month.
fn next_month(hierarchy: &Hierarchy, facts: &Facts, now: Timestamp) -> (Timetable, Vec<ImageId>) {
    let mut all: Option<Timetable> = None;
    let mut images: Vec<ImageId> = Vec::new();
    let mut seen: BTreeSet<ImageId> = BTreeSet::new();
    for day in 0..DAYS {
        let (context, _) = Context::resolved(hierarchy, facts, Mode::Enforce, Span::days(day).after(now));
        let (attributions, decisions) = decided(&context);
        let (timetable, of_day) = to_come(&context, &attributions, &decisions, Which::All);
        let is_new: Vec<bool> = of_day.iter().map(|image| seen.insert(image.id.clone())).collect();
        let first = images.len();
        images.extend(of_day.iter().zip(&is_new).filter(|(_, new)| **new).map(|(image, _)| image.id.clone()));
        let Timetable { builds, now, taken, started_today } = timetable;
        let all = all.get_or_insert(Timetable { builds: Vec::new(), now, taken, started_today });
        all.builds.extend(renumbered(builds, &is_new, first));
    }
    let nothing = Timetable { builds: Vec::new(), now, taken: Vec::new(), started_today: 0 };
    (all.unwrap_or(nothing), images)
}

/// Returns the new builds with the numbers that they have among all. What was built on an earlier
/// day is no parent any more.
fn renumbered(builds: Vec<Build>, is_new: &[bool], first: usize) -> Vec<Build> {
    let mut next = first;
    let mut place = |new: &bool| {
        let place = next;
        next += usize::from(*new);
        new.then_some(place)
    };
    let places: Vec<Option<usize>> = is_new.iter().map(&mut place).collect();
    let mut parents: BTreeMap<usize, usize> = BTreeMap::new();
    let mut new: Vec<Build> = Vec::new();
    for (build, own) in builds.into_iter().zip(&places) {
        if own.is_none() {
            continue;
        }
        let children: Vec<usize> = build.children.iter().filter_map(|child| places[*child]).collect();
        for child in &children {
            *parents.entry(*child).or_default() += 1;
        }
        new.push(Build { children, ..build });
    }
    for (place, build) in (first..).zip(&mut new) {
        build.parents = parents.get(&place).copied().unwrap_or(0);
    }
    new
}

fn by_day(timetable: &Timetable, images: &[ImageId], limits: Limits) -> Vec<FirstDay> {
    let ends = timetable.ends(limits);
    let starts = timetable.builds.iter().zip(&ends).map(|(build, end)| build.takes.before(*end));
    let starts: Vec<Timestamp> = starts.collect();
    let mut by_day: BTreeMap<Timestamp, Vec<usize>> = BTreeMap::new();
    for (build, start) in starts.iter().enumerate() {
        by_day.entry(end_of_day(*start)).or_default().push(build);
    }
    let of_day = |(midnight, mut builds): (Timestamp, Vec<usize>)| {
        builds.sort_by_key(|build| starts[*build]);
        let already = if midnight == end_of_day(timetable.now) { timetable.started_today } else { 0 };
        let started = already.saturating_add(u32::try_from(builds.len()).unwrap_or(u32::MAX));
        let at_once = |build: &usize| {
            let at = starts[*build];
            let runs = (0..ends.len()).filter(|other| starts[*other] <= at && at < ends[*other]).count();
            runs >= limits.max_concurrent_builds as usize
        };
        let limit = if started >= limits.max_starts_per_day {
            Some(Limit::StartsPerDay)
        } else {
            builds.iter().any(at_once).then_some(Limit::ConcurrentBuilds)
        };
        FirstDay {
            day: Span::days(1).before(midnight).strftime("%Y-%m-%d").to_string(),
            limit,
            images: builds.iter().map(|build| images[*build].clone()).collect(),
        }
    };
    by_day.into_iter().map(of_day).collect()
}
