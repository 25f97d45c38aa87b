//! Baselines: two simpler handlers that get the same events in the same worlds.
//!
//! The naive one is what everybody writes first. A finding that can be fixed rebuilds the image
//! that introduced it, and a push rebuilds the children, once for a batch of events. (A handler
//! that rebuilt every image with a finding would never end: rebuilding a child does not fix its
//! base, so the scan of the child lists the finding again.)
//!
//! The other one also remembers the ids of the events that it has seen. Neither keeps a ledger.

use std::collections::{BTreeMap, BTreeSet};

use patchwave::finding::{Finding, Fix, PackageKind, Scan};
use patchwave::hierarchy::{Hierarchy, Image, Line, Variable};
use patchwave::image::{Digest, ImageId, Repository, Tag};
use patchwave::plan::{BuildKey, Start};
use patchwave::trigger::Trigger;
use patchwave_converge::{Fault, Found, NotStarted, World};
use serde::Serialize;

use crate::draw::hex;
use crate::faulty_world::FaultyWorld;
use crate::incident::can_be_rebuilt;

/// Who handles the events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Handler {
    #[default]
    Patchwave,
    /// Every event starts the builds that it asks for.
    Naive,
    /// The same, once for each event id.
    ByEventId,
}

/// The images to build, each with the fixes that are published for it.
type Wanted<'h> = BTreeMap<&'h ImageId, (&'h Image, BTreeSet<String>)>;

/// Handles a batch. A fault ends it, and the queue delivers the whole batch again.
pub(crate) async fn handle(
    world: &FaultyWorld<'_>,
    handler: Handler,
    batch: &[(u64, Trigger)],
) -> Result<(), Fault> {
    let mut wanted = Wanted::new();
    for (number, trigger) in batch {
        if handler == Handler::ByEventId && !world.remember(*number).await? {
            continue;
        }
        match trigger {
            Trigger::Scanned { repository, digest: Some(digest), .. } => {
                scanned(world, repository, digest, &mut wanted).await;
            }
            Trigger::RepositoryChanged { repository, tags, .. } => {
                pushed(world, repository, tags, &mut wanted);
            }
            Trigger::Scanned { .. } | Trigger::Execution { .. } | Trigger::Tick | Trigger::Sweep => {}
        }
    }
    for (image, fixes) in wanted.into_values().filter(|(image, _)| can_be_rebuilt(image)) {
        start(world, image, &fixes).await?;
    }
    Ok(())
}

async fn scanned<'w>(
    world: &FaultyWorld<'w>,
    repository: &Repository,
    digest: &Digest,
    wanted: &mut Wanted<'w>,
) {
    let images: Vec<&Image> = world.hierarchy().in_repository(repository).collect();
    let currents = world.currents(&images).await;
    for image in images {
        let Some(Ok(Found::Version(current))) = currents.get(&image.id) else { continue };
        let first = current.platforms.values().next();
        if first.is_none_or(|manifest| manifest.digest != *digest) {
            continue;
        }
        let scans = world.scans(&BTreeSet::from([(repository.clone(), digest.clone())])).await;
        let above = inherited(world, image).await;
        let is_own = |finding: &&Finding| finding.layer.as_ref().is_none_or(|layer| !above.contains(layer));
        let own = scans.values().flat_map(Scan::findings).filter(is_own);
        let fixes: BTreeSet<String> = own.filter_map(|finding| fix(image, finding)).collect();
        if !fixes.is_empty() {
            wanted.entry(&image.id).or_insert_with(|| (image, BTreeSet::new())).1.extend(fixes);
        }
    }
}

/// Returns the layers of the parents' current versions.
async fn inherited(world: &FaultyWorld<'_>, image: &Image) -> BTreeSet<Digest> {
    let parents: Vec<&Image> = world.hierarchy().parents(&image.id).map(|parent| parent.image).collect();
    let versions = world.currents(&parents).await.into_values().filter_map(|answer| answer.ok()?.version());
    versions
        .flat_map(|version| version.platforms.into_values())
        .flat_map(|manifest| manifest.layers.to_vec())
        .collect()
}

fn fix(image: &Image, finding: &Finding) -> Option<String> {
    let counts = finding.severity >= image.policy.rebuild_at && finding.kind == PackageKind::Os;
    match &finding.fix {
        Fix::Version(version) if counts => Some(format!("{} to {version}", finding.key.package)),
        _ => None,
    }
}

fn pushed<'w>(world: &FaultyWorld<'w>, repository: &Repository, tags: &[Tag], wanted: &mut Wanted<'w>) {
    let hierarchy = world.hierarchy();
    let moved =
        hierarchy.in_repository(repository).filter(|image| tags.iter().any(|tag| is_on(&image.line, tag)));
    for child in moved.flat_map(|image| hierarchy.children(&image.id)) {
        wanted.entry(&child.image.id).or_insert_with(|| (child.image, BTreeSet::new()));
    }
}

fn is_on(line: &Line, tag: &Tag) -> bool {
    // A push does not change what an environment runs.
    line.has(tag)
}

/// Starts a build on the current parents. Its key names the reasons, so that the checker finds a
/// second build for the same reasons.
async fn start(world: &FaultyWorld<'_>, image: &Image, fixes: &BTreeSet<String>) -> Result<(), Fault> {
    let Some(pipeline) = &image.pipeline else { return Ok(()) };
    let current = world.currents(&[image]).await.remove(&image.id).and_then(|answer| answer.ok()?.version());
    let parents = parents(world, world.hierarchy(), image).await;
    let Some(key) = key(image, &parents, fixes) else { return Ok(()) };
    let start = Start {
        image: image.id.clone(),
        pipeline: pipeline.name.clone(),
        builder: None,
        key,
        // Every start has a token of its own.
        attempt: world.executions() + 1,
        variables: [(Variable::NoCache.name().to_owned(), "true".to_owned())].into(),
        sources: Vec::new(),
        reasons: Vec::new(),
        since: world.now(),
        replaces: current.map(|version| version.digest),
        parents,
        upstreams: BTreeMap::new(),
        to_prove: BTreeSet::new(),
        inputs: String::new(),
        no_cache: true,
        due: world.now(),
        keeps_deadline: false,
    };
    match world.start(&start).await {
        Ok(_) => Ok(()),
        Err(NotStarted::Refused(fault) | NotStarted::Unclear(fault)) => Err(fault),
    }
}

async fn parents(world: &FaultyWorld<'_>, hierarchy: &Hierarchy, image: &Image) -> BTreeMap<ImageId, Digest> {
    let parents: Vec<&Image> = hierarchy.parents(&image.id).map(|parent| parent.image).collect();
    let current = |(id, answer): (ImageId, Result<Found, Fault>)| match answer {
        Ok(Found::Version(version)) => Some((id, version.digest)),
        _ => None,
    };
    world.currents(&parents).await.into_iter().filter_map(current).collect()
}

fn key(image: &Image, parents: &BTreeMap<ImageId, Digest>, fixes: &BTreeSet<String>) -> Option<BuildKey> {
    let reasons = hex(&format!("{} on {parents:?} for {fixes:?}", image.id));
    serde_json::from_value(reasons.get(..40)?.into()).ok()
}
