//! What must be true before a sweep looks at every image: the ticks alone forget nothing that a
//! pass has seen.

use std::collections::{BTreeMap, BTreeSet};

use patchwave::facts::Facts;
use patchwave::hierarchy::{Direction, Hierarchy, Image};
use patchwave::image::{ImageId, Repository};
use patchwave::plan::{Awaited, Hold};
use patchwave::policy::Mode;
use patchwave::time::Timestamp;
use patchwave_converge::Report;

use super::liveness::QuietWorld;
use crate::faults::Read;
use crate::not_yet::NotYet;
use crate::state::State;

/// When a whole pass last looked at an image, how it held it, and the fence of its record then. It
/// started it if there is no hold.
pub(super) type Looks = BTreeMap<ImageId, (Timestamp, Option<Hold>, u64)>;

impl State {
    /// Remembers what a pass that looked at `at` said about each image.
    pub(crate) fn looked(&mut self, report: &Report, at: Timestamp) {
        if !self.faults.has_faults() {
            return;
        }
        let started = report.started.iter().map(|started| (&started.image, None));
        let held = report.held.iter().map(|held| (&held.image, Some(held.hold.clone())));
        for (image, hold) in started.chain(held) {
            // An invocation that pauses reports after others that looked later.
            if self.checker.looks.get(image).is_some_and(|(later, ..)| *later > at) {
                continue;
            }
            if !report.is_whole {
                // Its record may be written or not.
                self.checker.looks.remove(image);
                continue;
            }
            let fence = self.ledger.record(image).map_or(0, |record| record.fence);
            self.checker.looks.insert(image.clone(), (at, hold, fence));
        }
    }

    /// Notes that something changed in a repository.
    pub(crate) fn changed(&mut self, repository: &Repository, now: Timestamp) {
        if self.faults.has_faults() {
            self.checker.changed.insert(repository.clone(), now);
        }
    }

    /// Checks the quiet world before any sweep. A settled image at which a pass has looked since
    /// its last change has no finding that a build would fix, or a hold that is true.
    pub(crate) fn check_ticks(&mut self, hierarchy: &Hierarchy, facts: &Facts, now: Timestamp) {
        let is_observed = |image: &&Image| {
            let hold = self.checker.looks.get(&image.id).and_then(|(_, hold, _)| hold.as_ref());
            let of = match hold {
                Some(Hold::WaitingOn { awaits: Awaited::Hold(hold), on }) => {
                    (Some(&**hold), hierarchy.image(on).unwrap_or(image))
                }
                hold => (hold, *image),
            };
            of.0 == Some(&Hold::Observing) && of.1.policy.mode != Mode::Observe
        };
        let mut observed: BTreeSet<ImageId> =
            hierarchy.images().filter(is_observed).map(|image| image.id.clone()).collect();
        observed.retain(|_| self.truth.leaves_out(NotYet::ObservedUntilTheSweep));
        let looks = &self.checker.looks;
        let holds = looks.iter().filter_map(|(id, (_, hold, _))| Some((id, hold.as_ref()?))).collect();
        let started = looks.iter().filter(|(_, (_, hold, _))| hold.is_none()).map(|(id, _)| id).collect();
        let quiet = QuietWorld { state: self, hierarchy, facts, holds, started, now };
        // An error names an image whose record cannot be read.
        let mut unsettled = self.ledger.scheduled();
        unsettled.extend(self.without_record(hierarchy, now));
        unsettled.extend(observed);
        let is_seen = |image: &&Image| !unsettled.contains(&image.id) && self.is_seen(hierarchy, image);
        let seen = hierarchy.images().filter(is_seen);
        let forgotten: Vec<String> = seen.flat_map(|image| quiet.forgotten(image)).collect();
        for violation in forgotten {
            self.checker.lost += 1;
            self.checker.violation(now, format!("by the ticks: {violation}"));
        }
    }

    /// Returns whether a pass has looked at an image since it and its ancestors changed.
    fn is_seen(&self, hierarchy: &Hierarchy, image: &Image) -> bool {
        let Some((looked_at, _, fence)) = self.checker.looks.get(&image.id) else { return false };
        // A pass that ended without a report decided about it later.
        if self.ledger.record(&image.id).is_some_and(|record| record.fence != *fence) {
            return false;
        }
        let is_before = |image: &Image| {
            let is_refused = self.faults.is_refused(Read::Record, image.id.as_str(), *looked_at);
            let changed_at = self.checker.changed.get(&image.repository);
            !is_refused && changed_at.is_none_or(|changed_at| changed_at < looked_at)
        };
        self.truth.edited_at.is_none_or(|edited_at| edited_at < *looked_at)
            && hierarchy
                .query([&image.id], Direction::Ancestors)
                .is_ok_and(|query| query.resolve().iter().all(is_before))
    }
}
