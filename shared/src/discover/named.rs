//! How documents name images.

use crate::image::{Digest, Reference};

/// What a document names: an image by its digest, by its reference, or by both.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Named {
    pub(super) reference: Option<Reference>,
    pub(super) digest: Option<Digest>,
}

impl Named {
    /// Reads the values of `base.name` and `base.digest`; nothing if both are empty. A name without
    /// a host counts only by its digest: nothing says whether Docker Hub is meant.
    pub(super) fn of_annotation(name: &str, digest: &str) -> Option<Self> {
        let reference: Option<Reference> = with_host(name);
        let digest: Option<Digest> = digest.parse().ok();
        let digest = digest.or_else(|| reference.as_ref().and_then(|reference| reference.digest.clone()));
        (reference.is_some() || digest.is_some()).then_some(Self { reference, digest })
    }

    /// Reads a reference as a builder writes it: what has no host is on Docker Hub.
    pub(super) fn of_reference(text: &str) -> Option<Self> {
        let reference = Reference::read(text)?;
        Some(Self { digest: reference.digest.clone(), reference: Some(reference) })
    }

    /// Reads an image's package URL, such as `pkg:docker/alpine@3.17?platform=linux%2Famd64`. For
    /// packages of other kinds nothing.
    /// <https://github.com/package-url/purl-spec/blob/main/types/docker-definition.md>
    pub(super) fn of_purl(text: &str) -> Option<Self> {
        let (path, qualifiers) = text.split_once('?').unwrap_or((text, ""));
        let (kind, path) = path.strip_prefix("pkg:")?.split_once('/')?;
        let (name, version) = match path.rsplit_once('@') {
            Some((name, version)) => (decode(name), decode(version)),
            None => (decode(path), String::new()),
        };
        let qualifier = |key: &str| {
            let pairs = qualifiers.split('&').filter_map(|pair| pair.split_once('='));
            pairs.filter(|(name, _)| *name == key).map(|(_, value)| decode(value)).next()
        };
        let name = match kind {
            "docker" => name,
            "oci" => qualifier("repository_url").unwrap_or(name),
            _ => return None,
        };
        let tag = if kind == "oci" { qualifier("tag") } else { None };
        let reference = match (version.as_str(), tag) {
            ("", None) => name,
            (digest, None) if digest.starts_with("sha256:") => format!("{name}@{digest}"),
            (digest, Some(tag)) if digest.starts_with("sha256:") => format!("{name}:{tag}@{digest}"),
            (_, Some(tag)) => format!("{name}:{tag}"),
            (version, None) => format!("{name}:{version}"),
        };
        Self::of_reference(&reference)
    }

    /// Says it for people.
    pub(super) fn words(&self) -> String {
        match (&self.reference, &self.digest) {
            (Some(reference), Some(digest)) if reference.digest.is_none() => {
                format!("{reference}@{}", digest.short())
            }
            (Some(reference), _) => without_digest(reference),
            (None, Some(digest)) => digest.short().to_owned(),
            (None, None) => String::new(),
        }
    }
}

/// Writes a reference with its tag, or with its digest if it has no tag.
pub(super) fn without_digest(reference: &Reference) -> String {
    match &reference.tag {
        Some(tag) => format!("{}:{tag}", reference.name()),
        None => reference.to_string(),
    }
}

/// Reads a reference that has its registry's host.
pub(super) fn with_host(text: &str) -> Option<Reference> {
    let first = text.split('/').next().filter(|_| text.contains('/'))?;
    first.parse::<crate::image::Registry>().ok()?;
    Reference::read(text)
}

/// Replaces `%2F` and the like.
pub(super) fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = if *first == b'%' { after.get(..2).and_then(hex) } else { None };
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_urls_name_images_and_nothing_else() {
        let read = |text: &str| Named::of_purl(text).map(|named| named.words());
        for (purl, means) in [
            ("pkg:docker/alpine@3.17?platform=linux%2Famd64", "docker.io/library/alpine:3.17"),
            ("pkg:docker/grafana/grafana@11.0", "docker.io/grafana/grafana:11.0"),
            ("pkg:docker/localhost%3A5000/team/os@1?platform=linux%2Farm64", "localhost:5000/team/os:1"),
            ("pkg:docker/public.ecr.aws/a/b@2", "public.ecr.aws/a/b:2"),
        ] {
            assert_eq!(read(purl).as_deref(), Some(means), "{purl}");
        }
        let hex = "ab".repeat(32);
        let oci = format!("pkg:oci/os@sha256%3A{hex}?repository_url=ghcr.io%2Fteam%2Fos&tag=9");
        let named = Named::of_purl(&oci).unwrap();
        assert_eq!(named.reference.unwrap().to_string(), format!("ghcr.io/team/os:9@sha256:{hex}"));
        assert!(named.digest.is_some());
        for none in ["pkg:github/team/os@1", "https://git.example/x", "", "pkg:docker/", "pkg:docker/%"] {
            assert_eq!(Named::of_purl(none), None, "{none}");
        }
    }

    #[test]
    fn empty_annotations_are_none_and_a_name_without_a_host_is_not_docker_hub() {
        assert_eq!(Named::of_annotation("", ""), None);
        assert_eq!(Named::of_annotation("base/os:1", ""), None);
        let digest = format!("sha256:{}", "ab".repeat(32));
        let named = Named::of_annotation("base/os:1", &digest).unwrap();
        assert_eq!((named.reference, named.digest.unwrap().as_str()), (None, digest.as_str()));
    }
}
