//! Finds what uses the images of a repository, by the inventory.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::images::{Listing, RepositoryImage};
use crate::image::{Digest, Reference, Tag};
use crate::inventory::{RanRow, Resolution, Row};

/// How an image is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum How {
    /// It runs. It can also list what runs, or be listed by what runs.
    Runs,
    /// A schedule or a service that is scaled to zero would start it.
    WouldRun,
    /// An environment ran it, or it was pushed just before what runs: a roll-back may start it.
    RollBack,
}

/// A use of an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InUse {
    pub how: How,
    /// The workload, with its place.
    pub by: String,
}

/// Names the place and the workload of a row.
pub(super) fn by(row: &Row) -> String {
    format!("{} {}", row.entry.place.id(), row.entry.workload)
}

/// Returns what uses each image. `depth` is how many earlier pushes a roll-back may start.
pub(super) fn uses(
    listing: &Listing,
    rows: &[&Row],
    ran: &[&RanRow],
    depth: usize,
) -> BTreeMap<Digest, BTreeSet<InUse>> {
    let mut lists: BTreeMap<&Digest, Vec<&Digest>> = BTreeMap::new();
    for (list, image) in &listing.images {
        for child in &image.children {
            lists.entry(child).or_default().push(list);
        }
    }
    let mut uses: BTreeMap<Digest, BTreeSet<InUse>> = BTreeMap::new();
    for RanRow { environment, ran, .. } in ran {
        let Some(image) = listing.images.get(&ran.version) else { continue };
        let by = format!("{environment}, which ran it until {},", ran.last_seen.strftime("%Y-%m-%d"));
        let above = lists.get(&ran.version).into_iter().flatten().copied();
        for digest in above.chain(&image.children).chain([&ran.version]) {
            let in_use = InUse { how: How::RollBack, by: by.clone() };
            uses.entry(digest.clone()).or_default().insert(in_use);
        }
    }
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
                let before = listing.before(digest, &lists, depth);
                for digest in before {
                    note(digest, How::RollBack);
                }
            }
        }
    }
    uses
}

impl Listing {
    /// Returns the digests that a row uses: those that are known, else those that have its tag now.
    pub(crate) fn named<'a>(&'a self, row: &'a Row) -> Vec<&'a Digest> {
        let known: Vec<&Digest> =
            row.entry.resolution.version().into_iter().chain(&row.entry.digest).collect();
        let tag = self.tag(row).filter(|_| row.entry.resolution.version().is_none());
        let Some(tag) = tag else { return known };
        let tagged = self.images.iter().filter(|(_, image)| image.tags.contains(&tag));
        known.into_iter().chain(tagged.map(|(digest, _)| digest)).collect()
    }

    /// Returns whether a row uses an image of this repository, but it is not known which one, or
    /// which index lists it.
    pub(super) fn leaves_open(&self, row: &Row) -> bool {
        if row.entry.resolution.version().is_some() || !self.is_asked_by(row) {
            return false;
        }
        match &row.entry.digest {
            // A tag shows what will be started, and not what was started.
            None => row.entry.runs || self.tag(row).is_none(),
            Some(digest) => {
                let alone = |image: &RepositoryImage| !image.is_index && image.tags.is_empty();
                self.images.get(digest).is_some_and(alone) && self.images.values().any(|image| image.is_index)
            }
        }
    }

    /// Returns whether a row asks for an image of this repository, or may ask for one.
    fn is_asked_by(&self, row: &Row) -> bool {
        let (Some((account, repository)), Some(named)) = (&self.of, Reference::read(&row.entry.asked)) else {
            return self.of.is_some();
        };
        let is_here = named.repository == *repository
            && named.registry.ecr().is_some_and(|registry| registry.account() == account);
        is_here || self.holds_content_of(row)
    }

    /// Returns whether a row asks for the content of this repository by another name: through a
    /// replica or a copy.
    fn holds_content_of(&self, row: &Row) -> bool {
        let Some((account, repository)) = &self.of else { return false };
        let Resolution::Unresolvable { repository: Some(content), .. } = &row.entry.resolution else {
            return false;
        };
        let (host, name) = content.split();
        // The home registry's repositories have no host.
        name == repository.as_str() && host.is_none_or(|host| host.account() == account)
    }

    /// Returns the tag of this repository that a row asks for.
    fn tag(&self, row: &Row) -> Option<Tag> {
        Reference::read(&row.entry.asked).filter(|_| self.is_asked_by(row))?.tag
    }

    /// Returns the images of the same kind, index or not, that were pushed just before an image:
    /// the last ones with tags and the last ones without. A stable tag leaves the version before
    /// it untagged, and a unique tag does not.
    ///
    /// What may be a signature or the like is returned too, and not counted: it hides no image.
    /// If the repository has several lines, the images may belong to another line. The registry
    /// does not record which version replaced which.
    fn before(&self, digest: &Digest, lists: &BTreeMap<&Digest, Vec<&Digest>>, depth: usize) -> Vec<&Digest> {
        let Some(image) = self.images.get(digest) else { return Vec::new() };
        let is_before = |(other, earlier): &(&Digest, &RepositoryImage)| {
            let alike = earlier.is_index == image.is_index && !lists.contains_key(other);
            alike && earlier.pushed_at < image.pushed_at && !earlier.is_artefact()
        };
        let mut earlier: Vec<_> = self.images.iter().filter(is_before).collect();
        earlier.sort_by_key(|(_, earlier)| std::cmp::Reverse(earlier.pushed_at));
        let mut left = [depth, depth];
        earlier.retain(|(_, earlier)| {
            let left = &mut left[usize::from(earlier.tags.is_empty())];
            let is_near = *left > 0;
            if is_near && !earlier.may_be_artefact() {
                *left -= 1;
            }
            is_near
        });
        earlier.into_iter().map(|(digest, _)| digest).collect()
    }
}
