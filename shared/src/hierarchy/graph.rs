//! The checked hierarchy and its layout in memory.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::adjacency::{Adjacency, Link, count, position};
use super::below::{Below, below};
use super::chains::Chains;
use super::inspected::Inspected;
use super::names::near;
use super::parts::UnreadPart;
use super::registries::Registries;
use super::upstreams::Upstreams;
use super::{Direction, Parent};
use super::{Image, ImageSet, Line, ParentKind, Query, UnknownImage};
use crate::finding::Severity;
use crate::image::{EcrRegistry, ImageId, Repository};
use crate::policy::{Limits, Mode};
use crate::time::Span;

/// All images and what each is built on. [`Hierarchy::parse`] checks it once; then it never
/// changes.
///
/// Its order is the *build order*: by tier, then by wave, then by id. So parents come before their
/// children. It does not depend on the order in which the file lists the images.
///
/// What a method costs depends on its answer and not on how many other images there are, unless it
/// says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    registries: Registries,
    upstreams: Upstreams,
    limits: Limits,
    inspected: Inspected,
    /// In build order. An image's position is its number everywhere below.
    images: Vec<Image>,
    by_id: BTreeMap<ImageId, u32>,
    /// Sorted by repository.
    by_repository: Vec<u32>,
    /// Those that have a pipeline, sorted by its name.
    by_pipeline: Vec<u32>,
    parents: Adjacency,
    children: Adjacency,
    below: Vec<Below>,
    /// The limits of the owners that have one.
    owner_limits: BTreeMap<String, u32>,
    unread_parts: Vec<UnreadPart>,
}

/// A parent or a child of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge<'h> {
    /// What the child takes.
    pub kind: ParentKind,
    /// The image at the other end.
    pub image: &'h Image,
}

impl Hierarchy {
    /// Lays out images that are in build order and whose parents all exist.
    pub(super) fn new(
        (registries, upstreams): (Registries, Upstreams),
        limits: Limits,
        images: Vec<Image>,
        inspected: Inspected,
    ) -> Self {
        let by_id: BTreeMap<ImageId, u32> = images.iter().map(|image| image.id.clone()).zip(0..).collect();
        let mut by_repository: Vec<u32> = (0..count(images.len())).collect();
        let at = |number: &u32| &images[position(*number)];
        by_repository.sort_by(|a, b| at(a).repository.cmp(&at(b).repository));
        let mut by_pipeline = by_repository.clone();
        by_pipeline.retain(|number| at(number).pipeline.is_some());
        by_pipeline.sort_by(|a, b| pipeline(at(a)).cmp(&pipeline(at(b))).then(a.cmp(b)));
        let parents = Adjacency::of_each(images.iter().map(|image| links(image, &by_id)));
        let children = parents.reversed();
        let below = below(&images, &children);
        let owners = images.iter().filter_map(|image| image.owner.as_ref());
        let owner_limits =
            owners.filter_map(|owner| Some((owner.name.clone(), owner.max_concurrent_builds?)));
        let owner_limits = owner_limits.collect();
        Self {
            registries,
            upstreams,
            limits,
            inspected,
            images,
            by_id,
            by_repository,
            by_pipeline,
            parents,
            children,
            below,
            owner_limits,
            unread_parts: Vec::new(),
        }
    }

    pub(super) fn with_unread_parts(self, unread_parts: Vec<UnreadPart>) -> Self {
        Self { unread_parts, ..self }
    }

    /// Returns the parts that are left out, because their files cannot be used.
    pub fn unread_parts(&self) -> &[UnreadPart] {
        &self.unread_parts
    }

    /// Returns the same hierarchy with every image in `mode`: to see what it would do if it were.
    #[must_use]
    pub fn with_mode(mut self, mode: Mode) -> Self {
        self.images.iter_mut().for_each(|image| image.policy.mode = mode);
        self
    }

    /// Returns the registry where Patchwave runs, and that images are pushed to unless they name
    /// another.
    pub fn registry(&self) -> &EcrRegistry {
        self.registries.home()
    }

    /// Returns all registries of the organisation.
    pub fn registries(&self) -> &Registries {
        &self.registries
    }

    /// Returns which registries of others are watched, and with which credentials.
    pub fn upstreams(&self) -> &Upstreams {
        &self.upstreams
    }

    /// Returns the limits of the whole fleet.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Returns how many builds of an owner run at once, for each owner that has such a limit.
    pub fn owner_limits(&self) -> impl Iterator<Item = (&str, u32)> {
        self.owner_limits.iter().map(|(owner, most)| (owner.as_str(), *most))
    }

    /// Returns which accounts and Regions the inventory surveys; none if the file has no
    /// `inventory`.
    pub fn inspected(&self) -> &Inspected {
        &self.inspected
    }

    /// Returns how many images there are.
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// Returns whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// Returns the images in build order.
    pub fn images(&self) -> impl ExactSizeIterator<Item = &Image> {
        self.images.iter()
    }

    /// Returns the image of that id.
    pub fn image(&self, id: &ImageId) -> Result<&Image, UnknownImage> {
        self.number(id).map(|number| self.at(number)).ok_or_else(|| self.unknown(id.as_str()))
    }

    /// Returns the images that are pushed to `repository`, in build order.
    pub fn in_repository(&self, repository: &Repository) -> impl Iterator<Item = &Image> + use<'_> {
        let named = self.equal(&self.by_repository, |image| image.repository.cmp(repository));
        named.iter().map(|number| self.at(*number))
    }

    /// Returns the images whose pipeline has that name, in build order. Pipelines of several
    /// accounts and Regions may share a name.
    pub fn with_pipeline(&self, name: &str) -> impl Iterator<Item = &Image> + use<'_> {
        let named = self.equal(&self.by_pipeline, |image| pipeline(image).cmp(&Some(name)));
        named.iter().map(|number| self.at(*number))
    }

    /// Returns the image that a person means by `name`: an id, or a declared `repository:tag`.
    pub fn resolve(&self, name: &str) -> Result<&Image, UnknownImage> {
        let by_id = || self.number(&name.parse().ok()?).map(|number| self.at(number));
        let by_tag = || {
            let (repository, tag) = name.rsplit_once(':')?;
            self.in_repository(&repository.parse().ok()?).find(|image| match &image.line {
                Line::Stable(tags) => tags.iter().any(|declared| declared.as_str() == tag),
                Line::Newest(_) | Line::Deployed { .. } | Line::Promoted { .. } => false,
            })
        };
        by_id().or_else(by_tag).ok_or_else(|| self.unknown(name))
    }

    /// Returns the parents of an image inside the hierarchy: `from`, then `copyFrom` as declared.
    /// None for an id that is not in it. Upstream parents are only in [`Image::from`] and
    /// [`Image::copy_from`].
    pub fn parents<'h>(&'h self, id: &ImageId) -> impl Iterator<Item = Edge<'h>> + use<'h> {
        self.edges(self.number(id), &self.parents)
    }

    /// Returns the images that are built on an image: those that inherit its layers, then those
    /// that only copy from it, each in build order. None for an id that is not in the hierarchy.
    pub fn children<'h>(&'h self, id: &ImageId) -> impl Iterator<Item = Edge<'h>> + use<'h> {
        self.edges(self.number(id), &self.children)
    }

    /// Asks for everything above or below the images `starts`.
    pub fn query<'a>(
        &self,
        starts: impl IntoIterator<Item = &'a ImageId>,
        direction: Direction,
    ) -> Result<Query<'_>, UnknownImage> {
        let number = |id: &ImageId| self.number(id).ok_or_else(|| self.unknown(id.as_str()));
        let starts = starts.into_iter().map(number).collect::<Result<_, _>>()?;
        Ok(Query::new(self, starts, direction))
    }

    /// Returns the set of all images.
    pub fn all(&self) -> ImageSet<'_> {
        ImageSet::new(self, (0..count(self.images.len())).collect())
    }

    /// Returns the images of these ids. An id that is not in the hierarchy is left out.
    pub fn select<'a>(&self, ids: impl IntoIterator<Item = &'a ImageId>) -> ImageSet<'_> {
        let mut numbers: Vec<u32> = ids.into_iter().filter_map(|id| self.number(id)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        ImageSet::new(self, numbers)
    }

    /// Returns, for each image, the cost of the most expensive chain of images below it, itself not
    /// counted: 0 for one that nothing is built on. The unit is that of `cost`. This reads all
    /// images.
    pub fn longest_chain_below(&self, cost: impl Fn(&Image) -> u64) -> Chains<'_> {
        let mut below = vec![0_u64; self.images.len()];
        for number in (0..count(self.images.len())).rev() {
            let chain = below[position(number)].saturating_add(cost(self.at(number)));
            for parent in self.parents.of(number) {
                let longest = &mut below[position(*parent)];
                *longest = (*longest).max(chain);
            }
        }
        Chains::new(self, below)
    }

    /// Returns how many images the longest chain below an image has.
    pub fn builds_below(&self, id: &ImageId) -> Option<u32> {
        self.below(id).map(|below| below.builds)
    }

    /// Returns how long it takes at most to build an image and then everything below it, if builds
    /// wait only for their parents: each takes its `maxBuildTime`.
    pub fn time_to_build(&self, id: &ImageId) -> Option<Span> {
        self.below(id).map(|below| below.time)
    }

    /// Returns the lowest severity that an image, or any image below it, counts.
    pub fn lowest_counted(&self, id: &ImageId) -> Option<Severity> {
        self.below(id).map(|below| below.lowest)
    }

    /// Returns the top of an image's `from` chain inside the hierarchy, which may be the image
    /// itself. Nothing for an id that is not in the hierarchy.
    pub fn root_of(&self, id: &ImageId) -> Option<&Image> {
        let mut image = self.image_at(id)?;
        while let Parent::Image(parent) = &image.from {
            image = self.image_at(parent)?;
        }
        Some(image)
    }

    fn image_at(&self, id: &ImageId) -> Option<&Image> {
        self.number(id).map(|number| self.at(number))
    }

    pub(super) fn number(&self, id: &ImageId) -> Option<u32> {
        self.by_id.get(id).copied()
    }

    pub(super) fn at(&self, number: u32) -> &Image {
        &self.images[position(number)]
    }

    pub(super) fn neighbours(&self, number: u32, direction: Direction) -> &[u32] {
        match direction {
            Direction::Ancestors => self.parents.of(number),
            Direction::Descendants => self.children.of(number),
        }
    }

    fn below(&self, id: &ImageId) -> Option<&Below> {
        self.number(id).map(|number| &self.below[position(number)])
    }

    /// Returns the numbers of a sorted row that are equal to what is looked for.
    fn equal<'n>(&self, sorted: &'n [u32], order: impl Fn(&Image) -> Ordering) -> &'n [u32] {
        let start = sorted.partition_point(|number| order(self.at(*number)).is_lt());
        let length = sorted[start..].partition_point(|number| order(self.at(*number)).is_eq());
        &sorted[start..start + length]
    }

    fn edges<'h>(
        &'h self,
        number: Option<u32>,
        links: &'h Adjacency,
    ) -> impl Iterator<Item = Edge<'h>> + use<'h> {
        let links = number.into_iter().flat_map(|number| links.links(number));
        links.map(|(kind, number)| Edge { kind, image: self.at(number) })
    }

    fn unknown(&self, name: &str) -> UnknownImage {
        UnknownImage { name: name.to_owned(), near: near(name, self.by_id.keys().map(ImageId::as_str)) }
    }
}

fn pipeline(image: &Image) -> Option<&str> {
    image.pipeline.as_ref().map(|pipeline| pipeline.name.as_str())
}

/// Returns an image's parents inside the hierarchy, `from` first, each once for each kind.
fn links(image: &Image, by_id: &BTreeMap<ImageId, u32>) -> Vec<Link> {
    let from = (ParentKind::From, &image.from);
    // Of the layers of one platform alone, nothing follows for the others.
    let of_platforms = image.from_on.values().map(|parent| (ParentKind::CopyFrom, parent));
    let copied = image.copy_from.iter().map(|parent| (ParentKind::CopyFrom, parent));
    let mut links = Vec::with_capacity(1 + image.copy_from.len());
    for (kind, parent) in std::iter::once(from).chain(of_platforms).chain(copied) {
        let Parent::Image(id) = parent else { continue };
        links.extend(by_id.get(id).map(|number| (kind, *number)).filter(|link| !links.contains(link)));
    }
    links
}
