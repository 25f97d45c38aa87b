//! Where to start and which way to go.

use std::collections::BinaryHeap;

use super::Image;
use super::adjacency::{count, position};
use super::graph::Hierarchy;
use super::set::ImageSet;

/// A walk that finds more images than this, and more than [`SHARE`], marks what it found in a row
/// as long as the hierarchy. A smaller one must not pay for that row.
const FEW: usize = 256;
/// One in so many images of the hierarchy.
const SHARE: usize = 1_024;

/// Which way to follow the edges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Towards what an image is built on.
    Ancestors,
    /// Towards what is built on an image.
    Descendants,
}

impl Direction {
    fn back(self) -> Self {
        match self {
            Self::Ancestors => Self::Descendants,
            Self::Descendants => Self::Ancestors,
        }
    }
}

/// A question about the hierarchy, made by [`Hierarchy::query`].
#[derive(Debug, Clone)]
#[must_use = "a query answers nothing until it is resolved"]
pub struct Query<'h> {
    hierarchy: &'h Hierarchy,
    starts: Vec<u32>,
    direction: Direction,
}

impl<'h> Query<'h> {
    pub(super) fn new(hierarchy: &'h Hierarchy, starts: Vec<u32>, direction: Direction) -> Self {
        Self { hierarchy, starts, direction }
    }

    /// Returns all images that can be reached, the starts included. Both kinds of parents are
    /// followed.
    pub fn resolve(self) -> ImageSet<'h> {
        let most = FEW.max(self.hierarchy.len() / SHARE);
        let mut numbers: Vec<u32> = self.walk().take(most + 1).collect();
        if numbers.len() > most {
            numbers = self.marked();
        } else if self.direction == Direction::Ancestors {
            numbers.reverse();
        }
        ImageSet::new(self.hierarchy, numbers)
    }

    /// Returns whether `test` holds for all images that can be reached, the starts included. It
    /// reads no image after the first for which it does not hold.
    pub fn all(self, mut test: impl FnMut(&'h Image) -> bool) -> bool {
        self.walk().all(|number| test(self.hierarchy.at(number)))
    }

    /// Finds one image after the other, the nearest in build order first. An edge always leads
    /// further in that order, so what was found before is never found again.
    fn walk(&self) -> impl Iterator<Item = u32> + use<'h> {
        let (hierarchy, direction) = (self.hierarchy, self.direction);
        // The heap yields its largest, which is the nearest ancestor, or the nearest descendant if
        // all bits are turned.
        let turn = move |number: u32| if direction == Direction::Descendants { !number } else { number };
        let mut open: BinaryHeap<u32> = self.starts.iter().map(|number| turn(*number)).collect();
        std::iter::from_fn(move || {
            let nearest = open.pop()?;
            while open.peek() == Some(&nearest) {
                open.pop();
            }
            let number = turn(nearest);
            open.extend(hierarchy.neighbours(number, direction).iter().map(|next| turn(*next)));
            Some(number)
        })
    }

    /// Finds all of them in one pass over the hierarchy.
    fn marked(&self) -> Vec<u32> {
        let mut reached = vec![false; self.hierarchy.len()];
        for start in &self.starts {
            reached[position(*start)] = true;
        }
        let (all, back) = (0..count(self.hierarchy.len()), self.direction.back());
        // Without a branch on what was reached, which no processor can predict.
        let visit = |number: u32| {
            let nearer = self.hierarchy.neighbours(number, back).iter();
            reached[position(number)] |= nearer.fold(false, |any, near| any | reached[position(*near)]);
        };
        match self.direction {
            Direction::Ancestors => all.rev().for_each(visit),
            Direction::Descendants => all.for_each(visit),
        }
        let mut numbers = vec![0; reached.len() + 1];
        let mut found = 0;
        for (number, reached) in (0..).zip(reached) {
            numbers[found] = number;
            found += usize::from(reached);
        }
        numbers.truncate(found);
        numbers
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::fmt::Write as _;

    use super::*;

    /// Images with up to three earlier ones as parents, drawn by a fixed rule.
    pub(in crate::hierarchy) fn tangled(images: u32) -> Hierarchy {
        let mut yaml =
            "version: 1\nregistry: 111122223333.dkr.ecr.us-east-1.amazonaws.com\nimages:\n".to_owned();
        let mut state = 1_u32;
        let mut draw = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % below
        };
        for number in 0..images {
            let parents: std::collections::BTreeSet<u32> =
                (0..draw(4)).filter(|_| number > 40).map(|_| draw(number)).collect();
            let mut names = parents.iter().map(|parent| format!("i{parent}"));
            let from = names.next().unwrap_or_else(|| "scratch".into());
            let copied = names.collect::<Vec<_>>().join(", ");
            writeln!(yaml, "  - {{ id: i{number}, tier: base, repository: r{number}, tags: [x], from: {from}, copyFrom: [{copied}] }}").unwrap();
        }
        Hierarchy::parse("tangled.yaml", &yaml).unwrap_or_else(|errors| panic!("{errors}"))
    }

    #[test]
    fn a_small_and_a_large_answer_are_found_in_the_same_way() {
        let hierarchy = tangled(1_500);
        let mut largest = 0;
        for direction in [Direction::Ancestors, Direction::Descendants] {
            for start in 0..1_500 {
                let query = Query::new(&hierarchy, vec![start, (start * 7) % 1_500], direction);
                let mut walked: Vec<u32> = query.walk().collect();
                walked.sort_unstable();
                assert_eq!(walked, query.marked(), "{direction:?} of {start}");
                largest = largest.max(walked.len());
                let found: Vec<u32> = query.resolve().ids().filter_map(|id| hierarchy.number(id)).collect();
                assert_eq!(found, walked, "{direction:?} of {start}");
            }
        }
        assert!(largest > FEW, "both ways were taken: {largest}");
    }

    #[test]
    fn a_test_that_fails_ends_the_walk() {
        let hierarchy = tangled(1_500);
        let query = || Query::new(&hierarchy, (0..40).collect(), Direction::Descendants);
        let mut read = 0;
        let mut until = |most: usize| {
            read = 0;
            let all = query().all(|_| {
                read += 1;
                read < most
            });
            (all, read)
        };
        assert_eq!(until(50), (false, 50));
        assert_eq!(until(usize::MAX), (true, query().resolve().len()));
    }
}
