//! Reads configs, where the layers leave open which version of its parent an image was built on.
//!
//! A push may compress layers again, and then their digests change. The digests of their content do
//! not. They are in the config, a blob of its own for each platform manifest.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use patchwave::facts::{Facts, ImageFacts, Version};
use patchwave::hierarchy::{Hierarchy, Image, ParentKind};
use patchwave::image::{Digest, ImageId};
use patchwave::unread::Unread;

use crate::world::{ManifestAt, World};

/// Most versions of a parent that are compared by their content: the newest before the child.
const MOST_BASES: usize = 20;
/// Most configs that a pass reads. Those that are left are unread until a later pass.
const MOST_CONFIGS: usize = 2_000;

/// Manifests whose configs are wanted, each with the image whose version it is a part of.
type Wanted = BTreeMap<ManifestAt, BTreeSet<ImageId>>;

/// Adds the digests of uncompressed layers to the manifests that must be compared by them.
pub(crate) async fn add_diff_ids<W: World>(
    world: &W,
    images: &[&Image],
    hierarchy: &Hierarchy,
    facts: &mut Facts,
) {
    let mut wanted = Wanted::new();
    for image in images {
        for edge in hierarchy.parents(&image.id).filter(|edge| edge.kind == ParentKind::From) {
            let Some((child, parent)) = to_compare(facts, &image.id, &edge.image.id) else { continue };
            add(&mut wanted, image, [child]);
            add(&mut wanted, edge.image, newest_before(parent, child));
        }
    }
    if wanted.is_empty() {
        return;
    }
    let asked: BTreeSet<ManifestAt> = wanted.keys().take(MOST_CONFIGS).cloned().collect();
    let mut read = world.diff_ids(&asked).await;
    for (at, ids) in wanted {
        match read.remove(&at) {
            Some(Ok(diff_ids)) => set(facts, &ids, &at.1, &diff_ids),
            Some(Err(fault)) => unread(facts, &ids, &fault.into()),
            None => unread(facts, &ids, &"a pass reads no more configs than it did".into()),
        }
    }
}

/// Returns the child's current version and the parent, if no known version of the parent explains
/// the child's layers.
fn to_compare<'f>(
    facts: &'f Facts,
    child: &ImageId,
    parent: &ImageId,
) -> Option<(&'f Version, &'f ImageFacts)> {
    if !is_base_unclear(facts, child, parent) {
        return None;
    }
    let parent = facts.images.get(parent)?;
    let child = facts.images.get(child)?.current_version()?;
    let explains = |version: &Version| child.layers_inherited_from(version).is_some();
    (!parent.versions.values().any(explains)).then_some((child, parent))
}

/// Returns the versions that the child may have been built on.
fn newest_before<'f>(parent: &'f ImageFacts, child: &Version) -> Vec<&'f Version> {
    let mut before: Vec<&Version> =
        parent.versions.values().filter(|version| version.pushed_at <= child.pushed_at).collect();
    before.sort_by_key(|version| Reverse((version.pushed_at, &version.digest)));
    before.truncate(MOST_BASES);
    before
}

fn add<'f>(wanted: &mut Wanted, image: &Image, versions: impl IntoIterator<Item = &'f Version>) {
    for manifest in versions.into_iter().flat_map(|version| version.platforms.values()) {
        let at = (image.repository.clone(), manifest.digest.clone());
        wanted.entry(at).or_default().insert(image.id.clone());
    }
}

fn set(facts: &mut Facts, ids: &BTreeSet<ImageId>, digest: &Digest, diff_ids: &[Digest]) {
    for id in ids {
        let versions = facts.images.get_mut(id).into_iter().flat_map(|image| image.versions.values_mut());
        let manifests = versions.flat_map(|version| version.platforms.values_mut());
        for manifest in manifests.filter(|manifest| manifest.digest == *digest) {
            // Whoever pushes a config writes it, so it must fit the layers.
            if manifest.layers.len() == diff_ids.len() {
                manifest.diff_ids = diff_ids.into();
            }
        }
    }
}

fn unread(facts: &mut Facts, ids: &BTreeSet<ImageId>, unread: &Unread) {
    for id in ids {
        if let Some(image) = facts.images.get_mut(id) {
            image.unread_configs.get_or_insert_with(|| unread.clone());
        }
    }
}

/// Returns whether neither a record, nor a confirmed annotation, nor the parent's current version
/// says what the child was built on.
pub(crate) fn is_base_unclear(facts: &Facts, child: &ImageId, parent: &ImageId) -> bool {
    let (Some(child), Some(parent)) = (facts.images.get(child), facts.images.get(parent)) else {
        return false;
    };
    let (Some(version), Some(now)) = (child.current_version(), parent.current_version()) else {
        return false;
    };
    let recorded = child.record.success.as_ref().is_some_and(|success| success.version == version.digest);
    // Earlier versions show whether the layers contradict what the annotation claims.
    let claimed = version.base.as_ref().and_then(|base| parent.version_named(base));
    let confirmed = claimed.is_some_and(|claimed| version.layers_inherited_from(claimed).is_some());
    let inherits = version.layers_inherited_from(now).is_some();
    !(recorded || confirmed || inherits)
}
