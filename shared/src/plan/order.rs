//! Orders the images that could start, and shares the limits among them.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::context::Context;
use super::decide::Decisions;
use super::due::Due;
use super::{Awaited, Hold, Limit};
use crate::hierarchy::Image;
use crate::image::ImageId;
use crate::time::{Span, Timestamp};

/// Seconds of a day.
const DAY: u32 = 86_400;

/// Orders the images that could start, most urgent first, and holds those for which no slot is
/// left.
///
/// Urgency is the earliest deadline among an image and all images that wait for it. A deadline
/// comes closer with time, so no image waits forever. Among equals the image with the longest chain
/// of builds below it goes first.
pub(super) fn order<'a>(
    context: &Context<'a>,
    due: &BTreeMap<&'a ImageId, Due>,
    decisions: &mut Decisions<'a>,
    running: &[&'a ImageId],
) -> Vec<(&'a Image, Timestamp)> {
    let due = |image: &Image| due.get(&image.id).map(|due| due.at);
    let mut ready: Vec<&'a Image> =
        decisions.values().filter(|d| d.hold.is_none()).map(|d| d.image).collect();
    // This reads the whole hierarchy, so it is skipped if there is nothing to compare.
    let below = if ready.len() > 1 { context.hierarchy.longest_chain_below(|_| 1) } else { BTreeMap::new() };
    ready.sort_by_key(|image| (due(image), Reverse(below.get(&image.id)), &image.id));
    let mut slots = Slots::free(context, running);
    let mut starting = Vec::new();
    let mut limited = BTreeMap::new();
    for image in ready {
        match slots.take(image) {
            Ok(()) => starting.push(image),
            Err(limit) => drop(limited.insert(image.id.clone(), limit)),
        }
    }
    let building: Vec<&Image> = running
        .iter()
        .filter_map(|id| context.hierarchy.image(id).ok())
        .chain(starting.iter().copied())
        .collect();
    let limited = limited
        .into_iter()
        .map(|(id, limit)| {
            let until = ends(context, limit, &building, context.hierarchy.image(&id).ok());
            (id, Hold::AtLimit { limit, until })
        })
        .collect();
    hold(decisions, &limited);
    starting.into_iter().map(|image| (image, due(image).unwrap_or(context.now))).collect()
}

/// Returns until when a limit holds an image at most: the day ends, or a build gives its slot back.
fn ends(context: &Context<'_>, limit: Limit, building: &[&Image], limited: Option<&Image>) -> Timestamp {
    if matches!(limit, Limit::StartsPerDay | Limit::Pipeline) {
        return day_after(context.now);
    }
    let owner = limited.and_then(|image| image.owner.as_ref()).map(|owner| &owner.name);
    let counts = |image: &&&Image| {
        limit == Limit::ConcurrentBuilds || image.owner.as_ref().map(|owner| &owner.name) == owner
    };
    let end = |image: &&Image| {
        let claim = context.record(&image.id).claim.as_ref();
        image.policy.max_build_time.after(claim.map_or(context.now, |claim| claim.claimed_at))
    };
    // Nobody ends a limit of zero. Patchwave looks again on the next day.
    building.iter().filter(counts).map(end).min().unwrap_or_else(|| day_after(context.now))
}

/// Returns when the next day (UTC) begins.
fn day_after(now: Timestamp) -> Timestamp {
    let seconds = u32::try_from(now.as_second().rem_euclid(DAY.into())).unwrap_or(0);
    Span::seconds(DAY - seconds).after(now)
}

/// What is left of the limits.
struct Slots<'a> {
    builds: usize,
    today: usize,
    /// How many builds of each owner's run.
    of_owners: BTreeMap<&'a str, u32>,
}

impl<'a> Slots<'a> {
    fn free(context: &Context<'a>, running: &[&'a ImageId]) -> Self {
        let limits = context.hierarchy.limits();
        let mut of_owners = BTreeMap::new();
        for image in running.iter().filter_map(|id| context.hierarchy.image(id).ok()) {
            if let Some(owner) = &image.owner {
                *of_owners.entry(owner.name.as_str()).or_default() += 1;
            }
        }
        Self {
            builds: (limits.max_concurrent_builds as usize).saturating_sub(running.len()),
            today: limits.max_starts_per_day.saturating_sub(context.facts.slots.started_today) as usize,
            of_owners,
        }
    }

    /// Takes a slot for the image, or says which limit is reached.
    fn take(&mut self, image: &'a Image) -> Result<(), Limit> {
        if self.today == 0 {
            return Err(Limit::StartsPerDay);
        }
        if self.builds == 0 {
            return Err(Limit::ConcurrentBuilds);
        }
        if let Some(owner) = &image.owner {
            let running = self.of_owners.entry(&owner.name).or_default();
            if owner.max_concurrent_builds.is_some_and(|most| *running >= most) {
                return Err(Limit::OwnersBuilds);
            }
            *running += 1;
        }
        self.today -= 1;
        self.builds -= 1;
        Ok(())
    }
}

/// Holds the images that got no slot, and updates the hold of the images that wait for their
/// starts.
fn hold(decisions: &mut Decisions<'_>, limited: &BTreeMap<ImageId, Hold>) {
    for decision in decisions.values_mut() {
        match (&mut decision.hold, limited.get(&decision.image.id)) {
            (hold @ None, Some(limit)) => *hold = Some(limit.clone()),
            (Some(Hold::WaitingOn { on, awaits: awaits @ Awaited::Start }), _) => {
                if let Some(limit) = limited.get(on) {
                    *awaits = Awaited::Hold(Box::new(limit.clone()));
                }
            }
            _ => {}
        }
    }
}
