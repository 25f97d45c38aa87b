//! Where to start and which way to go.

use super::graph::{Hierarchy, position};
use super::set::ImageSet;

/// Which way to follow the edges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Towards what an image is built on.
    Ancestors,
    /// Towards what is built on an image.
    Descendants,
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
        let mut reached = vec![false; self.hierarchy.len()];
        let mut found = Vec::new();
        let mut open = self.starts;
        while let Some(number) = open.pop() {
            if std::mem::replace(&mut reached[position(number)], true) {
                continue;
            }
            found.push(number);
            open.extend(self.hierarchy.neighbours(number, self.direction).iter().map(|(_, next)| next));
        }
        found.sort_unstable();
        ImageSet::new(self.hierarchy, found)
    }
}
