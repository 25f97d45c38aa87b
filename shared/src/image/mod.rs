//! The names of the OCI specifications as types: each is checked when it is parsed.
//!
//! Grammar: <https://github.com/opencontainers/distribution-spec/blob/main/spec.md> (repository,
//! tag) and <https://github.com/opencontainers/image-spec/blob/main/descriptor.md> (digest).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

mod family;
mod partition;
mod reference;
mod registry;
mod reserved;

pub use family::{Order, TagFamily};
pub use partition::Partition;
pub use reference::Reference;
pub use registry::{EcrRegistry, Registry};
pub use reserved::{GONE, KEEP, gone_tag, is_reserved, keep_tag};

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
/// is for JSON Schema. Copies share the text, because facts repeat the same few names. A last
/// function gives several spellings of one name the same text.
macro_rules! word {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $pattern:literal, $valid:expr) => {
        word!($(#[$doc])* $name, $expected, $pattern, $valid, |text| std::borrow::Cow::Borrowed(text));
    };
    ($(#[$doc:meta])* $name:ident, $expected:literal, $pattern:literal, $valid:expr, $canonical:expr) => {
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
                let canonical: fn(&str) -> std::borrow::Cow<'_, str> = $canonical;
                let valid: fn(&str) -> bool = $valid;
                let name = canonical(text);
                if valid(&name) {
                    Ok(Self(name.as_ref().into()))
                } else {
                    Err(InvalidWord::new(text, $expected))
                }
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
use word;

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
    /// A repository's name, such as `platform/node`; at most 256 characters. A repository that is
    /// not in the home registry has the host of its ECR registry before its name.
    Repository,
    "a repository name (lower-case words joined by / . _ or -, at most 256 characters)",
    "^[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*)*$",
    |text| {
        let (_, name) = registry::split(text);
        name.len() <= 256 && name.split('/').all(is_path_component)
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

/// Returns whether a text may stand between the slashes of a repository's name: words with one of
/// `.`, `_`, `__` or any number of `-` between them.
fn is_path_component(part: &str) -> bool {
    let in_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let separates = |text: &str| matches!(text, "" | "." | "_" | "__") || text.bytes().all(|b| b == b'-');
    part.starts_with(in_word) && part.ends_with(in_word) && part.split(in_word).all(separates)
}

impl Repository {
    /// Returns the repository of this name in another registry than the home.
    #[must_use]
    pub fn at(&self, registry: &EcrRegistry) -> Self {
        Self(format!("{registry}/{}", self.name()).into())
    }

    /// Returns the registry, unless it is the home registry, and the name there.
    pub fn split(&self) -> (Option<EcrRegistry>, &str) {
        registry::split(self.as_str())
    }

    /// Returns the name in its registry.
    pub fn name(&self) -> &str {
        self.split().1
    }
}

/// Computes the digest of what arrives in parts.
#[derive(Debug, Clone, Default)]
pub struct Hashing(Sha256);

impl Hashing {
    /// Adds the next part.
    pub fn add(&mut self, part: &[u8]) {
        self.0.update(part);
    }

    /// Returns the digest of all parts.
    pub fn digest(self) -> Digest {
        let mut digest = String::with_capacity(71);
        digest.push_str("sha256:");
        for byte in self.0.finalize() {
            let digits = [byte >> 4, byte & 15];
            digest.extend(digits.map(|digit| char::from_digit(digit.into(), 16).unwrap_or_default()));
        }
        Digest(digest.into())
    }
}

impl Digest {
    /// Returns the digest of a document: of its bytes by SHA-256.
    /// <https://github.com/opencontainers/image-spec/blob/main/descriptor.md#digests>
    pub fn of(document: &[u8]) -> Self {
        let mut hashing = Hashing::default();
        hashing.add(document);
        hashing.digest()
    }

    /// Returns the hexadecimal digits.
    pub fn hex(&self) -> &str {
        self.0.split_once(':').map_or(&self.0, |(_, hex)| hex)
    }

    /// Returns the first twelve hexadecimal digits, as people write digests.
    pub fn short(&self) -> &str {
        self.0.get(7..19).unwrap_or(&self.0)
    }
}

impl Platform {
    /// The platform of a single manifest, which does not name one.
    pub const UNNAMED: &'static str = "unknown/single";

    /// Returns the operating system, such as `windows`.
    pub fn os(&self) -> &str {
        self.as_str().split('/').next().unwrap_or_default()
    }

    /// Returns the architecture, such as `arm64`. Where an index has several entries of one
    /// platform, a number tells them apart, which is no part of it.
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
pub fn glob(pattern: &str, text: &str) -> bool {
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
        assert!("team__x/os--a.b".parse::<Repository>().is_ok());
        for bad in ["team..x/os", "team___x/os", "team.-x/os", "-os", "os_"] {
            assert!(bad.parse::<Repository>().is_err(), "{bad}");
        }
        assert!("-rc".parse::<Tag>().is_err());
        assert!("linux/arm64/v8".parse::<Platform>().is_ok());
        assert!("linux".parse::<Platform>().is_err());
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
}
