//! Whether the limits leave enough time to keep the deadlines, said before they are missed.
//!
//! It takes the builds that the plan leads to: each starts when its parents have ended, a
//! slot is free and the limit of the day allows it, the most urgent first. Nothing is waited for
//! besides, neither a scan nor a person: what is late here is late in any case.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::context::Context;
use super::to_come::{Which, to_come};
use super::{Limit, decided};
use crate::facts::Facts;
use crate::hierarchy::Hierarchy;
use crate::image::ImageId;
use crate::policy::{Limits, Mode};
use crate::time::Timestamp;

/// Deadlines that the limits cannot keep, and what would keep them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shortfall {
    /// How many images would be late and need not be.
    pub images: usize,
    /// The one of them whose deadline is first.
    pub first: ImageId,
    /// Its deadline, counted from when it was first enforced if that is later.
    pub keep_by: Timestamp,
    /// When its build would end.
    pub ends: Timestamp,
    /// The limits to raise, each with the lowest value that keeps the deadlines.
    pub raise: BTreeMap<Limit, u32>,
}

/// Returns which deadlines of the images in `facts` the limits cannot keep. Nothing, if they keep
/// all that can be kept.
pub fn shortfall(hierarchy: &Hierarchy, facts: &Facts, ceiling: Mode, now: Timestamp) -> Option<Shortfall> {
    let (context, _) = Context::resolved(hierarchy, facts, ceiling, now);
    let (attributions, decisions) = decided(&context);
    let (timetable, images) = to_come(&context, &attributions, &decisions, Which::WithDeadline);
    let unlimited = Limits { max_concurrent_builds: u32::MAX, max_starts_per_day: u32::MAX };
    let lost: BTreeSet<usize> = timetable.late(unlimited).into_iter().map(|(build, _)| build).collect();
    let late = |limits: Limits| {
        let mut late = timetable.late(limits);
        late.retain(|(build, _)| !lost.contains(build));
        late
    };
    let limits = hierarchy.limits();
    let now_late = late(limits);
    let (first, ends) = now_late.iter().min_by_key(|(build, _)| timetable.builds[*build].keep_by)?;
    Some(Shortfall {
        images: now_late.len(),
        first: images[*first].id.clone(),
        keep_by: timetable.builds[*first].keep_by,
        ends: *ends,
        raise: raised(limits, images.len(), |limits| late(limits).is_empty()),
    })
}

/// Finds the lowest limits that keep all deadlines: one of them if that is enough, else both.
fn raised(limits: Limits, builds: usize, keeps: impl Fn(Limits) -> bool) -> BTreeMap<Limit, u32> {
    let most = u32::try_from(builds).unwrap_or(u32::MAX);
    let at_once = |limits, max_concurrent_builds| Limits { max_concurrent_builds, ..limits };
    let a_day = |limits, max_starts_per_day| Limits { max_starts_per_day, ..limits };
    let lowest = |from: u32, keeps: &dyn Fn(u32) -> bool| lowest(from, most, keeps);
    if let Some(slots) = lowest(limits.max_concurrent_builds, &|most| keeps(at_once(limits, most))) {
        return [(Limit::ConcurrentBuilds, slots)].into();
    }
    if let Some(starts) = lowest(limits.max_starts_per_day, &|most| keeps(a_day(limits, most))) {
        return [(Limit::StartsPerDay, starts)].into();
    }
    let free = a_day(limits, u32::MAX);
    let slots = lowest(limits.max_concurrent_builds, &|most| keeps(at_once(free, most))).unwrap_or(most);
    let enough = at_once(limits, slots);
    let starts = lowest(limits.max_starts_per_day, &|most| keeps(a_day(enough, most))).unwrap_or(most);
    [(Limit::ConcurrentBuilds, slots), (Limit::StartsPerDay, starts)].into()
}

/// Finds the lowest number for which `keeps` holds, if it holds from some number on.
fn lowest(mut low: u32, mut high: u32, keeps: &dyn Fn(u32) -> bool) -> Option<u32> {
    if low > high || !keeps(high) {
        return None;
    }
    while low < high {
        let middle = low + (high - low) / 2;
        if keeps(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Some(low)
}
