//! The checked hierarchy and its layout in memory.

use std::collections::{BTreeMap, BTreeSet};

use super::inspected::Inspected;
use super::names::near;
use super::registries::Registries;
use super::{Direction, Parent};
use super::{Image, ImageSet, Line, ParentKind, Query, UnknownImage};
use crate::image::{EcrRegistry, ImageId, Repository};
use crate::policy::{Limits, Mode};

/// All images and what each is built on. [`Hierarchy::parse`] checks it once; then it never
/// changes.
///
/// Its order is the *build order*: parents before children, otherwise by tier and id. It does not
/// depend on the order in which the file lists the images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    registries: Registries,
    limits: Limits,
    inspected: Inspected,
    /// In build order. An image's position is its number everywhere below.
    images: Vec<Image>,
    by_id: BTreeMap<ImageId, u32>,
    by_repository: BTreeMap<Repository, Vec<u32>>,
    parents: Adjacency,
    children: Adjacency,
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
        registries: Registries,
        limits: Limits,
        images: Vec<Image>,
        inspected: Inspected,
    ) -> Self {
        let by_id: BTreeMap<ImageId, u32> = images.iter().map(|image| image.id.clone()).zip(0..).collect();
        let mut by_repository: BTreeMap<Repository, Vec<u32>> = BTreeMap::new();
        for (image, number) in images.iter().zip(0..) {
            by_repository.entry(image.repository.clone()).or_default().push(number);
        }
        let parents: Vec<Vec<Link>> = images.iter().map(|image| links(image, &by_id)).collect();
        let mut children = vec![Vec::new(); images.len()];
        for (links, child) in parents.iter().zip(0..) {
            for (kind, parent) in links {
                children[position(*parent)].push((*kind, child));
            }
        }
        for links in &mut children {
            links.sort_unstable();
        }
        let (parents, children) = (Adjacency::new(&parents), Adjacency::new(&children));
        Self { registries, limits, inspected, images, by_id, by_repository, parents, children }
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

    /// Returns the limits of the whole fleet.
    pub fn limits(&self) -> Limits {
        self.limits
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
        self.by_repository.get(repository).into_iter().flatten().map(|number| self.at(*number))
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
        ImageSet::new(self, self.numbers().collect())
    }

    /// Returns, for each image, the cost of the most expensive chain of images below it, itself not
    /// counted: 0 for one that nothing is built on. The unit is that of `cost`.
    pub fn longest_chain_below(&self, cost: impl Fn(&Image) -> u64) -> BTreeMap<&ImageId, u64> {
        let mut below = vec![0_u64; self.images.len()];
        for number in self.numbers().rev() {
            let chain = below[position(number)].saturating_add(cost(self.at(number)));
            for (_, parent) in self.parents.of(number) {
                let longest = &mut below[position(*parent)];
                *longest = (*longest).max(chain);
            }
        }
        self.images.iter().map(|image| &image.id).zip(below).collect()
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

    pub(super) fn neighbours(&self, number: u32, direction: Direction) -> &[Link] {
        match direction {
            Direction::Ancestors => self.parents.of(number),
            Direction::Descendants => self.children.of(number),
        }
    }

    fn numbers(&self) -> impl DoubleEndedIterator<Item = u32> + use<> {
        0..u32::try_from(self.images.len()).unwrap_or(u32::MAX)
    }

    fn edges<'h>(
        &'h self,
        number: Option<u32>,
        links: &'h Adjacency,
    ) -> impl Iterator<Item = Edge<'h>> + use<'h> {
        let links = number.map(|number| links.of(number)).unwrap_or_default();
        links.iter().map(|(kind, number)| Edge { kind: *kind, image: self.at(*number) })
    }

    fn unknown(&self, name: &str) -> UnknownImage {
        UnknownImage { name: name.to_owned(), near: near(name, self.by_id.keys().map(ImageId::as_str)) }
    }
}

/// One end of an edge: what the child takes, and the number of the image there.
pub(super) type Link = (ParentKind, u32);

/// Everybody's links in one row, and where each image's begin: a million images are two
/// allocations, not a million.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Adjacency {
    starts: Vec<usize>,
    links: Vec<Link>,
}

impl Adjacency {
    fn new(of_each: &[Vec<Link>]) -> Self {
        let mut starts = vec![0];
        starts.extend(of_each.iter().scan(0, |end, links| {
            *end += links.len();
            Some(*end)
        }));
        Self { starts, links: of_each.concat() }
    }

    fn of(&self, number: u32) -> &[Link] {
        let position = position(number);
        &self.links[self.starts[position]..self.starts[position + 1]]
    }
}

/// Returns the place of an image's number in a row.
pub(super) const fn position(number: u32) -> usize {
    number as usize
}

/// Returns an image's parents inside the hierarchy, `from` first, each once for each kind.
fn links(image: &Image, by_id: &BTreeMap<ImageId, u32>) -> Vec<Link> {
    let from = (ParentKind::From, &image.from);
    // Of the layers of one platform alone, nothing follows for the others.
    let of_platforms = image.from_on.values().map(|parent| (ParentKind::CopyFrom, parent));
    let copied = image.copy_from.iter().map(|parent| (ParentKind::CopyFrom, parent));
    let mut seen = BTreeSet::new();
    std::iter::once(from)
        .chain(of_platforms)
        .chain(copied)
        .filter_map(|(kind, parent)| match parent {
            Parent::Image(id) => Some((kind, *by_id.get(id)?)),
            Parent::Upstream(_) | Parent::Scratch | Parent::Unknown => None,
        })
        .filter(|link| seen.insert(*link))
        .collect()
}
