//! Whether a start can do what it is for, and whether what a pass says of a build is true.

use std::collections::BTreeMap;

use patchwave::facts::ExecutionState;
use patchwave::finding::FindingKey;
use patchwave::hierarchy::{Hierarchy, Image};
use patchwave::image::Platform;
use patchwave::notice::RootCause;
use patchwave::plan::{Cause, Goal, Reason, Start, Verdict};
use patchwave::time::{Span, Timestamp};
use patchwave_converge::{LEASE, Report};

use super::StartCheck;
use crate::build::BuildInputs;
use crate::faults::Read;
use crate::pipelines::Execution;
use crate::registry::{Layers, Pushed, packages};
use crate::state::State;

/// Within this time of a hang people know of it: a sweep later, or two of the rarest ticks.
const KNOWN_WITHIN: Span = Span::hours(26);
/// From the second failure in a row on Patchwave waits for an hour or more. A pass may end early.
const SHORTEST_BACK_OFF: Span = Span::minutes(50);

impl State {
    /// Finds what is wrong with the purpose of a start.
    pub(super) fn without_purpose(
        &mut self,
        hierarchy: &Hierarchy,
        image: &Image,
        check: &StartCheck<'_>,
    ) -> Vec<String> {
        let start = check.start;
        let cures_nothing = self.cures_nothing(hierarchy, image, start, check.now);
        let wrong = [
            (cures_nothing, "for findings that it cannot fix"),
            (sends_undeclared(image, start), "with a variable that its pipeline does not declare"),
            (self.follows_failures(start, check.now), "within the hour after two failures"),
        ];
        let wrong = wrong.into_iter().filter(|(is_wrong, _)| *is_wrong);
        wrong.map(|(_, how)| format!("{} is started {how}", image.id)).collect()
    }

    /// Returns whether a build is for findings alone, and would have all of them again.
    ///
    /// Findings of a parent that nobody can rebuild, or that the scanner could not scan, do not
    /// count: the child's build may upgrade the package.
    fn cures_nothing(&self, hierarchy: &Hierarchy, image: &Image, start: &Start, now: Timestamp) -> bool {
        if !start.reasons.iter().all(|reason| matches!(reason, Reason::Vulnerable { .. })) {
            return false;
        }
        let mut parents = self.current_parents(hierarchy, image);
        parents.extend(start.parents.clone());
        let inputs = BuildInputs { parents, revision: None, cached: false, stuck: false, number: 0, now };
        let built = self.build(hierarchy, image, &inputs);
        // Where the scanner names no fix, a build may be tried.
        causes(start).all(|cause| {
            matches!(cause.goal, Goal::Version(_))
                && self.has(&built.layers, &cause.finding)
                && !self.is_left_to_the_child(hierarchy, image, start, &cause.finding)
        })
    }

    /// Returns whether a parent has a finding and no pipeline, or has no scan that says whether it
    /// has the finding.
    fn is_left_to_the_child(
        &self,
        hierarchy: &Hierarchy,
        image: &Image,
        start: &Start,
        finding: &FindingKey,
    ) -> bool {
        hierarchy.parents(&image.id).any(|edge| {
            let Image { repository, pipeline, .. } = edge.image;
            // A person may have pushed another version since the plan was made.
            let named = start.parents.get(&edge.image.id);
            let version = named.and_then(|digest| self.registry.pushed(repository, digest));
            let is_known = |version: &Pushed| {
                version.version.platforms.values().all(|manifest| {
                    let scan = self.scanner.scan(&(repository.clone(), manifest.digest.clone()));
                    scan.lists(finding).is_some()
                })
            };
            version.is_some_and(|version| {
                self.has(&version.layers, finding) && (pipeline.is_none() || !is_known(version))
            })
        })
    }

    fn has(&self, layers: &BTreeMap<Platform, Layers>, finding: &FindingKey) -> bool {
        layers.values().any(|layers| self.is_in(layers, finding))
    }

    fn is_in(&self, layers: &Layers, finding: &FindingKey) -> bool {
        let known = self.scanner.known.iter().find(|known| known.key() == *finding);
        known.is_some_and(|known| packages(layers).values().any(|(package, _)| known.is_in(package)))
    }

    /// Returns whether the last two builds failed on the same inputs, the last one just now.
    fn follows_failures(&self, start: &Start, now: Timestamp) -> bool {
        let mut last: Vec<&Execution> = self.pipelines.all_of(&start.image).collect();
        last.sort_by_key(|execution| std::cmp::Reverse(execution.started_at));
        let has_failed = |execution: &&&Execution| {
            execution.state == ExecutionState::Failed && execution.start.inputs == start.inputs
        };
        let is_requested = start.reasons.iter().any(|reason| matches!(reason, Reason::Requested { .. }));
        let is_recent = last.first().is_some_and(|last| SHORTEST_BACK_OFF.after(last.ends_at) > now);
        let decided_at = self.truth.decided_at.get(&start.image);
        let is_decided = decided_at > last.get(1).map(|earlier| &earlier.started_at);
        is_recent && !is_requested && !is_decided && last.iter().take(2).filter(has_failed).count() == 2
    }

    /// Checks a start whose token began an execution before: only a start that was not answered is
    /// made again.
    pub(crate) fn check_replay(&mut self, start: &Start, now: Timestamp) {
        let claim = self.ledger.record(&start.image).and_then(|record| record.claim.as_ref());
        let claimed_at = claim.map(|claim| claim.claimed_at);
        let replayed = self.pipelines.replayed(start);
        let is_another = replayed.is_some_and(|replayed| {
            replayed.state != ExecutionState::InProgress
                && claimed_at > Some(LEASE.after(replayed.started_at))
        });
        if is_another {
            let violation = format!("{} is started with the token of a build that has ended", start.image);
            self.checker.violation(now, violation);
        }
    }

    /// Checks that what is called fixed is fixed.
    pub(crate) fn check_proofs(&mut self, hierarchy: &Hierarchy, report: &Report, now: Timestamp) {
        for proof in report.proofs.iter().filter(|proof| proof.verdict == Verdict::Fixed) {
            let Ok(image) = hierarchy.image(&proof.image) else { continue };
            let pushed = self.registry.pushed(&image.repository, &proof.version);
            let layers = pushed.and_then(|pushed| pushed.layers.get(&proof.platform));
            // What the scanner did not know when it scanned, nobody can know.
            let known = self.scanner.known.iter().find(|known| known.key() == proof.finding);
            let manifest = pushed.and_then(|pushed| pushed.version.platforms.get(&proof.platform));
            let scanned_at = manifest.and_then(|manifest| {
                self.scanner.scan(&(image.repository.clone(), manifest.digest.clone())).completed_at()
            });
            let was_known = scanned_at.is_none_or(|at| known.is_some_and(|known| known.known_from <= at));
            if was_known && layers.is_some_and(|layers| self.is_in(layers, &proof.finding)) {
                let violation = format!("{} is proved without {}, and has it", proof.image, proof.finding);
                self.checker.violation(now, violation);
            }
        }
    }

    /// Checks that people know of a build that hung, and that it held no slot.
    pub(crate) fn check_hang(&mut self, hierarchy: &Hierarchy, execution: &Execution, now: Timestamp) {
        let id = &execution.start.image;
        let Ok(image) = hierarchy.image(id) else { return };
        let claim = self.ledger.record(id).and_then(|record| record.claim.as_ref());
        let Some(claim) = claim.filter(|claim| claim.execution.as_ref() == Some(&execution.id)) else {
            return;
        };
        let hangs_since = image.policy.max_build_time.after(claim.claimed_at);
        let is_unreadable = self.faults.is_refused(Read::Record, id.as_str(), KNOWN_WITHIN.before(now));
        if KNOWN_WITHIN.after(hangs_since) > now || is_unreadable {
            return;
        }
        if !self.is_open(id, RootCause::Hanging) {
            self.checker.violation(now, format!("no notice says that the build of {id} hung"));
        }
        if self.ledger.held_by().contains(id) {
            self.checker.violation(now, format!("the build of {id} hung and kept its slot"));
        }
    }
}

/// Returns the findings that a build is for.
fn causes(start: &Start) -> impl Iterator<Item = &Cause> {
    start.reasons.iter().flat_map(|reason| match reason {
        Reason::Vulnerable { causes, .. } => causes.iter().collect(),
        _ => Vec::new(),
    })
}

fn sends_undeclared(image: &Image, start: &Start) -> bool {
    let Some(pipeline) = &image.pipeline else { return false };
    let is_declared = |name: &String| pipeline.variables.iter().any(|variable| variable.name() == name);
    !start.variables.keys().all(is_declared)
}
