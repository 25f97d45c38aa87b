//! Since when, and until when, what runs was vulnerable.
//!
//! An exposure belongs to an image and a finding. It starts when a version that runs is known to have the finding, and stops when
//! the last container that ran such a version was last seen: not when a fixed version is pushed. That nothing runs it any
//! more is known only when every place where it ran has been read to its end since, for only then do its entries end.

use std::collections::{BTreeMap, BTreeSet};

use super::fold::{Change, Folded};
use super::fold_input::FoldInput;
use super::state::{
    Assessment, Entry, Exposure, Exposures, Inventory, MOST_STOPPED, Open, STOPPED_KEPT, Stopped,
};
use crate::finding::FindingKey;
use crate::image::{Digest, ImageId};
use crate::time::Timestamp;

/// Starts, moves and stops the exposures of all images.
pub(super) fn turn(folded: &mut Folded, before: &Inventory, look: &FoldInput<'_>) {
    let carried = carried(&folded.inventory);
    let running = running(&folded.inventory);
    let renamed = renamed(before, &folded.inventory);
    let images: BTreeSet<ImageId> =
        folded.inventory.exposures.keys().chain(carried.keys()).cloned().collect();
    for image in images {
        let exposures = folded.inventory.exposures.remove(&image).unwrap_or_default();
        let found = carried.get(&image);
        let runs = Runs { of: running.get(&image), renamed: renamed.get(&image) };
        let turned = turn_image(&image, exposures, found, &runs, look, &mut folded.changes);
        if !turned.running.is_empty() || !turned.stopped.is_empty() {
            folded.inventory.exposures.insert(image, turned);
        }
    }
}

/// The findings that count on what runs of each image, as exposures that start now.
type Carried = BTreeMap<ImageId, BTreeMap<FindingKey, Exposure>>;

fn carried(inventory: &Inventory) -> Carried {
    let mut carried = Carried::new();
    for entry in inventory.entries.values().filter(|entry| entry.runs) {
        let Some(key) = entry.known() else { continue };
        let Some(assessment) = inventory.versions.get(&key) else { continue };
        let (image, version) = key;
        for (finding, open) in assessment.findings_of(entry).filter(|(_, open)| open.counts) {
            let exposures = carried.entry(image.clone()).or_default();
            // What was already known when it began to run has been there since it runs.
            let since = open.since.max(entry.since);
            let exposure =
                exposures.entry(finding.clone()).or_insert_with(|| start(open, since, entry.last_seen));
            exposure.since = exposure.since.min(since);
            exposure.last_seen = exposure.last_seen.max(entry.last_seen);
            exposure.severity = exposure.severity.max(open.severity);
            exposure.versions.insert(version.clone());
        }
    }
    carried
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

/// The versions that run as before and no longer pass for what they passed for: the hierarchy changed, and nothing stopped.
fn renamed(before: &Inventory, after: &Inventory) -> BTreeMap<ImageId, BTreeSet<Digest>> {
    let mut renamed: BTreeMap<ImageId, BTreeSet<Digest>> = BTreeMap::new();
    for (key, entry) in before.entries.iter().filter(|(_, entry)| entry.runs) {
        let Some((image, version)) = entry.known() else { continue };
        let now = after.entries.get(key).map(Entry::known);
        if now.is_some_and(|now| now != Some((image.clone(), version.clone()))) {
            renamed.entry(image).or_default().insert(version);
        }
    }
    renamed
}

/// What runs of one image.
struct Runs<'r> {
    /// The versions, and whether all findings of each are known.
    of: Option<&'r BTreeMap<Digest, bool>>,
    /// Those that run and pass for something else now.
    renamed: Option<&'r BTreeSet<Digest>>,
}

impl Runs<'_> {
    /// Tells whether all findings of a version that runs are known; nothing if it does not run.
    fn is_known(&self, version: &Digest) -> Option<bool> {
        self.of.and_then(|of| of.get(version)).copied()
    }

    fn is_renamed(&self, version: &Digest) -> bool {
        self.renamed.is_some_and(|renamed| renamed.contains(version))
    }
}

fn turn_image(
    image: &ImageId,
    exposures: Exposures,
    found: Option<&BTreeMap<FindingKey, Exposure>>,
    runs: &Runs<'_>,
    look: &FoldInput<'_>,
    changes: &mut BTreeSet<Change>,
) -> Exposures {
    let Exposures { running, mut stopped } = exposures;
    let mut turned: BTreeMap<FindingKey, Exposure> = BTreeMap::new();
    for (finding, exposure) in running {
        match next(&exposure, found.and_then(|found| found.get(&finding)), runs) {
            Next::Runs(exposure) => {
                turned.insert(finding, exposure);
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
        if !turned.contains_key(finding) {
            let change =
                Change::Vulnerable { image: image.clone(), finding: finding.clone(), since: exposure.since };
            changes.insert(change);
            turned.insert(finding.clone(), exposure.clone());
        }
    }
    stopped.retain(|stopped| STOPPED_KEPT.after(stopped.vulnerable_until) > look.now);
    stopped.sort();
    let too_many = stopped.len().saturating_sub(MOST_STOPPED);
    stopped.drain(..too_many);
    Exposures { running: turned, stopped }
}

enum Next {
    Runs(Exposure),
    Stopped,
    Withdrawn,
}

/// What becomes of an exposure, given what carries the finding now and what runs.
fn next(exposure: &Exposure, found: Option<&Exposure>, runs: &Runs<'_>) -> Next {
    if let Some(found) = found {
        // Versions whose scans say nothing now may have it as before.
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
