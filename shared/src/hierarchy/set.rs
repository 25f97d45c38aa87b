//! The answer to a query.

use std::collections::BTreeMap;

use super::graph::Hierarchy;
use super::{Direction, Image};
use crate::image::ImageId;

/// Some images of one hierarchy. Sets are combined only with sets of the same hierarchy.
#[derive(Debug, Clone)]
pub struct ImageSet<'h> {
    hierarchy: &'h Hierarchy,
    /// Ascending, which is build order.
    numbers: Vec<u32>,
}

impl<'h> ImageSet<'h> {
    pub(super) fn new(hierarchy: &'h Hierarchy, numbers: Vec<u32>) -> Self {
        Self { hierarchy, numbers }
    }

    /// Returns the images in build order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'h Image> + use<'h, '_> {
        self.numbers.iter().map(|number| self.hierarchy.at(*number))
    }

    /// Returns the images' ids in build order.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = &'h ImageId> + use<'h, '_> {
        self.iter().map(|image| &image.id)
    }

    /// Returns whether the image of that id is in the set.
    pub fn contains(&self, id: &ImageId) -> bool {
        self.hierarchy.number(id).is_some_and(|number| self.numbers.binary_search(&number).is_ok())
    }

    /// Returns how many images there are.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Returns whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// Returns the images of either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut numbers = [self.numbers.as_slice(), &other.numbers].concat();
        numbers.sort_unstable();
        numbers.dedup();
        Self::new(self.hierarchy, numbers)
    }

    /// Returns the images of both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.filter(|number| other.numbers.binary_search(&number).is_ok())
    }

    /// Returns the images of this set that are not in the other.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        self.filter(|number| other.numbers.binary_search(&number).is_err())
    }

    /// Returns the images by their earliest build: the first wave has the images without a parent
    /// in the set. Each other wave has those whose last parent in the set is in the wave before.
    pub fn waves(&self) -> Vec<Vec<&'h Image>> {
        let mut wave_of: BTreeMap<u32, usize> = BTreeMap::new();
        let mut waves: Vec<Vec<&'h Image>> = Vec::new();
        for number in &self.numbers {
            let parents = self.hierarchy.neighbours(*number, Direction::Ancestors);
            let wave =
                parents.iter().filter_map(|(_, parent)| wave_of.get(parent)).max().map_or(0, |last| last + 1);
            wave_of.insert(*number, wave);
            if wave == waves.len() {
                waves.push(Vec::new());
            }
            waves[wave].push(self.hierarchy.at(*number));
        }
        waves
    }

    fn filter(&self, keep: impl Fn(u32) -> bool) -> Self {
        Self::new(self.hierarchy, self.numbers.iter().copied().filter(|number| keep(*number)).collect())
    }
}
