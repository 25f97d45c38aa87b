//! What a digest is: a version of an image, or the manifest of one of its platforms.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};

use patchwave::facts::{Facts, ImageFacts, Version};
use patchwave::hierarchy::Hierarchy;
use patchwave::image::{Digest, ImageId, Platform, Tag};
use patchwave::time::Timestamp;
use serde::Serialize;

use crate::render::{CAREFUL, GOOD, NAME, STRONG, count, paint, some, wrapped, written};

/// How many digits of a digest name it.
const SHORTEST: usize = 7;
const SHOWN: usize = 8;

/// A digest, and what it is of each image that has it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Found {
    asked: String,
    observed_at: Timestamp,
    versions: Vec<OfImage>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct OfImage {
    image: ImageId,
    version: Digest,
    /// The platform, if the digest is that of one platform's manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<Platform>,
    is_current: bool,
    /// The current version, if it is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<Digest>,
    pushed_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<String>,
    tags: BTreeSet<Tag>,
    /// What the scan of each platform says.
    scans: BTreeMap<Platform, String>,
    /// The environments that ran it at the last survey.
    environments: BTreeSet<String>,
}

/// Finds the versions that a digest names, or the first digits of one.
pub(super) fn found(hierarchy: &Hierarchy, facts: &Facts, asked: &str) -> Option<Found> {
    let digits = asked.rsplit_once('@').map_or(asked, |(_, digest)| digest);
    let digits = digits.strip_prefix("sha256:").unwrap_or(digits);
    if digits.len() < SHORTEST || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let names =
        |digest: &Digest| digest.as_str().strip_prefix("sha256:").is_some_and(|d| d.starts_with(digits));
    let mut versions = Vec::new();
    for (id, image) in facts.images.iter().filter(|(id, _)| hierarchy.image(id).is_ok()) {
        for version in image.versions.values() {
            let of_platform = version.platforms.iter().find(|(_, manifest)| names(&manifest.digest));
            let platform =
                of_platform.map(|(platform, _)| platform.clone()).filter(|_| !names(&version.digest));
            if names(&version.digest) || platform.is_some() {
                versions.push(of_image(facts, (id, image), version, platform));
            }
        }
    }
    let found = Found { asked: asked.to_owned(), observed_at: facts.observed_at, versions };
    (!found.versions.is_empty()).then_some(found)
}

fn of_image(
    facts: &Facts,
    (id, image): (&ImageId, &ImageFacts),
    version: &Version,
    platform: Option<Platform>,
) -> OfImage {
    let current = image.current_version().map(|current| &current.digest);
    let is_current = current == Some(&version.digest);
    let scan = |(platform, manifest): (&Platform, &patchwave::facts::Manifest)| {
        let findings = manifest.scan.findings().len();
        let says = manifest.scan.unknown_because().unwrap_or_else(|| count(findings, "finding"));
        (platform.clone(), says)
    };
    let deployments = facts.deployments.get(id).into_iter();
    let environments = deployments.flat_map(|of| {
        let newest =
            of.environments.iter().filter(|(_, of)| of.version == version.digest).map(|(name, _)| name);
        let services = of.running.iter().filter(|(_, all)| all.iter().any(|v| v.version == version.digest));
        newest.chain(services.map(|(name, _)| name))
    });
    OfImage {
        image: id.clone(),
        version: version.digest.clone(),
        platform,
        is_current,
        current: current.filter(|_| !is_current).cloned(),
        pushed_at: version.pushed_at,
        revision: version.revision.clone(),
        tags: version.tags.clone(),
        scans: version.platforms.iter().map(scan).collect(),
        environments: environments.cloned().collect(),
    }
}

pub(super) fn text(found: &Found) -> String {
    written(|text| found.versions.iter().try_for_each(|of| write(of, found.observed_at, text)))
}

fn write(of: &OfImage, at: Timestamp, text: &mut String) -> fmt::Result {
    let platform =
        of.platform.as_ref().map(|platform| format!(", its manifest for {platform}")).unwrap_or_default();
    let head = format!(
        "{} is a version of {}{platform}, as of {at:.0}",
        paint(STRONG, of.version.short()),
        paint(NAME, &of.image)
    );
    writeln!(text, "{}", wrapped(0, &head))?;
    let standing = match &of.current {
        _ if of.is_current => paint(GOOD, "it is the current version"),
        Some(current) => {
            format!("{}, which is {}", paint(CAREFUL, "it is not the current version"), current.short())
        }
        None => paint(CAREFUL, "which version is current is not known"),
    };
    let tags = if of.tags.is_empty() { "no tag".to_owned() } else { some(of.tags.iter(), SHOWN) };
    let commit = of.revision.as_ref().map(|commit| format!(", from commit {commit}")).unwrap_or_default();
    writeln!(text, "{}", wrapped(2, &format!("{standing}; pushed {:.0}, {tags}{commit}", of.pushed_at)))?;
    for (platform, says) in &of.scans {
        writeln!(text, "{}", wrapped(2, &format!("{platform}: {says}")))?;
    }
    let runs = if of.environments.is_empty() {
        "no environment is known to run it".to_owned()
    } else {
        format!("runs in {}", some(of.environments.iter(), SHOWN))
    };
    writeln!(text, "{}", wrapped(2, &runs))?;
    writeln!(text, "{}", wrapped(2, &format!("what holds its line: patchwave why {}", of.image)))
}
