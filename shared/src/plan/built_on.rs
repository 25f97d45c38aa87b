//! Which version of a parent an image's current version was built on.
//!
//! There are four kinds of evidence, best first:
//!
//! 1. What Patchwave recorded when it started the build.
//! 2. The base digest that the build wrote into the image.
//! 3. The layers: a child's layers start with all those of its `from` parent, compressed or by
//!    their content. Those of a `copyFrom` parent are not inherited.
//! 4. The time: whether the parent's current version was pushed before the child was built.

use super::Evidence;
use super::context::Context;
use crate::facts::Version;
use crate::hierarchy::{Edge, Image, ParentKind};
use crate::image::{Digest, Platform};
use crate::unread::Unread;

/// The version of one parent that an image's current version was built on.
pub(super) struct BuiltOn<'a> {
    /// Its digest, if that is known.
    pub(super) digest: Option<Digest>,
    /// Its facts, if they were observed.
    pub(super) version: Option<&'a Version>,
    /// Whether its content is the parent's current content, on the platforms that the child uses.
    pub(super) is_current: bool,
    pub(super) evidence: Evidence,
}

/// Finds which version of `parent` the current version of `image` was built on.
///
/// Returns nothing if the current version of either is not known.
///
/// # Errors
///
/// Better evidence could not be read. Weaker evidence never stands in for it.
pub(super) fn built_on<'a>(
    context: &Context<'a>,
    image: &Image,
    parent: Edge<'a>,
) -> Result<Option<BuiltOn<'a>>, &'a Unread> {
    let Some((child, now)) = context.current(&image.id).zip(context.current(&parent.image.id)) else {
        return Ok(None);
    };
    if let Some(recorded) = recorded(context, image, parent, child, now) {
        return recorded.map(Some);
    }
    if let Some(annotated) = annotated(context, image, parent, child, now) {
        return annotated.map(Some);
    }
    if let Some(by_layers) = by_layers(context, parent, child, now) {
        return Ok(Some(by_layers));
    }
    unread_layers(context, image, parent).map_or_else(|| Ok(Some(by_time(child, now))), Err)
}

/// Returns the base that the image's annotation claims and its layers contradict.
pub(super) fn contradicted_base<'a>(context: &Context<'a>, image: &Image) -> Option<&'a Digest> {
    let child = context.current(&image.id)?;
    let claimed = child.base.as_ref()?;
    let parent = context.hierarchy.parents(&image.id).find(|parent| parent.kind == ParentKind::From)?;
    let now = context.current(&parent.image.id)?;
    let built_on = built_on(context, image, parent).ok()??;
    let is_claimed = |version: &Version| version.is_named_by(claimed);
    (built_on.evidence == Evidence::Layers
        && !built_on.version.is_some_and(is_claimed)
        && version(context, parent, now, claimed).is_some())
    .then_some(claimed)
}

/// Says why layers could not be compared: the parent's earlier versions, or the configs of the
/// image or of the parent, could not be read.
fn unread_layers<'a>(context: &Context<'a>, image: &Image, parent: Edge<'a>) -> Option<&'a Unread> {
    let above = context.facts_of(&parent.image.id);
    let history = above.and_then(|facts| facts.unread_history.as_ref());
    let configs = [context.facts_of(&image.id), above].into_iter().flatten();
    let mut configs = configs.filter_map(|facts| facts.unread_configs.as_ref());
    history.or_else(|| configs.next().filter(|_| parent.kind == ParentKind::From))
}

fn recorded<'a>(
    context: &Context<'a>,
    image: &Image,
    parent: Edge<'a>,
    child: &Version,
    now: &'a Version,
) -> Option<Result<BuiltOn<'a>, &'a Unread>> {
    let success = context.record(&image.id).success.as_ref()?;
    let digest = success.parents.get(&parent.image.id)?;
    (success.version == child.digest).then(|| named(context, parent, child, now, digest, Evidence::Recorded))
}

/// What the image claims to be built on. Whoever pushes an image writes its annotations, so a claim
/// counts only if the layers do not contradict it: layers of another known version count more.
fn annotated<'a>(
    context: &Context<'a>,
    image: &Image,
    parent: Edge<'a>,
    child: &Version,
    now: &'a Version,
) -> Option<Result<BuiltOn<'a>, &'a Unread>> {
    let digest = child.base.as_ref().filter(|_| parent.kind == ParentKind::From)?;
    let claimed = match named(context, parent, child, now, digest, Evidence::Annotation) {
        Ok(claimed) => claimed,
        Err(unread) => return Some(Err(unread)),
    };
    if claimed.version.is_some_and(|version| child.layers_inherited_from(version).is_some()) {
        return Some(Ok(claimed));
    }
    if let Some(by_layers) = by_layers(context, parent, child, now) {
        return Some(Ok(by_layers));
    }
    // A squashed image keeps no layer of its base: its layers contradict nothing.
    Some(unread_layers(context, image, parent).map_or(Ok(claimed), Err))
}

/// Finds the version that a digest names. It counts as gone only if the registry answered so.
fn named<'a>(
    context: &Context<'a>,
    parent: Edge<'a>,
    child: &Version,
    now: &'a Version,
    digest: &Digest,
    evidence: Evidence,
) -> Result<BuiltOn<'a>, &'a Unread> {
    let version = version(context, parent, now, digest);
    if version.is_none()
        && let Some(unread) =
            context.facts_of(&parent.image.id).and_then(|facts| facts.unread_versions.get(digest))
    {
        return Err(unread);
    }
    let is_current = version.is_some_and(|version| same_for(child, version, now));
    Ok(BuiltOn { digest: Some(digest.clone()), version, is_current, evidence })
}

fn version<'a>(
    context: &Context<'a>,
    parent: Edge<'a>,
    now: &'a Version,
    digest: &Digest,
) -> Option<&'a Version> {
    if now.is_named_by(digest) {
        return Some(now);
    }
    context.facts_of(&parent.image.id).and_then(|facts| facts.version_named(digest))
}

fn by_layers<'a>(
    context: &Context<'a>,
    parent: Edge<'a>,
    child: &Version,
    now: &'a Version,
) -> Option<BuiltOn<'a>> {
    if parent.kind != ParentKind::From {
        return None;
    }
    // The longest list wins: a shorter one may be that of a grandparent. Among equals the current
    // version wins.
    let (_, version) = context
        .facts_of(&parent.image.id)?
        .versions
        .values()
        .filter_map(|version| Some((child.layers_inherited_from(version)?, version)))
        .max_by_key(|(layers, version)| (*layers, version.digest == now.digest, version.pushed_at))?;
    Some(BuiltOn {
        digest: Some(version.digest.clone()),
        version: Some(version),
        is_current: same_for(child, version, now),
        evidence: Evidence::Layers,
    })
}

fn by_time<'a>(child: &Version, now: &'a Version) -> BuiltOn<'a> {
    let is_current = now.pushed_at <= child.built();
    BuiltOn {
        digest: is_current.then(|| now.digest.clone()),
        version: is_current.then_some(now),
        is_current,
        evidence: Evidence::Time,
    }
}

/// Whether two versions of a parent have the same content for `child`.
///
/// This compares the platforms that the child uses. If the child shares no platform with them, it
/// compares all content: a single manifest does not name its platform.
fn same_for(child: &Version, one: &Version, other: &Version) -> bool {
    let shared: Vec<&Platform> = child
        .platforms
        .keys()
        .filter(|platform| one.platforms.contains_key(platform) || other.platforms.contains_key(platform))
        .collect();
    if shared.is_empty() {
        one.content() == other.content()
    } else {
        one.same_content(other, shared.into_iter())
    }
}
