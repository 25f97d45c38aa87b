//! Chooses the images that a pass plans.

use std::collections::BTreeSet;

use patchwave::hierarchy::{Direction, Hierarchy, Image, Line, Pipeline};
use patchwave::image::{ImageId, Repository, Tag};
use patchwave::trigger::{AccountRegion, Trigger};

/// Returns the images that `triggers` and the index of unsettled images name, with their children
/// and all ancestors.
///
/// The children may have to follow. Without the ancestors nothing can be decided.
pub fn scope(
    hierarchy: &Hierarchy,
    triggers: &[Trigger],
    unsettled: &BTreeSet<ImageId>,
) -> BTreeSet<ImageId> {
    if triggers.contains(&Trigger::Sweep) {
        return hierarchy.images().map(|image| image.id.clone()).collect();
    }
    let mut starts: BTreeSet<&ImageId> =
        triggers.iter().flat_map(|trigger| named_by(hierarchy, trigger)).collect();
    // An image that is no longer in the hierarchy has nothing to settle.
    starts.extend(unsettled.iter().filter(|id| hierarchy.image(id).is_ok()));
    let children: Vec<&ImageId> =
        starts.iter().flat_map(|id| hierarchy.children(id)).map(|child| &child.image.id).collect();
    starts.extend(children);
    match hierarchy.query(starts, Direction::Ancestors) {
        Ok(query) => query.resolve().iter().map(|image| image.id.clone()).collect(),
        Err(_) => BTreeSet::new(),
    }
}

fn named_by<'h>(hierarchy: &'h Hierarchy, trigger: &Trigger) -> Vec<&'h ImageId> {
    match trigger {
        Trigger::Scanned { at, repository, tags, .. }
        | Trigger::RepositoryChanged { at, repository, tags, .. } => {
            let repository = hierarchy.repository_at(&at.account, &at.region, repository);
            repository.map_or_else(Vec::new, |repository| in_repository(hierarchy, &repository, tags))
        }
        Trigger::Execution { at, pipeline, .. } => {
            let is_there = |built: &Pipeline| match &built.builder {
                None => is_here(hierarchy, at),
                Some(builder) => builder.account == at.account && builder.region == at.region,
            };
            let builds =
                |image: &&Image| image.pipeline.as_ref().is_some_and(|p| p.name == *pipeline && is_there(p));
            hierarchy.images().filter(builds).map(|image| &image.id).collect()
        }
        Trigger::Tick | Trigger::Sweep => Vec::new(),
    }
}

fn is_here(hierarchy: &Hierarchy, place: &AccountRegion) -> bool {
    let registry = hierarchy.registry();
    place.account == registry.account() && place.region == registry.region()
}

/// Returns the images whose line has one of the tags.
///
/// If there is none, it returns all images of the repository, because an event may name only a
/// digest.
fn in_repository<'h>(hierarchy: &'h Hierarchy, repository: &Repository, tags: &[Tag]) -> Vec<&'h ImageId> {
    let is_on = |image: &&Image| match &image.line {
        Line::Stable(_) | Line::Newest(_) => tags.iter().any(|tag| image.line.has(tag)),
        // Any push may be a rebuild of the commit that the environment has.
        Line::Deployed { .. } | Line::Promoted { .. } => true,
    };
    let all: Vec<&Image> = hierarchy.in_repository(repository).collect();
    let named: Vec<&Image> = all.iter().copied().filter(is_on).collect();
    if named.is_empty() { all } else { named }.into_iter().map(|image| &image.id).collect()
}
