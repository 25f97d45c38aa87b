//! Decides which predictions are over, and what happened.

use std::collections::{BTreeMap, BTreeSet};

use super::predicted::{followers, is_since, success};
use crate::facts::ImageFacts;
use crate::finding::FindingKey;
use crate::hierarchy::{Hierarchy, Image};
use crate::image::ImageId;
use crate::predicted::{Happened, Predicted};
use crate::time::Span;

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
    let fixed = &success(predicted, &known.get(&image.id)?.record)?.fixed;
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
        && platforms.all(|manifest| manifest.scan.shows_absence())
        && findings.iter().all(|key| version.lacks(key))
}
