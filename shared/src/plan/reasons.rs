//! Every reason to rebuild an image, each with since when it is true.

use super::blame::Blame;
use super::built_on::built_on;
use super::scene::{Scene, hash};
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
pub(super) fn reasons(scene: &Scene<'_>, image: &Image, blame: &Blame<'_>) -> Reasons {
    let mut reasons = Reasons::default();
    reasons.active.extend(never_built(scene, image));
    reasons.active.extend(vulnerable(blame));
    for parent in scene.hierarchy.parents(&image.id) {
        let Some(changed) = parent_changed(scene, image, parent) else { continue };
        let success = scene.record(&parent.image.id).success.as_ref();
        let ours =
            success.filter(|s| scene.current(&parent.image.id).is_some_and(|now| now.digest == s.version));
        let idle = ours.filter(|success| !blame.is_stale && brings_nothing(success, &changed));
        if idle.is_some_and(|success| success.fixed_nothing) {
            reasons.withheld.push(parent.image.id.clone());
        } else if !(idle.is_some_and(|success| success.for_age) || waits_its_turn(scene, image, &changed)) {
            // A parent that was rebuilt for age alone brings nothing new: the child's own deadline takes it along.
            reasons.active.push(changed);
        }
    }
    reasons.active.extend(expired(scene, image));
    reasons.active.extend(requested(scene, image));
    reasons
}

fn never_built(scene: &Scene<'_>, image: &Image) -> Option<Reason> {
    let absent = scene.facts_of(&image.id)?.current == Current::Absent;
    let since = scene.record(&image.id).waiting_since.unwrap_or(scene.now);
    // A pattern line has no tag of its own to miss: its first version is a commit's business.
    (absent && matches!(image.line, Line::Stable(_))).then_some(Reason::NeverBuilt { since })
}

fn vulnerable(blame: &Blame<'_>) -> Option<Reason> {
    let since = blame.causes.iter().map(|cause| cause.since).min()?;
    Some(Reason::Vulnerable { causes: blame.causes.clone(), since })
}

fn parent_changed<'a>(scene: &Scene<'a>, image: &Image, parent: Edge<'a>) -> Option<Reason> {
    let built_on = built_on(scene, image, parent)?;
    if built_on.is_current {
        return None;
    }
    let now = scene.current(&parent.image.id)?;
    let origin =
        scene.record(&parent.image.id).success.as_ref().filter(|success| success.version == now.digest);
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
fn waits_its_turn(scene: &Scene<'_>, image: &Image, reason: &Reason) -> bool {
    let by_time = matches!(reason, Reason::ParentChanged { evidence: Evidence::Time, .. });
    by_time && scene.mode(image) == Mode::Enforce && scene.now < turn(scene, image, reason.since())
}

/// When something that was already due when the image was first enforced has its turn: spread over `maxAge`, all images
/// of a chain together.
fn turn(scene: &Scene<'_>, image: &Image, due: Timestamp) -> Timestamp {
    let enforced = scene.record(&image.id).enforced_since.unwrap_or(scene.now);
    if scene.mode(image) == Mode::Observe || due > enforced {
        return due;
    }
    image.policy.max_age.share(draw(scene, image), 1_000).after(enforced)
}

/// A number below 1,000 that all images of a chain share.
fn draw(scene: &Scene<'_>, image: &Image) -> u32 {
    let root = scene.hierarchy.root_of(&image.id).unwrap_or(image);
    let drawn = hash(&[root.id.to_string()]);
    u32::from_str_radix(drawn.get(..7).unwrap_or("0"), 16).unwrap_or(0) % 1_000
}

fn expired(scene: &Scene<'_>, image: &Image) -> Option<Reason> {
    let version = scene.current(&image.id)?;
    let built = restarted(scene, image, version).max(version.built_at.unwrap_or(version.pushed_at));
    let jitter = image.policy.max_age.share(draw(scene, image) * JITTER / 100, 1_000);
    let since = turn(scene, image, jitter.before(image.policy.max_age.after(built)));
    (scene.now >= since).then(|| Reason::Expired { age: Span::between(built, scene.now), since })
}

/// A build that reproduced the same content restarts its age, or it would stay expired for ever.
fn restarted(scene: &Scene<'_>, image: &Image, version: &Version) -> Timestamp {
    let success = scene.record(&image.id).success.as_ref();
    success.filter(|success| success.version == version.digest).map_or(Timestamp::MIN, |success| success.at)
}

fn requested(scene: &Scene<'_>, image: &Image) -> Option<Reason> {
    let request = scene.record(&image.id).request.as_ref()?;
    Some(Reason::Requested { id: request.id.clone(), by: request.by.clone(), since: request.at })
}
