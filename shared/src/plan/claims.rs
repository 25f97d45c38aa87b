//! Settles the builds and proofs that are under way, and brings the record up to date with them.
//!
//! The planner decides nothing new about an image before that.

use std::collections::BTreeSet;

use super::judge::{conclude, judge};
use super::pushed::{Pushed, parents, pushed};
use super::tried;
use super::{Cause, Proof, Reason, Verdict};
use crate::facts::{Current, Execution, ExecutionDetails, ExecutionState, Facts, ImageFacts, Version};
use crate::finding::Severity;
use crate::hierarchy::{Hierarchy, Image};
use crate::image::Digest;
use crate::record::{Claim, Ended, Failures, PendingProof, Record, Success};
use crate::time::Timestamp;

/// Resolves one image: its claim first, then its proof.
pub(super) fn resolve(
    hierarchy: &Hierarchy,
    facts: &Facts,
    image: &Image,
    now: Timestamp,
) -> (Record, Vec<Proof>) {
    let Some(own) = facts.images.get(&image.id) else { return (Record::default(), Vec::new()) };
    let mut record = own.record.clone();
    let mut proofs = Vec::new();
    if let Some(claim) = record.claim.take() {
        let mut resolution = Resolution { hierarchy, facts, image, own, record, proofs, now };
        resolution.resolve(claim);
        (record, proofs) = (resolution.record, resolution.proofs);
    }
    if let Some(proof) = record.proof.take() {
        judge(image, own, proof, &mut record, &mut proofs, now);
    }
    if let Some(version) = own.current_version() {
        record.current = Some(version.digest.clone());
        let is_ours = record.success.as_ref().is_some_and(|success| success.version == version.digest);
        if !is_ours && record.claim.is_none() {
            // Another person or pipeline pushed this version. What Patchwave's builds did not fix
            // is no evidence about it.
            record.ineffective.clear();
        }
    }
    (record, proofs)
}

/// A claim that is being resolved: what it depends on, and what becomes of the record.
struct Resolution<'a> {
    hierarchy: &'a Hierarchy,
    facts: &'a Facts,
    image: &'a Image,
    own: &'a ImageFacts,
    record: Record,
    proofs: Vec<Proof>,
    now: Timestamp,
}

impl Resolution<'_> {
    fn resolve(&mut self, mut claim: Claim) {
        let owns = claim.lease_until > self.now;
        match &self.own.execution {
            Some(Execution::Found { id, state, details }) => {
                claim.execution = Some(id.clone());
                self.end(claim, id, *state, details);
                if self.record.claim.is_none() {
                    self.record.last_execution = Some(id.clone());
                }
            }
            // An execution is not visible at once. After that its absence means that someone
            // deleted it or its pipeline, which is the same as to stop it.
            Some(Execution::NotFound) if claim.is_confirmed() && !owns => {
                self.fail(&claim, Ended::Stopped, "its execution is gone".into());
            }
            // The claim's owner ended and started nothing. The next start of this goal is a new
            // attempt.
            Some(Execution::NotFound) if !claim.is_confirmed() && !owns => {}
            _ => self.record.claim = Some(claim),
        }
    }

    fn end(&mut self, claim: Claim, id: &str, state: ExecutionState, details: &ExecutionDetails) {
        let why = details.failure.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        match state {
            ExecutionState::InProgress => self.record.claim = Some(claim),
            ExecutionState::Succeeded => self.succeed(claim, id, details),
            ExecutionState::Failed => {
                let ended = if details.at_limit { Ended::AtLimit } else { Ended::Failed };
                self.fail(&claim, ended, format!("the execution {id} failed{why}"));
            }
            ExecutionState::Stopped => {
                self.fail(&claim, Ended::Stopped, format!("the execution {id} was stopped"));
            }
            ExecutionState::Superseded => {
                self.fail(&claim, Ended::Stopped, format!("another execution superseded {id}"));
            }
        }
    }

    fn fail(&mut self, claim: &Claim, ended: Ended, because: String) {
        if ended == Ended::AtLimit {
            // It still waits: children that wait for it must see how long.
            self.record.waiting_since = Some(claim.claimed_at);
        }
        let before = self.record.failures.take();
        self.record.failures = Some(Failures::after(before, &claim.start.inputs, ended, because, self.now));
    }

    /// Removes the reasons of a build that succeeded, even if it changed nothing. Otherwise they
    /// would start the same build without limit.
    fn succeed(&mut self, claim: Claim, id: &str, details: &ExecutionDetails) {
        let Some(pushed) = pushed(self.hierarchy, self.facts, self.image, &claim, details) else {
            return self.wait_for_push(claim, id);
        };
        self.record.waiting_since = None;
        let requested = |id: &str| {
            claim.start.reasons.iter().any(|r| matches!(r, Reason::Requested { id: i, .. } if i == id))
        };
        if self.record.request.as_ref().is_some_and(|request| requested(&request.id)) {
            self.record.request = None;
        }
        match pushed {
            Pushed::Ours(version) | Pushed::Nothing(version) => self.record_success(&claim, version),
            Pushed::RolledBack => {
                let replaced = claim.start.replaces.as_ref();
                self.record.failures = None;
                if let Some(replaced) = replaced.and_then(|replaced| self.own.version_named(replaced)) {
                    self.record_success(&claim, replaced);
                    // The replaced version was not built on the parents that this build had.
                    self.record.success.iter_mut().for_each(|success| {
                        success.parents.clear();
                        success.upstreams.clear();
                    });
                }
            }
            Pushed::Replaced => self.record.failures = None,
            // A build whose version never stands on the line would start again and again.
            Pushed::Foreign => {
                let because = format!(
                    "the execution {id} succeeded, and another push is current: check which tag the pipeline pushes"
                );
                self.fail(&claim, Ended::Failed, because);
            }
        }
    }

    /// Keeps a claim whose push is not known, unless the registry still says after the lease that
    /// the line has no version. Then the line moved during the build, its versions were deleted, or
    /// a first build pushed another tag.
    fn wait_for_push(&mut self, claim: Claim, id: &str) {
        let is_absent = matches!(self.own.current, Current::Absent | Current::NoRepository(_));
        if !is_absent || claim.lease_until > self.now {
            self.record.claim = Some(claim);
        } else if claim.start.replaces.is_none() {
            let because = format!("the execution {id} succeeded, and pushed no version of the line");
            self.fail(&claim, Ended::Failed, because);
        }
    }

    fn record_success(&mut self, claim: &Claim, version: &Version) {
        self.record.failures = None;
        self.record.tries = tried::after(self.record.tries, claim);
        let is_changed = changed(self.own, claim, version);
        let before = self.record.success.as_ref().map_or(0, |success| success.fruitless);
        let fruitless = if is_changed { 0 } else { before.saturating_add(1) };
        let no_better_than = self.no_better_than(claim);
        self.record.success = Some(Success {
            key: claim.start.key.clone(),
            at: self.now,
            claimed_at: Some(claim.claimed_at),
            version: version.digest.clone(),
            pushed_at: version.pushed_at,
            parents: parents(self.hierarchy, self.facts, self.image, claim, version),
            upstreams: claim.start.upstreams.clone(),
            since: claim.start.since,
            for_age: claim.for_age(),
            fixed_nothing: false,
            fixed: BTreeSet::new(),
            fruitless,
            no_better_than,
            followed: None,
        });
        if self.own.current_version() != Some(version) {
            // A person or another pipeline put another version in its place already.
            return;
        }
        let proof = self.proof(claim, version);
        if is_changed {
            self.record.proof = (!proof.to_prove.is_empty()).then_some(proof);
        } else {
            let all = proof.to_prove.iter().map(|item| (item, Verdict::Ineffective, None)).collect();
            conclude(self.image, version, &proof, all, &mut self.record, &mut self.proofs);
        }
    }

    /// Earlier builds may have fixed nothing either. A child that was built on one of their
    /// versions gains nothing from this one alone.
    fn no_better_than(&mut self, claim: &Claim) -> BTreeSet<Digest> {
        let before = self.record.success.take();
        let mut no_better_than: BTreeSet<Digest> = before
            .filter(|before| Some(&before.version) == claim.start.replaces.as_ref())
            .filter(|before| before.for_age || before.fixed_nothing)
            .map(|before| before.no_better_than)
            .unwrap_or_default();
        no_better_than.extend(claim.start.replaces.clone());
        no_better_than
    }

    fn proof(&self, claim: &Claim, version: &Version) -> PendingProof {
        let causes: Vec<&Cause> = claim.start.reasons.iter().flat_map(Reason::causes).collect();
        let severity = causes.iter().map(|cause| cause.severity).max().unwrap_or(Severity::Unrated);
        PendingProof {
            version: version.digest.clone(),
            until: self.image.policy.proof_wait.for_severity(severity).after(self.now),
            to_prove: claim.start.to_prove.clone(),
            causes: causes.iter().filter(|cause| !cause.is_retried()).map(|c| c.finding.clone()).collect(),
            retried: tried::to_judge(claim),
            inputs: claim.start.inputs.clone(),
        }
    }
}

fn changed(facts: &ImageFacts, claim: &Claim, version: &Version) -> bool {
    let Some(replaced) = &claim.start.replaces else { return true };
    match facts.version_named(replaced) {
        Some(replaced) => replaced.content() != version.content(),
        None => *replaced != version.digest,
    }
}
