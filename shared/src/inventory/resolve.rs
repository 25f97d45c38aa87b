//! Finds which image and version a container runs, or why that is not known.

use serde::{Deserialize, Serialize};

use super::catalog::{Catalog, Missing};
use super::named::{self, NoDigest};
use super::survey::Sighting;
use crate::facts::Current;
use crate::hierarchy::{Hierarchy, Image, Line, Located, Parent};
use crate::image::{Digest, ImageId, Registry, Repository, Tag};

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
    /// An image of others that the file approves.
    Approved {
        /// With its registry.
        repository: String,
    },
    /// An image of others that is neither a parent nor approved.
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
        /// The repository whose content it is, if that is one of the hierarchy: a replica or a copy
        /// has another host or name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        repository: Option<Repository>,
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
    catalog: &Catalog<'_>,
    sighting: &Sighting,
    before: Option<&ImageId>,
) -> Resolution {
    let digest = named::digest(sighting);
    let Some(named) = named::reference(sighting) else {
        let unreadable = || NoDigest::Malformed(sighting.image.chars().take(200).collect());
        let because = digest.err().unwrap_or_else(unreadable);
        return Resolution::Unresolvable { image: None, repository: None, because };
    };
    if digest == Err(NoDigest::Sidecar) {
        return Resolution::Unresolvable { image: None, repository: None, because: NoDigest::Sidecar };
    }
    let located = hierarchy.locate(&named.registry, &named.repository);
    let expected = match &located {
        Located::Own(repository) => repository,
        Located::Cached(..) | Located::Elsewhere => &named.repository,
    };
    let by_digest = digest.as_ref().ok().and_then(|digest| catalog.holder(expected, digest));
    if let Some((repository, version)) = by_digest {
        // A tag says something about a line only in the repository of the line.
        let tag = named.tag.as_ref().filter(|_| repository.name() == named.repository.as_str());
        let found = Version { repository, digest: &version.digest, tag, before };
        return of_version(hierarchy, catalog, sighting, found);
    }
    match located {
        Located::Own(repository) => absent(hierarchy, catalog, repository, named.tag.as_ref(), digest),
        Located::Cached(host, repository) => foreign(hierarchy, &host, &repository),
        Located::Elsewhere => foreign(hierarchy, &named.registry, &named.repository),
    }
}

/// A version that runs, and what hints at its image.
#[derive(Clone, Copy)]
struct Version<'v> {
    repository: &'v Repository,
    digest: &'v Digest,
    tag: Option<&'v Tag>,
    before: Option<&'v ImageId>,
}

/// Finds the image of a version: the same digest is the same version wherever it lies.
fn of_version(
    hierarchy: &Hierarchy,
    catalog: &Catalog<'_>,
    sighting: &Sighting,
    version: Version<'_>,
) -> Resolution {
    let Version { repository, digest, tag, before } = version;
    let is_current =
        |image: &&Image| matches!(catalog.current(&image.id), Current::Version(now) if now == *digest);
    let environment = &sighting.place.environment;
    let candidates = || hierarchy.in_repository(repository).filter(|image| !image.line.is_of_environment());
    // A line of what an environment runs has every version that runs there.
    let deployed =
        |image: &&Image| image.line.environment().is_some_and(|of| Some(of) == environment.as_deref());
    let image = hierarchy
        .in_repository(repository)
        .find(deployed)
        .or_else(|| candidates().find(is_current))
        .or_else(|| on_line(hierarchy, repository, tag?))
        .or_else(|| candidates().find(|image| Some(&image.id) == before))
        .or_else(|| only(candidates(), tag));
    match image {
        Some(image) => Resolution::Known { image: image.id.clone(), version: digest.clone() },
        None => Resolution::NotInHierarchy { repository: repository.clone() },
    }
}

/// Says why the version of an own repository is not known.
fn absent(
    hierarchy: &Hierarchy,
    catalog: &Catalog<'_>,
    repository: Repository,
    tag: Option<&Tag>,
    digest: Result<Digest, NoDigest>,
) -> Resolution {
    if hierarchy.in_repository(&repository).next().is_none() {
        let part = hierarchy.unread_parts().iter().find(|part| part.may_have(&repository));
        return match part {
            Some(part) => {
                Resolution::Unread { because: format!("{}: {}", part.file, part.because), repository }
            }
            None => Resolution::NotInHierarchy { repository },
        };
    }
    match digest {
        Ok(digest) => match catalog.missing(&repository, &digest) {
            Missing::Gone => Resolution::Gone { repository, image: None, version: None },
            Missing::Unread(because) => Resolution::Unread { repository, because },
        },
        Err(because) => {
            let image = tag.and_then(|tag| on_line(hierarchy, &repository, tag));
            let image = image.map(|image| image.id.clone());
            Resolution::Unresolvable { image, repository: Some(repository), because }
        }
    }
}

fn foreign(hierarchy: &Hierarchy, host: &Registry, repository: &Repository) -> Resolution {
    let is_parent = |parent: &Parent| match parent {
        Parent::Upstream(upstream) => upstream.registry == *host && upstream.repository == *repository,
        Parent::Image(_) | Parent::Scratch | Parent::Unknown => false,
    };
    let name = || format!("{host}/{repository}");
    let mut images = hierarchy.images();
    if images.any(|image| image.named_parents().any(is_parent)) {
        return Resolution::Upstream { repository: name() };
    }
    if hierarchy.registries().approves(host, repository) {
        return Resolution::Approved { repository: name() };
    }
    Resolution::Unapproved { registry: host.to_string() }
}

/// Returns the image whose line has a tag. The tag shows which image was meant, and not which
/// version.
fn on_line<'h>(hierarchy: &'h Hierarchy, repository: &Repository, tag: &Tag) -> Option<&'h Image> {
    hierarchy.in_repository(repository).find(|image| image.line.has(tag))
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
