//! Whether each notice that is open has a cause, and each cause that people must know an open
//! notice.

use std::collections::BTreeSet;

use patchwave::facts::Version;
use patchwave::finding::Finding;
use patchwave::hierarchy::{Direction, Image};
use patchwave::image::{Digest, ImageId};
use patchwave::notice::{Notice, NoticeState, RootCause};
use patchwave::plan::Hold;

use super::liveness::{QuietWorld, fixable, is_left_to_people};
use crate::registry::{Pushed, packages};
use crate::state::State;

/// So many failures in a row are told to people.
const TOLD: u32 = 3;

impl State {
    /// Returns whether the last notice about a cause says that it exists.
    pub(super) fn is_open(&self, image: &ImageId, cause: RootCause) -> bool {
        let of_cause = |notice: &&Notice| notice.image.as_ref() == Some(image) && notice.root_cause == cause;
        let last = self.notified.iter().filter(of_cause).max_by_key(|notice| notice.revision);
        last.is_some_and(|notice| notice.state != NoticeState::Closed)
    }

    /// Finds notices that were not sent, or that say otherwise than the record.
    pub(super) fn wrong_notices(&self, image: &Image) -> Vec<String> {
        let record = self.ledger.record(&image.id);
        let recorded = record.map(|record| record.notified.clone()).unwrap_or_default();
        let mut violations = Vec::new();
        for cause in [RootCause::Vulnerable, RootCause::Failing, RootCause::Hanging] {
            let is_open = self.is_open(&image.id, cause);
            match recorded.get(&cause) {
                Some(recorded) if !recorded.sent => {
                    violations.push(format!("{}: the notice {cause:?} was not sent", image.id));
                }
                recorded if recorded.is_some_and(|recorded| !recorded.closed) != is_open => {
                    violations.push(format!("{}: the record of the notice {cause:?} is wrong", image.id));
                }
                _ => {}
            }
        }
        violations
    }
}

impl QuietWorld<'_> {
    /// Finds notices that are open without a cause, and causes without an open notice.
    pub(super) fn baseless_notices(&self, image: &Image) -> Vec<String> {
        if self.is_unknown(image) {
            return Vec::new();
        }
        let mut violations = Vec::new();
        let mut expect = |cause: RootCause, is_wrong: bool, what: &str| {
            if is_wrong {
                violations.push(format!("{}: the notice {cause:?} is {what}", image.id));
            }
        };
        let is_open = |cause| self.state.is_open(&image.id, cause);
        let record = self.state.ledger.record(&image.id);
        let failures = record.and_then(|record| record.failures.as_ref()).map_or(0, |row| row.count);
        let is_claimed = record.is_some_and(|record| record.claim.is_some());
        let failing = is_open(RootCause::Failing);
        expect(RootCause::Failing, failing && failures == 0, "open, and no build failed");
        expect(RootCause::Failing, !failing && failures >= TOLD, "not open after three failures");
        expect(RootCause::Hanging, is_open(RootCause::Hanging) && !is_claimed, "open, and nothing runs");
        let vulnerable = is_open(RootCause::Vulnerable);
        let is_clean = self.is_clean(image) && !is_claimed;
        expect(RootCause::Vulnerable, vulnerable && is_clean, "open, and no finding counts");
        let is_asked = self.asks_a_person(image) && self.introduces_a_finding(image);
        expect(RootCause::Vulnerable, !vulnerable && is_asked, "not open, and a person must act");
        violations
    }

    fn is_unknown(&self, image: &Image) -> bool {
        self.is_unreadable(image)
            || self.has_unreadable_ancestor(image)
            || self.state.is_unread(image, self.now)
            || self.state.is_lost(image)
            || matches!(self.holds.get(&image.id), None | Some(Hold::Unknown { .. }))
    }

    fn current(&self, image: &Image) -> Option<&Version> {
        self.facts.images.get(&image.id)?.current_version()
    }

    /// Returns whether scans of all platforms are complete and list nothing that counts, of the
    /// image and of all that are built on it: what it introduced may be listed only there.
    fn is_clean(&self, image: &Image) -> bool {
        let below = self.hierarchy.query([&image.id], Direction::Descendants);
        below.is_ok_and(|below| below.resolve().iter().all(|image| self.lists_nothing(image)))
    }

    fn lists_nothing(&self, image: &Image) -> bool {
        let lowest = self.hierarchy.lowest_counted(&image.id);
        let Some(version) = self.current(image) else { return false };
        version.platforms.values().all(|manifest| {
            let mut findings = manifest.scan.findings().iter();
            manifest.scan.shows_absence() && findings.all(|finding| Some(finding.severity) < lowest)
        })
    }

    fn asks_a_person(&self, image: &Image) -> bool {
        self.holds.get(&image.id).is_some_and(|hold| is_left_to_people(hold))
    }

    /// Returns whether the image has a finding with a fix in a layer that none of its parents has.
    fn introduces_a_finding(&self, image: &Image) -> bool {
        let Some(version) = self.current(image) else { return false };
        fixable(image, version).iter().any(|finding| self.introduces(image, finding))
    }

    /// Returns whether a finding is in a layer that none of the image's parents has.
    pub(super) fn introduces(&self, image: &Image, finding: &Finding) -> bool {
        let Some(current) = self.state.registry.current(&image.repository, &image.line) else { return false };
        let parents: Option<Vec<&Pushed>> = current
            .parents
            .iter()
            .map(|(parent, digest)| {
                let parent = self.hierarchy.image(parent).ok()?;
                self.state.registry.pushed(&parent.repository, digest)
            })
            .collect();
        // A parent that has another name now is none that anybody knows.
        let Some(parents) = parents else { return false };
        let layers = parents.into_iter().flat_map(|parent| parent.layers.values().flatten());
        let inherited: BTreeSet<&Digest> = layers.map(|layer| &layer.digest).collect();
        let known = self.state.scanner.known.iter().find(|known| known.key() == finding.key);
        current.layers.values().flat_map(packages).any(|(_, (package, layer))| {
            known.is_some_and(|known| known.is_in(package)) && !inherited.contains(layer)
        })
    }
}
