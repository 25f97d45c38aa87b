//! Chooses the images that a page is about.

use std::collections::BTreeSet;

use patchwave::hierarchy::{Direction, Hierarchy, Image, Line, Pipeline};
use patchwave::image::{ImageId, Repository, Tag};
use patchwave::trigger::{AccountRegion, Trigger};

/// Returns the images that `triggers` name, each once. A sweep names all of them, family by family:
/// images that are built on each other are then decided together, as far as they fit into one page.
pub(crate) fn named(hierarchy: &Hierarchy, triggers: &[Trigger]) -> Vec<ImageId> {
    let mut once = BTreeSet::new();
    let mut named = Vec::new();
    let mut add = |id: &ImageId| {
        if once.insert(id.clone()) {
            named.push(id.clone());
        }
    };
    triggers.iter().flat_map(|trigger| named_by(hierarchy, trigger)).for_each(&mut add);
    if triggers.contains(&Trigger::Sweep) {
        for root in hierarchy.images().filter(|image| hierarchy.parents(&image.id).next().is_none()) {
            if let Ok(family) = hierarchy.query([&root.id], Direction::Descendants) {
                family.resolve().ids().for_each(&mut add);
            }
        }
    }
    named
}

/// Returns these images and all their ancestors, without which nothing can be decided. Images that
/// are not in the hierarchy any more are left out.
pub(crate) fn with_ancestors<'i>(
    hierarchy: &Hierarchy,
    images: impl IntoIterator<Item = &'i ImageId>,
) -> BTreeSet<ImageId> {
    let named = images.into_iter().filter(|id| hierarchy.image(id).is_ok());
    match hierarchy.query(named, Direction::Ancestors) {
        Ok(query) => query.resolve().ids().cloned().collect(),
        Err(_) => BTreeSet::new(),
    }
}

fn named_by<'h>(hierarchy: &'h Hierarchy, trigger: &Trigger) -> Vec<&'h ImageId> {
    match trigger {
        Trigger::Scanned { at, repository, tags, .. } => in_repository_at(hierarchy, at, repository, tags),
        Trigger::RepositoryChanged { at, repository, tags, .. } => {
            let mut images = in_repository_at(hierarchy, at, repository, tags);
            // What waits for a cache may build now that the cache pulled.
            let pulled = hierarchy.pulled_through(&at.account, &at.region, repository, tags);
            images.extend(pulled.into_iter().map(|image| &image.id));
            images
        }
        Trigger::Execution { at, pipeline, .. } => {
            let is_there = |built: &Pipeline| match &built.builder {
                None => is_here(hierarchy, at),
                Some(builder) => builder.account == at.account && builder.region == at.region,
            };
            let builds = |image: &&Image| image.pipeline.as_ref().is_some_and(is_there);
            hierarchy.with_pipeline(pipeline).filter(builds).map(|image| &image.id).collect()
        }
        Trigger::Tick | Trigger::Sweep => Vec::new(),
    }
}

fn in_repository_at<'h>(
    hierarchy: &'h Hierarchy,
    at: &AccountRegion,
    repository: &Repository,
    tags: &[Tag],
) -> Vec<&'h ImageId> {
    let repository = hierarchy.repository_at(&at.account, &at.region, repository);
    repository.map_or_else(Vec::new, |repository| in_repository(hierarchy, &repository, tags))
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

#[cfg(test)]
mod tests {
    use super::*;

    const HIERARCHY: &str = "\
version: 1
registries: { home: { host: 111122223333.dkr.ecr.us-east-1.amazonaws.com, caches: { docker-hub: docker.io } } }
images:
  - { tier: base, repository: base/os, tags: [\"1\"], from: \"111122223333.dkr.ecr.us-east-1.amazonaws.com/docker-hub/library/debian:12\" }
  - { tier: base, repository: base/other, tags: [\"1\"], from: \"111122223333.dkr.ecr.us-east-1.amazonaws.com/docker-hub/library/debian:13\" }
  - { tier: base, repository: base/direct, tags: [\"1\"], from: \"docker.io/library/debian:12\" }
  - { tier: application, repository: apps/web, tags: [\"1\"], from: \"base/os:1\" }
";

    #[test]
    fn a_cache_that_pulled_names_the_images_that_are_built_through_it() {
        let hierarchy = Hierarchy::parse("h.yaml", HIERARCHY).unwrap();
        let changed = |account: &str, repository: &str, tags: &[&str]| {
            let at = AccountRegion { account: account.to_owned(), region: "us-east-1".to_owned() };
            let tags = tags.iter().map(|tag| tag.parse().unwrap()).collect();
            let repository = repository.parse().unwrap();
            let trigger = Trigger::RepositoryChanged { at, repository, digest: None, tags };
            named(&hierarchy, &[trigger]).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(changed("111122223333", "docker-hub/library/debian", &["12"]), ["base/os:1"]);
        assert_eq!(changed("111122223333", "docker-hub/library/debian", &[]), ["base/os:1", "base/other:1"]);
        assert_eq!(changed("111122223333", "docker-hub/library/debian", &["11"]), [""; 0]);
        assert_eq!(changed("111122223333", "docker-hub/library/alpine", &["12"]), [""; 0]);
        assert_eq!(changed("444455556666", "docker-hub/library/debian", &["12"]), [""; 0]);
        assert_eq!(changed("111122223333", "base/os", &["1"]), ["base/os:1"]);
    }
}
