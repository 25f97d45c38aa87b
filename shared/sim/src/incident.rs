//! A vulnerability that becomes known while everything runs.

use std::cmp::Reverse;

use patchwave::finding::Severity;
use patchwave::hierarchy::{Direction, Hierarchy, Image};
use patchwave::image::ImageId;
use patchwave::policy::{Mode, Rebuild};
use patchwave::time::{Span, Timestamp};

use crate::build::installs;
use crate::draw::Seed;
use crate::packages::Vulnerability;

/// What became known, and where it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// The image that introduced it.
    pub image: ImageId,
    /// What it is.
    pub vulnerability: Vulnerability,
}

/// Lets a critical vulnerability strike where it reaches furthest: in a package of the image with the most others built on
/// it, of those that can be rebuilt if there are any. Nothing if no image installs anything.
pub(crate) fn choose(hierarchy: &Hierarchy, seed: Seed, now: Timestamp) -> Option<Incident> {
    let reach = |image: &Image| {
        let below = hierarchy.query([&image.id], Direction::Descendants);
        below.map_or(0, |query| query.resolve().len())
    };
    let package = |image: &Image| {
        let installed = installs(seed, image);
        installed.get("openssl").or(installed.first()).copied()
    };
    let candidates = hierarchy.images().filter_map(|image| Some((image, package(image)?)));
    // Of equals the first.
    let (image, package) = candidates
        .max_by_key(|(image, _)| (can_be_rebuilt(image), reach(image), Reverse(image.id.clone())))?;
    let vulnerability = Vulnerability {
        id: "CVE-2026-31337".to_owned(),
        package: package.to_owned(),
        installed_by: Some(image.id.clone()),
        severity: Severity::Critical,
        exploited: true,
        known_from: now,
        fixed: Some((2, Span::hours(2).before(now))),
    };
    Some(Incident { image: image.id.clone(), vulnerability })
}

/// Tells whether nothing that stands in the hierarchy keeps an image from being rebuilt.
pub fn can_be_rebuilt(image: &Image) -> bool {
    image.pipeline.is_some() && image.policy.mode == Mode::Enforce && image.policy.rebuild == Rebuild::Auto
}
