//! Finds which image and version a container runs, or why that is not known.

use serde::{Deserialize, Serialize};

use super::catalog::{Catalog, Missing, is_own};
use super::named::{self, NoDigest};
use super::survey::Sighting;
use crate::facts::Current;
use crate::hierarchy::{Hierarchy, Image, Line, Parent};
use crate::image::{Digest, ImageId, Reference, Repository, Tag};

/// What a sighting turned out to be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Resolution {
    /// A version of an image of the hierarchy.
    Known {
        image: ImageId,
        /// The whole version, whichever of its platforms runs.
        version: Digest,
    },
    /// An image that other teams build, and that the hierarchy names as a parent.
    Upstream {
        /// With its registry.
        repository: String,
    },
    /// From a registry that is neither the hierarchy's nor a parent's.
    Unapproved {
        /// The registry's host.
        registry: String,
    },
    /// In the hierarchy's registry, but on no line of the hierarchy.
    NotInHierarchy { repository: Repository },
    /// No longer in the registry, so it can neither be scanned nor started again.
    Gone {
        repository: Repository,
        /// The image that it was, if Patchwave saw it while the registry still had it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        image: Option<ImageId>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<Digest>,
    },
    /// Which version runs is not known.
    Unresolvable {
        /// The image whose line has the tag, if there is one. The tag does not show which version
        /// runs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        image: Option<ImageId>,
        because: NoDigest,
    },
    /// The registry did not answer.
    Unread { repository: Repository, because: String },
}

impl Resolution {
    /// Returns the image, if it is known.
    pub fn image(&self) -> Option<&ImageId> {
        match self {
            Self::Known { image, .. } => Some(image),
            Self::Gone { image, .. } | Self::Unresolvable { image, .. } => image.as_ref(),
            _ => None,
        }
    }

    /// Returns the version, if it is or was known.
    pub fn version(&self) -> Option<&Digest> {
        match self {
            Self::Known { version, .. } => Some(version),
            Self::Gone { version, .. } => version.as_ref(),
            _ => None,
        }
    }

    /// Returns whether it is not known what runs. An image of another team is known.
    pub fn is_unknown(&self) -> bool {
        match self {
            Self::Unresolvable { because, .. } => *because != NoDigest::Sidecar,
            Self::Gone { .. } | Self::Unread { .. } => true,
            _ => false,
        }
    }

    /// Keeps what was known before, if the registry says less now.
    #[must_use]
    pub(super) fn after(self, before: &Self) -> Self {
        match (self, before.image(), before.version()) {
            (Self::Unread { .. }, Some(_), Some(_)) => before.clone(),
            (Self::Gone { repository, image: None, .. }, Some(image), Some(version)) => {
                Self::Gone { repository, image: Some(image.clone()), version: Some(version.clone()) }
            }
            (now, ..) => now,
        }
    }
}

/// Resolves one sighting. `before` is the image that the same digest was resolved to earlier,
/// because an old version has lost its tag.
pub(super) fn resolve(
    hierarchy: &Hierarchy,
    catalog: &Catalog,
    sighting: &Sighting,
    before: Option<&ImageId>,
) -> Resolution {
    let digest = named::digest(sighting);
    let Some(named) = named::reference(sighting) else {
        let unreadable = || NoDigest::Malformed(sighting.image.chars().take(200).collect());
        let because = digest.err().unwrap_or_else(unreadable);
        return Resolution::Unresolvable { image: None, because };
    };
    if digest == Err(NoDigest::Sidecar) {
        return Resolution::Unresolvable { image: None, because: NoDigest::Sidecar };
    }
    if !is_own(hierarchy, &named.registry) {
        return foreign(hierarchy, &named);
    }
    let repository = named.repository;
    if hierarchy.in_repository(&repository).next().is_none() {
        return Resolution::NotInHierarchy { repository };
    }
    let of_tag = || named.tag.as_ref().and_then(|tag| on_line(hierarchy, &repository, tag));
    let digest = match digest {
        Ok(digest) => digest,
        Err(because) => {
            return Resolution::Unresolvable { image: of_tag().map(|i| i.id.clone()), because };
        }
    };
    let Some(version) = catalog.version(&repository, &digest) else {
        return match catalog.missing(&repository, &digest) {
            Missing::Gone => Resolution::Gone { repository, image: None, version: None },
            Missing::Unread(because) => Resolution::Unread { repository, because },
        };
    };
    let is_current =
        |image: &&Image| matches!(catalog.current(&image.id), Current::Version(now) if now == version.digest);
    let environment = &sighting.place.environment;
    let candidates =
        || hierarchy.in_repository(&repository).filter(|image| !matches!(image.line, Line::Deployed { .. }));
    // A line of what an environment runs has every version that runs there.
    let deployed = |image: &&Image| matches!(&image.line, Line::Deployed { environment: of, .. } if Some(of) == environment.as_ref());
    let image = hierarchy
        .in_repository(&repository)
        .find(deployed)
        .or_else(|| candidates().find(is_current))
        .or_else(of_tag)
        .or_else(|| candidates().find(|image| Some(&image.id) == before))
        .or_else(|| only(candidates(), named.tag.as_ref()));
    match image {
        Some(image) => Resolution::Known { image: image.id.clone(), version: version.digest.clone() },
        None => Resolution::NotInHierarchy { repository },
    }
}

fn foreign(hierarchy: &Hierarchy, named: &Reference) -> Resolution {
    let is_parent = |parent: &Parent| match parent {
        Parent::Upstream(upstream) => {
            upstream.registry == named.registry && upstream.repository == named.repository
        }
        Parent::Image(_) | Parent::Scratch => false,
    };
    let mut images = hierarchy.images();
    if images.any(|image| is_parent(&image.from) || image.copy_from.iter().any(is_parent)) {
        return Resolution::Upstream { repository: named.name() };
    }
    Resolution::Unapproved { registry: named.registry.to_string() }
}

/// Returns the image whose line has a tag. The tag shows which image was meant, and not which
/// version.
fn on_line<'h>(hierarchy: &'h Hierarchy, repository: &Repository, tag: &Tag) -> Option<&'h Image> {
    hierarchy.in_repository(repository).find(|image| match &image.line {
        Line::Stable(tags) => tags.contains(tag),
        Line::Newest(pattern) => pattern.matches(tag),
        Line::Deployed { .. } => false,
    })
}

/// Returns the only image of a repository. If its line is of newest tags and cannot have the tag,
/// the tag names something else in the same repository. A stable line accepts any tag, because
/// stable tags come and go: `22.8` is an old version of `22`.
fn only<'h>(mut images: impl Iterator<Item = &'h Image>, tag: Option<&Tag>) -> Option<&'h Image> {
    let (image, None) = (images.next()?, images.next()) else { return None };
    match (&image.line, tag) {
        (Line::Newest(_), Some(_)) => None,
        _ => Some(image),
    }
}
