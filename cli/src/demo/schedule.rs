//! Predicts when the last build ends, from usual build times and the number of slots.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use patchwave::hierarchy::{Chains, Image};
use patchwave::image::ImageId;
use patchwave::time::{Span, Timestamp};
use patchwave_sim::Simulation;

/// How long the scan that proves a rebuild usually takes. Only the first build is for a finding, so
/// only its proof must come before others follow.
const USUAL_SCAN: Span = Span::minutes(3);

/// Returns when the last of these builds ends, and the chain that it waits for. The first of
/// `rebuilt` starts now; the longest chain goes first, as in the planner.
pub(crate) fn schedule(simulation: &Simulation, rebuilt: &[&Image]) -> (Timestamp, Vec<ImageId>) {
    let mut board = Board::new(simulation, rebuilt);
    while let Some(image) = board.ready.pop_first() {
        board.build(image);
    }
    let last = board.ends.iter().max_by_key(|(_, end)| end.at).map(|(id, _)| *id);
    let chain = std::iter::successors(last, |id| board.ends.get(id)?.after);
    let mut chain: Vec<ImageId> = chain.cloned().collect();
    chain.reverse();
    (board.ends.values().map(|end| end.at).max().unwrap_or_else(|| simulation.now()), chain)
}

/// When a build ends, and after which parent it could start.
#[derive(Debug, Clone, Copy)]
struct End<'s> {
    at: Timestamp,
    after: Option<&'s ImageId>,
}

/// A build whose parents have ended: earliest first, then the longest chain below.
type Ready<'s> = (Timestamp, Reverse<u64>, &'s ImageId);

struct Board<'s> {
    simulation: &'s Simulation,
    rebuilt: BTreeSet<&'s ImageId>,
    below: Chains<'s>,
    ready: BTreeSet<Ready<'s>>,
    /// When each slot is free.
    slots: BinaryHeap<Reverse<Timestamp>>,
    started: BTreeMap<String, u32>,
    ends: BTreeMap<&'s ImageId, End<'s>>,
}

impl<'s> Board<'s> {
    fn new(simulation: &'s Simulation, rebuilt: &[&'s Image]) -> Self {
        let hierarchy = simulation.hierarchy();
        let usual = |image: &Image| u64::from(simulation.usual_build_time(&image.id).as_seconds());
        let slots = (hierarchy.limits().max_concurrent_builds as usize).min(rebuilt.len());
        let first = rebuilt.first().map(|image| (simulation.now(), Reverse(0), &image.id));
        Self {
            simulation,
            rebuilt: rebuilt.iter().map(|image| &image.id).collect(),
            below: hierarchy.longest_chain_below(usual),
            ready: first.into_iter().collect(),
            slots: std::iter::repeat_n(Reverse(simulation.now()), slots).collect(),
            started: BTreeMap::new(),
            ends: BTreeMap::new(),
        }
    }

    fn build(&mut self, (ready_at, _, image): Ready<'s>) {
        let Some(Reverse(free_at)) = self.slots.pop() else { return };
        let starts_at = self.within_day(ready_at.max(free_at));
        let ends_at = self.simulation.usual_build_time(image).after(starts_at);
        self.slots.push(Reverse(ends_at));
        let proven_at = if self.ends.is_empty() { USUAL_SCAN.after(ends_at) } else { ends_at };
        let after = self.last_parent(image).map(|(_, parent)| parent);
        self.ends.insert(image, End { at: proven_at, after });
        for child in self.simulation.hierarchy().children(image).map(|edge| &edge.image.id) {
            if self.rebuilt.contains(child) && self.parents_ended(child) {
                let ready_at = self.last_parent(child).map_or(proven_at, |(at, _)| at);
                self.ready.insert((ready_at, Reverse(self.below[child]), child));
            }
        }
    }

    /// Moves a start to the next day on which one is left.
    fn within_day(&mut self, mut at: Timestamp) -> Timestamp {
        let most = self.simulation.hierarchy().limits().max_starts_per_day.max(1);
        loop {
            let day = at.strftime("%F").to_string();
            let started = self.started.entry(day).or_default();
            if *started < most {
                *started += 1;
                return at;
            }
            at = Span::seconds(86_400 - seconds_of_day(at)).after(at);
        }
    }

    fn parents(&self, image: &ImageId) -> impl Iterator<Item = &'s ImageId> {
        let parents = self.simulation.hierarchy().parents(image).map(|edge| &edge.image.id);
        parents.filter(|parent| self.rebuilt.contains(parent))
    }

    fn parents_ended(&self, image: &ImageId) -> bool {
        self.parents(image).all(|parent| self.ends.contains_key(parent))
    }

    fn last_parent(&self, image: &ImageId) -> Option<(Timestamp, &'s ImageId)> {
        self.parents(image).filter_map(|parent| Some((self.ends.get(parent)?.at, parent))).max()
    }
}

fn seconds_of_day(at: Timestamp) -> u32 {
    u32::try_from(at.as_second().rem_euclid(86_400)).unwrap_or(0)
}
