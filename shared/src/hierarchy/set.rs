//! The answer to a query.

use super::adjacency::position;
use super::graph::Hierarchy;
use super::{Direction, Image};
use crate::image::ImageId;

/// A set with fewer than one in so many of the images that its numbers span looks for parents among
/// its own numbers. A larger one has a row for the span.
const SPARSE: usize = 32;

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
        let wave_of = self.wave_of_each();
        let mut sizes = vec![0; wave_of.iter().max().map_or(0, |last| position(*last) + 1)];
        for wave in &wave_of {
            sizes[position(*wave)] += 1;
        }
        let mut waves: Vec<Vec<&'h Image>> = sizes.into_iter().map(Vec::with_capacity).collect();
        for (number, wave) in self.numbers.iter().zip(wave_of) {
            waves[position(wave)].push(self.hierarchy.at(*number));
        }
        waves
    }

    /// Returns the wave of each image, in build order.
    fn wave_of_each(&self) -> Vec<u32> {
        let (Some(first), Some(last)) = (self.numbers.first(), self.numbers.last()) else {
            return Vec::new();
        };
        let span = position(last - first) + 1;
        if span / SPARSE > self.numbers.len() { self.sparse_waves() } else { self.dense_waves(*first, span) }
    }

    fn dense_waves(&self, first: u32, span: usize) -> Vec<u32> {
        // One more than the wave, so that 0 is an image that is not in the set.
        let mut after = vec![0_u32; span];
        let wave = |number: &u32| {
            let above = self.parents(*number).iter().filter_map(|parent| parent.checked_sub(first));
            let wave = above.map(|parent| after[position(parent)]).max().unwrap_or(0);
            after[position(number - first)] = wave + 1;
            wave
        };
        let mut waves = Vec::with_capacity(self.numbers.len());
        waves.extend(self.numbers.iter().map(wave));
        waves
    }

    fn sparse_waves(&self) -> Vec<u32> {
        let mut waves = Vec::with_capacity(self.numbers.len());
        for number in &self.numbers {
            let above =
                self.parents(*number).iter().filter_map(|above| self.numbers.binary_search(above).ok());
            waves.push(above.map(|at| waves[at] + 1).max().unwrap_or(0));
        }
        waves
    }

    fn parents(&self, number: u32) -> &'h [u32] {
        self.hierarchy.neighbours(number, Direction::Ancestors)
    }

    fn filter(&self, keep: impl Fn(u32) -> bool) -> Self {
        Self::new(self.hierarchy, self.numbers.iter().copied().filter(|number| keep(*number)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparse_and_a_dense_set_have_the_same_waves() {
        let hierarchy = crate::hierarchy::query::tests::tangled(400);
        for step in 1..90 {
            let numbers: Vec<u32> = (step..400).step_by(position(step)).collect();
            let span = position(numbers[numbers.len() - 1] - numbers[0]) + 1;
            let set = ImageSet::new(&hierarchy, numbers.clone());
            let dense = set.dense_waves(numbers[0], span);
            assert_eq!(set.sparse_waves(), dense, "each {step}th image");
            let waves = set.waves();
            assert_eq!(waves.iter().map(Vec::len).sum::<usize>(), numbers.len());
            for (image, wave) in set.iter().zip(dense) {
                assert!(waves[position(wave)].iter().any(|other| other.id == image.id));
            }
        }
    }
}
