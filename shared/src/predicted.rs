//! What the rebuilds that one start leads to were predicted to be, and what happened.
//!
//! The record of the image that starts first holds both. No pass sees when the last image below is
//! done, so the daily sweep decides that: it observes all images anyway.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::facts::ImageFacts;
use crate::finding::FindingKey;
use crate::hierarchy::{Direction, Hierarchy, Image, Parent};
use crate::image::ImageId;
use crate::policy::{Mode, Rebuild};
use crate::record::{Record, Success};
use crate::time::{Span, Timestamp};

/// What was predicted when an image that others follow started a rebuild for findings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Predicted {
    /// When the rebuild started.
    pub since: Timestamp,
    /// How many images are rebuilt: this one and those below that follow it.
    pub images: u32,
    /// How long it takes until the last of them is built.
    pub takes: Span,
    /// How many findings of this image the rebuilds are made for.
    pub findings: u32,
    /// Nothing until the findings are gone from all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub happened: Option<Happened>,
}

/// What happened until the findings were gone from all images that follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Happened {
    /// How many of the images were rebuilt.
    pub images: u32,
    /// How long it took until Patchwave saw the last of these builds succeed.
    pub took: Span,
}

impl Predicted {
    /// Returns the predicted time divided by the time that it took: below 1 if it took longer.
    /// Nothing while it is not over.
    pub fn ratio(&self) -> Option<f64> {
        let took = self.happened.as_ref()?.took.as_seconds().max(1);
        Some(f64::from(self.takes.as_seconds()) / f64::from(took))
    }

    /// Returns the build of `record` that this prediction is about, once it has succeeded.
    pub(crate) fn success<'r>(&self, record: &'r Record) -> Option<&'r Success> {
        record.success.as_ref().filter(|success| is_since(success, self.since))
    }
}

fn is_since(success: &Success, since: Timestamp) -> bool {
    success.claimed_at.is_some_and(|claimed_at| claimed_at >= since)
}

/// Returns the image and those below that its rebuild leads to, parents first. `is_frozen` says
/// which of them a person froze.
pub(crate) fn followers<'h>(
    hierarchy: &'h Hierarchy,
    image: &Image,
    is_frozen: impl Fn(&ImageId) -> bool,
) -> Vec<&'h Image> {
    let Ok(below) = hierarchy.query([&image.id], Direction::Descendants) else { return Vec::new() };
    let mut built: BTreeSet<&ImageId> = BTreeSet::new();
    let mut followers = Vec::new();
    for other in below.resolve().iter() {
        let mut parents = hierarchy.parents(&other.id);
        let follows = parents.any(|parent| built.contains(&parent.image.id));
        if other.id == image.id || (follows && is_automatic(other) && !is_frozen(&other.id)) {
            built.insert(&other.id);
            followers.push(other);
        }
    }
    followers
}

/// Whether the hierarchy file lets Patchwave rebuild an image without a person.
fn is_automatic(image: &Image) -> bool {
    image.policy.mode == Mode::Enforce
        && image.policy.rebuild == Rebuild::Auto
        && image.pipeline.is_some()
        && image.from != Parent::Unknown
        && !image.pinned
}

/// Returns what happened after each prediction that is over: the findings that the first build
/// fixed are gone from all images that follow. What is not known is not over.
pub fn happened(
    hierarchy: &Hierarchy,
    known: &BTreeMap<&ImageId, &ImageFacts>,
) -> BTreeMap<ImageId, Happened> {
    let open = known.iter().filter_map(|(id, facts)| {
        let predicted = facts.record.predicted.as_ref().filter(|predicted| predicted.happened.is_none())?;
        Some((*id, predicted))
    });
    open.filter_map(|(id, predicted)| {
        let image = hierarchy.image(id).ok()?;
        Some((id.clone(), of_image(hierarchy, known, image, predicted)?))
    })
    .collect()
}

fn of_image(
    hierarchy: &Hierarchy,
    known: &BTreeMap<&ImageId, &ImageFacts>,
    image: &Image,
    predicted: &Predicted,
) -> Option<Happened> {
    let fixed = &predicted.success(&known.get(&image.id)?.record)?.fixed;
    let is_frozen = |id: &ImageId| known.get(id).is_some_and(|facts| facts.record.frozen.is_some());
    let (mut images, mut ended) = (0, predicted.since);
    for follower in followers(hierarchy, image, is_frozen) {
        let facts = known.get(&follower.id)?;
        if facts.record.claim.is_some() || facts.record.proof.is_some() || !is_without(facts, fixed) {
            return None;
        }
        let success = facts.record.success.as_ref().filter(|success| is_since(success, predicted.since));
        images += u32::from(success.is_some());
        ended = ended.max(success.map_or(ended, |success| success.at));
    }
    Some(Happened { images, took: Span::between(predicted.since, ended) })
}

/// Whether scans of all platforms show that the current version has none of these findings.
fn is_without(facts: &ImageFacts, findings: &BTreeSet<FindingKey>) -> bool {
    let Some(version) = facts.current_version() else { return false };
    let mut platforms = version.platforms.values();
    !version.platforms.is_empty()
        && platforms.all(|manifest| {
            manifest.scan.shows_absence()
                && findings.iter().all(|key| manifest.scan.lists(key) == Some(false))
        })
}
