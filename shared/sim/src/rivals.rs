//! What simpler handlers make of the same events in the same worlds.
//!
//! The naive one is what everybody writes first: a finding that can be fixed rebuilds the image that brought it in, a push
//! rebuilds the children. (One that rebuilt every image with a finding, or for each platform's scan, would never end: a child's
//! rebuild does not fix its base, and its scan says so again.)
//! The other remembers the ids of the events that it has seen. Neither keeps a ledger of what it does.

use std::collections::{BTreeMap, BTreeSet};

use patchwave::facts::Version;
use patchwave::finding::{Finding, FindingKey, Fix, PackageKind, Scan};
use patchwave::hierarchy::{Hierarchy, Image, Line, Variable};
use patchwave::image::{Digest, ImageId, Repository, Tag};
use patchwave::plan::{BuildKey, Start};
use patchwave::trigger::Trigger;
use patchwave_converge::{Fault, NotStarted, World};
use serde::Serialize;

use crate::draw::hex;
use crate::faulty::Faulty;
use crate::incident::can_be_rebuilt;

/// Who handles the events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Handler {
    /// Patchwave's functions.
    #[default]
    Patchwave,
    /// Every event starts what it calls for.
    Naive,
    /// The same, once for each event's id.
    ByEventId,
}

/// Handles a batch. A fault ends it, and its queue hands all of it over again.
pub(crate) async fn handle(
    world: &Faulty<'_>,
    handler: Handler,
    batch: &[(u64, Trigger)],
) -> Result<(), Fault> {
    for (number, trigger) in batch {
        if handler == Handler::ByEventId && !world.remember(*number).await? {
            continue;
        }
        match trigger {
            Trigger::Scanned { repository, digest: Some(digest), .. } => {
                scanned(world, repository, digest).await?;
            }
            Trigger::RepositoryChanged { repository, tags, .. } => pushed(world, repository, tags).await?,
            Trigger::Scanned { .. } | Trigger::Execution { .. } | Trigger::Tick | Trigger::Sweep => {}
        }
    }
    Ok(())
}

async fn scanned(world: &Faulty<'_>, repository: &Repository, digest: &Digest) -> Result<(), Fault> {
    let images: Vec<&Image> = world.hierarchy().in_repository(repository).collect();
    let currents = world.currents(&images).await;
    for image in images.into_iter().filter(|image| can_be_rebuilt(image)) {
        let Some(Ok(Some(current))) = currents.get(&image.id) else { continue };
        let first = current.platforms.values().next();
        if first.is_none_or(|manifest| manifest.digest != *digest) {
            continue;
        }
        let scans = world.scans(&BTreeSet::from([(repository.clone(), digest.clone())])).await;
        let findings = scans.values().flat_map(Scan::findings);
        let above = inherited(world, image).await;
        let own = findings.filter(|finding| !above.contains(&finding.key));
        let fixes: BTreeSet<String> = own.filter_map(|finding| fix(image, finding)).collect();
        if !fixes.is_empty() {
            start(world, image, current, &fixes).await?;
        }
    }
    Ok(())
}

/// The findings of the parents' current versions.
async fn inherited(world: &Faulty<'_>, image: &Image) -> BTreeSet<FindingKey> {
    let parents: Vec<&Image> = world.hierarchy().parents(&image.id).map(|parent| parent.image).collect();
    let mut manifests = BTreeSet::new();
    for (id, answer) in world.currents(&parents).await {
        let (Ok(Some(version)), Ok(parent)) = (answer, world.hierarchy().image(&id)) else { continue };
        let digests = version.platforms.into_values().map(|manifest| manifest.digest);
        manifests.extend(digests.map(|digest| (parent.repository.clone(), digest)));
    }
    let scans = world.scans(&manifests).await;
    scans.values().flat_map(Scan::findings).map(|finding| finding.key.clone()).collect()
}

fn fix(image: &Image, finding: &Finding) -> Option<String> {
    let counts = finding.severity >= image.policy.rebuild_at && finding.kind == PackageKind::Os;
    match &finding.fix {
        Fix::Version(version) if counts => Some(format!("{} to {version}", finding.key.package)),
        _ => None,
    }
}

async fn pushed(world: &Faulty<'_>, repository: &Repository, tags: &[Tag]) -> Result<(), Fault> {
    let hierarchy = world.hierarchy();
    let children: BTreeMap<&ImageId, &Image> = hierarchy
        .in_repository(repository)
        .filter(|image| tags.iter().any(|tag| is_on(&image.line, tag)))
        .flat_map(|image| hierarchy.children(&image.id))
        .map(|child| (&child.image.id, child.image))
        .collect();
    for child in children.into_values().filter(|child| can_be_rebuilt(child)) {
        if let Some(Ok(Some(current))) = world.currents(&[child]).await.get(&child.id) {
            start(world, child, current, &BTreeSet::new()).await?;
        }
    }
    Ok(())
}

fn is_on(line: &Line, tag: &Tag) -> bool {
    match line {
        Line::Stable(tags) => tags.contains(tag),
        Line::Newest(pattern) => pattern.matches(tag),
    }
}

/// Starts a build of what is current. Its key names what it is for, so that a second one for the same can be told.
async fn start(
    world: &Faulty<'_>,
    image: &Image,
    current: &Version,
    fixes: &BTreeSet<String>,
) -> Result<(), Fault> {
    let Some(pipeline) = &image.pipeline else { return Ok(()) };
    let parents = parents(world, world.hierarchy(), image).await;
    let Some(key) = key(image, &parents, fixes) else { return Ok(()) };
    let start = Start {
        image: image.id.clone(),
        pipeline: pipeline.name.clone(),
        builder: None,
        key,
        // Every start is a new one.
        attempt: world.executions() + 1,
        variables: [(Variable::NoCache.name().to_owned(), "true".to_owned())].into(),
        sources: Vec::new(),
        reasons: Vec::new(),
        since: world.now(),
        replaces: Some(current.digest.clone()),
        parents,
        to_prove: BTreeSet::new(),
        inputs: String::new(),
        no_cache: true,
        due: world.now(),
    };
    match world.start(&start).await {
        Ok(_) => Ok(()),
        Err(NotStarted::Refused(fault) | NotStarted::Unclear(fault)) => Err(fault),
    }
}

async fn parents(world: &Faulty<'_>, hierarchy: &Hierarchy, image: &Image) -> BTreeMap<ImageId, Digest> {
    let parents: Vec<&Image> = hierarchy.parents(&image.id).map(|parent| parent.image).collect();
    let current = |(id, answer): (ImageId, Result<Option<Version>, Fault>)| Some((id, answer.ok()??.digest));
    world.currents(&parents).await.into_iter().filter_map(current).collect()
}

fn key(image: &Image, parents: &BTreeMap<ImageId, Digest>, fixes: &BTreeSet<String>) -> Option<BuildKey> {
    let intent = hex(&format!("{} on {parents:?} for {fixes:?}", image.id));
    serde_json::from_value(intent.get(..40)?.into()).ok()
}
