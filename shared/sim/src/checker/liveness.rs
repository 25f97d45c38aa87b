//! What must be true of the quiet world at the end: nothing is forgotten.

use std::collections::{BTreeMap, BTreeSet};

use patchwave::facts::{Facts, ImageFacts, Version};
use patchwave::finding::{Finding, Fix, PackageKind, Scan};
use patchwave::hierarchy::{Hierarchy, Image};
use patchwave::image::ImageId;
use patchwave::plan::{Awaited, Hold};
use patchwave::record::Record;
use patchwave::time::{Span, Timestamp};
use patchwave_converge::Report;

use super::hold_text;
use super::holds::JUST_ENDED;
use crate::build::BuildInputs;
use crate::faults::Read;
use crate::incident::can_be_rebuilt;
use crate::registry::packages;
use crate::state::State;

impl State {
    /// Checks the quiet world with the report of the last sweep.
    pub(crate) fn check_liveness(
        &mut self,
        hierarchy: &Hierarchy,
        facts: &Facts,
        report: &Report,
        now: Timestamp,
    ) {
        let mut violations = self.disagreements(hierarchy, now);
        let holds: BTreeMap<&ImageId, &Hold> =
            report.held.iter().map(|held| (&held.image, &held.hold)).collect();
        let started = report.started.iter().map(|started| &started.image).collect();
        let quiet = QuietWorld { state: self, hierarchy, facts, holds, started, now };
        let forgotten: Vec<String> = hierarchy.images().flat_map(|image| quiet.forgotten(image)).collect();
        violations.extend(hierarchy.images().flat_map(|image| quiet.baseless_notices(image)));
        self.checker.lost += forgotten.len() as u64;
        violations.extend(forgotten);
        for violation in violations {
            self.checker.violation(now, violation);
        }
    }

    /// Counts the findings that policy rebuilds for and that a build now would fix.
    pub(crate) fn curable(&self, hierarchy: &Hierarchy, image: &Image, now: Timestamp) -> u64 {
        let current = self.registry.current(&image.repository, &image.line);
        let Some(current) = current.filter(|_| can_be_rebuilt(image)) else { return 0 };
        let mut version = current.version.clone();
        for manifest in version.platforms.values_mut() {
            manifest.scan = self.scanner.scan(&(image.repository.clone(), manifest.digest.clone()));
        }
        let parents = self.current_parents(hierarchy, image);
        let inputs = BuildInputs { parents, revision: None, cached: false, stuck: false, number: 0, now };
        let rebuilt = self.build(hierarchy, image, &inputs);
        let would_have = |finding: &Finding| {
            let vulnerability = self.scanner.known.iter().find(|known| known.key() == finding.key);
            let mut installed = rebuilt.layers.values().flat_map(packages);
            vulnerability.is_none_or(|known| installed.any(|(_, (package, _))| known.is_in(package)))
        };
        fixable(image, &version).iter().filter(|finding| !would_have(finding)).count() as u64
    }

    /// Finds where the ledger disagrees with the world.
    fn disagreements(&self, hierarchy: &Hierarchy, now: Timestamp) -> Vec<String> {
        let unreadable = self.without_record(hierarchy, now);
        let building: BTreeSet<&ImageId> =
            self.pipelines.in_progress().map(|execution| &execution.start.image).collect();
        let slots = self.ledger.held_by();
        let mut violations = Vec::new();
        violations.extend(self.wrong_days());
        for image in hierarchy.images().filter(|image| !unreadable.contains(&image.id)) {
            let claimed = self.ledger.record(&image.id).is_some_and(|record| record.claim.is_some());
            // Nobody knows what a build pushed if its repository cannot be read.
            let is_unknown = claimed && (self.is_unread(image, now) || self.is_lost(image));
            if claimed != building.contains(&image.id) && !is_unknown {
                violations.push(format!("{}: claim {claimed}, execution {}", image.id, !claimed));
            }
            if slots.contains(&image.id) && !building.contains(&image.id) {
                violations.push(format!("{} holds a slot, and no build runs", image.id));
            }
            violations.extend(self.wrong_notices(image));
            violations.extend(self.overdue(image, now));
        }
        let departed = |image: &&&ImageId| hierarchy.image(image).is_err() && !building.contains(**image);
        for image in slots.iter().collect::<Vec<_>>().iter().filter(departed) {
            violations.push(format!("{image} left the hierarchy and holds a slot, and no build runs"));
        }
        violations
    }

    /// Finds an image whose time passed long ago, and that is still in the schedule.
    fn overdue(&self, image: &Image, now: Timestamp) -> Option<String> {
        let due = self.ledger.record(&image.id)?.recheck_at?;
        let is_passed =
            Span::hours(25).after(due) < now && !self.is_unread(image, now) && !self.is_lost(image);
        is_passed.then(|| format!("{} is due since {due}", image.id))
    }

    /// Finds days whose starts are counted wrongly.
    fn wrong_days(&self) -> Vec<String> {
        let wrong = |(day, starts): (i64, u32)| {
            let counted = self.ledger.starts(day);
            (counted != starts).then(|| format!("{counted} starts are counted for day {day}, not {starts}"))
        };
        self.truth.starts().filter_map(wrong).collect()
    }
}

/// The quiet world, and what the last sweep said about it.
pub(super) struct QuietWorld<'q> {
    pub(super) state: &'q State,
    pub(super) hierarchy: &'q Hierarchy,
    pub(super) facts: &'q Facts,
    pub(super) holds: BTreeMap<&'q ImageId, &'q Hold>,
    pub(super) started: BTreeSet<&'q ImageId>,
    pub(super) now: Timestamp,
}

impl<'q> QuietWorld<'q> {
    /// Finds fixable findings, requests and missing scans of an image that nothing explains.
    pub(super) fn forgotten(&self, image: &'q Image) -> Vec<String> {
        let Some(facts) = self.facts.images.get(&image.id) else { return Vec::new() };
        let Some(version) = facts.current_version() else { return Vec::new() };
        let mut forgotten = Vec::new();
        let hold = self.holds.get(&image.id).map_or_else(|| "no hold".to_owned(), |hold| hold_text(hold));
        for finding in fixable(image, version) {
            if !self.explains(image, facts, &finding) {
                forgotten.push(format!("{} is forgotten with {}: {hold}", image.id, finding.key));
            }
        }
        if facts.record.request.is_some() && hold == Hold::Fresh.name() {
            forgotten.push(format!("the request to rebuild {} is forgotten", image.id));
        }
        let unscanned = version.platforms.values().any(|manifest| manifest.scan.completed_at().is_none());
        if unscanned && self.holds.get(&image.id) == Some(&&Hold::Fresh) {
            forgotten.push(format!("{} is called fresh although it is not scanned", image.id));
        }
        forgotten
    }

    /// Returns whether the image's start or hold explains a finding, and is true in the world.
    fn explains(&self, image: &Image, facts: &ImageFacts, finding: &Finding) -> bool {
        match self.holds.get(&image.id) {
            None => self.started.contains(&image.id) || self.is_unreadable(image),
            // Nothing is decided about an image whose record cannot be read, so nothing follows it.
            Some(hold) if *hold != &Hold::Fresh && self.has_unreadable_ancestor(image) => true,
            Some(hold) => self.hold_explains(image, hold, facts, finding),
        }
    }

    pub(super) fn is_unreadable(&self, image: &Image) -> bool {
        let asked_at = JUST_ENDED.before(self.now);
        self.state.faults.is_refused(Read::Record, image.id.as_str(), asked_at)
    }

    pub(super) fn has_unreadable_ancestor(&self, image: &Image) -> bool {
        self.hierarchy
            .parents(&image.id)
            .any(|edge| self.is_unreadable(edge.image) || self.has_unreadable_ancestor(edge.image))
    }

    fn hold_explains(&self, image: &Image, hold: &Hold, facts: &ImageFacts, finding: &Finding) -> bool {
        match hold {
            Hold::Fresh => false,
            // What the image introduced itself does not wait for what may never change.
            Hold::WaitingOn { awaits: Awaited::Hold(hold), .. }
                if is_left_to_people(hold) && self.introduces(image, finding) =>
            {
                false
            }
            Hold::WaitingOn { on, awaits } => self.wait_is_true(image, on, awaits, finding),
            Hold::CannotHelp { findings, .. } | Hold::Quarantined { findings } => {
                findings.contains(&finding.key)
                    || facts.record.ineffective.get(&finding.key).is_some_and(|tried| tried.builds >= 1)
                    || self.carried_above(image, finding)
            }
            hold => self.state.is_true(self.hierarchy, image, hold, self.now),
        }
    }

    /// Returns whether the image that another waits for has the hold that is named, and whether
    /// that is true.
    fn wait_is_true(&self, image: &Image, on: &ImageId, awaits: &Awaited, finding: &Finding) -> bool {
        let Ok(on) = self.hierarchy.image(on) else { return false };
        let is_looked_at_again = self.state.ledger.record(&on.id).is_some_and(Record::is_scheduled);
        // A later pass may have found another hold for it.
        let is_held =
            |hold: &Hold| is_about_findings(hold) || self.state.is_true(self.hierarchy, on, hold, self.now);
        match awaits {
            Awaited::Scan | Awaited::Hold(_) if is_looked_at_again => true,
            Awaited::Start => self.started.contains(&on.id) || self.was_decided(on),
            // No such world has upstream registries.
            Awaited::Cache { .. } => false,
            Awaited::Scan => self.carried_above(image, finding) || self.state.is_unread(on, self.now),
            Awaited::Hold(hold) if **hold == Hold::Fresh => false,
            Awaited::Hold(hold) => {
                self.facts.images.contains_key(&on.id)
                    && (self.state.is_true(self.hierarchy, on, hold, self.now)
                        || self.holds.get(&on.id).is_some_and(|theirs| is_held(theirs)))
            }
        }
    }

    /// Returns whether a person decided about an image while the last sweep ran.
    fn was_decided(&self, image: &Image) -> bool {
        let decided_at = self.state.truth.decided_at.get(&image.id);
        decided_at.is_some_and(|at| *at > JUST_ENDED.before(self.now))
    }

    /// Returns whether an ancestor carries the finding, or may carry it because its scan is older
    /// than the finding. Then the ancestor is to be rebuilt.
    fn carried_above(&self, image: &Image, finding: &Finding) -> bool {
        self.hierarchy.parents(&image.id).any(|edge| {
            let version = self.facts.images.get(&edge.image.id).and_then(ImageFacts::current_version);
            version.is_some_and(|version| version.platforms.values().any(|m| may_carry(&m.scan, finding)))
                || self.carried_above(edge.image, finding)
        })
    }
}

/// Whether only a person ends the hold, whenever that is.
pub(super) fn is_left_to_people(hold: &Hold) -> bool {
    matches!(hold, Hold::NeedsApproval | Hold::NextCommit | Hold::Frozen | Hold::Observing)
}

fn is_about_findings(hold: &Hold) -> bool {
    matches!(
        hold,
        Hold::CannotHelp { .. }
            | Hold::Quarantined { .. }
            | Hold::WaitingOn { .. }
            | Hold::Suppressed { .. }
            | Hold::NextTry { .. }
    )
}

fn may_carry(scan: &Scan, finding: &Finding) -> bool {
    let is_old = |at: Timestamp| finding.first_observed.is_none_or(|appeared| at < appeared);
    scan.lists(&finding.key) != Some(false) || scan.completed_at().is_none_or(is_old)
}

/// Returns the findings of a version that policy rebuilds for and that have a fix.
pub(super) fn fixable(image: &Image, version: &Version) -> Vec<Finding> {
    let findings = version.platforms.values().flat_map(|manifest| manifest.scan.findings());
    let is_fixable = |finding: &&Finding| {
        finding.severity >= image.policy.rebuild_at
            && finding.kind == PackageKind::Os
            && matches!(finding.fix, Fix::Version(_))
            && image.policy.suppress.iter().all(|s| *s.vulnerability != *finding.key.vulnerability)
    };
    let mut fixable: Vec<Finding> = findings.filter(is_fixable).cloned().collect();
    fixable.sort_by(|a, b| a.key.cmp(&b.key));
    fixable.dedup_by(|a, b| a.key == b.key);
    fixable
}
