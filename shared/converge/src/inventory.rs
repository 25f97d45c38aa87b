//! Describes what a survey read: asks the registry about every digest, and adds the answers to what
//! was known.

use std::collections::{BTreeMap, BTreeSet};

use patchwave::facts::{Facts, ImageFacts, Version};
use patchwave::finding::Scan;
use patchwave::hierarchy::{Hierarchy, Image};
use patchwave::image::{ImageId, Repository};
use patchwave::inventory::{
    A_DAY, Catalog, FoldInput, Folded, Inventory, Missing, Rescan, Survey, fold, rescans, seen,
};
use patchwave::plan::AwaitedScan;
use patchwave::record::Record;
use patchwave::time::Timestamp;

use crate::observe::{add_scans, current, manifests};
use crate::world::{Fault, ManifestAt, ScanRequest, World};

/// A survey, or the part of one that an invocation reached.
#[derive(Debug, Clone)]
pub struct Surveyed {
    pub survey: Survey,
    /// When it began, in this invocation or an earlier one.
    pub began: Timestamp,
    /// Whether it has read everything.
    pub ended: bool,
}

/// What is known after a survey, and the facts that it is known from.
#[derive(Debug, Clone)]
pub struct Understood {
    /// What is known now, and what changed.
    pub folded: Folded,
    /// Each line's current version and the versions that run, with their scans.
    pub facts: Facts,
}

/// What the registry and the scanner report about the current versions and those that the survey
/// read.
#[derive(Debug, Clone)]
pub struct Described {
    facts: Facts,
    missing: BTreeMap<ManifestAt, Missing>,
}

/// Asks the registry and the scanner about everything that the survey read, and that was known
/// `before`.
pub async fn describe<W: World>(
    world: &W,
    hierarchy: &Hierarchy,
    before: &Inventory,
    survey: &Survey,
) -> Described {
    let images: Vec<&Image> = hierarchy.images().collect();
    let mut currents = world.currents(&images).await;
    let mut facts = Facts { observed_at: world.now(), ..Facts::default() };
    for image in &images {
        let (current, versions) = current(currents.remove(&image.id));
        let known = ImageFacts::new(current, versions, None, Record::default());
        facts.images.insert(image.id.clone(), known);
    }
    let missing = add_running(world, hierarchy, before, survey, &mut facts).await;
    add_scans(world, &images, &mut facts).await;
    Described { facts, missing }
}

impl Described {
    /// Returns the platform manifests of all versions that are known.
    pub fn manifests(&self, hierarchy: &Hierarchy) -> BTreeSet<ManifestAt> {
        manifests(hierarchy.images(), &self.facts).map(|(at, _)| at).collect()
    }

    /// Adds what the survey read to what was known `before`. What the registry and the scanner do
    /// not report is unknown, and what was known stays.
    pub fn understand(self, hierarchy: &Hierarchy, before: &Inventory, surveyed: &Surveyed) -> Understood {
        let Self { facts, mut missing } = self;
        let mut catalog = Catalog::new(hierarchy, &facts);
        while let Some(((repository, digest), why)) = missing.pop_first() {
            catalog.miss(&repository, &digest, why);
        }
        let input = FoldInput {
            survey: &surveyed.survey,
            began: surveyed.began,
            ended: surveyed.ended,
            hierarchy,
            catalog: &catalog,
            now: facts.observed_at,
        };
        Understood { folded: fold(before, &input), facts }
    }
}

impl Understood {
    /// Returns every scan that was read.
    pub fn scans<'u>(&'u self, hierarchy: &'u Hierarchy) -> impl Iterator<Item = (ManifestAt, Scan)> + 'u {
        manifests(hierarchy.images(), &self.facts).map(|(at, manifest)| (at, manifest.scan.clone()))
    }
}

/// Adds the versions that run, or ran at the last sweep. Returns why others could not be added.
async fn add_running<W: World>(
    world: &W,
    hierarchy: &Hierarchy,
    before: &Inventory,
    survey: &Survey,
    facts: &mut Facts,
) -> BTreeMap<ManifestAt, Missing> {
    let mut wanted = seen(hierarchy, survey);
    wanted.extend(before.versions.keys().filter_map(|(image, version)| {
        Some((hierarchy.image(image).ok()?.repository.clone(), version.clone()))
    }));
    wanted.retain(|(repository, digest)| {
        let known = |image: &Image| facts.images.get(&image.id)?.version_named(digest).map(|_| ());
        !hierarchy.in_repository(repository).any(|image| known(image).is_some())
    });
    let mut missing = BTreeMap::new();
    let mut alone: BTreeMap<Repository, Vec<Version>> = BTreeMap::new();
    for (at, found) in world.versions(&wanted).await {
        match found {
            // A single platform manifest may be part of an index.
            Ok(Some(version))
                if version.platforms.values().any(|manifest| manifest.digest == version.digest) =>
            {
                alone.entry(at.0).or_default().push(version);
            }
            Ok(Some(version)) => add(hierarchy, facts, &at.0, &version),
            Ok(None) => {
                missing.insert(at, Missing::Gone);
            }
            Err(fault) => {
                missing.insert(at, Missing::Unread(fault.to_string()));
            }
        }
    }
    let repositories: BTreeSet<Repository> = alone.keys().cloned().collect();
    let mut histories =
        if repositories.is_empty() { BTreeMap::new() } else { world.history(&repositories).await };
    for (repository, versions) in alone {
        let history = histories.remove(&repository).and_then(Result::ok).unwrap_or_default();
        for version in versions {
            let whole = history.iter().filter(|index| index.is_named_by(&version.digest));
            for index in whole {
                add(hierarchy, facts, &repository, index);
            }
            add(hierarchy, facts, &repository, &version);
        }
    }
    missing
}

/// Adds a version to all images of its repository. Which of them it belongs to is known only for a
/// version that runs.
fn add(hierarchy: &Hierarchy, facts: &mut Facts, repository: &Repository, version: &Version) {
    let ids: Vec<ImageId> = hierarchy.in_repository(repository).map(|image| image.id.clone()).collect();
    for id in ids {
        if let Some(image) = facts.images.get_mut(&id) {
            image.versions.entry(version.digest.clone()).or_insert_with(|| version.clone());
        }
    }
}

/// Requests new scans of the current versions and of those that run. Returns the scans that began,
/// and the faults.
///
/// It is not an error if the registry makes no scan now. At the account's limit it asks for no
/// more. If it makes none of a manifest that it never scanned, Inspector watches the repository.
/// Then this requests no other scan in that repository.
pub async fn rescan<W: World>(
    world: &W,
    hierarchy: &Hierarchy,
    understood: &Understood,
) -> (Vec<AwaitedScan>, Vec<(ImageId, Fault)>) {
    let (facts, inventory) = (&understood.facts, &understood.folded.inventory);
    let (mut begun, mut faults) = (Vec::new(), Vec::new());
    let mut refused: BTreeSet<Repository> = BTreeSet::new();
    for Rescan { scan, scanned_at, .. } in rescans(hierarchy, facts, inventory, world.now(), A_DAY) {
        if refused.contains(&scan.repository) {
            continue;
        }
        match world.request_scan(&scan.repository, &scan.digest).await {
            Ok(ScanRequest::Begun) => begun.push(scan),
            Ok(ScanRequest::Refused) => {
                if scanned_at.is_none() {
                    refused.insert(scan.repository);
                }
            }
            Ok(ScanRequest::AtLimit) => break,
            Err(fault) => {
                refused.insert(scan.repository);
                faults.push((scan.image, fault));
            }
        }
    }
    (begun, faults)
}
