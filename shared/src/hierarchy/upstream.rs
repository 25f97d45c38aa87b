//! Which images of the hierarchy are built on an image of another registry, and which of these are
//! watched.

use std::collections::BTreeMap;

use super::{Hierarchy, Image, Parent, ParentKind};
use crate::image::{ImageId, Platform, Reference, Repository, Tag};

/// A tag of an upstream registry that an image is built on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamParent<'h> {
    /// Its reference, as reasons, holds and the table name it.
    pub id: ImageId,
    pub reference: &'h Reference,
    /// Whether layers are inherited from it, or only files copied.
    pub kind: ParentKind,
    /// The platform, if only one is built on it.
    pub platform: Option<&'h Platform>,
    /// The repository of the pull-through cache that builds pull it from.
    pub cache: Option<&'h Repository>,
}

impl UpstreamParent<'_> {
    /// Returns the tag in the pull-through cache, as holds name it.
    pub fn cached_as(&self) -> Option<ImageId> {
        format!("{}:{}", self.cache?, self.reference.tag.as_ref()?).parse().ok()
    }
}

impl Hierarchy {
    /// Returns the watched tags that an image is built on. What is named by digest cannot move.
    pub fn upstream_parents<'h>(
        &'h self,
        image: &'h Image,
    ) -> impl Iterator<Item = UpstreamParent<'h>> + use<'h> {
        let from = std::iter::once((ParentKind::From, None, &image.from));
        let on = image.from_on.iter();
        let on = on.map(|(platform, parent)| (ParentKind::CopyFrom, Some(platform), parent));
        let copied = image.copy_from.iter().map(|parent| (ParentKind::CopyFrom, None, parent));
        from.chain(on).chain(copied).filter_map(|(kind, platform, parent)| {
            let Parent::Upstream(reference) = parent else { return None };
            let is_tag = reference.tag.is_some() && reference.digest.is_none();
            if !is_tag || !self.upstreams().watches(&reference.registry) {
                return None;
            }
            let id = reference.to_string().parse().ok()?;
            Some(UpstreamParent { id, reference, kind, platform, cache: image.caches.get(reference) })
        })
    }

    /// Returns the images whose builds pull a watched tag from a pull-through cache, of which an
    /// event tells. An event without tags is about all of them. This reads all images.
    pub fn pulled_through<'h>(
        &'h self,
        account: &str,
        region: &str,
        name: &Repository,
        tags: &[Tag],
    ) -> Vec<&'h Image> {
        let Some(registry) = self.registries().in_region(account, region) else { return Vec::new() };
        if registry.upstream(name.as_str()).is_none() {
            return Vec::new();
        }
        let cache = self.registries().repository(registry, name);
        let is_about = |parent: UpstreamParent<'_>| {
            let names = || parent.reference.tag.as_ref().is_some_and(|tag| tags.contains(tag));
            parent.cache == Some(&cache) && (tags.is_empty() || names())
        };
        self.images().filter(|image| self.upstream_parents(image).any(is_about)).collect()
    }

    /// Returns all watched tags, with the images that are built on each. This reads all images.
    pub fn watched(&self) -> BTreeMap<ImageId, (&Reference, Vec<&Image>)> {
        let mut watched: BTreeMap<ImageId, (&Reference, Vec<&Image>)> = BTreeMap::new();
        for image in self.images() {
            for parent in self.upstream_parents(image) {
                let (_, images) = watched.entry(parent.id).or_insert((parent.reference, Vec::new()));
                if images.last() != Some(&image) {
                    images.push(image);
                }
            }
        }
        watched
    }

    /// Returns the images that name an upstream image as a parent, in build order. A name without
    /// tag and digest means all of its tags; one without a host is on Docker Hub.
    pub fn built_on_upstream<'h>(&'h self, name: &str) -> Vec<&'h Image> {
        let Some(asked) = Reference::read(name) else { return Vec::new() };
        let of_any_tag = !name.rsplit('/').next().is_some_and(|last| last.contains([':', '@']));
        let is_asked = |parent: &Parent| match parent {
            Parent::Upstream(named) => {
                let same = (&named.registry, &named.repository) == (&asked.registry, &asked.repository);
                let version = asked
                    .digest
                    .as_ref()
                    .map_or_else(|| named.tag == asked.tag, |digest| named.digest.as_ref() == Some(digest));
                same && (of_any_tag || version)
            }
            Parent::Image(_) | Parent::Scratch | Parent::Unknown => false,
        };
        self.images().filter(|image| image.named_parents().any(is_asked)).collect()
    }
}
