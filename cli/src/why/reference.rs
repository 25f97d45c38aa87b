//! What a reference is, as a workload or a Dockerfile writes it.

use patchwave::hierarchy::{Hierarchy, Image, Located};
use patchwave::image::{ImageId, Reference};
use serde::Serialize;

use crate::render::{CAREFUL, STRONG, paint, some, value, wrapped};

const SHOWN: usize = 8;

/// A reference to something that no image of the hierarchy is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Foreign {
    reference: String,
    is: Is,
    /// The images that name it as a parent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parent_of: Vec<ImageId>,
    what_to_do: String,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum Is {
    Upstream,
    Approved,
    Unapproved,
    NotInHierarchy,
}

impl Foreign {
    /// Tells whether Patchwave neither builds nor approves it.
    pub(super) fn is_stranger(&self) -> bool {
        matches!(self.is, Is::Unapproved | Is::NotInHierarchy)
    }
}

/// Returns the image whose line a reference names by its tag, or whose repository it names alone.
/// A digest is looked up elsewhere.
pub(super) fn image<'h>(hierarchy: &'h Hierarchy, text: &str) -> Option<&'h Image> {
    let named = Reference::read(text).filter(|named| named.digest.is_none() && text.contains(['/', ':']))?;
    let Located::Own(repository) = hierarchy.locate(&named.registry, &named.repository) else { return None };
    let tag = named.tag?;
    let mut images = hierarchy.in_repository(&repository);
    hierarchy.in_repository(&repository).find(|image| image.line.has(&tag)).or_else(|| {
        let only = images.next()?;
        images.next().is_none().then_some(only)
    })
}

/// Says what a reference is that names no image of the hierarchy; nothing if it is no reference.
pub(super) fn foreign(hierarchy: &Hierarchy, text: &str) -> Option<Foreign> {
    let named = Reference::read(text).filter(|_| text.contains(['/', ':']))?;
    let parent_of: Vec<ImageId> =
        hierarchy.built_on_upstream(text).into_iter().map(|image| image.id.clone()).collect();
    let (host, repository) = match hierarchy.locate(&named.registry, &named.repository) {
        Located::Cached(host, repository) => (host, repository),
        Located::Own(_) | Located::Elsewhere => (named.registry.clone(), named.repository.clone()),
    };
    let is_ours = matches!(hierarchy.locate(&named.registry, &named.repository), Located::Own(_));
    let (is, what_to_do) = if is_ours {
        let add =
            format!("add {repository} to the images of the hierarchy file, or delete it from the registry");
        (Is::NotInHierarchy, add)
    } else if !parent_of.is_empty() {
        (Is::Upstream, "others build it; a rebuild of the images on it brings its newest version".to_owned())
    } else if hierarchy.registries().approves(&host, &repository) {
        (Is::Approved, "others build it, and the hierarchy file lets it run".to_owned())
    } else {
        let add =
            format!("name {host}/{repository} under `approved` in the hierarchy file, or do not run it");
        (Is::Unapproved, add)
    };
    Some(Foreign { reference: named.to_string(), is, parent_of, what_to_do })
}

pub(super) fn text(foreign: &Foreign) -> String {
    let is = match foreign.is {
        Is::Upstream => "is a parent that others build",
        Is::Approved => "is approved",
        Is::Unapproved => "is neither built nor approved",
        Is::NotInHierarchy => "lies in a registry of the hierarchy, and on no line of it",
    };
    let is = if foreign.is_stranger() { paint(CAREFUL, is) } else { is.to_owned() };
    let mut text = wrapped(0, &format!("{} {is}", paint(STRONG, value(&foreign.reference))));
    text.push('\n');
    if !foreign.parent_of.is_empty() {
        text.push_str(&wrapped(2, &format!("images on it: {}", some(foreign.parent_of.iter(), SHOWN))));
        text.push('\n');
    }
    text.push_str(&wrapped(2, &foreign.what_to_do));
    text.push('\n');
    text
}
