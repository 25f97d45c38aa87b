//! The longest chain below each image.

use std::ops::Index;

use super::adjacency::position;
use super::graph::Hierarchy;
use crate::image::ImageId;

/// What the most expensive chain of images below each image costs.
/// [`Hierarchy::longest_chain_below`] makes it.
#[derive(Debug, Clone)]
pub struct Chains<'h> {
    hierarchy: &'h Hierarchy,
    below: Vec<u64>,
}

impl<'h> Chains<'h> {
    pub(super) fn new(hierarchy: &'h Hierarchy, below: Vec<u64>) -> Self {
        Self { hierarchy, below }
    }

    /// Returns the cost of the chain below an image; nothing for an id that is not in the
    /// hierarchy.
    pub fn get(&self, id: &ImageId) -> Option<u64> {
        self.hierarchy.number(id).map(|number| self.below[position(number)])
    }

    /// Returns the costs in build order.
    pub fn in_build_order(&self) -> &[u64] {
        &self.below
    }
}

impl Index<&ImageId> for Chains<'_> {
    type Output = u64;

    /// Returns 0 for an id that is not in the hierarchy: nothing is built on it.
    fn index(&self, id: &ImageId) -> &u64 {
        self.hierarchy.number(id).map_or(&0, |number| &self.below[position(number)])
    }
}
