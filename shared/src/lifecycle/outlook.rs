//! Whether anything that a policy would act on is in use.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::images::{Image, Listing};
use super::judge::{Going, judge};
use super::policy::{Action, Policy};
use crate::image::{Digest, EcrRegistry, Tag};
use crate::inventory::{Answer, Named, PlaceRow, Row};
use crate::time::{Span, Timestamp};

/// From which age on what is known of a place says nothing any more: a sweep a day, and two hours for it to come to its end.
/// The stack's alarm waits as long.
pub const OUTDATED: Span = Span::hours(26);

/// Whether anything in use would go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// Nothing of what is in use.
    Safe,
    /// Something.
    InUse,
    /// Nobody knows.
    Unknown,
}

/// How an image is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum How {
    /// It runs, or lists what runs, or is listed by it.
    Runs,
    /// It would be run: by a schedule, or a service scaled to zero.
    WouldRun,
    /// It was pushed just before what runs: a roll-back would start it.
    RollBack,
}

/// A use of an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InUse {
    /// How.
    pub how: How,
    /// The workload, with its place.
    pub by: String,
}

/// An image that a policy would act on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Goes {
    /// The image.
    pub digest: Digest,
    /// Its tags.
    pub tags: BTreeSet<Tag>,
    /// When it was pushed.
    pub pushed_at: Timestamp,
    /// The priority of the rule that acts on it.
    pub rule: u32,
    /// What is done to it.
    pub action: Action,
    /// What uses it.
    pub in_use: BTreeSet<InUse>,
}

/// What a policy would do, and whether that hurts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outlook {
    /// Whether anything in use would go.
    pub verdict: Verdict,
    /// Every image that would go.
    pub going: Vec<Goes>,
    /// What is not known of what runs.
    pub unknown: Vec<String>,
}

/// Says what a policy would do to a repository at `now`, and which of it is in use by the inventory. That of a platform's
/// manifest goes with its index, the inventory knows; the registry does not say.
pub fn outlook(policy: &Policy, listing: &Listing, inventory: Option<&Answer>, now: Timestamp) -> Outlook {
    let mut listing = listing.clone();
    let rows = || inventory.into_iter().flat_map(rows);
    for row in rows() {
        if let (Some(index), Some(child)) = (row.entry.resolution.version(), &row.entry.digest) {
            listing.note(index, child);
        }
    }
    let going = judge(policy, &listing.images, now);
    let mut unknown = match inventory {
        Some(answer) => doubts(answer, now),
        None if going.is_empty() => Vec::new(),
        None => vec!["what runs is not known: name the inventory".to_owned()],
    };
    unknown.extend(
        rows()
            .filter(|row| listing.leaves_open(row))
            .map(|row| format!("{} uses {}, and it is not known which version", by(row), row.entry.asked)),
    );
    let uses = uses(&listing, rows());
    let goes = |(digest, Going { rule, action }): (Digest, Going)| {
        let Image { tags, pushed_at, .. } = listing.images.get(&digest)?.clone();
        let in_use = uses.get(&digest).cloned().unwrap_or_default();
        Some(Goes { digest, tags, pushed_at, rule, action, in_use })
    };
    let going: Vec<Goes> = going.into_iter().filter_map(goes).collect();
    let verdict = match () {
        () if going.iter().any(|goes| !goes.in_use.is_empty()) => Verdict::InUse,
        () if !unknown.is_empty() => Verdict::Unknown,
        () => Verdict::Safe,
    };
    Outlook { verdict, going, unknown }
}

fn rows(answer: &Answer) -> impl Iterator<Item = &Row> {
    answer.running.iter().chain(&answer.referenced)
}

fn by(row: &Row) -> String {
    format!("{} {}", row.entry.place.id(), row.entry.workload)
}

/// Returns why an inventory does not say everything.
fn doubts(answer: &Answer, now: Timestamp) -> Vec<String> {
    let mut doubts = Vec::new();
    if !answer.question.is_everything() {
        doubts
            .push("the inventory is of a part only: ask for it without --env, --image and --cve".to_owned());
    }
    if answer.places.is_empty() {
        doubts.push("the inventory looked nowhere".to_owned());
    }
    doubts.extend(answer.places.iter().filter_map(|place| doubt(place, now)));
    doubts
}

fn doubt(place: &PlaceRow, now: Timestamp) -> Option<String> {
    let age = place.read_at.map(|read| Span::between(read, now));
    match (&place.unread, age) {
        (Some(because), _) => Some(format!("{} was not read: {because}", place.id)),
        (None, None) => Some(format!("{} was never read", place.id)),
        (None, Some(age)) if age > OUTDATED => {
            Some(format!("{} was last read {} hours ago", place.id, age.as_seconds() / 3_600))
        }
        (None, Some(_)) => None,
    }
}

/// Returns what uses each image.
fn uses<'a>(listing: &Listing, rows: impl Iterator<Item = &'a Row>) -> BTreeMap<Digest, BTreeSet<InUse>> {
    let mut lists: BTreeMap<&Digest, Vec<&Digest>> = BTreeMap::new();
    for (list, image) in &listing.images {
        for child in &image.children {
            lists.entry(child).or_default().push(list);
        }
    }
    let mut uses: BTreeMap<Digest, BTreeSet<InUse>> = BTreeMap::new();
    for row in rows {
        let how = if row.entry.runs { How::Runs } else { How::WouldRun };
        let mut note = |digest: &Digest, how| {
            uses.entry(digest.clone()).or_default().insert(InUse { how, by: by(row) });
        };
        for digest in listing.named(row) {
            let above = lists.get(digest).into_iter().flatten().copied();
            let below = listing.images.get(digest).into_iter().flat_map(|image| &image.children);
            above.chain(below).chain([digest]).for_each(|digest| note(digest, how));
            if row.entry.runs && !lists.contains_key(digest) {
                listing.before(digest, &lists).into_iter().for_each(|digest| note(digest, How::RollBack));
            }
        }
    }
    uses
}

impl Listing {
    /// Returns the digests that a row uses: those that are known, else the one that has the tag now.
    fn named<'a>(&'a self, row: &'a Row) -> Vec<&'a Digest> {
        let known: Vec<&Digest> =
            row.entry.resolution.version().into_iter().chain(&row.entry.digest).collect();
        let tag = self.tag(row).filter(|_| row.entry.resolution.version().is_none());
        let tagged = self.images.iter().filter(|(_, image)| tag.iter().any(|tag| image.tags.contains(tag)));
        known.into_iter().chain(tagged.map(|(digest, _)| digest)).collect()
    }

    /// Tells whether a row uses an image of this repository, of which it is not known which one it is or which index lists it.
    fn leaves_open(&self, row: &Row) -> bool {
        if row.entry.resolution.version().is_some() || !self.is_asked_by(row) {
            return false;
        }
        match &row.entry.digest {
            // What a tag will name is known, what it named is not.
            None => row.entry.runs || self.tag(row).is_none(),
            Some(digest) => {
                let alone = |image: &Image| !image.is_index && image.tags.is_empty();
                self.images.get(digest).is_some_and(alone) && self.images.values().any(|image| image.is_index)
            }
        }
    }

    /// Tells whether a row asks for an image of this repository, or may.
    fn is_asked_by(&self, row: &Row) -> bool {
        let (Some((account, repository)), Some(named)) = (&self.of, Named::read(&row.entry.asked)) else {
            return self.of.is_some();
        };
        let registry = named.registry.as_str().parse::<EcrRegistry>();
        named.repository == repository.as_str()
            && registry.is_ok_and(|registry| registry.account() == account)
    }

    /// Returns the tag of this repository that a row asks for.
    fn tag(&self, row: &Row) -> Option<Tag> {
        let named = Named::read(&row.entry.asked).filter(|_| self.is_asked_by(row))?;
        named.tag.or_else(|| "latest".parse().ok())
    }

    /// Returns what was pushed just before an image and is of its kind, an index or not. In a repository of several lines
    /// that may be another line's: the registry does not say which version replaced which.
    fn before(&self, digest: &Digest, lists: &BTreeMap<&Digest, Vec<&Digest>>) -> Option<&Digest> {
        let image = self.images.get(digest)?;
        let earlier = self.images.iter().filter(|(other, earlier)| {
            earlier.pushed_at < image.pushed_at
                && earlier.is_index == image.is_index
                && !lists.contains_key(other)
        });
        earlier.max_by_key(|(_, earlier)| earlier.pushed_at).map(|(digest, _)| digest)
    }
}
