//! Which version of a parent an image's current version was built on.
//!
//! Evidence, best first: what we recorded when we started the build; the base digest that the build wrote down; the
//! layers, which a child inherits as a whole prefix from its `from` parent and never from a `copyFrom` one; and time.

use super::Evidence;
use super::context::Context;
use crate::facts::Version;
use crate::hierarchy::{Edge, Image, ParentKind};
use crate::image::{Digest, Platform};

/// What an image's current version was built on, of one parent.
pub(super) struct BuiltOn<'a> {
    /// The parent's version, where it is known by digest.
    pub(super) digest: Option<Digest>,
    /// Its facts, where they were observed.
    pub(super) version: Option<&'a Version>,
    /// Whether its content is the parent's current content, on the platforms that the child uses.
    pub(super) is_current: bool,
    /// How that is known.
    pub(super) evidence: Evidence,
}

/// Finds what `image` was built on; nothing if it or the parent has no known version.
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
    // A digest that the registry does not know any more says less than layers that it does.
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
    // The longest list wins, so that a grandparent's does not pass for the parent's; then the current version.
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

/// How many layers `child` inherits from `parent`: all of the parent's, on every platform that both have; else nothing.
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

/// Whether two versions of a parent are the same to `child`: on the platforms that it uses, or as a whole if it shares
/// none with them (a single manifest does not say its platform).
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
