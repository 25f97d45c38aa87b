//! What every step of the planner reads.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use super::claims::resolve;
use super::{Hold, Proof};
use crate::facts::{Current, Execution, Facts, ImageFacts, Version};
use crate::finding::Finding;
use crate::hierarchy::{Hierarchy, Image};
use crate::image::ImageId;
use crate::policy::{Mode, Rebuild};
use crate::record::Record;
use crate::time::{Span, Timestamp};
use crate::unread::Unread;
use crate::upstream::Tracked;

/// How often the template schedules the tick. An event that has not come within this time is taken
/// for lost.
pub const TICK: Span = Span::minutes(15);

/// The planner's inputs. The records are those after builds and proofs were settled.
pub(super) struct Context<'a> {
    pub(super) hierarchy: &'a Hierarchy,
    pub(super) facts: &'a Facts,
    pub(super) ceiling: Mode,
    pub(super) now: Timestamp,
    images: Vec<&'a Image>,
    pub(super) records: BTreeMap<&'a ImageId, Record>,
}

impl<'a> Context<'a> {
    /// Settles the builds and proofs of every image that both the facts and the hierarchy contain.
    /// Returns the verdicts too.
    pub(super) fn resolved(
        hierarchy: &'a Hierarchy,
        facts: &'a Facts,
        ceiling: Mode,
        now: Timestamp,
    ) -> (Self, Vec<Proof>) {
        let mut context =
            Self { hierarchy, facts, ceiling, now, images: Vec::new(), records: BTreeMap::new() };
        let mut verdicts = Vec::new();
        for image in hierarchy.select(facts.images.keys()).iter() {
            let (record, proofs) = resolve(hierarchy, facts, image, now);
            context.images.push(image);
            context.records.insert(&image.id, record);
            if !facts.carriers.contains(&image.id) {
                verdicts.extend(proofs);
            }
        }
        (context, verdicts)
    }

    /// Returns the images in scope, parents before children.
    pub(super) fn images(&self) -> impl DoubleEndedIterator<Item = &'a Image> + '_ {
        self.images.iter().copied()
    }

    /// Returns the images that are decided about, parents before children: all but those that were
    /// observed for what they carry.
    pub(super) fn decided(&self) -> impl DoubleEndedIterator<Item = &'a Image> + '_ {
        self.images().filter(|image| !self.facts.carriers.contains(&image.id))
    }

    pub(super) fn facts_of(&self, id: &ImageId) -> Option<&'a ImageFacts> {
        self.facts.images.get(id)
    }

    /// Returns the current version, if it is known.
    pub(super) fn current(&self, id: &ImageId) -> Option<&'a Version> {
        self.facts_of(id)?.current_version()
    }

    /// Says why the current version is not known. Returns nothing if it is known, or if there is
    /// none.
    pub(super) fn unknown(&self, id: &ImageId) -> Option<String> {
        match self.facts_of(id) {
            None => Some(match self.facts.unreadable.get(id) {
                Some(why) => format!("the record of {id} cannot be read: {why}"),
                None => format!("{id} was not observed"),
            }),
            Some(facts) => match &facts.current {
                Current::Unread(why) => Some(format!("the current version of {id} is not known: {why}")),
                Current::Version(digest) if facts.current_version().is_none() => {
                    Some(format!("the current version of {id}, {digest}, was not described"))
                }
                Current::Version(_) | Current::Absent | Current::NoRepository(_) => None,
            },
        }
    }

    /// Returns what could not be read of this image: its current version, the scans of that version
    /// and the execution of its claim.
    pub(super) fn unread(&self, id: &ImageId) -> impl Iterator<Item = &'a Unread> + use<'a> {
        self.unread_content(id).chain(self.unread_execution(id))
    }

    /// Returns what could not be read of its current version and the scans of that version.
    pub(super) fn unread_content(&self, id: &ImageId) -> impl Iterator<Item = &'a Unread> + use<'a> {
        let facts = self.facts_of(id);
        let current = facts.and_then(|facts| match &facts.current {
            Current::Unread(unread) => Some(unread),
            _ => None,
        });
        let platforms = self.current(id).into_iter().flat_map(|version| version.platforms.values());
        let scans = platforms.filter_map(|manifest| manifest.scan.unread());
        current.into_iter().chain(scans)
    }

    /// Says why the execution of the image's claim, or what it pushed, could not be read.
    pub(super) fn unread_execution(&self, id: &ImageId) -> Option<&'a Unread> {
        let facts = self.facts_of(id)?;
        if let Some(Execution::Unread(unread)) = &facts.execution {
            return Some(unread);
        }
        let details = facts.succeeded().filter(|_| self.record(id).claim.is_some())?;
        if let Current::Unread(unread) = &facts.current {
            return Some(unread);
        }
        let reported = details.pushed.iter().find_map(|digest| facts.unread_versions.get(digest));
        reported.or(facts.unread_history.as_ref())
    }

    /// Returns what is known of an upstream tag.
    pub(super) fn upstream(&self, tag: &ImageId) -> Option<&'a Tracked> {
        self.facts.upstreams.get(tag)
    }

    pub(super) fn record(&self, id: &ImageId) -> &Record {
        static EMPTY: std::sync::LazyLock<Record> = std::sync::LazyLock::new(Record::default);
        self.records.get(id).unwrap_or(&EMPTY)
    }

    pub(super) fn mode(&self, image: &Image) -> Mode {
        image.policy.mode.min(self.ceiling)
    }

    /// Returns the hold if policy, or a person's freeze, leaves the rebuild to people.
    pub(super) fn left_to_people(&self, image: &Image) -> Option<Hold> {
        let record = self.record(&image.id);
        let current = self.current(&image.id).map(|version| &version.digest);
        let approved = record.approval.as_ref().is_some_and(|approval| approval.replaces.as_ref() == current);
        match image.policy.rebuild {
            Rebuild::Approval if !approved => Some(Hold::NeedsApproval),
            Rebuild::NextCommit => Some(Hold::NextCommit),
            Rebuild::Never => Some(Hold::Frozen),
            Rebuild::Auto | Rebuild::Approval => record.frozen.as_ref().map(|_| Hold::Frozen),
        }
    }

    /// Returns the commit of the line's current version.
    pub(super) fn revision(&self, image: &Image) -> Option<&'a str> {
        self.current(&image.id)?.commit()
    }

    /// Returns since when the image has been enforced: now, if it was not until now.
    pub(super) fn enforced_since(&self, id: &ImageId) -> Timestamp {
        self.record(id).enforced_since.unwrap_or(self.now)
    }

    /// Returns when `finding` appeared on `id`. The scanner's time is best, then the time when
    /// Patchwave first saw it, then the time of this scan.
    pub(super) fn appeared(&self, id: &ImageId, finding: &Finding, scanned: Timestamp) -> Timestamp {
        finding.first_observed.or_else(|| self.record(id).seen.get(&finding.key).copied()).unwrap_or(scanned)
    }

    /// Returns a hash of what a build is made from: the content of all parents, the pipeline, the
    /// policy on findings and, if the pipeline is pinned, the commit.
    ///
    /// Failures and quarantine apply only to builds from the same inputs.
    pub(super) fn inputs(&self, image: &Image) -> String {
        let mut words = Vec::new();
        for edge in self.hierarchy.parents(&image.id) {
            let content = self.current(&edge.image.id).map(Version::content).unwrap_or_default();
            words.push(format!("{}={content:?}", edge.image.id));
        }
        for parent in self.hierarchy.upstream_parents(image) {
            let content = self.upstream(&parent.id).and_then(Tracked::current);
            words.extend(content.map(|content| format!("{}={:?}", parent.id, content.platforms)));
        }
        words.sort();
        words.dedup();
        words.push(format!(
            "{:?} {:?} {:?}",
            image.pipeline,
            image.policy.rebuild_at,
            image.policy.unknown_fix.unwrap_or_default()
        ));
        if image.pipeline.as_ref().is_some_and(|pipeline| !pipeline.sources.is_empty()) {
            words.push(format!("revision={:?}", self.revision(image)));
        }
        hash(&words)
    }
}

/// Returns the first 40 hexadecimal digits of the SHA-256 of `words`. A zero byte, which no word
/// contains, separates them.
pub(super) fn hash(words: &[String]) -> String {
    let mut sha = Sha256::new();
    for word in words {
        sha.update(word.as_bytes());
        sha.update([0]);
    }
    sha.finalize().iter().take(20).fold(String::with_capacity(40), |mut hex, byte| {
        hex.extend(
            [byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap_or_default()),
        );
        hex
    })
}
