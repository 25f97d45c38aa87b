//! Which images give their slot back.

use std::collections::BTreeSet;

use super::context::Context;
use crate::facts::{Departed, Execution, ExecutionState};
use crate::hierarchy::Image;
use crate::image::ImageId;
use crate::policy::Policy;
use crate::record::Claim;
use crate::time::Timestamp;

/// Returns the images that give their slot back.
///
/// They have no claim any more, their new version was pushed, or they have held the slot for
/// `maxBuildTime`. Images that the hierarchy does not name give it back when their build has ended.
pub(super) fn freed(context: &Context<'_>) -> BTreeSet<ImageId> {
    let holds_slot = |image: &&Image| context.facts.slots.held_by.contains(&image.id);
    let named = context.decided().filter(holds_slot).filter(|image| has_ended(context, image));
    let departed = context.facts.departed.iter().filter(|(_, departed)| has_left(departed, context.now));
    named.map(|image| image.id.clone()).chain(departed.map(|(id, _)| id.clone())).collect()
}

fn has_ended(context: &Context<'_>, image: &Image) -> bool {
    context.record(&image.id).claim.as_ref().is_none_or(|claim| {
        let is_new = context.current(&image.id).is_some_and(|now| {
            Some(&now.digest) != claim.start.replaces.as_ref() && now.pushed_at > claim.claimed_at
        });
        // A claim that is not confirmed may have started nothing yet. Then another person or
        // pipeline pushed the new version, and the start may still follow.
        let pushed = is_new && claim.is_confirmed();
        pushed || image.policy.max_build_time.after(claim.claimed_at) <= context.now
    })
}

/// The image's `maxBuildTime` left the hierarchy with it, so the default applies.
fn has_left(departed: &Departed, now: Timestamp) -> bool {
    let is_old = |claim: &Claim| Policy::default().max_build_time.after(claim.claimed_at) <= now;
    let Some(claim) = &departed.record.claim else { return true };
    is_old(claim)
        || match &departed.execution {
            Some(Execution::Found { state, .. }) => *state != ExecutionState::InProgress,
            Some(Execution::NotFound) => claim.lease_until <= now,
            Some(Execution::Unread(_)) | None => false,
        }
}
