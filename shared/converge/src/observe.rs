//! Reads the facts that a plan needs about the images in scope.

use std::collections::{BTreeMap, BTreeSet};

use patchwave::facts::{Current, Departed, Deployments, Execution, Facts, ImageFacts, Slots, Version};
use patchwave::hierarchy::{Hierarchy, Image, ParentKind};
use patchwave::image::{Digest, ImageId, Repository};
use patchwave::plan::needs_history;
use patchwave::record::Record;
use patchwave::unread::Unread;

use crate::lineage::{self, is_base_unclear};
use crate::scans::{Detail, add_scans};
use crate::upstream;
use crate::world::{Fault, Found, ManifestAt, Records, World};

/// Observes the images of `scope`. What cannot be read about an image becomes unknown.
///
/// Only a ledger that does not answer ends the pass, because without it nothing can be claimed.
pub async fn observe<W: World>(
    world: &W,
    hierarchy: &Hierarchy,
    scope: &BTreeSet<ImageId>,
    detail: Detail,
) -> Result<Facts, Fault> {
    let records = world.records(scope).await?;
    let slots = world.slots(world.now()).await?;
    let mut facts = observe_with(world, hierarchy, scope, records, slots, None, detail).await?;
    add_departed(world, hierarchy, &mut facts).await?;
    Ok(facts)
}

/// Observes the images of `scope`, whose records were just read. `deployments` is what the ledger
/// says of all images, if it was read already.
pub(crate) async fn observe_with<W: World>(
    world: &W,
    hierarchy: &Hierarchy,
    scope: &BTreeSet<ImageId>,
    records: Records,
    slots: Slots,
    deployments: Option<&BTreeMap<ImageId, Deployments>>,
    detail: Detail,
) -> Result<Facts, Fault> {
    let Records { read: mut records, unreadable } = records;
    let known = scope.iter().filter(|id| !unreadable.contains_key(*id));
    let images: Vec<&Image> = known.filter_map(|id| hierarchy.image(id).ok()).collect();
    let mut facts = Facts {
        observed_at: world.now(),
        slots,
        // What runs only makes some rebuilds more urgent, so no rebuild waits until that is known.
        deployments: match deployments {
            Some(known) => of_scope(known, scope),
            None => world.deployments(scope).await.unwrap_or_default(),
        },
        has_listener: world.has_listener(),
        unreadable: unreadable.into_iter().map(|(image, fault)| (image, fault.to_string())).collect(),
        ..Facts::default()
    };
    // Executions are read before the registry. So the registry shows the version of every build
    // that is seen to have succeeded. In the other order, a build that ends in between would seem
    // to have changed nothing, and Patchwave would start it again.
    let mut executions = executions(world, &records).await;
    let mut currents = world.currents(&images).await;
    for image in &images {
        let record = records.remove(&image.id).unwrap_or_default();
        let execution = executions.remove(&image.id);
        let answer = currents.remove(&image.id);
        let promoted = promoted(answer.as_ref());
        let (current, versions) = current(answer);
        let known = ImageFacts { promoted, ..ImageFacts::new(current, versions, execution, record) };
        facts.images.insert(image.id.clone(), known);
    }
    add_referenced_versions(world, &images, hierarchy, &mut facts).await;
    add_history(world, bases_of(&images, hierarchy, &facts), &mut facts, |_, _| true).await;
    add_history(world, pushes_of(&images, hierarchy, &facts), &mut facts, is_since_claim).await;
    lineage::add_diff_ids(world, &images, hierarchy, &mut facts).await;
    upstream::add_upstreams(world, &images, hierarchy, &mut facts).await?;
    add_scans(world, &images, hierarchy, &mut facts, detail).await;
    upstream::add_upstream_scans(world, &images, hierarchy, &mut facts).await;
    Ok(facts)
}

fn of_scope(
    all: &BTreeMap<ImageId, Deployments>,
    scope: &BTreeSet<ImageId>,
) -> BTreeMap<ImageId, Deployments> {
    scope.iter().filter_map(|id| Some((id.clone(), all.get(id)?.clone()))).collect()
}

/// Observes only which versions of these images are current, and their scans. Nothing can be
/// planned from that.
pub(crate) async fn glance<W: World>(world: &W, hierarchy: &Hierarchy, images: &[&Image]) -> Facts {
    let mut facts = Facts { observed_at: world.now(), ..Facts::default() };
    if images.is_empty() {
        return facts;
    }
    let mut currents = world.currents(images).await;
    for image in images {
        let (current, versions) = current(currents.remove(&image.id));
        let known = ImageFacts::new(current, versions, None, Record::default());
        facts.images.insert(image.id.clone(), known);
    }
    add_scans(world, images, hierarchy, &mut facts, Detail::Whole).await;
    facts
}

/// Reads the images that hold a slot and that the hierarchy does not name.
/// A record that cannot be read keeps its slot, and the report names it.
pub(crate) async fn add_departed<W: World>(
    world: &W,
    hierarchy: &Hierarchy,
    facts: &mut Facts,
) -> Result<(), Fault> {
    let held_by = facts.slots.held_by.iter();
    let gone: BTreeSet<ImageId> = held_by.filter(|id| hierarchy.image(id).is_err()).cloned().collect();
    if gone.is_empty() {
        return Ok(());
    }
    let mut records = world.records(&gone).await?;
    let mut executions = executions(world, &records.read).await;
    for id in gone {
        if let Some(fault) = records.unreadable.remove(&id) {
            facts.unreadable.insert(id, fault.to_string());
            continue;
        }
        let record = records.read.remove(&id).unwrap_or_default();
        let execution = executions.remove(&id);
        facts.departed.insert(id, Departed { record, execution });
    }
    Ok(())
}

/// Turns the registry's answer about a line's current version into facts.
fn current(answer: Option<Result<Found, Fault>>) -> (Current, BTreeMap<Digest, Version>) {
    let current = match answer {
        Some(Ok(Found::Version(version) | Found::NotPromoted { version, .. })) => {
            let digest = version.digest.clone();
            return (Current::Version(digest.clone()), BTreeMap::from([(digest, version)]));
        }
        Some(Ok(Found::Absent)) => Current::Absent,
        Some(Ok(Found::NoRepository(registry))) => Current::NoRepository(registry),
        Some(Err(fault)) => Current::Unread(fault.into()),
        None => Current::Unread("the registry was not asked".into()),
    };
    (current, BTreeMap::new())
}

/// Returns the earlier build that the tag of an environment names.
fn promoted(answer: Option<&Result<Found, Fault>>) -> Option<Digest> {
    match answer {
        Some(Ok(Found::NotPromoted { promoted, .. })) => Some(promoted.clone()),
        _ => None,
    }
}

/// Reads the state of every claim's execution.
async fn executions<W: World>(
    world: &W,
    records: &BTreeMap<ImageId, Record>,
) -> BTreeMap<ImageId, Execution> {
    let claims = records.iter().filter_map(|(id, record)| Some((id, record.claim.as_ref()?)));
    world.executions(&claims.collect()).await
}

/// Adds the versions that records, annotations and executions name: those that children were built
/// on, those that a build replaced, and those that it reports as pushed.
async fn add_referenced_versions<W: World>(
    world: &W,
    images: &[&Image],
    hierarchy: &Hierarchy,
    facts: &mut Facts,
) {
    let mut wanted: BTreeMap<ManifestAt, BTreeSet<ImageId>> = BTreeMap::new();
    for image in images {
        let Some(child) = facts.images.get(&image.id) else { continue };
        let reported = child.succeeded().into_iter().flat_map(|details| &details.pushed);
        let claim = child.succeeded().and(child.record.claim.as_ref());
        let replaced = claim.and_then(|claim| claim.start.replaces.as_ref());
        for digest in reported.chain(replaced) {
            let at = (image.repository.clone(), digest.clone());
            wanted.entry(at).or_default().insert(image.id.clone());
        }
        let Some(version) = child.current_version() else { continue };
        let success = child.record.success.as_ref().filter(|success| success.version == version.digest);
        for edge in hierarchy.parents(&image.id) {
            let recorded = success.and_then(|success| success.parents.get(&edge.image.id));
            let sent = claim.and_then(|claim| claim.start.parents.get(&edge.image.id));
            let annotated = version.base.as_ref().filter(|_| edge.kind == ParentKind::From);
            for digest in recorded.into_iter().chain(sent).chain(annotated) {
                let at = (edge.image.repository.clone(), digest.clone());
                wanted.entry(at).or_default().insert(edge.image.id.clone());
            }
        }
    }
    wanted.retain(|(_, digest), ids| {
        ids.retain(|id| facts.images.get(id).is_some_and(|image| image.version_named(digest).is_none()));
        !ids.is_empty()
    });
    if wanted.is_empty() {
        return;
    }
    let mut found = world.versions(&wanted.keys().cloned().collect()).await;
    for (at, ids) in wanted {
        match found.remove(&at) {
            Some(Ok(Some(version))) => add_version(facts, &ids, &version),
            // Without a version that is gone, the planner uses weaker evidence.
            Some(Ok(None)) => {}
            Some(Err(fault)) => add_unread_version(facts, &ids, &at.1, &fault.into()),
            None => add_unread_version(facts, &ids, &at.1, &"the registry was not asked".into()),
        }
    }
}

fn add_version(facts: &mut Facts, ids: &BTreeSet<ImageId>, version: &Version) {
    for id in ids {
        if let Some(image) = facts.images.get_mut(id) {
            image.versions.entry(version.digest.clone()).or_insert_with(|| version.clone());
        }
    }
}

fn add_unread_version(facts: &mut Facts, ids: &BTreeSet<ImageId>, digest: &Digest, unread: &Unread) {
    for id in ids {
        if let Some(image) = facts.images.get_mut(id) {
            image.unread_versions.insert(digest.clone(), unread.clone());
        }
    }
}

/// Repositories whose history is wanted, each with the images that want it.
type Wanted = BTreeMap<Repository, BTreeSet<ImageId>>;

/// Returns the parents whose children do not name their base. The layers of earlier versions may
/// show which one it was.
fn bases_of(images: &[&Image], hierarchy: &Hierarchy, facts: &Facts) -> Wanted {
    let mut wanted = Wanted::new();
    for image in images {
        for edge in hierarchy.parents(&image.id).filter(|edge| edge.kind == ParentKind::From) {
            if is_base_unclear(facts, &image.id, &edge.image.id) {
                wanted.entry(edge.image.repository.clone()).or_default().insert(edge.image.id.clone());
            }
        }
    }
    wanted
}

/// Returns the images whose current version does not show what their build pushed.
fn pushes_of(images: &[&Image], hierarchy: &Hierarchy, facts: &Facts) -> Wanted {
    let mut wanted = Wanted::new();
    for image in images.iter().filter(|image| needs_history(hierarchy, facts, image)) {
        wanted.entry(image.repository.clone()).or_default().insert(image.id.clone());
    }
    wanted
}

/// Only what was pushed since its claim can be a build's. The scans of all versions are read.
fn is_since_claim(image: &ImageFacts, version: &Version) -> bool {
    image.record.claim.as_ref().is_some_and(|claim| version.pushed_at >= claim.claimed_at)
}

/// Adds the versions of the wanted histories that `is_wanted` chooses.
async fn add_history<W: World>(
    world: &W,
    wanted: Wanted,
    facts: &mut Facts,
    is_wanted: impl Fn(&ImageFacts, &Version) -> bool,
) {
    if wanted.is_empty() {
        return;
    }
    let mut histories = world.history(&wanted.keys().cloned().collect()).await;
    for (repository, ids) in wanted {
        let unread = match histories.remove(&repository) {
            Some(Ok(versions)) => {
                for version in versions {
                    let wants =
                        |id: &&ImageId| facts.images.get(*id).is_some_and(|image| is_wanted(image, &version));
                    let ids = ids.iter().filter(wants).cloned().collect();
                    add_version(facts, &ids, &version);
                }
                continue;
            }
            Some(Err(fault)) => Unread::from(fault),
            None => "the registry was not asked".into(),
        };
        for id in &ids {
            if let Some(image) = facts.images.get_mut(id) {
                image.unread_history = Some(unread.clone());
            }
        }
    }
}
