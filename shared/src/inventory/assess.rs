//! Assesses the versions that run: their age, findings and line.

use std::collections::{BTreeMap, BTreeSet};

use super::fold_input::FoldInput;
use super::state::{Assessment, Entry, Inventory, MOST_FINDINGS, Open, Standing};
use crate::facts::{Current, Version};
use crate::finding::{Finding, FindingKey};
use crate::hierarchy::Image;
use crate::image::{Digest, ImageId, Platform};
use crate::time::Timestamp;

/// Assesses every version that runs or is referred to. Where the registry does not answer, the last
/// assessment stays.
pub(super) fn assess(inventory: &mut Inventory, input: &FoldInput<'_>) {
    let known: BTreeSet<(ImageId, Digest)> = inventory.entries.values().filter_map(Entry::known).collect();
    for (id, digest) in known {
        let Ok(image) = input.hierarchy.image(&id) else { continue };
        let key = (id, digest);
        let before = inventory.versions.get(&key);
        let found = input.catalog.version(&image.repository, &key.1).filter(|v| v.digest == key.1);
        let assessment = match (found, before) {
            (Some(version), before) => assessment(input, image, version, before),
            // The version is deleted, or the registry did not answer.
            (None, Some(before)) => {
                Assessment { standing: standing(input, image, None, &key.1), ..before.clone() }
            }
            (None, None) => continue,
        };
        inventory.versions.insert(key, assessment);
    }
}

fn assessment(
    input: &FoldInput<'_>,
    image: &Image,
    version: &Version,
    before: Option<&Assessment>,
) -> Assessment {
    let mut findings: BTreeMap<FindingKey, Open> = BTreeMap::new();
    let mut unscanned = BTreeMap::new();
    for (platform, manifest) in &version.platforms {
        let Some(completed) = manifest.scan.completed_at() else {
            unscanned.extend(manifest.scan.unknown_because().map(|because| (platform.clone(), because)));
            keep(&mut findings, platform, before);
            continue;
        };
        unscanned.extend(manifest.scan.unknown_because().map(|because| (platform.clone(), because)));
        for finding in manifest.scan.findings() {
            let since = appeared(finding, before, completed);
            add(&mut findings, &finding.key, platform, &open(input, image, finding, since));
        }
    }
    Assessment {
        image: image.id.clone(),
        version: version.digest.clone(),
        at: input.now,
        built_at: version.built(),
        revision: version.revision.clone(),
        standing: standing(input, image, Some(version), &version.digest),
        platforms: version.platforms.keys().cloned().collect(),
        manifests: version.platforms.values().map(|manifest| manifest.digest.clone()).collect(),
        findings: worst(findings),
        unscanned,
    }
}

/// Keeps the findings of an earlier scan of the platform.
fn keep(findings: &mut BTreeMap<FindingKey, Open>, platform: &Platform, before: Option<&Assessment>) {
    let earlier = before.into_iter().flat_map(|before| &before.findings);
    for (key, found) in earlier.filter(|(_, open)| open.platforms.contains(platform)) {
        add(findings, key, platform, found);
    }
}

fn add(findings: &mut BTreeMap<FindingKey, Open>, key: &FindingKey, platform: &Platform, found: &Open) {
    let open =
        findings.entry(key.clone()).or_insert_with(|| Open { platforms: BTreeSet::new(), ..found.clone() });
    open.platforms.insert(platform.clone());
    open.severity = open.severity.max(found.severity);
    open.counts |= found.counts;
    open.exploited |= found.exploited;
    open.since = open.since.min(found.since);
}

/// Returns when a finding appeared: as the scanner says, else when Patchwave first saw it here,
/// else when this scan completed.
fn appeared(finding: &Finding, before: Option<&Assessment>, completed: Timestamp) -> Timestamp {
    let seen = before.and_then(|before| before.findings.get(&finding.key)).map(|open| open.since);
    finding.first_observed.or(seen).unwrap_or(completed)
}

fn open(input: &FoldInput<'_>, image: &Image, finding: &Finding, since: Timestamp) -> Open {
    Open {
        severity: finding.severity,
        fix: finding.fix.clone(),
        exploited: finding.exploited,
        counts: image.policy.counts(finding, input.now),
        since,
        platforms: BTreeSet::new(),
    }
}

/// Keeps the worst of very many findings, so that the item stays small: first those that policy
/// counts, then by severity.
fn worst(mut findings: BTreeMap<FindingKey, Open>) -> BTreeMap<FindingKey, Open> {
    if findings.len() <= MOST_FINDINGS {
        return findings;
    }
    let mut keys: Vec<FindingKey> = findings.keys().cloned().collect();
    keys.sort_by_key(|key| findings.get(key).map(|open| (!open.counts, std::cmp::Reverse(open.severity))));
    for key in keys.iter().skip(MOST_FINDINGS) {
        findings.remove(key);
    }
    findings
}

/// Returns whether a version is its line's current one. Versions with the same content count as
/// one, because every provenance document changes the index.
fn standing(input: &FoldInput<'_>, image: &Image, version: Option<&Version>, digest: &Digest) -> Standing {
    match input.catalog.current(&image.id) {
        Current::Version(current) => {
            let now = input.catalog.version(&image.repository, &current);
            let same = version.zip(now).is_some_and(|(version, now)| version.content() == now.content());
            if current == *digest || same { Standing::Current } else { Standing::Behind { current } }
        }
        Current::Absent => Standing::Unknown { because: "no version is current on its line".to_owned() },
        Current::NoRepository(registry) => {
            Standing::Unknown { because: format!("{registry} has no such repository") }
        }
        Current::Unread(why) => Standing::Unknown { because: why.to_string() },
    }
}
