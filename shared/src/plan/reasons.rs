//! Every reason to rebuild an image, each with since when it is true.

use super::attribution::Attribution;
use super::built_on::built_on;
use super::context::{Context, hash};
use super::{Evidence, Reason};
use crate::facts::{Current, Version};
use crate::hierarchy::{Edge, Image, Line};
use crate::image::ImageId;
use crate::policy::Mode;
use crate::record::Success;
use crate::time::{Span, Timestamp};

/// How much of `maxAge` the jitter may take away, in percent: it only ever shortens.
const JITTER: u32 = 20;

/// The reasons of one image.
#[derive(Default)]
pub(super) struct Reasons {
    /// Those that start a build.
    pub(super) active: Vec<Reason>,
    /// Parents whose change is not passed on, because their own rebuild fixed nothing.
    pub(super) withheld: Vec<ImageId>,
}

/// Finds the reasons of `image`.
pub(super) fn reasons(context: &Context<'_>, image: &Image, attribution: &Attribution<'_>) -> Reasons {
    let mut reasons = Reasons::default();
    reasons.active.extend(never_built(context, image));
    reasons.active.extend(vulnerable(attribution));
    for parent in context.hierarchy.parents(&image.id) {
        let Some(changed) = parent_changed(context, image, parent) else { continue };
        let success = context.record(&parent.image.id).success.as_ref();
        let ours =
            success.filter(|s| context.current(&parent.image.id).is_some_and(|now| now.digest == s.version));
        let idle = ours.filter(|success| !attribution.is_stale && brings_nothing(success, &changed));
        if idle.is_some_and(|success| success.fixed_nothing) {
            reasons.withheld.push(parent.image.id.clone());
        } else if !(idle.is_some_and(|success| success.for_age) || waits_its_turn(context, image, &changed)) {
            // A parent that was rebuilt for age alone brings nothing new: the child's own deadline takes it along.
            reasons.active.push(changed);
        }
    }
    reasons.active.extend(expired(context, image));
    reasons.active.extend(requested(context, image));
    reasons
}

fn never_built(context: &Context<'_>, image: &Image) -> Option<Reason> {
    let absent = context.facts_of(&image.id)?.current == Current::Absent;
    let since = context.record(&image.id).waiting_since.unwrap_or(context.now);
    // A pattern line has no tag of its own to miss: its first version is a commit's business.
    (absent && matches!(image.line, Line::Stable(_))).then_some(Reason::NeverBuilt { since })
}

fn vulnerable(attribution: &Attribution<'_>) -> Option<Reason> {
    let since = attribution.causes.iter().map(|cause| cause.since).min()?;
    Some(Reason::Vulnerable { causes: attribution.causes.clone(), since })
}

fn parent_changed<'a>(context: &Context<'a>, image: &Image, parent: Edge<'a>) -> Option<Reason> {
    let built_on = built_on(context, image, parent)?;
    if built_on.is_current {
        return None;
    }
    let now = context.current(&parent.image.id)?;
    let origin =
        context.record(&parent.image.id).success.as_ref().filter(|success| success.version == now.digest);
    Some(Reason::ParentChanged {
        parent: parent.image.id.clone(),
        built_on: built_on.digest,
        now: now.digest.clone(),
        evidence: built_on.evidence,
        since: origin.map_or(now.pushed_at, |success| success.since),
    })
}

/// Tells whether the child was built on what this success replaced. One that stayed further behind may lack an earlier fix.
fn brings_nothing(success: &Success, changed: &Reason) -> bool {
    match changed {
        Reason::ParentChanged { built_on: Some(built_on), .. } => success.no_better_than.contains(built_on),
        _ => true,
    }
}

/// What only time says about a parent is spread like age: an unannotated fleet is not rebuilt on day one.
fn waits_its_turn(context: &Context<'_>, image: &Image, reason: &Reason) -> bool {
    let by_time = matches!(reason, Reason::ParentChanged { evidence: Evidence::Time, .. });
    by_time && context.mode(image) == Mode::Enforce && context.now < turn(context, image, reason.since())
}

/// When something that was already due when the image was first enforced has its turn: spread over `maxAge`, all images
/// of a chain together.
fn turn(context: &Context<'_>, image: &Image, due: Timestamp) -> Timestamp {
    let enforced = context.record(&image.id).enforced_since.unwrap_or(context.now);
    if context.mode(image) == Mode::Observe || due > enforced {
        return due;
    }
    image.policy.max_age.share(draw(context, image), 1_000).after(enforced)
}

/// A number below 1,000 that all images of a chain share.
fn draw(context: &Context<'_>, image: &Image) -> u32 {
    let root = context.hierarchy.root_of(&image.id).unwrap_or(image);
    let drawn = hash(&[root.id.to_string()]);
    u32::from_str_radix(drawn.get(..7).unwrap_or("0"), 16).unwrap_or(0) % 1_000
}

fn expired(context: &Context<'_>, image: &Image) -> Option<Reason> {
    let version = context.current(&image.id)?;
    let built = restarted(context, image, version).max(version.built_at.unwrap_or(version.pushed_at));
    let jitter = image.policy.max_age.share(draw(context, image) * JITTER / 100, 1_000);
    let since = turn(context, image, jitter.before(image.policy.max_age.after(built)));
    (context.now >= since).then(|| Reason::Expired { age: Span::between(built, context.now), since })
}

/// A build that reproduced the same content restarts its age, or it would stay expired for ever.
fn restarted(context: &Context<'_>, image: &Image, version: &Version) -> Timestamp {
    let success = context.record(&image.id).success.as_ref();
    success.filter(|success| success.version == version.digest).map_or(Timestamp::MIN, |success| success.at)
}

fn requested(context: &Context<'_>, image: &Image) -> Option<Reason> {
    let request = context.record(&image.id).request.as_ref()?;
    Some(Reason::Requested { id: request.id.clone(), by: request.by.clone(), since: request.at })
}
