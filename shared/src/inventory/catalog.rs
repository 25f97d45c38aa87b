//! What the registry says about the digests that run.

use std::collections::{BTreeMap, BTreeSet};

use super::named;
use super::survey::Survey;
use crate::facts::{Current, Facts, Version};
use crate::hierarchy::Hierarchy;
use crate::image::{Digest, ImageId, Registry, Repository};

/// Why the registry has no version for a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// The registry says that it does not have the digest.
    Gone,
    /// The registry did not answer, for this reason.
    Unread(String),
}

/// The versions that run and the current version of each line, with their scans.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    versions: BTreeMap<Repository, BTreeMap<Digest, Version>>,
    currents: BTreeMap<ImageId, Current>,
    missing: BTreeMap<(Repository, Digest), Missing>,
}

impl Catalog {
    /// Takes every line's current version, and all other versions in the facts.
    pub fn new(hierarchy: &Hierarchy, facts: &Facts) -> Self {
        let mut catalog = Self::default();
        for image in hierarchy.images() {
            let Some(facts) = facts.images.get(&image.id) else { continue };
            catalog.currents.insert(image.id.clone(), facts.current.clone());
            for version in facts.versions.values() {
                catalog.add(&image.repository, version.clone());
            }
        }
        catalog
    }

    /// Adds a version of a repository.
    pub fn add(&mut self, repository: &Repository, version: Version) {
        self.versions.entry(repository.clone()).or_default().insert(version.digest.clone(), version);
    }

    /// Notes why a digest has no version.
    pub fn miss(&mut self, repository: &Repository, digest: &Digest, missing: Missing) {
        self.missing.insert((repository.clone(), digest.clone()), missing);
    }

    /// Returns the version whose index or platform manifest has this digest.
    ///
    /// Several versions can list one manifest. The current version of a line comes first, then an
    /// index before the manifest by itself, then the newest push.
    pub fn version(&self, repository: &Repository, digest: &Digest) -> Option<&Version> {
        let named = self.versions.get(repository)?.values().filter(|version| version.is_named_by(digest));
        named.max_by_key(|version| {
            (self.is_current(&version.digest), version.digest != *digest, version.pushed_at, &version.digest)
        })
    }

    fn is_current(&self, digest: &Digest) -> bool {
        self.currents.values().any(|current| matches!(current, Current::Version(now) if now == digest))
    }

    /// Returns which version is current on an image's line.
    pub(super) fn current(&self, image: &ImageId) -> Current {
        let unread = || Current::Unread("the registry was not asked".into());
        self.currents.get(image).cloned().unwrap_or_else(unread)
    }

    pub(super) fn missing(&self, repository: &Repository, digest: &Digest) -> Missing {
        let unread = || Missing::Unread("the registry was not asked".to_owned());
        self.missing.get(&(repository.clone(), digest.clone())).cloned().unwrap_or_else(unread)
    }
}

/// Returns the digests of the hierarchy's repositories that a survey saw. Patchwave asks the
/// registry about them.
pub fn seen(hierarchy: &Hierarchy, survey: &Survey) -> BTreeSet<(Repository, Digest)> {
    let mut seen = BTreeSet::new();
    for sighting in &survey.sightings {
        let named = named::reference(sighting).filter(|named| is_own(hierarchy, &named.registry));
        let (Some(named), Ok(digest)) = (named, named::digest(sighting)) else { continue };
        if hierarchy.in_repository(&named.repository).next().is_some() {
            seen.insert((named.repository, digest));
        }
    }
    seen
}

/// Returns whether a registry is the hierarchy's own, or the same account's in another region, to
/// which ECR replicates. A digest is the same content in both.
pub(super) fn is_own(hierarchy: &Hierarchy, registry: &Registry) -> bool {
    let own = hierarchy.registry();
    registry.ecr().is_some_and(|registry| registry.account() == own.account())
}
