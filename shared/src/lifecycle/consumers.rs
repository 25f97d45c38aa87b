//! The inventory by what its rows use. A plan of many repositories reads each row once, and not
//! once for each repository.

use std::collections::{BTreeMap, BTreeSet};

use super::doubts::doubts;
use super::images::Listing;
use crate::image::{Digest, Reference};
use crate::inventory::{Answer, RanRow, Resolution, Row};
use crate::time::Timestamp;

/// What uses images, found by the images.
pub(super) struct Consumers<'a> {
    rows: Vec<&'a Row>,
    /// The numbers of the rows that name a digest.
    by_digest: BTreeMap<&'a Digest, Vec<usize>>,
    /// The numbers of the rows that ask for a repository of this name, in whichever registry.
    by_name: BTreeMap<String, Vec<usize>>,
    /// The numbers of the rows that may ask for any repository.
    anywhere: Vec<usize>,
    ran: BTreeMap<&'a Digest, Vec<&'a RanRow>>,
    /// Why the inventory may not have everything that runs.
    pub(super) doubts: Vec<String>,
}

impl<'a> Consumers<'a> {
    pub(super) fn new(answer: &'a Answer, now: Timestamp) -> Self {
        let mut consumers = Self {
            rows: answer.running.iter().chain(&answer.referenced).collect(),
            by_digest: BTreeMap::new(),
            by_name: BTreeMap::new(),
            anywhere: Vec::new(),
            ran: BTreeMap::new(),
            doubts: doubts(answer, now),
        };
        for (number, row) in consumers.rows.iter().copied().enumerate() {
            for digest in row.entry.resolution.version().into_iter().chain(&row.entry.digest) {
                consumers.by_digest.entry(digest).or_default().push(number);
            }
            match Reference::read(&row.entry.asked) {
                Some(named) => {
                    consumers.by_name.entry(named.repository.to_string()).or_default().push(number);
                }
                None => consumers.anywhere.push(number),
            }
            if let Resolution::Unresolvable { repository: Some(content), .. } = &row.entry.resolution {
                consumers.by_name.entry(content.name().to_owned()).or_default().push(number);
            }
        }
        for row in &answer.ran {
            consumers.ran.entry(&row.ran.version).or_default().push(row);
        }
        consumers
    }

    /// Returns the rows that may use an image of a repository, in the order of the inventory.
    pub(super) fn of(&self, listing: &Listing) -> Vec<&'a Row> {
        let mut numbers: BTreeSet<usize> = self.anywhere.iter().copied().collect();
        let name = listing.of.as_ref().and_then(|(_, repository)| self.by_name.get(repository.as_str()));
        numbers.extend(name.into_iter().flatten());
        for (digest, image) in &listing.images {
            for digest in image.children.iter().chain([digest]) {
                numbers.extend(self.by_digest.get(digest).into_iter().flatten());
            }
        }
        numbers.into_iter().filter_map(|number| self.rows.get(number).copied()).collect()
    }

    /// Returns what environments ran before, of the images of a repository.
    pub(super) fn ran(&self, listing: &Listing) -> Vec<&'a RanRow> {
        listing.images.keys().filter_map(|digest| self.ran.get(digest)).flatten().copied().collect()
    }
}
