//! What a build means for the tries of findings without a named fix.

use std::collections::BTreeSet;

use super::{Cause, Reason};
use crate::finding::FindingKey;
use crate::record::{Claim, Tries};

/// Returns the tries after this build. Every build that may fix such a finding is a try.
pub(super) fn after(before: Option<Tries>, claim: &Claim) -> Option<Tries> {
    if !causes(claim).any(Cause::is_retried) {
        return before;
    }
    let count = before.map_or(0, |tries| tries.count).saturating_add(1);
    Some(Tries { last: claim.claimed_at, count })
}

/// Returns the findings that decide whether the build was a try in vain. A build that brings a
/// parent's change, or that a person asked for, is none.
pub(super) fn to_judge(claim: &Claim) -> BTreeSet<FindingKey> {
    let is_own = |reason: &Reason| matches!(reason, Reason::Vulnerable { .. } | Reason::Expired { .. });
    if !claim.start.reasons.iter().all(is_own) {
        return BTreeSet::new();
    }
    causes(claim).filter(|cause| cause.is_retried()).map(|cause| cause.finding.clone()).collect()
}

fn causes(claim: &Claim) -> impl Iterator<Item = &Cause> {
    claim.start.reasons.iter().flat_map(Reason::causes)
}
