//! What a policy would do now.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde::Serialize;

use super::images::RepositoryImage;
use super::images::StorageClass;
use super::policy::{Action, Count, LifecyclePolicy, Rule, Selection};
use crate::image::Digest;
use crate::time::Timestamp;

/// What is done to an image, and by which rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Going {
    /// The rule's priority.
    pub rule: u32,
    /// What it does.
    pub action: Action,
}

/// Returns the images that a policy would act on at `now`.
///
/// Every rule counts all the images that it sees, also those that an earlier rule sees too, and acts on those that are its
/// own. What a list names stays as long as the list does. Of images pushed at the same moment nobody knows which ones a count
/// spares: none is taken to be.
pub fn judge(
    policy: &LifecyclePolicy,
    images: &BTreeMap<Digest, RepositoryImage>,
    now: Timestamp,
) -> BTreeMap<Digest, Going> {
    let limits: BTreeMap<u32, Option<Timestamp>> =
        policy.rules().iter().map(|rule| (rule.priority, limit(rule, images, now))).collect();
    let goes = |image: &RepositoryImage| {
        let rule = policy.rule_of(image)?;
        let limit = limits.get(&rule.priority).copied().flatten()?;
        (image.counts_from(rule.selection.count) <= limit)
            .then_some(Going { rule: rule.priority, action: rule.action })
    };
    let going = images.iter().filter_map(|(digest, image)| Some((digest.clone(), goes(image)?))).collect();
    without_listed(going, images)
}

/// Returns the moment such that a rule acts on what counts from it or from before it; nothing if it acts on nothing.
fn limit(rule: &Rule, images: &BTreeMap<Digest, RepositoryImage>, now: Timestamp) -> Option<Timestamp> {
    let Selection { count, number, .. } = rule.selection;
    match count {
        Count::ImageCountMoreThan => {
            let seen = images.values().filter(|image| rule.selection.sees(image));
            let mut moments: Vec<Timestamp> =
                seen.map(|image| image.counts_from(rule.selection.count)).collect();
            moments.sort_unstable_by(|a, b| b.cmp(a));
            moments.get(usize::try_from(number).ok()?).copied()
        }
        _ => now.checked_sub(SignedDuration::from_secs(i64::from(number) * 86_400)).ok(),
    }
}

/// Takes out what a list names that stays where it can be pulled from.
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
    /// Returns the moment from which a rule counts. One that was restored is as new as then, except for sinceImagePushed,
    /// of which AWS does not say so.
    fn counts_from(&self, count: Count) -> Timestamp {
        match count {
            Count::ImageCountMoreThan => self.restored_at.unwrap_or(self.pushed_at),
            Count::SinceImagePushed => self.pushed_at,
            Count::SinceImagePulled => self.pulled_at.max(self.restored_at).unwrap_or(self.pushed_at),
            Count::SinceImageTransitioned => self.archived_at.unwrap_or(self.pushed_at),
        }
    }
}
