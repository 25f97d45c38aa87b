//! Reads how services name an image, and which digest they say they ran.

use serde::{Deserialize, Serialize};

use super::sidecars::are_of_aws;
use super::survey::{ConsumerKind, Sighting};
use crate::image::{Digest, Reference};

/// Why the digest that was run is not known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NoDigest {
    /// The service does not name a digest: the image is not pulled yet, or the agent does not
    /// report it.
    NotReported,
    /// The service names the image's configuration, which many manifests can share.
    OnlyConfiguration,
    /// AWS adds this container to the task, and updates it with the task.
    Sidecar,
    /// Only a tag is known, and it may name another version by now.
    OnlyTag,
    /// What the service names is not a digest.
    Malformed(String),
}

/// Returns the image that a container runs, as the reference names it that it was started with.
pub(super) fn reference(sighting: &Sighting) -> Option<Reference> {
    Reference::read(&sighting.image).or_else(|| Reference::read(sighting.resolved.as_deref()?))
}

/// Returns the digest of the index or the manifest that a container runs, or that something refers
/// to.
pub(super) fn digest(sighting: &Sighting) -> Result<Digest, NoDigest> {
    let asked = Reference::read(&sighting.image);
    let said = sighting.resolved.as_deref().map(str::trim).filter(|said| !said.is_empty());
    let Some(said) = said else {
        // A digest in the reference is what runs. A tag does not show what it named at the start.
        return match asked {
            _ if is_added_by_aws(sighting) => Err(NoDigest::Sidecar),
            Some(Reference { digest: Some(digest), .. }) => Ok(digest),
            Some(_) if sighting.resolved.is_none() && sighting.used.is_reference() => Err(NoDigest::OnlyTag),
            _ => Err(NoDigest::NotReported),
        };
    };
    if !sighting.image.is_empty() && is_added_by_aws(sighting) {
        return Err(NoDigest::Sidecar);
    }
    if let Some(named) = Reference::read(said) {
        return named.digest.ok_or(NoDigest::OnlyTag);
    }
    match said.strip_prefix("docker://").unwrap_or(said).parse() {
        // A bare digest is the manifest's on ECS, and the configuration's on Kubernetes.
        Ok(digest) if sighting.place.kind != ConsumerKind::Eks && !said.starts_with("docker://") => {
            Ok(digest)
        }
        Ok(_) => Err(NoDigest::OnlyConfiguration),
        Err(_) => Err(NoDigest::Malformed(said.chars().take(200).collect())),
    }
}

/// The names of containers that ECS may report without an image. A task definition needs one.
const WITHOUT_IMAGE: [&str; 2] = ["ecs-service-connect-", "aws-guardduty-agent-"];

/// Returns whether AWS added this container to its task of ECS.
pub fn is_added_by_aws(sighting: &Sighting) -> bool {
    if sighting.place.kind != ConsumerKind::Ecs {
        return false;
    }
    if sighting.image.is_empty() {
        return WITHOUT_IMAGE.iter().any(|name| sighting.container.starts_with(name));
    }
    Reference::read(&sighting.image).is_some_and(|named| are_of_aws(&named.registry, &named.repository))
}
