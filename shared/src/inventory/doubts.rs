//! Finds where an enhanced scanner stops watching too early, or sees something run that the
//! inventory does not.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::scanning::{Covered, Covering, UseIs, Windows};
use super::state::{Entry, Inventory};
use crate::facts::Facts;
use crate::hierarchy::Hierarchy;
use crate::image::{Digest, ImageId, Repository, Tag};
use crate::time::{Span, Timestamp};

/// How old the scanner's data on what runs may be.
/// <https://docs.aws.amazon.com/inspector/latest/user/ecr-container-images.html>
pub(super) const REFRESHED: Span = Span::hours(36);

/// A reason to doubt what the scanner watches, or what the inventory sees.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "what", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Doubt {
    /// The scanner watches images after their push for a shorter time than they may live.
    WindowTooShort {
        window: Span,
        /// The images that may live longer.
        images: BTreeSet<ImageId>,
    },
    /// A version runs that the scanner no longer watches.
    NotWatched { image: ImageId, version: Digest, because: String },
    /// Stable tags do not name the version that the tracked one names.
    LaggingTags { image: ImageId, tags: BTreeSet<Tag> },
    /// The scanner has recently seen it run, and the inventory has not.
    RunsElsewhere {
        repository: Repository,
        /// The platform manifest's.
        digest: Digest,
        /// How many tasks and pods the scanner saw.
        in_use: u32,
    },
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WindowTooShort { window, images } => write!(
                f,
                "Inspector watches an image for {window} after its push, which is less than the maxAge of {} of them: \
                 lengthen its window or shorten maxAge",
                images.len()
            ),
            Self::NotWatched { image, version, because } => {
                write!(f, "{image} runs as {}, which Inspector does not watch: {because}", version.short())
            }
            Self::LaggingTags { image, tags } => {
                let tags: Vec<&str> = tags.iter().map(Tag::as_str).collect();
                write!(
                    f,
                    "{image}: its stable tags do not move together, and whoever pulls {} gets another version",
                    tags.join(" or ")
                )
            }
            Self::RunsElsewhere { repository, digest, in_use } => write!(
                f,
                "Inspector saw {in_use} tasks or pods run {repository}@{}, which the inventory did not see: is a cluster \
                 missing from `inventory`?",
                digest.short()
            ),
        }
    }
}

/// Returns the images some of whose stable tags lag behind the tracked one.
pub fn lagging(hierarchy: &Hierarchy, facts: &Facts) -> Vec<Doubt> {
    let images = facts.images.iter().filter_map(|(id, facts)| {
        let tags = facts.lagging_tags(&hierarchy.image(id).ok()?.line);
        let tags: BTreeSet<Tag> = tags.into_iter().cloned().collect();
        (!tags.is_empty()).then(|| Doubt::LaggingTags { image: id.clone(), tags })
    });
    images.collect()
}

/// Compares what an enhanced scanner watches and sees with the inventory. `covered` holds platform
/// manifests. One that the inventory does not have matters only if the scanner has recently seen it
/// run.
pub fn doubts(
    hierarchy: &Hierarchy,
    inventory: &Inventory,
    windows: &Windows,
    covered: &[Covered],
    now: Timestamp,
) -> Vec<Doubt> {
    let mut doubts = BTreeSet::new();
    // An image that runs is in use, so the scanner watches it. The window after the push limits the
    // others, and every image if use means a pull.
    let short = hierarchy.images().filter_map(|image| {
        windows.too_short_for(image.policy.max_age).map(|window| (window, image.id.clone()))
    });
    let short: Vec<(Span, ImageId)> = short.collect();
    if let Some((window, _)) = short.first() {
        let images = short.iter().map(|(_, image)| image.clone()).collect();
        doubts.insert(Doubt::WindowTooShort { window: *window, images });
    }
    let manifests = manifests(inventory);
    for image in covered {
        let runs = manifests.get(&image.digest).copied();
        let seen = image.in_use_at.is_some_and(|at| REFRESHED.after(at) > now);
        match (runs, &image.covering) {
            (Some((id, version)), Covering::Expired) => {
                let because = "its window has ended".to_owned();
                doubts.insert(Doubt::NotWatched { image: id.clone(), version: version.clone(), because });
            }
            (Some((id, version)), Covering::Inactive(because)) => {
                let because = because.clone();
                doubts.insert(Doubt::NotWatched { image: id.clone(), version: version.clone(), because });
            }
            (None, _) if seen && windows.use_is == UseIs::Running => {
                if let Some(in_use) = image.in_use.filter(|count| *count > 0) {
                    let (repository, digest) = (image.repository.clone(), image.digest.clone());
                    doubts.insert(Doubt::RunsElsewhere { repository, digest, in_use });
                }
            }
            _ => {}
        }
    }
    doubts.into_iter().collect()
}

/// Returns the digests that a scanner may know each running version by.
fn manifests(inventory: &Inventory) -> BTreeMap<&Digest, (&ImageId, &Digest)> {
    let mut manifests = BTreeMap::new();
    let runs: BTreeSet<_> = inventory.entries.values().filter(|e| e.runs).filter_map(Entry::known).collect();
    for (key, assessment) in inventory.versions.iter().filter(|(key, _)| runs.contains(*key)) {
        let of = (&key.0, &key.1);
        manifests.extend(assessment.manifests.iter().map(|manifest| (manifest, of)));
        manifests.insert(&key.1, of);
    }
    manifests
}
