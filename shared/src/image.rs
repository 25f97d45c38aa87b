//! The names of the OCI specifications as types: each is checked when it is parsed.
//!
//! Grammar: <https://github.com/opencontainers/distribution-spec/blob/main/spec.md> (repository,
//! tag) and <https://github.com/opencontainers/image-spec/blob/main/descriptor.md> (digest).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A text that is not a valid name of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not {expected}")]
pub struct InvalidWord {
    found: String,
    expected: &'static str,
}

impl InvalidWord {
    pub(crate) fn new(found: &str, expected: &'static str) -> Self {
        // Text from outside appears in messages and logs, so it is cut.
        Self { found: found.chars().take(200).collect(), expected }
    }
}

/// Declares a string type that is checked when it is parsed and written as plain text. Its pattern
/// is for JSON Schema. Copies share the text, because facts repeat the same few names.
macro_rules! word {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $pattern:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(with = "String", extend("pattern" = $pattern))]
        pub struct $name(Arc<str>);

        impl $name {
            /// Returns the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidWord;

            fn from_str(text: &str) -> Result<Self, InvalidWord> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) { Ok(Self(text.into())) } else { Err(InvalidWord::new(text, $expected)) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidWord;

            fn try_from(text: String) -> Result<Self, InvalidWord> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(word: $name) -> Self {
                word.as_str().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

word!(
    /// A content digest: `sha256:` and 64 lower-case hexadecimal digits. ECR stores no other
    /// algorithm.
    Digest,
    "a digest (sha256: and 64 lower-case hexadecimal digits)",
    "^sha256:[0-9a-f]{64}$",
    |text| text.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
);

word!(
    /// A repository's name without its registry, such as `platform/node`; at most 256 characters.
    Repository,
    "a repository name (lower-case words joined by / . _ or -, at most 256 characters)",
    "^[a-z0-9]([a-z0-9._-]*[a-z0-9])?(/[a-z0-9]([a-z0-9._-]*[a-z0-9])?)*$",
    |text| {
        text.len() <= 256
            && text.split('/').all(|part| {
                let ends = |c: Option<u8>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
                ends(part.bytes().next())
                    && ends(part.bytes().last())
                    && part
                        .bytes()
                        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-'))
            })
    }
);

word!(
    /// A tag; at most 128 characters.
    Tag,
    "a tag (letters, digits, _ . -, not starting with . or -, at most 128 characters)",
    "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$",
    |text| {
        (1..=128).contains(&text.len())
            && !text.starts_with(['.', '-'])
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
    }
);

word!(
    /// A registry's host, such as `public.ecr.aws` or `localhost:5000`.
    ///
    /// A host has a dot or a port, or is `localhost`. The reference grammar distinguishes it from a
    /// path by that.
    Registry,
    "a registry host (a name with a dot or a port)",
    "^(localhost|[A-Za-z0-9][A-Za-z0-9.:-]*[.:][A-Za-z0-9.:-]*)$",
    |text| {
        (text.contains(['.', ':']) || text == "localhost")
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':'))
            && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
    }
);

word!(
    /// The name of an image in the hierarchy, such as `platform/node:22`. It is unique in its file.
    ImageId,
    "an image id (1 to 385 characters, no spaces)",
    "^[!-~]{1,385}$",
    |text| (1..=385).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
);

word!(
    /// A platform: `linux/amd64`, `linux/arm/v7`. As in containerd, a variant that every machine of
    /// the architecture has is left out: `linux/arm64`, not `linux/arm64/v8`.
    Platform,
    "a platform (os/architecture or os/architecture/variant)",
    "^[!-.0-~]+(/[!-.0-~]+){1,2}$",
    |text| {
        (2..=3).contains(&text.split('/').count())
            && text.split('/').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_graphic()))
    }
);

word!(
    /// A tag pattern, in which `*` matches any characters, such as `main-*`.
    TagPattern,
    "a tag pattern (a tag with at least one *)",
    "^([A-Za-z0-9_][A-Za-z0-9_.-]*)?\\*[A-Za-z0-9_.*-]*$",
    |text| {
        text.contains('*')
            // No tag starts with these, so such a pattern matches nothing.
            && !text.starts_with(['.', '-'])
            && text.len() <= 128
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'*'))
    }
);

word!(
    /// The host of a private ECR registry, such as `111122223333.dkr.ecr.us-east-1.amazonaws.com`.
    ///
    /// Format: <https://docs.aws.amazon.com/AmazonECR/latest/userguide/Registries.html>. In the
    /// other partitions only the domain differs.
    EcrRegistry,
    "an ECR registry (<12-digit account>.dkr.ecr.<region>.amazonaws.com)",
    "^[0-9]{12}\\.dkr\\.ecr\\.[a-z0-9-]+\\.[a-z0-9.-]+$",
    |text| {
        let mut parts = text.splitn(5, '.');
        let mut next = || parts.next().unwrap_or_default();
        let (account, dkr, ecr, region, domain) = (next(), next(), next(), next(), next());
        account.len() == 12
            && account.bytes().all(|b| b.is_ascii_digit())
            && (dkr, ecr) == ("dkr", "ecr")
            && !region.is_empty()
            && region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && ECR_DOMAINS.contains(&domain)
    }
);

/// The domains of the AWS partitions that have ECR: commercial and GovCloud, China, Europe, and the
/// isolated ones.
const ECR_DOMAINS: [&str; 7] = [
    "amazonaws.com",
    "amazonaws.com.cn",
    "amazonaws.eu",
    "c2s.ic.gov",
    "sc2s.sgov.gov",
    "cloud.adc-e.uk",
    "csp.hci.ic.gov",
];

impl EcrRegistry {
    /// Returns the host, as image references write it.
    pub fn host(&self) -> &str {
        self.as_str()
    }

    /// Returns the account that owns the registry.
    pub fn account(&self) -> &str {
        self.part(0)
    }

    /// Returns the registry's region.
    pub fn region(&self) -> &str {
        self.part(3)
    }

    fn part(&self, index: usize) -> &str {
        self.0.split('.').nth(index).unwrap_or_default()
    }
}

impl Digest {
    /// Returns the first twelve hexadecimal digits, as people write digests.
    pub fn short(&self) -> &str {
        self.0.get(7..19).unwrap_or(&self.0)
    }
}

impl Platform {
    /// The platform of a single manifest, which does not name one.
    pub const UNNAMED: &'static str = "unknown/single";

    /// Returns the architecture, such as `arm64`. Where an index has several entries of one platform,
    /// a number tells them apart, which is no part of it.
    pub fn architecture(&self) -> &str {
        let part = self.as_str().split('/').nth(1).unwrap_or_default();
        part.split('#').next().unwrap_or_default()
    }

    /// Returns whether an index marks a manifest with this platform as an attestation. Only the
    /// manifest itself shows whether it is one.
    pub fn is_marked_as_attestation(&self) -> bool {
        self.as_str().starts_with("unknown/unknown")
    }

    /// Returns whether this stands for the platform of a single manifest, which does not name one.
    pub fn is_unnamed(&self) -> bool {
        self.as_str() == Self::UNNAMED
    }
}

impl TagPattern {
    /// Returns whether the whole of `tag` matches.
    pub fn matches(&self, tag: &Tag) -> bool {
        glob(&self.0, tag.as_str())
    }
}

/// Returns whether all of `text` matches `pattern`, in which `*` matches any characters.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let tail = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = text.find(part) else { return false };
        text = &text[at + part.len()..];
    }
    text.ends_with(tail)
}

/// A reference to an image of another registry: host, repository, and a tag or a digest or both.
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

impl FromStr for Reference {
    type Err = InvalidWord;

    fn from_str(text: &str) -> Result<Self, InvalidWord> {
        let invalid = || InvalidWord::new(text, "a reference (registry.host/repository:tag or @digest)");
        let (host, rest) = text.split_once('/').ok_or_else(invalid)?;
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse()?)),
            None => (rest, None),
        };
        let (repository, tag) = match rest.rsplit_once(':') {
            Some((repository, tag)) => (repository, Some(tag.parse()?)),
            None => (rest, None),
        };
        if tag.is_none() && digest.is_none() {
            return Err(invalid());
        }
        Ok(Self {
            registry: host.parse().map_err(|_| invalid())?,
            repository: repository.parse()?,
            tag,
            digest,
        })
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

/// Returns whether a manifest of this media type is a list of manifests: Docker's manifest list or
/// an OCI image index. <https://github.com/opencontainers/image-spec/blob/main/image-index.md>
pub fn is_index(media_type: &str) -> bool {
    media_type.contains("manifest.list") || media_type.contains("image.index")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_checked_once_and_for_all() {
        let hex = "0123456789abcdef".repeat(4);
        assert!(format!("sha256:{hex}").parse::<Digest>().is_ok());
        for bad in [format!("sha256:{}", hex.to_uppercase()), format!("sha512:{hex}"), "sha256:12".into()] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
        assert!("platform/node".parse::<Repository>().is_ok());
        assert!("Platform/node".parse::<Repository>().is_err());
        assert!("platform//node".parse::<Repository>().is_err());
        assert!("-rc".parse::<Tag>().is_err());
        assert!("linux/arm64/v8".parse::<Platform>().is_ok());
        assert!("linux".parse::<Platform>().is_err());
    }

    #[test]
    fn registries_are_those_of_ecr() {
        let registry: EcrRegistry = "111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn".parse().unwrap();
        assert_eq!((registry.account(), registry.region()), ("111122223333", "cn-north-1"));
        for bad in [
            "public.ecr.aws",
            "11112222333.dkr.ecr.us-east-1.amazonaws.com",
            "111122223333.dkr.ecr..amazonaws.com",
            "111122223333.dkr.ecr.us-east-1.amazonaws.com.example",
            "111122223333.dkr.ecr.us-east-1.amazonaws.com/team",
        ] {
            assert!(bad.parse::<EcrRegistry>().is_err(), "{bad}");
        }
    }

    #[test]
    fn patterns_match_whole_tags() {
        let check =
            |pattern: &str, tag: &str| pattern.parse::<TagPattern>().unwrap().matches(&tag.parse().unwrap());
        assert!(check("main-*", "main-abc"));
        assert!(!check("main-*", "not-main-abc"));
        assert!(check("*-alpine", "3.12-alpine"));
        assert!(!check("*-alpine", "3.12-alpine3"));
        assert!(check("v*.*", "v1.2"));
        assert!(!check("v*.*", "v12"));
        assert!(!check("a*a", "a"), "head and tail may not share a character");
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
