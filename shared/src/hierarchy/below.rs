//! What an image's descendants mean for it, known for every image when the hierarchy is loaded.
//!
//! A plan asks this about a few images. It must not read all others for the answer.

use super::adjacency::{Adjacency, count, position};
use super::image::Image;
use crate::finding::Severity;
use crate::time::Span;

/// What holds for an image and everything below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Below {
    /// How many images the longest chain below has.
    pub(super) builds: u32,
    /// The lowest severity that the image, or any image below, counts.
    pub(super) lowest: Severity,
    /// How long the longest chain of builds takes, the image's own included, if each takes its
    /// `maxBuildTime`.
    pub(super) time: Span,
}

/// Returns it for every image. Children come after their parents in the row.
pub(super) fn below(images: &[Image], children: &Adjacency) -> Vec<Below> {
    let own = |image: &Image| Below { builds: 0, lowest: image.policy.rebuild_at, time: Span::ZERO };
    let mut of_each: Vec<Below> = images.iter().map(own).collect();
    for (at, image) in images.iter().enumerate().rev() {
        let mut mine = of_each[at];
        for child in children.of(count(at)) {
            let theirs = of_each[position(*child)];
            mine.builds = mine.builds.max(theirs.builds.saturating_add(1));
            mine.lowest = mine.lowest.min(theirs.lowest);
            mine.time = mine.time.max(theirs.time);
        }
        mine.time = mine.time.plus(image.policy.max_build_time);
        of_each[at] = mine;
    }
    of_each
}
