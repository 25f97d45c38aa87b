//! Which version of a parent an image's current version was built on.
//!
//! There are four kinds of evidence, best first:
//!
//! 1. What Patchwave recorded when it started the build.
//! 2. The base digest that the build wrote into the image.
//! 3. The layers: a child's layers start with all those of its `from` parent. Those of a `copyFrom`
//!    parent are not inherited.
//! 4. The time: whether the parent's current version was pushed before the child was built.

use super::Evidence;
use super::context::Context;
use crate::facts::Version;
use crate::hierarchy::{Edge, Image, ParentKind};
use crate::image::{Digest, Platform};

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
pub(super) fn built_on<'a>(context: &Context<'a>, image: &Image, parent: Edge<'a>) -> Option<BuiltOn<'a>> {
    let child = context.current(&image.id)?;
    let now = context.current(&parent.image.id)?;
    recorded(context, image, parent, child, now)
        .or_else(|| annotated(context, parent, child, now))
        .or_else(|| by_layers(context, parent, child, now))
        .or_else(|| Some(by_time(child, now)))
}

fn recorded<'a>(
    context: &Context<'a>,
    image: &Image,
    parent: Edge<'a>,
    child: &Version,
    now: &'a Version,
) -> Option<BuiltOn<'a>> {
    let success = context.record(&image.id).success.as_ref()?;
    let digest = success.parents.get(&parent.image.id)?;
    (success.version == child.digest).then(|| named(context, parent, child, now, digest, Evidence::Recorded))
}

fn annotated<'a>(
    context: &Context<'a>,
    parent: Edge<'a>,
    child: &Version,
    now: &'a Version,
) -> Option<BuiltOn<'a>> {
    let digest = child.base.as_ref().filter(|_| parent.kind == ParentKind::From)?;
    let built_on = named(context, parent, child, now, digest, Evidence::Annotation);
    // The registry may have deleted the version of that digest. Layers that match a known version
    // are then better evidence.
    if built_on.version.is_some() {
        Some(built_on)
    } else {
        by_layers(context, parent, child, now).or(Some(built_on))
    }
}

fn named<'a>(
    context: &Context<'a>,
    parent: Edge<'a>,
    child: &Version,
    now: &'a Version,
    digest: &Digest,
    evidence: Evidence,
) -> BuiltOn<'a> {
    let version = if now.is_named_by(digest) {
        Some(now)
    } else {
        context.facts_of(&parent.image.id).and_then(|facts| facts.version_named(digest))
    };
    let is_current = version.is_some_and(|version| same_for(child, version, now));
    BuiltOn { digest: Some(digest.clone()), version, is_current, evidence }
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
        .filter_map(|version| Some((inherited_layers(child, version)?, version)))
        .max_by_key(|(layers, version)| (*layers, version.digest == now.digest, version.pushed_at))?;
    Some(BuiltOn {
        digest: Some(version.digest.clone()),
        version: Some(version),
        is_current: same_for(child, version, now),
        evidence: Evidence::Layers,
    })
}

/// Returns how many layers `child` inherits from `parent`.
///
/// It must inherit all of the parent's layers on every platform that both have. Else this returns
/// nothing.
fn inherited_layers(child: &Version, parent: &Version) -> Option<usize> {
    let mut inherited = None;
    for (platform, manifest) in &child.platforms {
        let Some(base) = parent.platforms.get(platform) else { continue };
        if base.layers.is_empty() || !manifest.layers.starts_with(&base.layers) {
            return None;
        }
        inherited = Some(inherited.unwrap_or(0).max(base.layers.len()));
    }
    inherited
}

fn by_time<'a>(child: &Version, now: &'a Version) -> BuiltOn<'a> {
    let is_current = now.pushed_at <= child.built_at.unwrap_or(child.pushed_at);
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
