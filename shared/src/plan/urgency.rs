//! Which rebuild is due when: deadlines pass from children to the parents that they need.

use std::collections::BTreeMap;

use super::Reason;
use super::attribution::Attributions;
use super::context::Context;
use super::deadline::KeepBy;
use super::decide::Decisions;
use super::due::{Deadline, Due};
use crate::hierarchy::Image;
use crate::image::ImageId;

/// When each image's rebuild is due: its own findings' or reasons' deadline, or that of any child
/// that needs it.
pub(super) fn due<'a>(
    context: &Context<'a>,
    attributions: &Attributions<'a>,
    decisions: &Decisions<'a>,
) -> BTreeMap<&'a ImageId, Due> {
    let mut due: BTreeMap<&ImageId, Due> = BTreeMap::new();
    for image in context.images().rev() {
        let Some(decision) = decisions.get(&image.id) else { continue };
        let findings = attributions.of.get(&image.id).and_then(|attribution| attribution.due.clone());
        let reasons = decision.reasons.iter().map(|reason| {
            let within = image.policy.deadlines.medium;
            let because = Deadline::Reason { code: reason.code().to_owned(), within };
            Due { at: within.after(reason.since()), because, needed_by: None }
        });
        let below = due.remove(&image.id);
        let Some(mine) = findings.into_iter().chain(reasons).chain(below).min_by_key(|due| due.at) else {
            continue;
        };
        pass_on(context, image, &mine, &mut due);
        due.insert(&image.id, mine);
    }
    due
}

/// Gives the deadline of an image to its parents, where theirs is later.
fn pass_on<'a>(context: &Context<'a>, image: &'a Image, mine: &Due, due: &mut BTreeMap<&'a ImageId, Due>) {
    let needed_by = mine.needed_by.as_ref().unwrap_or(&image.id);
    for parent in context.hierarchy.parents(&image.id) {
        let theirs = due.get(&parent.image.id);
        if theirs.is_none_or(|theirs| mine.at < theirs.at) {
            due.insert(&parent.image.id, Due { needed_by: Some(needed_by.clone()), ..mine.clone() });
        }
    }
}

/// Finds by when each image must be rebuilt, if it or an image below has a deadline to keep.
pub(super) fn keep_by<'a>(
    context: &Context<'a>,
    attributions: &Attributions<'a>,
    decisions: &Decisions<'a>,
) -> KeepBy<'a> {
    let mut keep_by = KeepBy::new();
    for image in context.images().rev() {
        let Some(decision) = decisions.get(&image.id) else { continue };
        let findings = attributions.of.get(&image.id).and_then(|attribution| attribution.keep_by);
        let enforced = context.enforced_since(&image.id);
        // The deadline of a vulnerable image is that of its findings.
        let others = decision.reasons.iter().filter(|reason| {
            matches!(
                reason,
                Reason::ParentChanged { .. } | Reason::Requested { .. } | Reason::NeverBuilt { .. }
            )
        });
        let others = others.map(|reason| image.policy.deadlines.medium.after(reason.since().max(enforced)));
        let below = keep_by.remove(&image.id);
        let Some(mine) = findings.into_iter().chain(others).chain(below).min() else { continue };
        keep_by.insert(&image.id, mine);
        for parent in context.hierarchy.parents(&image.id) {
            keep_by.entry(&parent.image.id).and_modify(|theirs| *theirs = mine.min(*theirs)).or_insert(mine);
        }
    }
    keep_by
}
