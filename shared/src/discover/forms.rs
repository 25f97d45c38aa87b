//! The forms of tags: versions, and names of one version alone.

use std::collections::{BTreeMap, BTreeSet};

use super::Version;
use crate::image::Tag;

/// A tag with a version in it: `v1.2.3-alpine` has the parts 1, 2 and 3.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Dotted<'t> {
    pub(super) prefix: &'t str,
    pub(super) parts: Vec<&'t str>,
    pub(super) suffix: &'t str,
}

impl<'t> Dotted<'t> {
    /// Reads a tag; nothing if no version is in it.
    pub(super) fn of(tag: &'t str) -> Option<Self> {
        let prefix = usize::from(tag.starts_with(['v', 'V']));
        let (prefix, rest) = tag.split_at(prefix);
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (core, suffix) = rest.split_at(end);
        let parts: Vec<&str> = core.split('.').collect();
        let is_whole = parts.iter().all(|part| !part.is_empty());
        (is_whole && (suffix.is_empty() || suffix.starts_with(['-', '_']))).then_some(Self {
            prefix,
            parts,
            suffix,
        })
    }

    /// Returns whether this is the same family with fewer parts: `14` is above `14.9`.
    pub(super) fn is_above(&self, other: &Self) -> bool {
        self.prefix == other.prefix
            && self.suffix == other.suffix
            && self.parts.len() < other.parts.len()
            && other.parts.starts_with(&self.parts)
    }

    /// Returns whether this and `other` are of one family.
    pub(super) fn is_beside(&self, other: &Self) -> bool {
        self == other || self.is_above(other)
    }
}

/// Returns whether a tag is `head`, or a longer version of its family.
pub(super) fn is_beside(head: &Tag, tag: &Tag) -> bool {
    let dotted = Dotted::of(head.as_str()).zip(Dotted::of(tag.as_str()));
    dotted.is_some_and(|(head, tag)| head.is_beside(&tag))
}

/// Finds the words that stand before the numbers of several builds: `build-` of `build-12`. One
/// such tag alone may be a version: `alpine-3`.
pub(super) fn numbered(versions: &[Version]) -> BTreeSet<&str> {
    let mut of: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for (at, version) in versions.iter().enumerate() {
        for head in version.tags.iter().filter_map(|tag| numbered_head(tag.as_str())) {
            of.entry(head).or_default().insert(at);
        }
    }
    of.into_iter().filter(|(_, versions)| versions.len() > 1).map(|(head, _)| head).collect()
}

fn numbered_head(tag: &str) -> Option<&str> {
    let (head, number) = tag.rsplit_once('-')?;
    let is_word =
        head.starts_with(|c: char| c.is_ascii_alphabetic()) && !head.contains(|c: char| c.is_ascii_digit());
    let is_number = (1..8).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
    (is_word && is_number).then(|| &tag[..=head.len()])
}

/// What stands before and after the part of a tag that names one version alone.
pub(super) type Around = (String, String);

/// Finds what is around the part of a tag that names one version alone. Nothing for other tags.
pub(super) fn around<'t>(tag: &'t str, numbered: &BTreeSet<&str>) -> Option<(&'t str, &'t str)> {
    unique(tag).or_else(|| numbered_head(tag).filter(|head| numbered.contains(head)).map(|head| (head, "")))
}

/// Finds a commit or a day in a tag. Nothing for other tags.
fn unique(tag: &str) -> Option<(&str, &str)> {
    let mut start = 0;
    for part in tag.split(['-', '_', '.']) {
        if is_unique(part) {
            return Some((&tag[..start], &tag[start + part.len()..]));
        }
        start += part.len() + 1;
    }
    None
}

/// A commit of at least seven digits, or a day with or without the time.
fn is_unique(part: &str) -> bool {
    let hex = part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let digits = part.bytes().filter(u8::is_ascii_digit).count();
    let is_commit = hex && (7..=64).contains(&part.len()) && (digits > 0 && digits < part.len());
    let is_day = digits == part.len() && (8..=17).contains(&digits);
    is_commit || is_day
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_days_and_numbers_are_told_from_versions() {
        for (tag, head) in [
            ("main-3f2a1bc", Some("main-")),
            ("3f2a1bc", Some("")),
            ("deadbeef", None),
            ("1.2.3", None),
            ("build-12", None),
            ("20261101", Some("")),
            ("3.13-slim", None),
            ("alpine-3", None),
            ("bookworm", None),
        ] {
            assert_eq!(unique(tag).map(|(head, _)| head), head, "{tag}");
        }
    }
}
