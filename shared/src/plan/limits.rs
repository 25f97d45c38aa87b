//! Limits how many findings a record holds: the worst ones, as many as fit.
//!
//! A DynamoDB item holds at most 400 KB, and an image may have any number of findings. A few
//! hundred stay far below that limit, and no decision needs more. Patchwave reports those that it
//! leaves out as unknown.

use std::collections::{BTreeMap, BTreeSet};

use super::{Cause, Goal, Reason, ToProve};
use crate::finding::FindingKey;
use crate::time::Timestamp;

/// Bytes of JSON for the findings that a build is made for.
const CAUSES: usize = 48 * 1024;
/// Bytes of JSON for the findings that its proof will judge.
const TO_PROVE: usize = 64 * 1024;
/// Bytes of JSON for the times when findings were first seen.
const SEEN: usize = 32 * 1024;
/// After this many findings that rebuilds from the same inputs did not fix, Patchwave tries no
/// other finding.
pub(super) const MOST_INEFFECTIVE: usize = 200;

/// Keeps the reasons with the worst of their causes.
pub(super) fn reasons(reasons: &[Reason]) -> Vec<Reason> {
    let limits = |reason: &Reason| match reason {
        Reason::Vulnerable { causes, since } => {
            let mut worst: Vec<&Cause> = causes.iter().collect();
            worst.sort_by(|a, b| (b.exploited, b.severity, a.since).cmp(&(a.exploited, a.severity, b.since)));
            let causes = fitting(worst, CAUSES, |cause| size_of_cause(cause)).cloned().collect();
            Reason::Vulnerable { causes, since: *since }
        }
        other => other.clone(),
    };
    reasons.iter().map(limits).collect()
}

/// Keeps the first of `ranked`.
pub(super) fn to_prove(ranked: Vec<ToProve>) -> BTreeSet<ToProve> {
    fitting(ranked, TO_PROVE, |item| item.platform.as_str().len() + size_of_key(&item.finding) + 60).collect()
}

/// Keeps the findings that were seen earliest.
pub(super) fn seen(seen: BTreeMap<FindingKey, Timestamp>) -> BTreeMap<FindingKey, Timestamp> {
    let mut longest: Vec<_> = seen.into_iter().collect();
    longest.sort_by(|(a, since), (b, other)| (since, a).cmp(&(other, b)));
    fitting(longest, SEEN, |(key, _)| size_of_key(key) + 40).collect()
}

/// Returns whether a record keeps the times of all these findings.
pub(super) fn has_room_for(seen: &BTreeMap<FindingKey, Timestamp>) -> bool {
    fitting(seen, SEEN, |(key, _)| size_of_key(key) + 40).count() == seen.len()
}

/// Returns the first of `items` that fit into `budget` bytes.
fn fitting<T>(
    items: impl IntoIterator<Item = T>,
    budget: usize,
    size: impl Fn(&T) -> usize,
) -> impl Iterator<Item = T> {
    items.into_iter().scan(budget, move |left, item| {
        *left = left.checked_sub(size(&item))?;
        Some(item)
    })
}

fn size_of_cause(cause: &Cause) -> usize {
    let (Goal::Version(word) | Goal::Try(word) | Goal::Retry(word)) = &cause.goal;
    word.len() + size_of_key(&cause.finding) + 140
}

/// JSON writes a quotation mark or a control character as up to six bytes; names have neither.
fn size_of_key(key: &FindingKey) -> usize {
    key.vulnerability.len() + key.package.len() + 8
}
