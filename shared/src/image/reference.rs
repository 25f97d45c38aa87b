//! The one parser for the names of images.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Digest, InvalidWord, Registry, Repository, Tag};

/// A reference to an image: host, repository, and a tag or a digest or both. Several spellings of
/// one name are one reference: `docker.io/nginx:1` is `docker.io/library/nginx:1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Reference {
    pub registry: Registry,
    pub repository: Repository,
    /// The tag. It may be absent only if there is a digest.
    pub tag: Option<Tag>,
    /// The digest that it is pinned to. A rebuild cannot change a pinned reference.
    pub digest: Option<Digest>,
}

/// The tag of a reference that names neither tag nor digest.
const LATEST: &str = "latest";

impl Reference {
    /// Reads a reference as container runtimes do. Without a host it is on Docker Hub, and without
    /// tag and digest it is `latest`. Nothing for what is not a reference, such as a bare digest.
    pub fn read(text: &str) -> Option<Self> {
        let text = text.strip_prefix("docker-pullable://").unwrap_or(text);
        if text.starts_with("sha256:") {
            return None;
        }
        let mut parts = Parts::new(text);
        if parts.tag.is_none() && parts.digest.is_none() {
            parts.tag = Some(LATEST);
        }
        let host = parts.host.map_or_else(|| Ok(Registry::docker_hub()), str::parse).ok()?;
        parts.at(host).ok()
    }

    /// Returns the repository with its registry's host.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }
}

/// A reference, taken apart and not yet checked.
struct Parts<'t> {
    host: Option<&'t str>,
    path: &'t str,
    tag: Option<&'t str>,
    digest: Option<&'t str>,
}

impl<'t> Parts<'t> {
    fn new(text: &'t str) -> Self {
        let (name, digest) = text.split_once('@').map_or((text, None), |(name, digest)| (name, Some(digest)));
        let (name, tag) = match name.rsplit_once(':') {
            // Before a slash it is a port.
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (name, None),
        };
        let (host, path) = match name.split_once('/') {
            Some((host, path)) if host.parse::<Registry>().is_ok() => (Some(host), path),
            _ => (None, name),
        };
        Self { host, path, tag, digest }
    }

    /// Checks the parts. On Docker Hub, a repository without a namespace is in `library`.
    fn at(self, registry: Registry) -> Result<Reference, InvalidWord> {
        let repository = if registry.is_docker_hub() && !self.path.contains('/') {
            format!("library/{}", self.path).parse()
        } else {
            self.path.parse()
        };
        Ok(Reference {
            registry,
            repository: repository?,
            tag: self.tag.map(str::parse).transpose()?,
            digest: self.digest.map(str::parse).transpose()?,
        })
    }
}

impl FromStr for Reference {
    type Err = InvalidWord;

    /// Reads a reference that leaves nothing out: it has its registry's host, and a tag or a
    /// digest.
    fn from_str(text: &str) -> Result<Self, InvalidWord> {
        let invalid = || InvalidWord::new(text, "a reference (registry.host/repository:tag or @digest)");
        let parts = Parts::new(text);
        if parts.tag.is_none() && parts.digest.is_none() {
            return Err(invalid());
        }
        let host = parts.host.ok_or_else(invalid)?.parse()?;
        parts.at(host)
    }
}

impl TryFrom<String> for Reference {
    type Error = InvalidWord;

    fn try_from(text: String) -> Result<Self, InvalidWord> {
        text.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        Reference::read(text).map(|reference| reference.to_string())
    }

    #[test]
    fn references_are_read_as_runtimes_read_them() {
        for (written, meant) in [
            ("nginx", "docker.io/library/nginx:latest"),
            ("grafana/grafana:11.0", "docker.io/grafana/grafana:11.0"),
            ("docker.io/nginx:1", "docker.io/library/nginx:1"),
            ("index.docker.io/library/nginx:1", "docker.io/library/nginx:1"),
            ("localhost:5000/x", "localhost:5000/x:latest"),
            (
                "111122223333.dkr-ecr.us-east-1.on.aws/apps/web",
                "111122223333.dkr.ecr.us-east-1.amazonaws.com/apps/web:latest",
            ),
        ] {
            assert_eq!(read(written).as_deref(), Some(meant));
        }
        let pinned = format!("public.ecr.aws/a/b:1@sha256:{}", "ab".repeat(32));
        assert_eq!(read(&pinned).as_ref(), Some(&pinned));
        assert_eq!(read(&format!("docker-pullable://{pinned}")), Some(pinned));
        for no_reference in ["", "sha256:abc", "docker://sha256:abc", "a@sha256:short", "quay.io/Team/os:1"] {
            assert_eq!(read(no_reference), None, "{no_reference}");
        }
    }

    #[test]
    fn references_need_their_registry_host() {
        let reference: Reference = "public.ecr.aws/amazonlinux/amazonlinux:2023".parse().unwrap();
        assert_eq!(reference.repository.as_str(), "amazonlinux/amazonlinux");
        assert_eq!(reference.to_string(), "public.ecr.aws/amazonlinux/amazonlinux:2023");
        assert!("localhost:5000/x:1".parse::<Reference>().is_ok());
        for bad in ["node:22", "library/node:22", "public.ecr.aws/x"] {
            assert!(bad.parse::<Reference>().is_err(), "{bad}");
        }
    }
}
