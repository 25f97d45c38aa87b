//! The tags of one line, and which of them comes last.

use std::fmt;

use semver::{BuildMetadata, Prerelease, Version};
use serde::{Deserialize, Serialize};

use super::{InvalidWord, Tag, TagPattern, is_reserved};

/// Which version of a family is the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Order {
    /// The one whose commit was pushed last.
    #[default]
    Pushed,
    /// The one whose tag is the highest version, as <https://semver.org> orders them.
    Version,
}

/// The tags of one line: those that match a pattern and none of the exceptions.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", from = "Written", into = "Written")]
pub struct TagFamily {
    pub pattern: TagPattern,
    /// Patterns of tags that belong to other families.
    pub except: Vec<TagPattern>,
    pub order: Order,
}

/// The short form is what earlier files and records have.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Short(TagPattern),
    Long {
        #[serde(rename = "match")]
        pattern: TagPattern,
        #[serde(default)]
        except: Vec<TagPattern>,
        #[serde(default)]
        order: Order,
    },
}

impl From<Written> for TagFamily {
    fn from(written: Written) -> Self {
        match written {
            Written::Short(pattern) => pattern.into(),
            Written::Long { pattern, except, order } => Self { pattern, except, order },
        }
    }
}

impl From<TagFamily> for Written {
    fn from(family: TagFamily) -> Self {
        let TagFamily { pattern, except, order } = family;
        if except.is_empty() && order == Order::Pushed {
            Self::Short(pattern)
        } else {
            Self::Long { pattern, except, order }
        }
    }
}

impl From<TagPattern> for TagFamily {
    fn from(pattern: TagPattern) -> Self {
        Self { pattern, except: Vec::new(), order: Order::Pushed }
    }
}

impl std::str::FromStr for TagFamily {
    type Err = InvalidWord;

    fn from_str(text: &str) -> Result<Self, InvalidWord> {
        text.parse::<TagPattern>().map(Self::from)
    }
}

/// A family without exceptions reads as its pattern: build keys hold this text.
impl fmt::Debug for TagFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.except.is_empty() && self.order == Order::Pushed {
            return self.pattern.fmt(f);
        }
        write!(f, "{:?} except {:?} by {:?}", self.pattern, self.except, self.order)
    }
}

impl fmt::Display for TagFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TagFamily {
    /// Returns the pattern's text.
    pub fn as_str(&self) -> &str {
        self.pattern.as_str()
    }

    /// Returns whether a tag belongs to the family. Those that Patchwave itself sets do not.
    pub fn matches(&self, tag: &Tag) -> bool {
        !is_reserved(tag)
            && self.pattern.matches(tag)
            && !self.except.iter().any(|except| except.matches(tag))
    }

    /// Returns whether an exception covers every tag of another pattern.
    pub fn excludes(&self, other: &TagPattern) -> bool {
        // A star of the other pattern can only be covered by a star.
        self.except.iter().any(|except| super::glob(except.as_str(), other.as_str()))
    }

    /// Returns the version that a tag names after the literal beginning of the pattern; nothing if
    /// the tag is not of the family or names none. `3.12` is `3.12.0`.
    pub fn version(&self, tag: &Tag) -> Option<Version> {
        if !self.matches(tag) {
            return None;
        }
        let head = self.pattern.as_str().split('*').next().unwrap_or_default();
        let head = head.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
        version(tag.as_str().strip_prefix(head)?)
    }
}

fn version(text: &str) -> Option<Version> {
    let core = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (core, rest) = text.split_at(core);
    let mut numbers = core.split('.').map(|number| number.parse::<u64>().ok());
    let mut next = || numbers.next().unwrap_or(Some(0));
    let (major, minor, patch) = (next()?, next()?, next()?);
    if numbers.next().is_some() {
        return None;
    }
    let pre = rest.strip_prefix('-').map_or_else(
        || rest.is_empty().then_some(Prerelease::EMPTY),
        |pre| Prerelease::new(&pre.replace('_', "-")).ok(),
    )?;
    Some(Version { major, minor, patch, pre, build: BuildMetadata::EMPTY })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_ordered_as_versions() {
        let family: TagFamily = "v*".parse().unwrap();
        let of = |tag: &str| family.version(&tag.parse().unwrap());
        let rising = ["v1.9.9", "v2", "v2.3.0-rc1", "v2.3", "v2.3.1", "v2.10.0", "v2024.01.05"];
        let versions: Vec<_> = rising.iter().map(|tag| of(tag).unwrap()).collect();
        assert!(versions.is_sorted(), "{versions:?}");
        for none in ["vnext", "v1.2.3.4", "v", "v1..2", "latest"] {
            assert_eq!(of(none), None, "{none}");
        }
        let bare: TagFamily = "3.*".parse().unwrap();
        assert_eq!(bare.version(&"3.12".parse().unwrap()).map(|v| (v.major, v.minor)), Some((3, 12)));
    }

    #[test]
    fn exceptions_keep_families_apart() {
        let family = TagFamily {
            except: vec!["*-alpine".parse().unwrap()],
            ..TagFamily::from("v*".parse::<TagPattern>().unwrap())
        };
        assert!(family.matches(&"v1.2.3".parse().unwrap()));
        assert!(!family.matches(&"v1.2.3-alpine".parse().unwrap()));
        assert!(family.excludes(&"v*-alpine".parse().unwrap()));
        assert!(!family.excludes(&"v*-al".parse().unwrap()));
        assert!(!family.excludes(&"v*".parse().unwrap()));
    }
}
