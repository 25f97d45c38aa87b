//! Other ways to roll a fix through a hierarchy: what they build and how long they take.
//!
//! They are played without what costs Patchwave time: their events arrive at once, they wait for no
//! scan, and each knows what to build. Each build takes as long as Patchwave's build of that image.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use patchwave::hierarchy::Hierarchy;
use patchwave::image::ImageId;
use patchwave::time::Span;
use serde::Serialize;

/// How often the bot of Docker's official images looks for something to build.
/// <https://github.com/docker-library/meta-scripts> (`Jenkinsfile.trigger`)
const EVERY: u64 = 60 * 60;

/// How a handler decides what to build next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Policy {
    /// Each finding builds its image, and each push builds all children of the image.
    EdgeTriggered,
    /// The images of one level are built when all of the level above are.
    LevelBarrier,
    /// Each hour, unless a round still runs, a round builds all images whose parents are built.
    HourlyRounds,
}

/// What a handler built, and how long it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rolled {
    pub builds: u64,
    /// Builds that were not the last of an affected image.
    pub wasted: u64,
    /// From the vulnerability to the end of the last build.
    pub makespan: Span,
}

/// Images in levels, with the time that each build takes.
#[derive(Debug)]
pub(crate) struct Fleet {
    /// The children of each image. Parents come before children.
    children: Vec<Vec<usize>>,
    parents: Vec<Vec<usize>>,
    level: Vec<usize>,
    seconds: Vec<u64>,
    slots: usize,
}

impl Fleet {
    /// Makes a fleet of those images of a hierarchy whose builds took a time.
    pub(crate) fn new(hierarchy: &Hierarchy, times: &BTreeMap<&ImageId, u64>, slots: u32) -> Self {
        let images: Vec<_> = hierarchy.images().filter(|image| times.contains_key(&image.id)).collect();
        let places: BTreeMap<&ImageId, usize> =
            images.iter().enumerate().map(|(place, image)| (&image.id, place)).collect();
        let parents: Vec<Vec<usize>> = images
            .iter()
            .map(|image| {
                hierarchy.parents(&image.id).filter_map(|e| places.get(&e.image.id).copied()).collect()
            })
            .collect();
        let mut children = vec![Vec::new(); images.len()];
        let mut level = vec![0; images.len()];
        for (place, above) in parents.iter().enumerate() {
            for parent in above {
                children[*parent].push(place);
                level[place] = level[place].max(level[*parent] + 1);
            }
        }
        let seconds = images.iter().map(|image| times.get(&image.id).copied().unwrap_or(0)).collect();
        Self { children, parents, level, seconds, slots: slots.max(1) as usize }
    }

    /// Rolls a fix through the fleet.
    pub(crate) fn roll(&self, policy: Policy) -> Rolled {
        match policy {
            Policy::EdgeTriggered => self.edge_triggered(),
            Policy::LevelBarrier => self.in_levels(|at| at),
            Policy::HourlyRounds => self.in_levels(|at| at.div_ceil(EVERY) * EVERY),
        }
    }

    /// A queue of builds, first come, first served. Each build that ends asks for its children.
    fn edge_triggered(&self) -> Rolled {
        let mut queue: VecDeque<usize> = (0..self.seconds.len()).collect();
        let mut running: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
        let (mut now, mut builds) = (0, 0);
        loop {
            while running.len() < self.slots
                && let Some(image) = queue.pop_front()
            {
                builds += 1;
                running.push(Reverse((now + self.seconds[image], image)));
            }
            let Some(Reverse((ends, image))) = running.pop() else { break };
            now = ends;
            queue.extend(&self.children[image]);
        }
        self.rolled(builds, now)
    }

    /// One level after the other, each from the time on that `begins` makes of the end of the level
    /// above.
    fn in_levels(&self, begins: impl Fn(u64) -> u64) -> Rolled {
        let mut now = 0;
        for level in 0..=self.level.iter().copied().max().unwrap_or(0) {
            now = self.list_schedule(self.of_levels(level, level), begins(now));
        }
        self.rolled(self.seconds.len() as u64, now)
    }

    /// Returns when these builds end that begin at a time, the longest first.
    fn list_schedule(&self, images: impl Iterator<Item = usize>, begins: u64) -> u64 {
        let mut seconds: Vec<u64> = images.map(|image| self.seconds[image]).collect();
        seconds.sort_unstable_by_key(|seconds| Reverse(*seconds));
        let mut free = BinaryHeap::from(vec![Reverse(begins); self.slots]);
        let mut last = begins;
        for seconds in seconds {
            let Some(Reverse(at)) = free.pop() else { break };
            last = last.max(at + seconds);
            free.push(Reverse(at + seconds));
        }
        last
    }

    /// Returns the shortest time that any policy can take: the largest over ranges of levels of the
    /// shortest way to them, their work on all slots, and the shortest way on. The longest chain is
    /// one, too.
    pub(crate) fn bound(&self) -> Span {
        let (head, tail) = (self.heads(), self.tails());
        let chain = (0..self.seconds.len()).map(|of| head[of] + self.seconds[of] + tail[of]).max();
        let deepest = self.level.iter().copied().max().unwrap_or(0);
        let ranges = (0..=deepest).flat_map(|from| (from..=deepest).map(move |to| (from, to)));
        let of_range = |(from, to)| {
            let work: u64 = self.of_levels(from, to).map(|image| self.seconds[image]).sum();
            let before = self.of_levels(from, to).map(|image| head[image]).min().unwrap_or(0);
            let after = self.of_levels(from, to).map(|image| tail[image]).min().unwrap_or(0);
            before + work / self.slots as u64 + after
        };
        span(ranges.map(of_range).chain(chain).max().unwrap_or(0))
    }

    /// Returns how long the chains take that end before each image.
    fn heads(&self) -> Vec<u64> {
        let mut heads = vec![0; self.seconds.len()];
        for (image, parents) in self.parents.iter().enumerate() {
            heads[image] =
                parents.iter().map(|parent| heads[*parent] + self.seconds[*parent]).max().unwrap_or(0);
        }
        heads
    }

    /// Returns how long the chains take that follow each image.
    fn tails(&self) -> Vec<u64> {
        let mut tails = vec![0; self.seconds.len()];
        for (image, children) in self.children.iter().enumerate().rev() {
            tails[image] =
                children.iter().map(|child| tails[*child] + self.seconds[*child]).max().unwrap_or(0);
        }
        tails
    }

    fn of_levels(&self, from: usize, to: usize) -> impl Iterator<Item = usize> + '_ {
        (0..self.level.len()).filter(move |image| (from..=to).contains(&self.level[*image]))
    }

    fn rolled(&self, builds: u64, seconds: u64) -> Rolled {
        Rolled { builds, wasted: builds - self.seconds.len() as u64, makespan: span(seconds) }
    }
}

fn span(seconds: u64) -> Span {
    Span::seconds(u32::try_from(seconds).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A base of ten minutes, two platforms of five and twenty, and an application on both of one.
    fn diamond(slots: usize) -> Fleet {
        let seconds = vec![600, 300, 1_200, 60];
        let parents = vec![vec![], vec![0], vec![0], vec![1, 2]];
        let children = vec![vec![1, 2], vec![3], vec![3], vec![]];
        Fleet { children, parents, level: vec![0, 1, 1, 2], seconds, slots }
    }

    #[test]
    fn each_policy_builds_and_waits_as_its_rule_says() {
        let rolled = |policy| diamond(4).roll(policy);
        let edge = rolled(Policy::EdgeTriggered);
        // Each way from any image down is a build: 1, 2, 2 and 1 + 2 + 2.
        assert_eq!((edge.builds, edge.wasted), (10, 6));
        let barrier = rolled(Policy::LevelBarrier);
        assert_eq!((barrier.builds, barrier.makespan), (4, Span::seconds(600 + 1_200 + 60)));
        assert_eq!(rolled(Policy::HourlyRounds).makespan, Span::seconds(2 * 3_600 + 60));
    }

    #[test]
    fn no_policy_is_faster_than_the_bound() {
        for slots in 1..5 {
            let fleet = diamond(slots);
            for policy in [Policy::LevelBarrier, Policy::HourlyRounds] {
                assert!(fleet.roll(policy).makespan >= fleet.bound(), "{policy:?} with {slots}");
            }
        }
        assert_eq!(diamond(1).bound(), Span::seconds(2_160), "all work");
        assert_eq!(diamond(4).bound(), Span::seconds(1_860), "the longest chain");
    }
}
