//! Reads how services name an image, and which digest they say they ran.

use serde::{Deserialize, Serialize};

use super::sidecars::are_of_aws;
use super::survey::{ConsumerKind, Sighting};
use crate::image::{Digest, Registry, Repository, Tag};

/// The registry of a reference that does not name one.
const DOCKER_HUB: &str = "docker.io";

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

/// An image as a reference names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub registry: Registry,
    /// A text, because repositories in other registries may have names that ECR refuses.
    pub repository: String,
    pub tag: Option<Tag>,
    pub digest: Option<Digest>,
}

impl Named {
    /// Reads a reference as container runtimes do. Without a host it is on Docker Hub, and without
    /// a path in Docker Hub's `library`. Returns `None` for what is not a reference, such as a bare
    /// digest.
    pub fn read(text: &str) -> Option<Self> {
        let text = text.strip_prefix("docker-pullable://").unwrap_or(text);
        if text.is_empty() || text.contains("://") || text.starts_with("sha256:") {
            return None;
        }
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest.parse().ok()?)),
            None => (text, None),
        };
        let (name, tag) = match name.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag.parse().ok()?)),
            _ => (name, None),
        };
        let hosted =
            name.split_once('/').and_then(|(host, path)| Some((host.parse().ok()?, path.to_owned())));
        let (registry, repository) = match hosted {
            Some(hosted) => hosted,
            None if name.contains('/') => (DOCKER_HUB.parse().ok()?, name.to_owned()),
            None => (DOCKER_HUB.parse().ok()?, format!("library/{name}")),
        };
        Some(Self { registry, repository, tag, digest })
    }

    /// Returns the repository's name, if it is one.
    pub(super) fn repository(&self) -> Option<Repository> {
        self.repository.parse().ok()
    }
}

/// Returns the digest of the index or the manifest that a container runs, or that something refers
/// to.
pub(super) fn digest(sighting: &Sighting) -> Result<Digest, NoDigest> {
    let asked = Named::read(&sighting.image);
    let said = sighting.resolved.as_deref().map(str::trim).filter(|said| !said.is_empty());
    let Some(said) = said else {
        // A digest in the reference is what runs. A tag does not show what it named at the start.
        return match asked {
            _ if is_added_by_aws(sighting) => Err(NoDigest::Sidecar),
            Some(Named { digest: Some(digest), .. }) => Ok(digest),
            Some(_) if sighting.resolved.is_none() && sighting.used.is_reference() => Err(NoDigest::OnlyTag),
            _ => Err(NoDigest::NotReported),
        };
    };
    if let Some(named) = Named::read(said) {
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
    Named::read(&sighting.image).is_some_and(|named| are_of_aws(&named.registry, &named.repository))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Option<(String, String, Option<String>, bool)> {
        let named = Named::read(text)?;
        let tag = named.tag.map(|tag| tag.to_string());
        Some((named.registry.to_string(), named.repository, tag, named.digest.is_some()))
    }

    #[test]
    fn references_are_read_as_runtimes_read_them() {
        let hub = |path: &str, tag: Option<&str>| {
            Some(("docker.io".to_owned(), path.to_owned(), tag.map(str::to_owned), false))
        };
        assert_eq!(parts("nginx"), hub("library/nginx", None));
        assert_eq!(parts("grafana/grafana:11.0"), hub("grafana/grafana", Some("11.0")));
        assert_eq!(
            parts("localhost:5000/x"),
            Some(("localhost:5000".to_owned(), "x".to_owned(), None, false)),
            "a port is no tag"
        );
        let pinned = format!("public.ecr.aws/a/b:1@sha256:{}", "ab".repeat(32));
        assert_eq!(
            parts(&pinned),
            Some(("public.ecr.aws".to_owned(), "a/b".to_owned(), Some("1".to_owned()), true))
        );
        assert_eq!(parts(&format!("docker-pullable://{pinned}")), parts(&pinned));
        for no_reference in ["", "sha256:abc", "docker://sha256:abc", "a@sha256:short"] {
            assert_eq!(parts(no_reference), None, "{no_reference}");
        }
    }
}
