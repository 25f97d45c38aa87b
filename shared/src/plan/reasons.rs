//! Finds every reason to rebuild an image, and when each became true.

use super::attribution::Attribution;
use super::built_on::built_on;
use super::context::{Context, hash};
use super::{Evidence, Reason, upstream};
use crate::facts::{Current, Version};
use crate::hierarchy::{Edge, Image, Line};
use crate::image::ImageId;
use crate::policy::Mode;
use crate::record::Success;
use crate::time::{Span, Timestamp};

/// How much of `maxAge` the jitter may subtract, in percent. It never adds to `maxAge`.
const JITTER: u32 = 20;

/// The reasons of one image.
#[derive(Default)]
pub(super) struct Reasons {
    /// Those that start a build.
    pub(super) active: Vec<Reason>,
    /// Parents whose change does not rebuild this image, because their own rebuild fixed nothing.
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
        let idle = ours.filter(|success| !attribution.is_stale && has_no_fix(success, &changed));
        if idle.is_some_and(|success| success.fixed_nothing) {
            reasons.withheld.push(parent.image.id.clone());
        } else if !(idle.is_some_and(|success| success.for_age) || is_deferred(context, image, &changed)) {
            // A parent that was rebuilt for age alone brings no fix. Then the child's own age
            // rebuilds the child.
            reasons.active.push(changed);
        }
    }
    let upstream = upstream::changed(context, image);
    reasons.active.extend(upstream.filter(|changed| !is_deferred(context, image, changed)));
    reasons.active.extend(expired(context, image));
    reasons.active.extend(requested(context, image));
    reasons
}

fn never_built(context: &Context<'_>, image: &Image) -> Option<Reason> {
    let absent = context.facts_of(&image.id)?.current == Current::Absent;
    let since = context.record(&image.id).waiting_since.unwrap_or(context.now);
    // Only a stable tag can be missing. The first version on a pattern line comes from a commit.
    (absent && matches!(image.line, Line::Stable(_))).then_some(Reason::NeverBuilt { since })
}

fn vulnerable(attribution: &Attribution<'_>) -> Option<Reason> {
    let since = attribution.causes.iter().map(|cause| cause.since).min()?;
    Some(Reason::Vulnerable { causes: attribution.causes.clone(), since })
}

fn parent_changed<'a>(context: &Context<'a>, image: &Image, parent: Edge<'a>) -> Option<Reason> {
    let built_on = built_on(context, image, parent).ok()??;
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

/// Whether the child was built on a version that this success replaced without a fix. A child that
/// was built on an older version may lack an earlier fix.
fn has_no_fix(success: &Success, changed: &Reason) -> bool {
    match changed {
        Reason::ParentChanged { built_on: Some(built_on), .. } => success.no_better_than.contains(built_on),
        _ => true,
    }
}

/// Whether a changed parent that only time shows is still deferred. Such changes are spread like
/// age, so that a fleet without annotations is not rebuilt on the first day.
fn is_deferred(context: &Context<'_>, image: &Image, reason: &Reason) -> bool {
    let by_time = matches!(reason, Reason::ParentChanged { evidence: Evidence::Time, .. });
    by_time && context.mode(image) == Mode::Enforce && context.now < spread(context, image, reason.since())
}

/// Returns when to rebuild for something that is due at `due`.
///
/// What was due before the image was first enforced is spread over `maxAge`. All images of a chain
/// get the same share.
fn spread(context: &Context<'_>, image: &Image, due: Timestamp) -> Timestamp {
    let enforced = context.record(&image.id).enforced_since.unwrap_or(context.now);
    if context.mode(image) == Mode::Observe || due > enforced {
        return due;
    }
    image.policy.max_age.share(per_mille_of_chain(context, image), 1_000).after(enforced)
}

/// Returns a number below 1,000 that all images of a chain share, from a hash of the root's id.
pub(super) fn per_mille_of_chain(context: &Context<'_>, image: &Image) -> u32 {
    let root = context.hierarchy.root_of(&image.id).unwrap_or(image);
    let hash = hash(&[root.id.to_string()]);
    u32::from_str_radix(hash.get(..7).unwrap_or("0"), 16).unwrap_or(0) % 1_000
}

fn expired(context: &Context<'_>, image: &Image) -> Option<Reason> {
    let version = context.current(&image.id)?;
    let built = restarted(context, image, version).max(version.built());
    let jitter = image.policy.max_age.share(per_mille_of_chain(context, image) * JITTER / 100, 1_000);
    let since = spread(context, image, jitter.before(image.policy.max_age.after(built)));
    (context.now >= since).then(|| Reason::Expired { age: Span::between(built, context.now), since })
}

/// Returns when a build last restarted the age. A build that reproduces the same content does so
/// too, or the image would stay expired forever.
fn restarted(context: &Context<'_>, image: &Image, version: &Version) -> Timestamp {
    let success = context.record(&image.id).success.as_ref();
    success.filter(|success| success.version == version.digest).map_or(Timestamp::MIN, |success| success.at)
}

fn requested(context: &Context<'_>, image: &Image) -> Option<Reason> {
    let request = context.record(&image.id).request.as_ref()?;
    Some(Reason::Requested { id: request.id.clone(), by: request.by.clone(), since: request.at })
}
