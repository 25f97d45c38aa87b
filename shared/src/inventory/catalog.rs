//! What the registry says about the digests that run.

use std::collections::{BTreeMap, BTreeSet};

use super::named;
use super::survey::Survey;
use crate::facts::{Current, Facts, Version};
use crate::hierarchy::{Hierarchy, Located};
use crate::image::{Digest, ImageId, Platform, Repository};

/// Why the registry has no version for a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// The registry says that it does not have the digest.
    Gone,
    /// The registry did not answer, for this reason.
    Unread(String),
}

/// The versions that run and the current version of each line, with their scans. They stay where
/// they were observed.
#[derive(Debug, Clone, Default)]
pub struct Catalog<'f> {
    versions: BTreeMap<Repository, BTreeMap<&'f Digest, &'f Version>>,
    /// The repositories that hold a digest, of a version or of one of its platforms.
    holders: BTreeMap<&'f Digest, BTreeSet<Repository>>,
    currents: BTreeMap<&'f ImageId, &'f Current>,
    /// The version of each image that Patchwave built last.
    built: BTreeMap<&'f ImageId, &'f Digest>,
    missing: BTreeMap<(Repository, Digest), Missing>,
}

impl<'f> Catalog<'f> {
    /// Takes every line's current version, and all other versions in the facts.
    pub fn new(hierarchy: &Hierarchy, facts: &'f Facts) -> Self {
        let mut catalog = Self::default();
        catalog.add_facts(hierarchy, facts);
        catalog
    }

    /// Adds the lines and versions of more facts.
    pub fn add_facts(&mut self, hierarchy: &Hierarchy, facts: &'f Facts) {
        for (id, facts) in &facts.images {
            let Ok(image) = hierarchy.image(id) else { continue };
            self.currents.insert(id, &facts.current);
            self.built.extend(facts.record.success.as_ref().map(|success| (id, &success.version)));
            for version in facts.versions.values() {
                self.add(&image.repository, version);
            }
        }
    }

    /// Adds a version of a repository.
    pub fn add(&mut self, repository: &Repository, version: &'f Version) {
        let platforms = version.platforms.values().map(|manifest| &manifest.digest);
        for digest in platforms.chain([&version.digest]) {
            self.holders.entry(digest).or_default().insert(repository.clone());
        }
        self.versions.entry(repository.clone()).or_default().insert(&version.digest, version);
    }

    /// Returns whether a version of the repository has this digest, or lists it.
    pub fn knows(&self, repository: &Repository, digest: &Digest) -> bool {
        self.holders.get(digest).is_some_and(|holders| holders.contains(repository))
    }

    /// Returns the platform manifests of all versions.
    pub fn manifests(&self) -> BTreeSet<(Repository, Digest)> {
        let of = |(repository, versions): (&Repository, &BTreeMap<&Digest, &'f Version>)| {
            let manifests = versions.values().flat_map(|version| version.platforms.values());
            manifests.map(|manifest| (repository.clone(), manifest.digest.clone())).collect::<Vec<_>>()
        };
        self.versions.iter().flat_map(of).collect()
    }

    /// Returns all versions of a repository.
    pub(super) fn versions_in(&self, repository: &Repository) -> impl Iterator<Item = &'f Version> {
        self.versions.get(repository).into_iter().flat_map(|versions| versions.values().copied())
    }

    /// Notes why a digest has no version.
    pub fn miss(&mut self, repository: &Repository, digest: &Digest, missing: Missing) {
        self.missing.insert((repository.clone(), digest.clone()), missing);
    }

    /// Returns the version whose index or platform manifest has this digest.
    ///
    /// Several versions can list one manifest. The current version of a line comes first, then an
    /// index before the manifest by itself, then the newest push.
    pub fn version(&self, repository: &Repository, digest: &Digest) -> Option<&'f Version> {
        let named = self.versions_in(repository).filter(|version| version.is_named_by(digest));
        named.max_by_key(|version| {
            (self.is_current(&version.digest), version.digest != *digest, version.pushed_at, &version.digest)
        })
    }

    /// Returns the repository that holds a digest, and the version that it names there: in
    /// `expected`, else wherever it is.
    pub(super) fn holder<'c>(
        &'c self,
        expected: &Repository,
        digest: &Digest,
    ) -> Option<(&'c Repository, &'f Version)> {
        let holders = self.holders.get(digest)?;
        let holder = holders.get(expected).or_else(|| holders.first())?;
        Some((holder, self.version(holder, digest)?))
    }

    /// Returns the platform whose manifest a digest is, if it is of one platform of that version.
    pub(super) fn platform(&self, version: Option<&Digest>, digest: &Digest) -> Option<Platform> {
        let version = version.filter(|version| *version != digest)?;
        let version = self.versions.values().find_map(|versions| versions.get(version))?;
        let mut named = version.platforms.iter().filter(|(_, manifest)| manifest.digest == *digest);
        let (platform, _) = named.next()?;
        named.next().is_none().then(|| platform.clone())
    }

    fn is_current(&self, digest: &Digest) -> bool {
        self.currents.values().any(|current| matches!(current, Current::Version(now) if now == digest))
    }

    /// Returns which version is current on an image's line.
    pub(super) fn current(&self, image: &ImageId) -> Current {
        let unread = || Current::Unread("the registry was not asked".into());
        self.currents.get(image).map_or_else(unread, |current| (*current).clone())
    }

    /// Returns whether a version is the one that Patchwave built last.
    pub(super) fn is_built(&self, image: &ImageId, version: &Digest) -> bool {
        self.built.get(image).is_some_and(|built| *built == version)
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
        let (Some(named), Ok(digest)) = (named::reference(sighting), named::digest(sighting)) else {
            continue;
        };
        let repository = match hierarchy.locate(&named.registry, &named.repository) {
            Located::Own(repository) => repository,
            // A registry that the file does not name may hold a copy under the same name.
            Located::Elsewhere => named.repository,
            Located::Cached(..) => continue,
        };
        if hierarchy.in_repository(&repository).next().is_some() {
            seen.insert((repository, digest));
        }
    }
    seen
}
