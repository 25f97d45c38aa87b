//! Reads scans, and keeps of them what decisions may need.

use std::collections::{BTreeMap, BTreeSet};

use patchwave::facts::{Facts, ImageFacts, Version};
use patchwave::finding::{Scan, Severity};
use patchwave::hierarchy::{Hierarchy, Image};
use patchwave::image::{ImageId, Repository};
use patchwave::unread::Unread;

use crate::world::{ManifestAt, World};

/// Most platforms of a version whose scans are read. The widest official images have two dozen.
/// Each costs a call at every look, and whoever pushes an index chooses how many it has.
pub(crate) const MOST_SCANS: usize = 50;

/// How many scans are read before what nobody can count of them is dropped: with 200 findings each
/// they take 5 MB.
const SCANS_AT_ONCE: usize = 128;

/// How much of scans an observation keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// All findings of all versions: people ask for any of them, and the inventory keeps them.
    Whole,
    /// What a decision may need: the scans of current versions and of those that children were
    /// built on, and the findings that the policy of the image or of one below it can count.
    Counted,
}

/// Adds the scans of the platform manifests of all versions, or of those that a decision may need.
pub(crate) async fn add_scans<W: World>(
    world: &W,
    images: &[&Image],
    hierarchy: &Hierarchy,
    facts: &mut Facts,
    detail: Detail,
) {
    let wanted = match detail {
        Detail::Whole => images.iter().flat_map(|image| scanned(facts, image, |_| true)).collect(),
        Detail::Counted => decisive(images, hierarchy, facts),
    };
    let lowest = match detail {
        Detail::Whole => BTreeMap::new(),
        Detail::Counted => lowest_counted(images, hierarchy),
    };
    let scans = read_scans(world, &wanted, &lowest).await;
    for image in images {
        let Some(known) = facts.images.get_mut(&image.id) else { continue };
        for version in known.versions.values_mut() {
            let platforms = version.platforms.len();
            for manifest in version.platforms.values_mut() {
                let at = (image.repository.clone(), manifest.digest.clone());
                let scan = scan_of(&scans, &at, platforms);
                manifest.scan = scan.as_of(facts.observed_at, image.policy.scan_max_age);
            }
        }
    }
}

/// Returns the manifests whose scans a decision may need: those of current versions, and of all
/// known versions of what other images are built on. No decision asks what a replaced version of an
/// image has, if no child was built on it.
fn decisive(images: &[&Image], hierarchy: &Hierarchy, facts: &Facts) -> BTreeSet<ManifestAt> {
    let parents = images.iter().flat_map(|image| hierarchy.parents(&image.id));
    let parents: BTreeSet<&ImageId> = parents.map(|edge| &edge.image.id).collect();
    let of = |image: &&Image| {
        let current = facts.images.get(&image.id).and_then(ImageFacts::current_version);
        let is_current = |version: &Version| current.is_some_and(|now| now.digest == version.digest);
        scanned(facts, image, |version| parents.contains(&image.id) || is_current(version))
    };
    images.iter().flat_map(of).collect()
}

/// Returns the manifests of those versions of an image that `is_wanted` chooses.
fn scanned(facts: &Facts, image: &Image, is_wanted: impl Fn(&Version) -> bool) -> Vec<ManifestAt> {
    let versions = facts.images.get(&image.id).into_iter().flat_map(|image| image.versions.values());
    let manifests = versions
        .filter(|version| is_wanted(version))
        .flat_map(|version| version.platforms.values().take(MOST_SCANS));
    manifests.map(|manifest| (image.repository.clone(), manifest.digest.clone())).collect()
}

/// Returns the lowest severity that a policy can count in each repository.
fn lowest_counted<'i>(images: &[&'i Image], hierarchy: &Hierarchy) -> BTreeMap<&'i Repository, Severity> {
    let mut lowest = BTreeMap::new();
    for image in images {
        let Some(of_image) = hierarchy.lowest_counted(&image.id) else { continue };
        let of_repository = lowest.entry(&image.repository).or_insert(of_image);
        *of_repository = of_image.min(*of_repository);
    }
    lowest
}

/// Reads scans, and drops at once what is below the lowest severity that counts in its repository.
async fn read_scans<W: World>(
    world: &W,
    wanted: &BTreeSet<ManifestAt>,
    lowest: &BTreeMap<&Repository, Severity>,
) -> BTreeMap<ManifestAt, Scan> {
    let wanted: Vec<&ManifestAt> = wanted.iter().collect();
    let mut scans = BTreeMap::new();
    for some in wanted.chunks(SCANS_AT_ONCE) {
        let read = world.scans(&some.iter().map(|at| (*at).clone()).collect()).await;
        scans.extend(read.into_iter().map(|(at, scan)| {
            let scan = match lowest.get(&at.0) {
                Some(lowest) => scan.without_uncounted(*lowest),
                None => scan,
            };
            (at, scan)
        }));
    }
    scans
}

/// Returns the scan of a manifest, one of so many of its version.
pub(crate) fn scan_of(scans: &BTreeMap<ManifestAt, Scan>, at: &ManifestAt, platforms: usize) -> Scan {
    scans.get(at).cloned().unwrap_or_else(|| Scan::Unread(not_asked(platforms)))
}

/// Says why a scan of a version with so many platforms was not read.
fn not_asked(platforms: usize) -> Unread {
    if platforms <= MOST_SCANS {
        return "the scanner was not asked".into();
    }
    let because = format!("its index has {platforms} platforms, and the scans of {MOST_SCANS} are read");
    Unread { because, needs_person: true }
}

#[cfg(test)]
mod tests {
    use patchwave::facts::{Current, Manifest};
    use patchwave::image::Digest;
    use patchwave::record::Record;

    use super::*;

    const HIERARCHY: &str = "\
version: 1
registry: 111122223333.dkr.ecr.us-east-1.amazonaws.com
policy: { rebuildAt: critical }
images:
  - { id: os, tier: base, repository: base/os, tags: [\"1\"], from: \"docker.io/a/b:1\" }
  - { id: web, tier: application, repository: apps/web, tags: [\"1\"], from: os, rebuildAt: medium }
";

    fn hierarchy() -> Hierarchy {
        Hierarchy::parse("h.yaml", HIERARCHY).map_err(|errors| errors.to_string()).unwrap()
    }

    fn digest(number: u32) -> Digest {
        format!("sha256:{number:064x}").parse().unwrap()
    }

    fn version(number: u32) -> Version {
        let manifest = Manifest::new(digest(number + 1_000), [].into());
        Version {
            digest: digest(number),
            pushed_at: "2026-01-01T00:00:00Z".parse().unwrap(),
            built_at: None,
            revision: None,
            base: None,
            build_key: None,
            tags: BTreeSet::new(),
            platforms: [("linux/amd64".parse().unwrap(), manifest)].into(),
        }
    }

    #[test]
    fn a_base_keeps_what_an_image_on_it_counts() {
        let hierarchy = hierarchy();
        let images: Vec<&Image> = hierarchy.images().collect();
        let lowest = lowest_counted(&images, &hierarchy);
        let of = |repository: &str| lowest[&repository.parse::<Repository>().unwrap()];
        assert_eq!((of("base/os"), of("apps/web")), (Severity::Medium, Severity::Medium));
    }

    #[test]
    fn a_replaced_version_that_nothing_is_built_on_is_not_asked_about() {
        let hierarchy = hierarchy();
        let images: Vec<&Image> = hierarchy.images().collect();
        let mut facts = Facts::default();
        for (image, number) in images.iter().zip([10, 20]) {
            let versions = [version(number), version(number + 1)].map(|of| (of.digest.clone(), of)).into();
            let current = Current::Version(digest(number + 1));
            facts
                .images
                .insert(image.id.clone(), ImageFacts::new(current, versions, None, Record::default()));
        }
        let asked: BTreeSet<Digest> =
            decisive(&images, &hierarchy, &facts).into_iter().map(|(_, manifest)| manifest).collect();
        assert_eq!(asked, [1_010, 1_011, 1_021].map(digest).into(), "of the base both, of the other one");
    }
}
