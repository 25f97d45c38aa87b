//! The digests that a cluster may run: scanned, satisfying policy, and young enough.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::facts::{Facts, Version};
use crate::hierarchy::{Hierarchy, Image};
use crate::image::{Digest, ImageId};
use crate::inventory::{Assessment, Inventory};
use crate::time::{Span, Timestamp};

/// Whether a digest may run, of every version that is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Admitted {
    /// Of each image, by the digests of its versions and of their platforms.
    pub images: BTreeMap<ImageId, BTreeMap<Digest, Standing>>,
}

/// Whether a digest may run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Standing {
    /// Its scans are complete, policy counts none of its findings, and it is young enough.
    Admitted,
    /// Not, for this reason.
    Refused(String),
}

impl Admitted {
    /// Returns why a digest may not run; nothing if it may.
    pub fn refusal(&self, digest: &Digest) -> Option<String> {
        let known: Vec<&Standing> = self.images.values().filter_map(|of| of.get(digest)).collect();
        // The same content under the policies of two images must satisfy one of them.
        if known.contains(&&Standing::Admitted) {
            return None;
        }
        match known.first() {
            Some(Standing::Refused(because)) => Some(because.clone()),
            _ => Some("no scan of this digest is known".to_owned()),
        }
    }
}

/// Judges every version in the facts, and every one that the inventory says runs.
pub fn admitted(hierarchy: &Hierarchy, facts: &Facts, inventory: &Inventory, now: Timestamp) -> Admitted {
    let mut admitted = Admitted::default();
    for image in hierarchy.images() {
        let mut standings = BTreeMap::new();
        for assessment in inventory.versions.values().filter(|of| of.image == image.id) {
            let standing = of_assessment(image, assessment, now);
            for digest in assessment.manifests.iter().chain([&assessment.version]) {
                standings.insert(digest.clone(), standing.clone());
            }
        }
        // What was just read is newer than what the inventory remembers.
        for version in facts.images.get(&image.id).into_iter().flat_map(|of| of.versions.values()) {
            let standing = of_version(image, version, now);
            for digest in version.platforms.values().map(|m| &m.digest).chain([&version.digest]) {
                standings.insert(digest.clone(), standing.clone());
            }
        }
        admitted.images.insert(image.id.clone(), standings);
    }
    admitted
}

fn of_version(image: &Image, version: &Version, now: Timestamp) -> Standing {
    if version.platforms.is_empty() {
        return Standing::Refused("its index lists no platform".to_owned());
    }
    for (platform, manifest) in &version.platforms {
        if let Some(because) = manifest.scan.unknown_because() {
            return Standing::Refused(format!("{platform}: {because}"));
        }
        let mut counted = manifest.scan.findings().iter().filter(|f| image.policy.counts(f, now));
        if let Some(finding) = counted.next() {
            return Standing::Refused(format!("{} ({})", finding.key, finding.severity));
        }
    }
    of_age(image, version.built(), now)
}

fn of_assessment(image: &Image, assessment: &Assessment, now: Timestamp) -> Standing {
    if let Some((platform, because)) = assessment.unscanned.iter().next() {
        return Standing::Refused(format!("{platform}: {because}"));
    }
    if let Some((finding, open)) = assessment.findings.iter().find(|(_, open)| open.counts) {
        return Standing::Refused(format!("{finding} ({})", open.severity));
    }
    of_age(image, assessment.built_at, now)
}

fn of_age(image: &Image, built: Timestamp, now: Timestamp) -> Standing {
    let (age, most) = (Span::between(built, now), image.policy.max_age);
    if age <= most {
        return Standing::Admitted;
    }
    Standing::Refused(format!("it is {} old, and maxAge is {most}", age.in_words()))
}
