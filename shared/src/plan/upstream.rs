//! What follows from the upstream tags that an image is built on.
//!
//! A build is not told what an upstream tag names: it pulls the tag. There are three kinds of
//! evidence of what it got, best first:
//!
//! 1. What the tag named when Patchwave claimed the build, or what its cache still served.
//! 2. The base digest that the build wrote into the image, if the tag ever named it.
//! 3. The time: what the tag named when the image was built.
//!
//! What the tag named before Patchwave first read it is not known, and nothing follows from it.
//!
//! If a pull-through cache holds the old and the new content, and the registry scans it, the scans
//! may show that upstream fixed a finding. Then a rebuild helps, whatever the scan of the image
//! says of a fix, and it waits for no quiet period.

use std::collections::{BTreeMap, BTreeSet};

use super::context::Context;
use super::{Awaited, Evidence, Hold, Reason, Unknown};
use crate::facts::{Facts, Version};
use crate::finding::FindingKey;
use crate::hierarchy::{Hierarchy, Image, ParentKind, UpstreamParent};
use crate::image::{Digest, ImageId, Platform, Repository};
use crate::record::Success;
use crate::time::Timestamp;
use crate::upstream::{CACHE_AGE, Cached, Content, Tracked, lacks};

/// Returns a reason for each upstream tag whose content is not what the image was built on.
pub(super) fn changed<'a>(context: &Context<'a>, image: &'a Image) -> impl Iterator<Item = Reason> {
    context.hierarchy.upstream_parents(image).filter_map(|parent| {
        let child = context.current(&image.id)?;
        let tracked = context.upstream(&parent.id)?;
        let now = tracked.current()?;
        let success = context.record(&image.id).success.as_ref();
        let (digest, before, evidence) = built_on(success, &parent, child, tracked)?;
        if before.is_some_and(|content| content.same_for(now, used(&parent, child).into_iter())) {
            return None;
        }
        let (now, since) = (now.digests.last()?.clone(), now.since);
        Some(Reason::ParentChanged { parent: parent.id, built_on: digest, now, evidence, since })
    })
}

/// The digest that the image was built on and its content, each if it is known.
type BuiltOn<'a> = (Option<Digest>, Option<&'a Content>, Evidence);

fn built_on<'a>(
    success: Option<&Success>,
    parent: &UpstreamParent<'_>,
    child: &Version,
    tracked: &'a Tracked,
) -> Option<BuiltOn<'a>> {
    let success = success.filter(|success| success.version == child.digest);
    if let Some(digest) = success.and_then(|success| success.upstreams.get(&parent.id)) {
        return Some((Some(digest.clone()), tracked.named_by(digest), Evidence::Recorded));
    }
    let annotated = child.base.as_ref().filter(|_| parent.kind == ParentKind::From);
    if let Some(content) = annotated.and_then(|digest| tracked.named_by(digest)) {
        return Some((annotated.cloned(), Some(content), Evidence::Annotation));
    }
    Some((None, Some(tracked.at(child.built())?), Evidence::Time))
}

/// Returns the platforms of the image that are built on a parent.
fn used<'a>(parent: &UpstreamParent<'a>, child: &'a Version) -> Vec<&'a Platform> {
    match parent.platform {
        Some(platform) => vec![platform],
        None => child.platforms.keys().collect(),
    }
}

/// Returns the upstream tag whose new content no longer has a finding that the image has from its
/// old content, if the next build gets the new one.
pub(super) fn fixed_by(
    context: &Context<'_>,
    image: &Image,
    finding: &FindingKey,
    appeared: Timestamp,
) -> Option<ImageId> {
    let scans = &context.facts.upstream_scans;
    let child = context.current(&image.id).filter(|_| !scans.is_empty())?;
    let success = context.record(&image.id).success.as_ref();
    let is_fixed = |parent: &UpstreamParent<'_>| {
        let tracked = context.upstream(&parent.id)?;
        let now = tracked.current()?;
        let before = built_on(success, parent, child, tracked)?.1?;
        let carries = |platform: &&Platform| {
            let manifest = child.platforms.get(*platform);
            manifest.is_some_and(|manifest| manifest.scan.finding(finding).is_some())
        };
        let on = used(parent, child).into_iter().filter(carries);
        Some(lacks(scans, (before, now), finding, (on, appeared)) && lag(context, parent, now).is_none())
    };
    let mut parents = context.hierarchy.upstream_parents(image);
    parents.find(|parent| is_fixed(parent) == Some(true)).map(|parent| parent.id)
}

/// Returns the manifests of caches whose scans may show that upstream fixed findings of an image:
/// those of the old and of the new content of a tag, on platforms that carry a finding that counts.
/// Nothing for a cache that does not hold the new content yet.
pub fn upstream_scans(hierarchy: &Hierarchy, facts: &Facts, image: &Image) -> BTreeSet<(Repository, Digest)> {
    let mut wanted = BTreeSet::new();
    let Some(known) = facts.images.get(&image.id) else { return wanted };
    let Some(child) = known.current_version() else { return wanted };
    let carries = |platform: &&Platform| {
        let findings = child.platforms.get(*platform).into_iter().flat_map(|of| of.scan.findings());
        findings.into_iter().any(|finding| image.policy.counts(finding, facts.observed_at))
    };
    for parent in hierarchy.upstream_parents(image) {
        let (Some(cache), Some(on)) = (parent.cache, parent.cached_as()) else { continue };
        let Some(tracked) = facts.upstreams.get(&parent.id) else { continue };
        let Some(now) = tracked.current() else { continue };
        let holds =
            matches!(facts.caches.get(&on), Some(Cached::Holds { digest, .. }) if now.is_named_by(digest));
        let before = built_on(known.record.success.as_ref(), &parent, child, tracked).and_then(|of| of.1);
        let (Some(before), true) = (before, holds) else { continue };
        let used: Vec<&Platform> = used(&parent, child).into_iter().filter(carries).collect();
        if before.same_for(now, used.iter().copied()) {
            continue;
        }
        let manifests = used.iter().flat_map(|platform| [before, now].map(|content| content.on(platform)));
        wanted.extend(manifests.flatten().map(|digest| (cache.clone(), digest.clone())));
    }
    wanted
}

/// Returns what upstream tags name now, for people who name them by digest.
pub(super) fn current<'a>(
    context: &Context<'a>,
    image: &'a Image,
) -> impl Iterator<Item = (ImageId, Digest)> {
    context.hierarchy.upstream_parents(image).filter_map(|parent| {
        let digest = context.upstream(&parent.id)?.current()?.digests.last()?.clone();
        Some((parent.id, digest))
    })
}

/// Returns what a build that starts now gets from upstream, for the record of its success.
pub(super) fn pulled(context: &Context<'_>, image: &Image) -> BTreeMap<ImageId, Digest> {
    let parents = context.hierarchy.upstream_parents(image);
    let pulled = parents.filter_map(|parent| {
        let current = context.upstream(&parent.id)?.current()?;
        let digest = match lag(context, &parent, current) {
            Some(Lag { served, .. }) => served,
            None => current.digests.last()?,
        };
        Some((parent.id.clone(), digest.clone()))
    });
    pulled.collect()
}

/// A cache that still serves what upstream replaced.
struct Lag<'a> {
    /// The cache's tag.
    on: ImageId,
    served: &'a Digest,
    until: Timestamp,
}

/// A cache asks upstream at a pull, if it did not for [`CACHE_AGE`]. It cannot have asked since the
/// tag moved, or it would serve the new content.
fn lag<'a>(context: &Context<'a>, parent: &UpstreamParent<'_>, current: &Content) -> Option<Lag<'a>> {
    let on = parent.cached_as()?;
    let Cached::Holds { digest, synced_at } = context.facts.caches.get(&on)? else { return None };
    let until = CACHE_AGE.after((*synced_at).min(current.since));
    let lags = !current.is_named_by(digest) && until > context.now;
    lags.then_some(Lag { on, served: digest, until })
}

/// Holds an image whose only reasons are upstream tags that a cache does not serve yet: a build
/// would change nothing.
pub(super) fn waiting_on_cache(context: &Context<'_>, image: &Image, reasons: &[Reason]) -> Option<Hold> {
    let parents: Vec<UpstreamParent<'_>> = context.hierarchy.upstream_parents(image).collect();
    let lag_of = |reason: &Reason| {
        let Reason::ParentChanged { parent, .. } = reason else { return None };
        let parent = parents.iter().find(|of| of.id == *parent)?;
        lag(context, parent, context.upstream(&parent.id)?.current()?)
    };
    let lags: Option<Vec<Lag<'_>>> = reasons.iter().map(lag_of).collect();
    let first = lags?.into_iter().min_by_key(|lag| lag.until)?;
    Some(Hold::WaitingOn { on: first.on, awaits: Awaited::Cache { until: first.until } })
}

/// Names the upstream tags that could not be read for long, or that are gone, and the caches that
/// could not be read.
pub(super) fn unknowns<'a>(context: &Context<'a>, image: &'a Image) -> impl Iterator<Item = Unknown> {
    context.hierarchy.upstream_parents(image).flat_map(|parent| {
        let tracked = context.upstream(&parent.id);
        let unread = tracked.and_then(|tracked| tracked.unread_for_long(context.now)).map(|unread| {
            (format!("whether {} changed is not known: {}", parent.id, unread.why), unread.since)
        });
        let gone = tracked.and_then(|tracked| tracked.absent_since);
        let gone = gone
            .map(|since| (format!("its registry has no {} any more: name another tag", parent.id), since));
        let cache = parent.cached_as().and_then(|on| match context.facts.caches.get(&on)? {
            Cached::Unread(why) => Some((
                format!("whether the cache serves the new {} is not known: {why}", parent.id),
                context.now,
            )),
            Cached::Holds { .. } | Cached::Absent => None,
        });
        unread.into_iter().chain(gone).chain(cache).map(|(because, since)| Unknown {
            image: image.id.clone(),
            platform: None,
            because,
            since: Some(since),
        })
    })
}
