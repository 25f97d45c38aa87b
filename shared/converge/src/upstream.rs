//! Asks upstream registries whether tags moved.
//!
//! It asks for the digest of each tag that is due, and after a change for the index of that digest.
//! A host that does not answer, or whose limit is reached, is asked about no further tag. What was
//! seen is written before the images that are built on it are planned, with a mark. So a pass that
//! is cut off in between loses no change.

use std::collections::{BTreeMap, BTreeSet};

use patchwave::facts::Facts;
use patchwave::finding::Scan;
use patchwave::hierarchy::{Hierarchy, Image, UpstreamParent};
use patchwave::image::{Digest, ImageId, Reference, Registry, Repository, Tag};
use patchwave::plan::upstream_scans;
use patchwave::time::{Span, Timestamp};
use patchwave::unread::Unread;
use patchwave::upstream::{CACHE_AGE, Cached, Described, Host, Tracked};

use crate::world::{Fault, FaultKind, ManifestAt, World};

/// Most tags that one pass asks about.
const MOST_TAGS: usize = 200;
/// How long one pass asks. The rest is due at the next tick.
const LONGEST: Span = Span::seconds(45);
/// Longer than any tag has been watched.
const EVER: Span = Span::days(3_650);
/// The platforms of the widest official images are two dozen, and an item has room for sixty.
const MOST_PLATFORMS: usize = 60;
/// Most scans of upstream content that one page reads.
const MOST_UPSTREAM_SCANS: usize = 100;

/// What is kept of upstream tags and of their hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Upstreams {
    pub tags: BTreeMap<ImageId, Tracked>,
    pub hosts: BTreeMap<Registry, Host>,
}

/// The answer of an upstream registry, and what it says about its rate limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked<T> {
    pub answer: Result<T, Fault>,
    /// How long it asks to wait.
    pub retry_after: Option<Span>,
    /// How many requests of its limit are left.
    pub left: Option<u32>,
}

impl<T> From<Result<T, Fault>> for Asked<T> {
    fn from(answer: Result<T, Fault>) -> Self {
        Self { answer, retry_after: None, left: None }
    }
}

/// A tag in a pull-through cache.
pub type CachedTag = (Repository, Tag);

/// The images to plan because of upstream.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    pub(crate) images: BTreeSet<ImageId>,
    /// The tags that they are built on.
    tags: BTreeMap<ImageId, Tracked>,
}

impl Moved {
    /// Takes note that the images were planned.
    pub(crate) async fn planned<W: World>(self, world: &W) -> Result<(), Fault> {
        let mut tags = self.tags;
        for tag in tags.values_mut() {
            tag.unplanned = false;
        }
        if tags.is_empty() {
            Ok(())
        } else {
            world.keep_upstreams(&Upstreams { tags, ..Upstreams::default() }).await
        }
    }
}

/// Asks about the tags that are due, and returns the images that are built on tags that moved.
///
/// # Errors
///
/// A ledger that does not answer. Then nothing is known to have moved.
pub(crate) async fn watch<W: World>(world: &W, hierarchy: &Hierarchy) -> Result<Moved, Fault> {
    let watched = hierarchy.watched();
    if watched.is_empty() {
        return Ok(Moved::default());
    }
    let hosts = watched.values().map(|(reference, _)| reference.registry.clone()).collect();
    let Upstreams { mut tags, mut hosts } =
        world.upstreams(&watched.keys().cloned().collect(), &hosts).await?;
    let began = world.now();
    let mut changed = Upstreams::default();
    for (id, reference) in due(&watched, &tags, began) {
        let now = world.now();
        if LONGEST.after(began) <= now {
            break;
        }
        let (tag, host) =
            (tags.entry(id.clone()).or_default(), hosts.entry(reference.registry.clone()).or_default());
        let before = host.clone();
        ask(world, reference, (tag, host), now).await;
        changed.tags.insert(id.clone(), tag.clone());
        if *host != before {
            changed.hosts.insert(reference.registry.clone(), host.clone());
        }
    }
    if changed != Upstreams::default() {
        world.keep_upstreams(&changed).await?;
    }
    tags.retain(|_, tag| tag.unplanned);
    let of = |tag| watched.get(tag).into_iter().flat_map(|(_, images)| images);
    let images = tags.keys().flat_map(of).map(|image| image.id.clone()).collect();
    Ok(Moved { images, tags })
}

type Watched<'h> = BTreeMap<ImageId, (&'h Reference, Vec<&'h Image>)>;

/// Returns the tags that are due: those that were never asked about, then the longest ago.
fn due<'w>(
    watched: &'w Watched<'_>,
    tags: &BTreeMap<ImageId, Tracked>,
    now: Timestamp,
) -> Vec<(&'w ImageId, &'w Reference)> {
    let asked_at = |id: &ImageId| tags.get(id).and_then(|tag| tag.asked_at);
    let is_due = |id: &ImageId| tags.get(id).is_none_or(|tag| tag.is_due(id, now));
    let all = watched.iter().map(|(id, (reference, _))| (id, *reference));
    let mut due: Vec<_> = all.filter(|(id, _)| is_due(id)).collect();
    due.sort_by_key(|(id, _)| asked_at(id));
    due.truncate(MOST_TAGS);
    due
}

async fn ask<W: World>(
    world: &W,
    reference: &Reference,
    (tag, host): (&mut Tracked, &mut Host),
    now: Timestamp,
) {
    if let Some(why) = host.is_paused(now) {
        return tag.not_read(why, now);
    }
    let digest = match heard(world.upstream_digest(reference).await, (tag, host), now) {
        Some(Some(digest)) => digest,
        Some(None) => return tag.is_gone(now),
        None => return,
    };
    if tag.saw(&digest, now) {
        return;
    }
    if let Some(why) = host.is_paused(now) {
        // The answer left no more of the limit than builds need.
        return tag.not_read(why, now);
    }
    let described = world.upstream_manifest(reference, &digest).await;
    match heard(described, (tag, host), now) {
        Some(Some(described)) => put(tag, digest, described, now),
        Some(None) => tag.not_read(format!("its registry has no manifest {digest}").into(), now),
        None => {}
    }
}

fn put(tag: &mut Tracked, digest: Digest, described: Described, now: Timestamp) {
    let platforms = described.platforms.len();
    if (1..=MOST_PLATFORMS).contains(&platforms) {
        return tag.describe(digest, described, now);
    }
    let because = format!("{digest} has {platforms} platforms, and 1 to {MOST_PLATFORMS} are read");
    tag.not_read(Unread { because, needs_person: true }, now);
}

/// Returns an answer; nothing if there was none, which is noted.
fn heard<T>(asked: Asked<T>, (tag, host): (&mut Tracked, &mut Host), now: Timestamp) -> Option<T> {
    match asked.answer {
        Ok(answer) => {
            host.answered(asked.left, now);
            Some(answer)
        }
        Err(fault) => {
            let kind = fault.kind;
            let why = Unread::from(fault);
            match kind {
                FaultKind::Throttled => host.limited(asked.retry_after, why.clone(), now),
                FaultKind::Unavailable => host.failed(why.clone(), now),
                FaultKind::Denied | FaultKind::Invalid => {}
            }
            tag.not_read(why, now);
            None
        }
    }
}

/// Adds what is known of the upstream tags that images are built on, and of the caches of those
/// that moved: of these only a cache may still serve what was replaced.
pub(crate) async fn add_upstreams<W: World>(
    world: &W,
    images: &[&Image],
    hierarchy: &Hierarchy,
    facts: &mut Facts,
) -> Result<(), Fault> {
    let parents: Vec<UpstreamParent<'_>> =
        images.iter().flat_map(|image| hierarchy.upstream_parents(image)).collect();
    if parents.is_empty() {
        return Ok(());
    }
    let tags = parents.iter().map(|parent| parent.id.clone()).collect();
    facts.upstreams = world.upstreams(&tags, &BTreeSet::new()).await?.tags;
    add_caches(world, &parents, CACHE_AGE, facts).await;
    Ok(())
}

/// Adds what caches hold for all tags that moved since Patchwave first read them.
pub(crate) async fn add_all_caches<W: World>(world: &W, hierarchy: &Hierarchy, facts: &mut Facts) {
    let parents: Vec<UpstreamParent<'_>> =
        hierarchy.images().flat_map(|image| hierarchy.upstream_parents(image)).collect();
    add_caches(world, &parents, EVER, facts).await;
}

async fn add_caches<W: World>(
    world: &W,
    parents: &[UpstreamParent<'_>],
    moved_within: Span,
    facts: &mut Facts,
) {
    let now = facts.observed_at;
    let mut wanted: BTreeMap<CachedTag, ImageId> = BTreeMap::new();
    for parent in parents {
        let moved = facts.upstreams.get(&parent.id).filter(|tag| tag.contents.len() > 1);
        let moved = moved.and_then(Tracked::current);
        let moved = moved.is_some_and(|current| moved_within.after(current.since) > now);
        if let (true, Some(cache), Some(tag), Some(on)) =
            (moved, parent.cache, &parent.reference.tag, parent.cached_as())
        {
            wanted.insert((cache.clone(), tag.clone()), on);
        }
    }
    if wanted.is_empty() {
        return;
    }
    let mut held = world.cached(&wanted.keys().cloned().collect()).await;
    for (at, on) in wanted {
        let answer = match held.remove(&at) {
            Some(Ok(cached)) => cached,
            Some(Err(fault)) => Cached::Unread(fault.into()),
            None => Cached::Unread("the cache was not asked".into()),
        };
        facts.caches.insert(on, answer);
    }
}

/// Adds the scans that may show that upstream fixed findings of these images. A scan that is not
/// read is left as unread, and shows nothing.
pub(crate) async fn add_upstream_scans<W: World>(
    world: &W,
    images: &[&Image],
    hierarchy: &Hierarchy,
    facts: &mut Facts,
) {
    let wanted = images.iter().flat_map(|image| upstream_scans(hierarchy, facts, image));
    let wanted: BTreeSet<ManifestAt> = wanted.take(MOST_UPSTREAM_SCANS).collect();
    if wanted.is_empty() {
        return;
    }
    let scans = world.scans(&wanted).await;
    // All images take the scan of a parent at the age that the strictest of them allows.
    let most = images.iter().map(|image| image.policy.scan_max_age).min().unwrap_or(Span::ZERO);
    let aged = |((_, digest), scan): (ManifestAt, Scan)| (digest, scan.as_of(facts.observed_at, most));
    facts.upstream_scans = scans.into_iter().map(aged).collect();
}

/// Names the upstream tags that have not moved for long, each with an image that is built on it.
pub(crate) fn silent(hierarchy: &Hierarchy, facts: &Facts) -> BTreeSet<String> {
    let images = facts.images.keys().filter_map(|id| hierarchy.image(id).ok());
    let silent = images.flat_map(|image| {
        let tags = patchwave::upstream::silent(hierarchy, facts, image, facts.observed_at);
        tags.into_iter().map(move |(tag, since)| {
            format!("{tag} has not moved since {since:.0}: check whether it is supported, for {}", image.id)
        })
    });
    silent.collect()
}
