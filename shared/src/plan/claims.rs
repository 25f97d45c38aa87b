//! Settles the builds and proofs that are under way, and brings the record up to date with them.
//!
//! The planner decides nothing new about an image before that.

use std::collections::BTreeSet;

use super::judge::{conclude, judge};
use super::{Cause, Proof, Reason, Verdict};
use crate::facts::{Execution, ExecutionState, ImageFacts, Version};
use crate::finding::Severity;
use crate::hierarchy::Image;
use crate::image::Digest;
use crate::record::{Claim, Failures, PendingProof, Record, Success};
use crate::time::Timestamp;

/// Resolves one image: its claim first, then its proof.
pub(super) fn resolve(image: &Image, facts: &ImageFacts, now: Timestamp) -> (Record, Vec<Proof>) {
    let mut record = facts.record.clone();
    let mut proofs = Vec::new();
    if let Some(claim) = record.claim.take() {
        resolve_claim(image, facts, claim, &mut record, &mut proofs, now);
    }
    if let Some(proof) = record.proof.take() {
        judge(image, facts, proof, &mut record, &mut proofs, now);
    }
    if let Some(version) = facts.current_version() {
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

fn resolve_claim(
    image: &Image,
    facts: &ImageFacts,
    mut claim: Claim,
    record: &mut Record,
    proofs: &mut Vec<Proof>,
    now: Timestamp,
) {
    match &facts.execution {
        // Attempts share their key. This may be the execution of the attempt before, and the
        // claim's owner may be about to start this one.
        Some(Execution::Found { state, .. }) if is_attempt_before(&claim, *state, now) => {
            record.claim = Some(claim);
        }
        Some(Execution::Found { id, state }) => {
            claim.execution = Some(id.clone());
            match state {
                ExecutionState::InProgress => record.claim = Some(claim),
                ExecutionState::Succeeded => succeed(image, facts, claim, record, proofs, now),
                ExecutionState::Failed => {
                    fail(&claim, record, true, format!("the execution {id} failed"), now);
                }
                ExecutionState::Stopped => {
                    fail(&claim, record, false, format!("the execution {id} was stopped"), now);
                }
                ExecutionState::Superseded => {
                    fail(&claim, record, false, format!("the execution {id} was overtaken by another"), now);
                }
            }
        }
        // Patchwave saw this execution, and now it does not exist. Someone deleted it or its
        // pipeline, which is the same as to stop it.
        Some(Execution::NotFound) if claim.is_confirmed() => {
            fail(&claim, record, false, "its execution is gone".into(), now);
        }
        // The claim's owner ended and started nothing. The next start of this goal is a new
        // attempt.
        Some(Execution::NotFound) if claim.lease_until <= now => {}
        _ => record.claim = Some(claim),
    }
}

/// Whether the execution that was found may have ended before this claim was taken.
///
/// After the lease the claim's owner starts nothing. The last execution with the build key is then
/// the claim's own.
fn is_attempt_before(claim: &Claim, state: ExecutionState, now: Timestamp) -> bool {
    let has_failed =
        matches!(state, ExecutionState::Failed | ExecutionState::Stopped | ExecutionState::Superseded);
    has_failed && !claim.is_confirmed() && claim.start.attempt > 1 && now < claim.lease_until
}

fn fail(claim: &Claim, record: &mut Record, failed: bool, because: String, now: Timestamp) {
    record.failures =
        Some(Failures::after(record.failures.take(), &claim.start.inputs, failed, because, now));
}

/// Removes the reasons of a build that succeeded, even if it changed nothing. Otherwise they would
/// start the same build without limit.
fn succeed(
    image: &Image,
    facts: &ImageFacts,
    claim: Claim,
    record: &mut Record,
    proofs: &mut Vec<Proof>,
    now: Timestamp,
) {
    let Some(version) = facts.current_version() else {
        // The version that it pushed is not visible yet. The claim stays until it is.
        record.claim = Some(claim);
        return;
    };
    record.failures = None;
    record.waiting_since = None;
    let requested = |id: &str| {
        claim.start.reasons.iter().any(|r| matches!(r, Reason::Requested { id: i, .. } if i == id))
    };
    if record.request.as_ref().is_some_and(|request| requested(&request.id)) {
        record.request = None;
    }
    let pinned = claim.start.sources.first().map(|source| source.revision.as_str());
    if pinned.is_some() && pinned != version.revision.as_deref() {
        // The line moved to another commit during the build: the current version is not
        // Patchwave's.
        return;
    }
    let changed = changed(facts, &claim, version);
    // Earlier builds may have fixed nothing either. A child that was built on one of their versions
    // gains nothing from this one alone.
    let mut no_better_than: BTreeSet<Digest> = record
        .success
        .take()
        .filter(|before| Some(&before.version) == claim.start.replaces.as_ref())
        .filter(|before| before.for_age || before.fixed_nothing)
        .map(|before| before.no_better_than)
        .unwrap_or_default();
    no_better_than.extend(claim.start.replaces.clone());
    record.success = Some(Success {
        key: claim.start.key.clone(),
        at: now,
        version: version.digest.clone(),
        pushed_at: version.pushed_at,
        parents: claim.start.parents.clone(),
        since: claim.start.since,
        for_age: claim.for_age(),
        fixed_nothing: false,
        no_better_than,
        followed: None,
    });
    let causes: Vec<&Cause> = claim.start.reasons.iter().flat_map(Reason::causes).collect();
    let severity = causes.iter().map(|cause| cause.severity).max().unwrap_or(Severity::Unrated);
    let proof = PendingProof {
        version: version.digest.clone(),
        until: image.policy.proof_wait.for_severity(severity).after(now),
        to_prove: claim.start.to_prove.clone(),
        causes: causes.iter().map(|cause| cause.finding.clone()).collect(),
        inputs: claim.start.inputs.clone(),
    };
    if changed {
        record.proof = (!proof.to_prove.is_empty()).then_some(proof);
    } else {
        let all = proof.to_prove.iter().map(|item| (item, Verdict::Ineffective, None)).collect();
        conclude(image, version, &proof, all, record, proofs);
    }
}

fn changed(facts: &ImageFacts, claim: &Claim, version: &Version) -> bool {
    let Some(replaced) = &claim.start.replaces else { return true };
    match facts.version_named(replaced) {
        Some(replaced) => replaced.content() != version.content(),
        None => *replaced != version.digest,
    }
}
