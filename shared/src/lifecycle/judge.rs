//! Computes which images a policy would act on.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::images::{RepositoryImage, StorageClass};
use super::policy::{Action, Count, LifecyclePolicy, Rule, Selection};
use crate::image::Digest;
use crate::time::Timestamp;

/// What a policy does to an image, and by which rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Going {
    /// By its priority.
    pub rule: u32,
    pub action: Action,
}

/// What a rule that counts images does about the manifests that an index lists. AWS does not say.
/// One public preview counted 24 of 26 images, and 2 of the 26 were such manifests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// It does not count those without tags of their own.
    WithoutParts,
    /// It counts each like any other image.
    WithParts,
}

/// Returns the images that a policy would act on at `now`.
///
/// Every rule counts all images that it sees, including those that an earlier rule sees. It acts
/// only on images that no earlier rule sees. An image that an index lists stays as long as the
/// index does. Of images pushed at the same time, it is not known which ones a count spares, so
/// none counts as spared.
pub fn judge(
    policy: &LifecyclePolicy,
    images: &BTreeMap<Digest, RepositoryImage>,
    reading: Reading,
    now: Timestamp,
) -> BTreeMap<Digest, Going> {
    let limits: BTreeMap<u32, Option<Timestamp>> =
        policy.rules().iter().map(|rule| (rule.priority, limit(rule, images, reading, now))).collect();
    let goes = |image: &RepositoryImage| {
        let rule = policy.rule_of(image)?;
        let limit = limits.get(&rule.priority).copied().flatten()?;
        (image.counts_from(rule.selection.count) <= limit)
            .then_some(Going { rule: rule.priority, action: rule.action })
    };
    let going = images.iter().filter_map(|(digest, image)| Some((digest.clone(), goes(image)?))).collect();
    without_listed(going, images)
}

/// Returns the latest time from which an image may count so that the rule acts on it; `None` if the
/// rule acts on none.
fn limit(
    rule: &Rule,
    images: &BTreeMap<Digest, RepositoryImage>,
    reading: Reading,
    now: Timestamp,
) -> Option<Timestamp> {
    let Selection { count, number, .. } = rule.selection;
    match count {
        Count::ImageCountMoreThan => {
            let counts = |image: &&RepositoryImage| {
                let left_out = reading == Reading::WithoutParts && image.is_part && image.tags.is_empty();
                !left_out && rule.selection.sees(image)
            };
            let seen = images.values().filter(counts);
            let mut times: Vec<Timestamp> =
                seen.map(|image| image.counts_from(rule.selection.count)).collect();
            times.sort_unstable_by(|a, b| b.cmp(a));
            times.get(usize::try_from(number).ok()?).copied()
        }
        _ => now.checked_sub(SignedDuration::from_secs(i64::from(number) * 86_400)).ok(),
    }
}

/// Removes the images that are listed by an index which stays and can be pulled.
fn without_listed(
    mut going: BTreeMap<Digest, Going>,
    images: &BTreeMap<Digest, RepositoryImage>,
) -> BTreeMap<Digest, Going> {
    let lists = |image: &&RepositoryImage| image.storage == StorageClass::Standard;
    let stay = images.iter().filter(|(digest, _)| !going.contains_key(*digest)).map(|(_, image)| image);
    let mut staying: Vec<&RepositoryImage> = stay.filter(lists).collect();
    while let Some(list) = staying.pop() {
        let spared = list.children.iter().filter(|child| going.remove(*child).is_some());
        staying.extend(spared.filter_map(|child| images.get(child)).filter(lists));
    }
    going
}

impl RepositoryImage {
    /// Returns the time from which a rule counts an image. A restored image counts from its
    /// restoration. AWS does not document this for sinceImagePushed, so there it counts from its
    /// push.
    fn counts_from(&self, count: Count) -> Timestamp {
        match count {
            Count::ImageCountMoreThan => self.restored_at.unwrap_or(self.pushed_at),
            Count::SinceImagePushed => self.pushed_at,
            Count::SinceImagePulled => self.pulled_at.max(self.restored_at).unwrap_or(self.pushed_at),
            Count::SinceImageTransitioned => self.archived_at.unwrap_or(self.pushed_at),
        }
    }
}
