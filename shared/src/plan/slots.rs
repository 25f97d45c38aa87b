//! Which images give their slot back.

use std::collections::BTreeSet;

use super::context::Context;
use crate::facts::{Departed, Execution, ExecutionState};
use crate::hierarchy::Image;
use crate::image::ImageId;
use crate::policy::Policy;
use crate::record::{Claim, Ended, Record};
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

/// Returns the images whose build the account's limit ended in these facts.
pub(super) fn returned(context: &Context<'_>) -> BTreeSet<ImageId> {
    let is_limited = |image: &&Image| {
        let had_claim = context.facts_of(&image.id).is_some_and(|facts| facts.record.claim.is_some());
        let Record { claim, failures, .. } = context.record(&image.id);
        let ended = failures.as_ref().map(|failures| (failures.ended, failures.last));
        had_claim && claim.is_none() && ended == Some((Ended::AtLimit, context.now))
    };
    context.decided().filter(is_limited).map(|image| image.id.clone()).collect()
}

fn has_ended(context: &Context<'_>, image: &Image) -> bool {
    let Some(claim) = &context.record(&image.id).claim else { return true };
    let execution = context.facts_of(&image.id).and_then(|facts| facts.execution.as_ref());
    let has_run = match execution {
        Some(Execution::Found { state, .. }) => *state != ExecutionState::InProgress,
        _ => false,
    };
    // Another person or pipeline may push while the build runs on. A pipeline may also run on after
    // its push, for days. So a push frees the slot only if it names the build's key.
    let has_pushed = || {
        let now = context.current(&image.id).filter(|now| now.pushed_at > claim.claimed_at);
        now.is_some_and(|now| claim.has_key(now.build_key.as_deref()))
    };
    (claim.is_confirmed() && (has_run || has_pushed()))
        || image.policy.max_build_time.after(claim.claimed_at) <= context.now
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
