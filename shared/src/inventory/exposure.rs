//! Computes from when until when running images were vulnerable.
//!
//! An exposure belongs to an image and a finding. It starts when a running version is known to have
//! the finding. It stops when the last container of such a version was last seen, and not when a
//! fixed version is pushed.
//!
//! The entries of a place end only after the place has been read completely. So an exposure goes on
//! until every place where the versions ran has been read again.

use std::collections::{BTreeMap, BTreeSet};

use super::fold_input::FoldInput;
use super::folded::{Change, Folded};
use super::state::{
    Assessment, Entry, Exposure, Exposures, Inventory, MOST_STOPPED, Open, STOPPED_KEPT, Stopped,
};
use crate::finding::FindingKey;
use crate::image::{Digest, ImageId};
use crate::time::Timestamp;

/// Starts, updates and stops the exposures of all images.
pub(super) fn update(folded: &mut Folded, before: &Inventory, input: &FoldInput<'_>) {
    let observed = observed(&folded.inventory);
    let running = running(&folded.inventory);
    let reassigned = reassigned(before, &folded.inventory);
    let images: BTreeSet<ImageId> =
        folded.inventory.exposures.keys().chain(observed.keys()).cloned().collect();
    for image in images {
        let exposures = folded.inventory.exposures.remove(&image).unwrap_or_default();
        let found = observed.get(&image);
        let runs = RunningVersions { known: running.get(&image), reassigned: reassigned.get(&image) };
        let updated = update_image(&image, exposures, found, &runs, input, &mut folded.changes);
        if !updated.running.is_empty() || !updated.stopped.is_empty() {
            folded.inventory.exposures.insert(image, updated);
        }
    }
}

/// The findings that policy counts on the running versions of each image, as exposures that start
/// now.
type Observed = BTreeMap<ImageId, BTreeMap<FindingKey, Exposure>>;

fn observed(inventory: &Inventory) -> Observed {
    let mut observed = Observed::new();
    for entry in inventory.entries.values().filter(|entry| entry.runs) {
        let Some(key) = entry.known() else { continue };
        let Some(assessment) = inventory.versions.get(&key) else { continue };
        let (image, version) = key;
        for (finding, open) in assessment.findings_of(entry).filter(|(_, open)| open.counts) {
            let exposures = observed.entry(image.clone()).or_default();
            // A finding that is older than the deployment counts from the deployment.
            let since = open.since.max(entry.since);
            let exposure =
                exposures.entry(finding.clone()).or_insert_with(|| start(open, since, entry.last_seen));
            exposure.since = exposure.since.min(since);
            exposure.last_seen = exposure.last_seen.max(entry.last_seen);
            exposure.severity = exposure.severity.max(open.severity);
            exposure.versions.insert(version.clone());
        }
    }
    observed
}

fn start(open: &Open, since: Timestamp, last_seen: Timestamp) -> Exposure {
    Exposure { severity: open.severity, since, last_seen, versions: BTreeSet::new() }
}

/// The versions of each image that run, and whether all findings of each are known.
type Running = BTreeMap<ImageId, BTreeMap<Digest, bool>>;

fn running(inventory: &Inventory) -> Running {
    let mut running = Running::new();
    for entry in inventory.entries.values().filter(|entry| entry.runs) {
        let Some(key) = entry.known() else { continue };
        let scanned = |assessment: &Assessment| assessment.unscanned_of(entry).is_none();
        let is_known = inventory.versions.get(&key).is_some_and(scanned);
        let (image, version) = key;
        let known = running.entry(image).or_default().entry(version).or_insert(true);
        *known &= is_known;
    }
    running
}

/// Returns the versions that still run, but that a changed hierarchy now assigns to another image.
/// Nothing stopped there.
fn reassigned(before: &Inventory, after: &Inventory) -> BTreeMap<ImageId, BTreeSet<Digest>> {
    let mut reassigned: BTreeMap<ImageId, BTreeSet<Digest>> = BTreeMap::new();
    for (key, entry) in before.entries.iter().filter(|(_, entry)| entry.runs) {
        let Some((image, version)) = entry.known() else { continue };
        let now = after.entries.get(key).map(Entry::known);
        if now.is_some_and(|now| now != Some((image.clone(), version.clone()))) {
            reassigned.entry(image).or_default().insert(version);
        }
    }
    reassigned
}

/// The running versions of one image.
struct RunningVersions<'r> {
    /// Whether all findings of each version are known.
    known: Option<&'r BTreeMap<Digest, bool>>,
    /// The versions that still run, but belong to another image now.
    reassigned: Option<&'r BTreeSet<Digest>>,
}

impl RunningVersions<'_> {
    /// Returns whether all findings of a running version are known; `None` if it does not run.
    fn is_known(&self, version: &Digest) -> Option<bool> {
        self.known.and_then(|known| known.get(version)).copied()
    }

    fn is_renamed(&self, version: &Digest) -> bool {
        self.reassigned.is_some_and(|reassigned| reassigned.contains(version))
    }
}

fn update_image(
    image: &ImageId,
    exposures: Exposures,
    found: Option<&BTreeMap<FindingKey, Exposure>>,
    runs: &RunningVersions<'_>,
    input: &FoldInput<'_>,
    changes: &mut BTreeSet<Change>,
) -> Exposures {
    let Exposures { running, mut stopped } = exposures;
    let mut updated: BTreeMap<FindingKey, Exposure> = BTreeMap::new();
    for (finding, exposure) in running {
        match next(&exposure, found.and_then(|found| found.get(&finding)), runs) {
            Next::Runs(exposure) => {
                updated.insert(finding, exposure);
            }
            Next::Stopped => {
                changes.insert(Change::Patched {
                    image: image.clone(),
                    finding: finding.clone(),
                    since: exposure.since,
                    vulnerable_until: exposure.last_seen,
                });
                let Exposure { severity, since, last_seen, .. } = exposure;
                stopped.push(Stopped { vulnerable_until: last_seen, finding, severity, since });
            }
            Next::Withdrawn => {
                changes.insert(Change::Withdrawn { image: image.clone(), finding });
            }
        }
    }
    for (finding, exposure) in found.into_iter().flatten() {
        if !updated.contains_key(finding) {
            let change =
                Change::Vulnerable { image: image.clone(), finding: finding.clone(), since: exposure.since };
            changes.insert(change);
            updated.insert(finding.clone(), exposure.clone());
        }
    }
    stopped.retain(|stopped| STOPPED_KEPT.after(stopped.vulnerable_until) > input.now);
    stopped.sort();
    let too_many = stopped.len().saturating_sub(MOST_STOPPED);
    stopped.drain(..too_many);
    Exposures { running: updated, stopped }
}

enum Next {
    Runs(Exposure),
    Stopped,
    Withdrawn,
}

/// Decides what becomes of an exposure, from what has the finding now and what runs.
fn next(exposure: &Exposure, found: Option<&Exposure>, runs: &RunningVersions<'_>) -> Next {
    if let Some(found) = found {
        // A version that has no complete scan now may still have the finding.
        let unknown = exposure.versions.iter().filter(|version| runs.is_known(version) == Some(false));
        return Next::Runs(Exposure {
            severity: found.severity,
            since: exposure.since.min(found.since),
            last_seen: exposure.last_seen.max(found.last_seen),
            versions: found.versions.iter().chain(unknown).cloned().collect(),
        });
    }
    let still: Vec<bool> = exposure.versions.iter().filter_map(|version| runs.is_known(version)).collect();
    if still.contains(&false) {
        Next::Runs(exposure.clone())
    } else if still.is_empty() && !exposure.versions.iter().any(|version| runs.is_renamed(version)) {
        Next::Stopped
    } else {
        Next::Withdrawn
    }
}
