//! The versions of all repositories, each with the documents that are evidence about it.

use std::collections::{BTreeMap, BTreeSet};

use super::document::{Config, Index};
use super::named::Named;
use super::referrers::{Referrers, provenance, subject_of};
use super::{Document, Estate, Provenance, Version, estate};
use crate::image::{Digest, Platform};

/// A repository, and what it is for.
#[derive(Debug)]
pub(super) struct Place<'e> {
    /// The number of its registry: 0 is `home`.
    pub(super) registry: usize,
    pub(super) repository: &'e estate::Repository,
    pub(super) role: Role,
    /// Its versions, as numbers of [`Seen`]. Signatures and parts of versions are not among them.
    pub(super) versions: Vec<usize>,
}

/// What a repository is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Role {
    /// Images are pushed to it.
    Own,
    /// A pull-through cache of this upstream repository.
    Cache(String),
    /// It holds copies of what lies in another place.
    Copy(usize),
}

/// A version in its repository.
#[derive(Debug)]
pub(super) struct Seen<'e> {
    pub(super) place: usize,
    pub(super) version: &'e Version,
    pub(super) platforms: Vec<OnPlatform<'e>>,
}

/// The manifest of one platform of a version.
#[derive(Debug)]
pub(super) struct OnPlatform<'e> {
    pub(super) platform: Platform,
    pub(super) manifest: &'e Digest,
    /// The digests of the compressed layers.
    pub(super) layers: &'e [Digest],
    /// Nothing if it was not read, or is none.
    pub(super) config: Option<&'e Config>,
    /// What annotations name as the base: those of the manifest, of its entry, of the index.
    pub(super) notes: Vec<&'e Named>,
    pub(super) provenance: Vec<&'e Provenance>,
}

impl OnPlatform<'_> {
    /// The digests of the uncompressed layers. Whoever pushes a config writes it, so it must fit.
    pub(super) fn diff_ids(&self) -> &[Digest] {
        let ids = self.config.map_or(&[][..], |config| &config.diff_ids);
        if ids.len() == self.layers.len() { ids } else { &[] }
    }

    /// Returns whether this is built on `other` by its layers: it starts with all of them, and has
    /// more. With the same layers its history must go on from the other's.
    pub(super) fn starts_with(&self, other: &Self) -> bool {
        let extends = |own: &[Digest], base: &[Digest]| {
            !base.is_empty() && own.starts_with(base) && (base.len() < own.len() || self.goes_on_from(other))
        };
        extends(self.diff_ids(), other.diff_ids()) || extends(self.layers, other.layers)
    }

    fn goes_on_from(&self, other: &Self) -> bool {
        let (Some(own), Some(other)) = (self.config, other.config) else { return false };
        !other.history.is_empty()
            && other.history.len() < own.history.len()
            && own.history.starts_with(&other.history)
    }
}

/// All versions, and where they are.
#[derive(Debug, Default)]
pub(super) struct Catalog<'e> {
    pub(super) places: Vec<Place<'e>>,
    pub(super) seen: Vec<Seen<'e>>,
    /// The versions that a digest names: their own digest, or that of a platform.
    pub(super) by_digest: BTreeMap<&'e Digest, Vec<usize>>,
}

impl<'e> Catalog<'e> {
    pub(super) fn new(estate: &'e Estate) -> Self {
        let mut catalog = Self::default();
        for (registry, read) in estate.registries.iter().enumerate() {
            for repository in &read.repositories {
                let role = cache_of(read, repository).map_or(Role::Own, Role::Cache);
                catalog.add(estate, Place { registry, repository, role, versions: Vec::new() });
            }
        }
        for (number, seen) in catalog.seen.iter().enumerate() {
            let parts = seen.platforms.iter().map(|on| on.manifest);
            let digests: BTreeSet<&Digest> = parts.chain([&seen.version.digest]).collect();
            for digest in digests {
                catalog.by_digest.entry(digest).or_default().push(number);
            }
        }
        catalog.find_copies();
        catalog
    }

    fn add(&mut self, estate: &'e Estate, mut place: Place<'e>) {
        let number = self.places.len();
        let parts: BTreeSet<&Digest> =
            place.repository.versions.iter().flat_map(|v| parts(estate, v)).collect();
        let referrers = Referrers::of(estate, place.repository);
        for version in &place.repository.versions {
            let is_part = version.tags.is_empty() && parts.contains(&version.digest);
            if is_part || !may_be_image(estate, version) {
                continue;
            }
            place.versions.push(self.seen.len());
            let mut platforms = platforms(estate, version);
            refer(estate, &referrers, &version.digest, &mut platforms);
            self.seen.push(Seen { place: number, version, platforms });
        }
        self.places.push(place);
    }

    /// Marks the repositories all of whose tagged versions lie in another one, where each was
    /// pushed before.
    fn find_copies(&mut self) {
        let copies: Vec<(usize, usize)> =
            (0..self.places.len()).filter_map(|place| Some((place, self.copied_from(place)?))).collect();
        for (place, of) in copies {
            self.places[place].role = Role::Copy(of);
        }
    }

    fn copied_from(&self, place: usize) -> Option<usize> {
        if self.places[place].role != Role::Own {
            return None;
        }
        let tagged =
            self.places[place].versions.iter().filter(|seen| !self.seen[**seen].version.tags.is_empty());
        let mut origins: Option<BTreeSet<usize>> = None;
        for seen in tagged {
            let own = self.seen[*seen].version;
            let earlier = self.by_digest.get(&own.digest)?.iter().map(|other| &self.seen[*other]);
            let earlier = earlier.filter(|other| {
                other.version.digest == own.digest && other.version.pushed_at < own.pushed_at
            });
            let earlier: BTreeSet<usize> =
                earlier.map(|other| other.place).filter(|of| *of != place).collect();
            origins = Some(origins.map_or(earlier.clone(), |before| &before & &earlier));
        }
        // A copy of a copy has both among its origins: the first is where it was pushed.
        let first = |of: &usize| {
            let pushed = self.places[*of].versions.iter().map(|seen| self.seen[*seen].version.pushed_at);
            (pushed.min(), *of)
        };
        let own = origins?.into_iter().filter(|of| self.places[*of].role == Role::Own);
        own.min_by_key(first)
    }
}

/// Returns the upstream repository that a pull-through cache holds.
fn cache_of(registry: &estate::Registry, repository: &estate::Repository) -> Option<String> {
    let of = |(prefix, upstream): (&String, &String)| {
        let rest = repository.name.name().strip_prefix(prefix.as_str())?.strip_prefix('/')?;
        Some(format!("{upstream}/{rest}"))
    };
    registry.caches.iter().find_map(of)
}

/// Returns the manifests that lie in the repository as parts of a version.
fn parts<'e>(estate: &'e Estate, version: &Version) -> Vec<&'e Digest> {
    match estate.documents.get(&version.digest) {
        Some(Document::Index(index)) => index.entries.iter().map(|entry| &entry.digest).collect(),
        _ => Vec::new(),
    }
}

/// What could not be read may be an image, unless its tag is that of a signature. So may an index,
/// unless its tag is the one below which referrers are listed.
fn may_be_image(estate: &Estate, version: &Version) -> bool {
    let refers = version.tags.iter().any(|tag| subject_of(tag).is_some());
    match estate.documents.get(&version.digest) {
        Some(Document::Index(_)) | None => !refers,
        Some(Document::Manifest(_)) => true,
        Some(_) => false,
    }
}

fn platforms<'e>(estate: &'e Estate, version: &'e Version) -> Vec<OnPlatform<'e>> {
    match estate.documents.get(&version.digest) {
        Some(Document::Index(index)) => of_index(estate, index),
        Some(Document::Manifest(_)) => {
            on_platform(estate, &version.digest, None, Vec::new()).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

fn of_index<'e>(estate: &'e Estate, index: &'e Index) -> Vec<OnPlatform<'e>> {
    let mut platforms = Vec::new();
    for entry in &index.entries {
        let above = entry.base.iter().chain(&index.base).collect();
        let Some(mut on) = on_platform(estate, &entry.digest, entry.platform.clone(), above) else {
            continue;
        };
        let attestations = index.entries.iter().filter(|other| other.attests.as_ref() == Some(&entry.digest));
        on.provenance =
            attestations.flat_map(|other| provenance(estate, &other.digest, &entry.digest)).collect();
        platforms.push(on);
    }
    platforms
}

fn on_platform<'e>(
    estate: &'e Estate,
    digest: &'e Digest,
    platform: Option<Platform>,
    above: Vec<&'e Named>,
) -> Option<OnPlatform<'e>> {
    let Some(Document::Manifest(manifest)) = estate.documents.get(digest) else { return None };
    let config = match estate.documents.get(&manifest.config) {
        Some(Document::Config(config)) => Some(config.as_ref()),
        _ => None,
    };
    let platform =
        platform.or_else(|| config?.platform.clone()).or_else(|| Platform::UNNAMED.parse().ok())?;
    let notes = manifest.base.iter().chain(above).collect();
    Some(OnPlatform {
        platform,
        manifest: digest,
        layers: &manifest.layers,
        config,
        notes,
        provenance: Vec::new(),
    })
}

/// Adds what lies beside a version about each platform's manifest, and about the index above them.
/// What is said about several platforms at once does not say which steps built which.
fn refer<'e>(
    estate: &'e Estate,
    referrers: &Referrers<'e>,
    version: &Digest,
    platforms: &mut [OnPlatform<'e>],
) {
    let is_alone = platforms.len() == 1;
    for on in platforms {
        on.provenance.extend(referrers.about(estate, on.manifest));
        if version != on.manifest {
            let of_all = referrers.about(estate, version).into_iter();
            on.provenance.extend(of_all.filter(|read| is_alone || read.walked.is_none()));
        }
    }
}
