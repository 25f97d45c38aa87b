//! Which images of the hierarchy are built on an image of another registry.

use super::{Hierarchy, Image, Parent};
use crate::image::Reference;

impl Hierarchy {
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
