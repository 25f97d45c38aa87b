//! A critical vulnerability that becomes known while everything runs.

use std::cmp::Reverse;

use patchwave::finding::Severity;
use patchwave::hierarchy::{Direction, Hierarchy, Image};
use patchwave::image::ImageId;
use patchwave::policy::{Mode, Rebuild};
use patchwave::time::{Span, Timestamp};

use crate::build::installs;
use crate::draw::Seed;
use crate::packages::Vulnerability;

/// A vulnerability, and the image that introduced it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    pub image: ImageId,
    pub vulnerability: Vulnerability,
}

/// Chooses the image with the most descendants, and a package that it installs. Images that can be
/// rebuilt come first. Returns nothing if no image installs a package. `earlier` is how many
/// incidents there were before.
pub(crate) fn choose(hierarchy: &Hierarchy, seed: Seed, earlier: u32, now: Timestamp) -> Option<Incident> {
    let reach = |image: &Image| {
        let below = hierarchy.query([&image.id], Direction::Descendants);
        below.map_or(0, |query| query.resolve().len())
    };
    let package = |image: &Image| {
        let installed = installs(seed, image);
        installed.get("openssl").or(installed.first()).copied()
    };
    let candidates = hierarchy.images().filter_map(|image| Some((image, package(image)?)));
    // The first of several equals.
    let (image, package) = candidates
        .max_by_key(|(image, _)| (can_be_rebuilt(image), reach(image), Reverse(image.id.clone())))?;
    let vulnerability = Vulnerability {
        id: format!("CVE-2026-{}", 31_337 + earlier),
        package: package.to_owned(),
        installed_by: Some(image.id.clone()),
        severity: Severity::Critical,
        exploited: true,
        known_from: now,
        fixed: Some((2 + earlier, Span::hours(2).before(now))),
    };
    Some(Incident { image: image.id.clone(), vulnerability })
}

/// Returns whether the hierarchy allows Patchwave to rebuild an image by itself.
pub fn can_be_rebuilt(image: &Image) -> bool {
    image.pipeline.is_some() && image.policy.mode == Mode::Enforce && image.policy.rebuild == Rebuild::Auto
}
