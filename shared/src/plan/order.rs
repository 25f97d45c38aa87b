//! Orders the images that could start, and shares the limits among them.
//!
//! Each owner has a share of the slots, and so has each repository without an owner. Others cannot
//! take it while its own images wait. A part of the day's starts is kept for critical findings and
//! for those with a known exploit.

use std::collections::{BTreeMap, BTreeSet};

use super::context::Context;
use super::deadline::{KeepBy, end_of_day, must_start_today};
use super::decide::Decisions;
use super::due::Due;
use super::shares::{claimant, equal_share};
use super::{Awaited, Hold, Limit, build_time};
use crate::hierarchy::Image;
use crate::image::ImageId;
use crate::record::Ready;
use crate::time::Timestamp;

/// An image that starts.
pub(super) struct Starting<'a> {
    pub(super) image: &'a Image,
    pub(super) due: Timestamp,
    /// Whether it would miss its deadline tomorrow.
    pub(super) keeps_deadline: bool,
}

/// Orders the images that could start, most urgent first, and holds those for which no slot is
/// left.
///
/// Urgency is the earliest deadline among an image and all images that wait for it. A deadline
/// comes closer with time, so no image waits forever. Among those that are due in the same hour,
/// the image whose build and chain of builds below take longest goes first: a long build that
/// starts last would end last, while slots stay empty.
pub(super) fn order<'a>(
    context: &Context<'a>,
    (due_of, keep_by): (&BTreeMap<&'a ImageId, Due>, &KeepBy<'a>),
    decisions: &mut Decisions<'a>,
    running: &[&'a ImageId],
) -> Vec<Starting<'a>> {
    let due = |image: &Image| due_of.get(&image.id).map(|due| due.at);
    let mut ready: Vec<&'a Image> =
        decisions.values().filter(|d| d.hold.is_none()).map(|d| d.image).collect();
    let place = |image: &Image| {
        let owner = image.owner.as_ref().filter(|owner| owner.max_concurrent_builds.is_some());
        Ready {
            owner: owner.map(|owner| owner.name.clone()),
            due: due(image).unwrap_or(context.now),
            chain: build_time::chain(context, image),
        }
    };
    let places: BTreeMap<&ImageId, Ready> = ready.iter().map(|image| (&image.id, place(image))).collect();
    ready.sort_by_cached_key(|image| (places.get(&image.id).map(Ready::rank), &image.id));
    let mut exempt = BTreeSet::new();
    for image in &ready {
        if let Some(decision) = decisions.get_mut(&image.id) {
            if must_start_today(context, image, &decision.reasons, keep_by) {
                exempt.insert(&image.id);
            }
            decision.ready = places.get(&image.id).cloned();
        }
    }
    let running: Vec<&Image> = running.iter().filter_map(|id| context.hierarchy.image(id).ok()).collect();
    let of_day = |image: &Image| match due_of.get(&image.id) {
        _ if exempt.contains(&image.id) => OfDay::Exempt,
        Some(due) if due.is_urgent() => OfDay::Urgent,
        _ => OfDay::Ordinary,
    };
    let mut slots = Slots::free(context, &running);
    let limited = slots.share(&running, &ready, of_day);
    let starting: Vec<&Image> = ready.into_iter().filter(|image| !limited.contains_key(&image.id)).collect();
    let building: Vec<&Image> = running.into_iter().chain(starting.iter().copied()).collect();
    let limited = limited
        .into_iter()
        .map(|(id, limit)| {
            let until = ends(context, limit, &building, context.hierarchy.image(&id).ok());
            (id, Hold::AtLimit { limit, until })
        })
        .collect();
    hold(decisions, &limited);
    let starting = starting.into_iter().map(|image| Starting {
        image,
        due: due(image).unwrap_or(context.now),
        keeps_deadline: exempt.contains(&image.id),
    });
    starting.collect()
}

/// Returns until when a limit holds an image at most: the day ends, or a build gives its slot back.
fn ends(context: &Context<'_>, limit: Limit, building: &[&Image], limited: Option<&Image>) -> Timestamp {
    if matches!(limit, Limit::StartsPerDay | Limit::Pipeline) {
        return end_of_day(context.now);
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
    building.iter().filter(counts).map(end).min().unwrap_or_else(|| end_of_day(context.now))
}

/// What the limit of a day means to a start.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OfDay {
    Ordinary,
    /// It may take what is kept for urgent starts.
    Urgent,
    /// It would miss its deadline tomorrow. It is counted, and not held.
    Exempt,
}

/// What is left of the limits.
struct Slots<'a> {
    builds: usize,
    today: usize,
    /// How many of today's starts only what is urgent may take.
    reserved: usize,
    /// How many builds of each owner's run.
    of_owners: BTreeMap<&'a str, u32>,
}

impl<'a> Slots<'a> {
    fn free(context: &Context<'a>, running: &[&'a Image]) -> Self {
        let limits = context.hierarchy.limits();
        let mut of_owners = BTreeMap::new();
        for image in running {
            if let Some(owner) = &image.owner {
                *of_owners.entry(owner.name.as_str()).or_default() += 1;
            }
        }
        Self {
            builds: (limits.max_concurrent_builds as usize).saturating_sub(running.len()),
            today: limits.max_starts_per_day.saturating_sub(context.facts.slots.started_today) as usize,
            reserved: limits.reserved() as usize,
            of_owners,
        }
    }

    /// Gives the slots to the images of `ready`, the first ones first: up to the share of each
    /// owner, then one more for each, then whatever is left. Returns the images that get none.
    fn share(
        &mut self,
        running: &[&'a Image],
        ready: &[&'a Image],
        of_day: impl Fn(&Image) -> OfDay,
    ) -> BTreeMap<ImageId, Limit> {
        let mut held: BTreeMap<&str, usize> = BTreeMap::new();
        for image in running {
            *held.entry(claimant(image)).or_default() += 1;
        }
        let mut wanted = held.clone();
        for image in ready {
            *wanted.entry(claimant(image)).or_default() += 1;
        }
        let share = equal_share(&wanted, running.len() + self.builds.min(self.today));
        let mut limited: BTreeMap<ImageId, Limit> = BTreeMap::new();
        let mut waiting: Vec<&'a Image> = ready.to_vec();
        for most in [share, share + 1, usize::MAX] {
            waiting.retain(|image| {
                let held = held.entry(claimant(image)).or_default();
                if *held >= most {
                    return true;
                }
                let taken = self.take(image, of_day(image));
                *held += usize::from(taken.is_ok());
                taken.is_err_and(|limit| {
                    limited.insert(image.id.clone(), limit);
                    true
                })
            });
        }
        limited.retain(|id, _| waiting.iter().any(|image| image.id == *id));
        limited
    }

    /// Takes a slot for the image, or says which limit is reached.
    fn take(&mut self, image: &'a Image, of_day: OfDay) -> Result<(), Limit> {
        let kept = if of_day == OfDay::Urgent { 0 } else { self.reserved };
        if self.today <= kept && of_day != OfDay::Exempt {
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
        self.today = self.today.saturating_sub(1);
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
