//! Judges the findings that a rebuild had to fix, once the new version is scanned.

use std::collections::BTreeSet;

use super::{Proof, ToProve, Verdict};
use crate::facts::{ImageFacts, Version};
use crate::finding::{Coverage, FindingKey, Fix, PackageKind, Scan};
use crate::hierarchy::Image;
use crate::record::{Ineffective, PendingProof, Record};
use crate::time::Timestamp;

/// Each finding to prove, its verdict, and the coverage of the scan.
pub(super) type Judged<'p> = Vec<(&'p ToProve, Verdict, Option<Coverage>)>;

/// Judges a pending proof. It stays pending while a scan is missing, until the time limit of the
/// proof. After that only the findings whose scan could not be read stay pending.
pub(super) fn judge(
    image: &Image,
    facts: &ImageFacts,
    proof: PendingProof,
    record: &mut Record,
    proofs: &mut Vec<Proof>,
    now: Timestamp,
) {
    let Some(version) = facts.current_version() else {
        record.proof = Some(proof);
        return;
    };
    if version.digest != proof.version {
        // A person or pipeline pushed another version. From now on the scan of that version counts.
        return;
    }
    let judged: Judged<'_> = proof.to_prove.iter().map(|item| verdict(item, version)).collect();
    let lacks_scan = judged.iter().any(|(_, verdict, _)| *verdict == Verdict::Unscanned);
    if lacks_scan && proof.until > now {
        record.proof = Some(proof);
        return;
    }
    let is_unread = |item: &ToProve| {
        version.platforms.get(&item.platform).is_some_and(|manifest| manifest.scan.unread().is_some())
    };
    let (unread, judged): (Judged<'_>, Judged<'_>) =
        judged.into_iter().partition(|(item, ..)| is_unread(item));
    if !judged.is_empty() || unread.is_empty() {
        conclude(image, version, &proof, judged, record, proofs);
    }
    if !unread.is_empty() {
        let to_prove = unread.into_iter().map(|(item, ..)| item.clone()).collect();
        record.proof = Some(PendingProof { to_prove, ..proof.clone() });
    }
}

fn verdict<'p>(item: &'p ToProve, version: &Version) -> (&'p ToProve, Verdict, Option<Coverage>) {
    let Some(manifest) = version.platforms.get(&item.platform) else { return (item, Verdict::Removed, None) };
    match &manifest.scan {
        Scan::Complete { coverage: Coverage::Os, .. } if item.kind == PackageKind::Language => {
            (item, Verdict::Unscanned, Some(Coverage::Os))
        }
        Scan::Complete { coverage, completed_at, .. } => {
            let verdict = match manifest.scan.lists(&item.finding) {
                Some(true) => Verdict::Ineffective,
                _ if item.since.is_some_and(|since| *completed_at < since) => Verdict::Unscanned,
                Some(false) => Verdict::Fixed,
                None => Verdict::Unknown,
            };
            (item, verdict, Some(*coverage))
        }
        Scan::Expired => (item, Verdict::Expired, None),
        Scan::Missing | Scan::Pending | Scan::Failed(_) | Scan::Unsupported(_) | Scan::Unread(_) => {
            (item, Verdict::Unscanned, None)
        }
    }
}

/// Writes the verdicts into the record. A finding that the build did not fix counts as one of its
/// tries.
pub(super) fn conclude(
    image: &Image,
    version: &Version,
    proof: &PendingProof,
    judged: Judged<'_>,
    record: &mut Record,
    proofs: &mut Vec<Proof>,
) {
    let of = |wanted: &[Verdict]| -> BTreeSet<&FindingKey> {
        judged
            .iter()
            .filter(|(_, verdict, _)| wanted.contains(verdict))
            .map(|(item, ..)| &item.finding)
            .collect()
    };
    let ineffective = of(&[Verdict::Ineffective]);
    let fixed = of(&[Verdict::Fixed, Verdict::Removed]);
    for finding in &fixed {
        if !ineffective.contains(finding) {
            record.ineffective.remove(*finding);
        }
    }
    for finding in proof.causes.iter().filter(|cause| ineffective.contains(cause)) {
        let fix = version.finding(finding).map_or(Fix::Unknown, |finding| finding.fix.clone());
        let before = record.ineffective.get(finding).filter(|e| e.inputs == proof.inputs && e.fix == fix);
        let builds = before.map_or(0, |entry| entry.builds) + 1;
        record.ineffective.insert(finding.clone(), Ineffective { builds, inputs: proof.inputs.clone(), fix });
    }
    if let Some(success) = &mut record.success {
        let helped = |cause: &FindingKey| fixed.contains(cause) && !ineffective.contains(cause);
        // A try rolls on if it is proven to help. Another build does unless it is proven not to.
        let is_try = proof.causes.is_empty() && !proof.retried.is_empty();
        success.fixed_nothing = (is_try || proof.causes.iter().any(|cause| ineffective.contains(cause)))
            && !proof.causes.iter().chain(&proof.retried).any(helped);
        let is_fixed = |cause: &&FindingKey| {
            let mut verdicts = judged.iter().filter(|(item, ..)| item.finding == **cause).peekable();
            verdicts.peek().is_some()
                && verdicts.all(|(_, verdict, _)| matches!(verdict, Verdict::Fixed | Verdict::Removed))
        };
        success.fixed = proof.causes.iter().chain(&proof.retried).filter(is_fixed).cloned().collect();
    }
    proofs.extend(judged.into_iter().map(|(item, verdict, coverage)| Proof {
        image: image.id.clone(),
        version: version.digest.clone(),
        platform: item.platform.clone(),
        finding: item.finding.clone(),
        verdict,
        coverage,
    }));
}
