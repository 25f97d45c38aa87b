//! Upstream images: tags of other registries that images of the hierarchy are built on.
//!
//! Patchwave asks a registry for the digest that a tag names, and after a change for the index of
//! that digest. It never lists tags. What it saw is kept in the table, so that a change is known as
//! a change. A registry that does not answer leaves everything as it was.

mod evidence;
mod host;
mod mirror;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use evidence::lacks;
pub use host::Host;
pub use mirror::{Lagging, Mirrored, Place, all_silent, mirrored, silent};

use crate::image::{Digest, ImageId, Platform};
use crate::time::{Span, Timestamp};
use crate::unread::Unread;

/// How often a registry is asked about a tag.
const INTERVAL: Span = Span::hours(1);
/// How often after a change: upstream pushes one platform after the other, and some push again.
const AFTER_CHANGE: Span = Span::minutes(5);
/// How often where only a person can make it readable.
const DENIED: Span = Span::hours(6);
/// How long a failure to read is no news: hourly reads fail now and then.
const PATIENCE: Span = Span::hours(3);
/// Most contents of a tag that are kept. Builds are on the last ones.
const MOST_CONTENTS: usize = 5;
/// Most digests of one content that are kept: each new attestation makes one.
const MOST_DIGESTS: usize = 10;

/// What a tag of an upstream registry named, as far as Patchwave saw it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tracked {
    /// The oldest first, the current one last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub contents: Vec<Content>,
    /// When the registry was last asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_at: Option<Timestamp>,
    /// Since when the registry answers that there is no such tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub absent_since: Option<Timestamp>,
    /// Why it could not be read the last time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread: Option<NotRead>,
    /// Whether the images that are built on it were not planned yet since it changed.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub unplanned: bool,
}

/// What a tag named for some time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Content {
    /// The digests under which the tag named it. The digest of an index changes with every
    /// attestation.
    pub digests: Vec<Digest>,
    /// The platform manifests, without attestations.
    pub platforms: BTreeMap<Platform, Digest>,
    /// When Patchwave first saw it.
    pub since: Timestamp,
    /// When it was built, from `org.opencontainers.image.created`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub built_at: Option<Timestamp>,
}

/// Why a tag could not be read, and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotRead {
    #[serde(flatten)]
    pub why: Unread,
    pub since: Timestamp,
}

/// What a manifest of an upstream registry describes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Described {
    /// The platform manifests, without attestations.
    pub platforms: BTreeMap<Platform, Digest>,
    /// When it was built, if it says so.
    pub built_at: Option<Timestamp>,
}

/// What a pull-through cache answers for a tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Cached {
    /// It holds this one.
    Holds {
        digest: Digest,
        /// When it may last have compared it with upstream: its last pull or push.
        synced_at: Timestamp,
    },
    /// It holds none, so the next pull brings the newest.
    Absent,
    /// It could not be read.
    Unread(Unread),
}

/// How long a cache serves what it has before it asks upstream again, at the next pull.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/pull-through-cache.html>
pub const CACHE_AGE: Span = Span::hours(24);

impl Content {
    /// Returns whether `digest` is one of its own or that of one of its platform manifests.
    pub fn is_named_by(&self, digest: &Digest) -> bool {
        self.digests.contains(digest) || self.platforms.values().any(|platform| platform == digest)
    }

    /// Returns the manifest of a platform. A single manifest does not name its platform.
    pub fn on(&self, platform: &Platform) -> Option<&Digest> {
        self.platforms.get(platform).or_else(|| {
            let (only, digest) = self.platforms.first_key_value()?;
            (self.platforms.len() == 1 && only.is_unnamed()).then_some(digest)
        })
    }

    /// Returns whether both are the same on the platforms that a child uses. If they share none
    /// with the child, all of them count: a single manifest does not name its platform.
    pub fn same_for<'p>(&self, other: &Self, used: impl Iterator<Item = &'p Platform>) -> bool {
        let has = |platform: &&Platform| [self, other].iter().any(|of| of.platforms.contains_key(platform));
        let mut shared = used.filter(has).peekable();
        if shared.peek().is_none() {
            return self.platforms.values().eq(other.platforms.values());
        }
        shared.all(|platform| self.platforms.get(platform) == other.platforms.get(platform))
    }
}

impl Tracked {
    /// Returns what the tag names, as far as is known.
    pub fn current(&self) -> Option<&Content> {
        self.contents.last().filter(|_| self.absent_since.is_none())
    }

    /// Returns the content of a digest that the tag named, the last one first.
    pub fn named_by(&self, digest: &Digest) -> Option<&Content> {
        self.contents.iter().rev().find(|content| content.is_named_by(digest))
    }

    /// Returns what the tag named at `at`. Before Patchwave first read it, that is the first that
    /// it saw.
    pub fn at(&self, at: Timestamp) -> Option<&Content> {
        self.contents.iter().rev().find(|content| content.since <= at).or(self.contents.first())
    }

    /// Returns since when the tag has not moved.
    pub fn still_since(&self) -> Option<Timestamp> {
        let current = self.current()?;
        Some(current.built_at.map_or(current.since, |built| built.min(current.since)))
    }

    /// Returns since when, and why, it could not be read for so long that people should know.
    pub fn unread_for_long(&self, now: Timestamp) -> Option<&NotRead> {
        self.unread.as_ref().filter(|unread| unread.why.needs_person || PATIENCE.after(unread.since) <= now)
    }

    /// Returns whether the registry is asked at `now`. Each tag has its own minute of the hour, so
    /// that not all are asked at once.
    pub fn is_due(&self, tag: &ImageId, now: Timestamp) -> bool {
        let Some(asked_at) = self.asked_at else { return true };
        if self.unread.as_ref().is_some_and(|unread| unread.why.needs_person) {
            return DENIED.after(asked_at) <= now;
        }
        let moved =
            self.contents.len() > 1 && self.current().is_some_and(|now| INTERVAL.after(now.since) > asked_at);
        let at = if moved { AFTER_CHANGE.after(asked_at) } else { next_minute(tag, asked_at) };
        at <= now
    }

    /// Takes note that the tag names `digest`. Returns whether its content is known; if not, it
    /// must be described.
    pub fn saw(&mut self, digest: &Digest, now: Timestamp) -> bool {
        let known = self.contents.iter().rev().find(|content| content.digests.contains(digest)).cloned();
        let Some(known) = known else { return false };
        self.read(now);
        self.put(Content { since: now, ..known });
        true
    }

    /// Takes note of what a digest that the tag names describes.
    pub fn describe(&mut self, digest: Digest, described: Described, now: Timestamp) {
        self.read(now);
        let Described { platforms, built_at } = described;
        self.put(Content { digests: vec![digest], platforms, since: now, built_at });
    }

    /// Takes note that the registry has no such tag.
    pub fn is_gone(&mut self, now: Timestamp) {
        (self.asked_at, self.unread) = (Some(now), None);
        self.absent_since.get_or_insert(now);
    }

    /// Takes note that the tag could not be read. Nothing else changes.
    pub fn not_read(&mut self, why: Unread, now: Timestamp) {
        self.asked_at = Some(now);
        let since = self.unread.as_ref().map_or(now, |unread| unread.since);
        self.unread = Some(NotRead { why, since });
    }

    fn read(&mut self, now: Timestamp) {
        (self.asked_at, self.absent_since, self.unread) = (Some(now), None, None);
    }

    /// Adds what the tag names now. The same content is no change, whatever its digest.
    fn put(&mut self, content: Content) {
        if let Some(current) = self.contents.last_mut()
            && current.platforms == content.platforms
        {
            for digest in content.digests {
                if !current.digests.contains(&digest) {
                    current.digests.push(digest);
                }
            }
            let surplus = current.digests.len().saturating_sub(MOST_DIGESTS);
            current.digests.drain(..surplus);
            return;
        }
        self.unplanned = !self.contents.is_empty();
        self.contents.push(content);
        let surplus = self.contents.len().saturating_sub(MOST_CONTENTS);
        self.contents.drain(..surplus);
    }
}

/// Returns the tag's own minute of the hour that follows `asked_at`.
fn next_minute(tag: &ImageId, asked_at: Timestamp) -> Timestamp {
    let hash = Sha256::digest(tag.as_str().as_bytes());
    let number = hash.iter().take(4).fold(0_i64, |number, byte| number << 8 | i64::from(*byte));
    let hour = i64::from(INTERVAL.as_seconds());
    let own = number.rem_euclid(hour);
    let begun = (asked_at.as_second() - own).div_euclid(hour);
    Timestamp::from_second((begun + 1) * hour + own).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
