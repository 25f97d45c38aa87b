//! A vulnerability that becomes known while everything runs.

use patchwave::finding::Severity;
use patchwave::hierarchy::{Direction, Hierarchy, Image, Parent, Tier};
use patchwave::image::ImageId;
use patchwave::policy::{Mode, Rebuild};
use patchwave::time::{Span, Timestamp};

use crate::packages::Vulnerability;

/// What became known, and where it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// The image that introduced it.
    pub image: ImageId,
    /// What it is.
    pub vulnerability: Vulnerability,
}

/// Lets a critical vulnerability strike where it reaches furthest: the root with the most images built on it, of those
/// that can be rebuilt if there are any. Nothing if no root holds a distribution.
pub(crate) fn choose(hierarchy: &Hierarchy, now: Timestamp) -> Option<Incident> {
    let roots = hierarchy.images().filter(|image| has_distribution(image));
    let reach = |image: &&Image| {
        let below = hierarchy.query([&image.id], Direction::Descendants).map_or(0, |query| query.resolve().len());
        // Of equals the first.
        (can_be_rebuilt(image), below, std::cmp::Reverse(image.id.clone()))
    };
    let image = roots.max_by_key(reach)?.id.clone();
    let vulnerability = Vulnerability {
        id: "CVE-2026-31337".to_owned(),
        package: "openssl".to_owned(),
        distribution: Some(image.clone()),
        severity: Severity::Critical,
        exploited: true,
        known_from: now,
        fixed: Some((2, Span::hours(2).before(now))),
    };
    Some(Incident { image, vulnerability })
}

/// Tells whether an image brings an operating system in: from upstream, or as a base image that unpacks one on nothing.
pub(crate) fn has_distribution(image: &Image) -> bool {
    match image.from {
        Parent::Upstream(_) => true,
        Parent::Scratch => image.tier == Tier::Base,
        Parent::Image(_) => false,
    }
}

/// Tells whether nothing that stands in the hierarchy keeps an image from being rebuilt.
pub fn can_be_rebuilt(image: &Image) -> bool {
    image.pipeline.is_some() && image.policy.mode == Mode::Enforce && image.policy.rebuild == Rebuild::Auto
}
