//! Says when builds end under limits.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use super::deadline::end_of_day;
use crate::policy::Limits;
use crate::time::{Span, Timestamp};

/// A build to come.
#[derive(Debug, Clone)]
pub(super) struct Build {
    /// When it may start at the earliest.
    pub(super) from: Timestamp,
    pub(super) keep_by: Timestamp,
    /// If this is before the end of a day, the limit of that day does not hold the build.
    pub(super) latest: Timestamp,
    /// How many builds the longest chain below has.
    pub(super) below: u32,
    pub(super) takes: Span,
    /// How many of its parents are built before it.
    pub(super) parents: usize,
    /// The builds that wait for it.
    pub(super) children: Vec<usize>,
}

/// The builds to come, parents first, and what is taken already.
#[derive(Debug, Clone)]
pub(super) struct Timetable {
    pub(super) builds: Vec<Build>,
    pub(super) now: Timestamp,
    /// When each slot that is taken now is free.
    pub(super) taken: Vec<Timestamp>,
    pub(super) started_today: u32,
}

impl Timetable {
    /// Returns the builds that end after their deadline under these limits, and when each ends.
    pub(super) fn late(&self, limits: Limits) -> Vec<(usize, Timestamp)> {
        let ends = self.ends(limits).into_iter().enumerate();
        ends.filter(|(build, end)| *end > self.builds[*build].keep_by).collect()
    }

    /// Returns when each build ends. It starts when it may, its parents have ended, a slot is free
    /// and the day allows it, the most urgent first.
    pub(super) fn ends(&self, limits: Limits) -> Vec<Timestamp> {
        let mut ends = vec![Timestamp::MAX; self.builds.len()];
        let mut waits_for: Vec<usize> = self.builds.iter().map(|build| build.parents).collect();
        let mut ready_at: Vec<Timestamp> = self.builds.iter().map(|build| build.from.max(self.now)).collect();
        let roots = (0..self.builds.len()).filter(|build| waits_for[*build] == 0);
        let mut coming: BinaryHeap<Reverse<(Timestamp, usize)>> =
            roots.map(|build| Reverse((ready_at[build], build))).collect();
        let mut ready: BTreeSet<(Timestamp, Reverse<u32>, usize)> = BTreeSet::new();
        let mut days = BTreeMap::from([(end_of_day(self.now), self.started_today)]);
        let mut free = self.slots(limits);
        while let Some(Reverse(at)) = free.pop() {
            while let Some(Reverse((_, build))) =
                coming.peek().copied().filter(|Reverse((when, _))| *when <= at)
            {
                coming.pop();
                ready.insert((self.builds[build].keep_by, Reverse(self.builds[build].below), build));
            }
            let midnight = end_of_day(at);
            let started = days.entry(midnight).or_default();
            let may_start =
                |build: usize| *started < limits.max_starts_per_day || self.builds[build].latest < midnight;
            let next = ready.iter().find(|(.., build)| may_start(*build)).copied();
            let Some(next) = next else {
                // Nothing to do until another build is ready or the next day begins.
                let arrives = coming.peek().map(|Reverse((when, _))| *when);
                let until =
                    if ready.is_empty() { arrives } else { arrives.into_iter().chain([midnight]).min() };
                free.extend(until.filter(|until| *until > at).map(Reverse));
                continue;
            };
            ready.remove(&next);
            *started += 1;
            let (.., build) = next;
            ends[build] = self.builds[build].takes.after(at);
            free.push(Reverse(ends[build]));
            for child in &self.builds[build].children {
                ready_at[*child] = ready_at[*child].max(ends[build]);
                waits_for[*child] -= 1;
                if waits_for[*child] == 0 {
                    coming.push(Reverse((ready_at[*child], *child)));
                }
            }
        }
        ends
    }

    /// Returns when each slot is free. More than one a build are of no use.
    fn slots(&self, limits: Limits) -> BinaryHeap<Reverse<Timestamp>> {
        let most = (limits.max_concurrent_builds as usize).min(self.taken.len() + self.builds.len());
        let mut taken = self.taken.clone();
        taken.sort_unstable();
        // Builds beyond a limit that is lower now free no slot when they end.
        let over = taken.len().saturating_sub(most);
        let unused = most.saturating_sub(taken.len());
        taken.into_iter().skip(over).chain(std::iter::repeat_n(self.now, unused)).map(Reverse).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: i64 = 3_600;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(hour * HOUR).unwrap()
    }

    fn builds() -> impl Strategy<Value = Vec<Build>> {
        let parents = prop::collection::vec(any::<prop::sample::Index>(), 0..3);
        let build = (0_i64..60, 1_u32..9, 0_i64..40, parents);
        prop::collection::vec(build, 1..9).prop_map(|drawn| {
            let mut builds: Vec<Build> = Vec::new();
            for (place, (keep_by, hours, from, parents)) in drawn.into_iter().enumerate() {
                let parents: BTreeSet<usize> =
                    parents.into_iter().filter(|_| place > 0).map(|parent| parent.index(place)).collect();
                for parent in &parents {
                    builds[*parent].children.push(place);
                }
                let takes = Span::hours(hours);
                let (keep_by, parents) = (at(keep_by), parents.len());
                let latest = takes.before(keep_by);
                let from = at(from);
                builds.push(Build { from, keep_by, latest, below: 0, takes, parents, children: Vec::new() });
            }
            builds
        })
    }

    /// Looks at every hour: what ends, what is ready, and who takes the free slots.
    fn hour_by_hour(timetable: &Timetable, limits: Limits) -> Vec<Timestamp> {
        let builds = &timetable.builds;
        let mut ends: Vec<Option<Timestamp>> = vec![None; builds.len()];
        let mut started = BTreeMap::from([(0, timetable.started_today)]);
        for hour in 0_i64.. {
            if ends.iter().all(Option::is_some) {
                break;
            }
            loop {
                let runs = ends.iter().flatten().filter(|end| **end > at(hour)).count();
                let taken = timetable.taken.iter().filter(|end| **end > at(hour)).count();
                let today = started.entry(hour / 24).or_default();
                let midnight = at((hour / 24 + 1) * 24);
                let parents_ended = |build: usize| {
                    let parents = (0..build).filter(|parent| builds[*parent].children.contains(&build));
                    parents.into_iter().all(|parent| ends[parent].is_some_and(|end| end <= at(hour)))
                };
                let can = |build: &usize| {
                    ends[*build].is_none()
                        && builds[*build].from <= at(hour)
                        && parents_ended(*build)
                        && (*today < limits.max_starts_per_day || builds[*build].latest < midnight)
                };
                let next = (0..builds.len()).filter(can).min_by_key(|build| (builds[*build].keep_by, *build));
                let Some(next) = next.filter(|_| runs + taken < limits.max_concurrent_builds as usize) else {
                    break;
                };
                *today += 1;
                ends[next] = Some(builds[next].takes.after(at(hour)));
            }
        }
        ends.into_iter().flatten().collect()
    }

    proptest! {
        #[test]
        fn builds_end_when_an_hourly_look_says(
            builds in builds(), taken in prop::collection::vec(0_i64..20, 0..3), slots in 1_u32..4, starts in 1_u32..4, started_today in 0_u32..4
        ) {
            let taken: Vec<Timestamp> = taken.into_iter().map(at).collect();
            let timetable = Timetable { builds, now: at(0), taken, started_today };
            let limits = Limits { max_concurrent_builds: slots, max_starts_per_day: starts };
            prop_assert_eq!(timetable.ends(limits), hour_by_hour(&timetable, limits));
        }
    }
}
