//! What will happen, as far as the hierarchy and the pipelines' history tell when the first event
//! arrives.

use std::collections::{BTreeMap, BTreeSet};

use patchwave::facts::Facts;
use patchwave::hierarchy::{Direction, Hierarchy, Image, ParentKind, Query};
use patchwave::image::ImageId;
use patchwave::time::Timestamp;
use patchwave_sim::{Incident, Simulation, can_be_rebuilt};
use serde::Serialize;

use super::schedule::schedule;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Prediction {
    /// What will be rebuilt, in build order.
    pub(crate) rebuilt: Vec<ImageId>,
    pub(crate) waves: Vec<Vec<ImageId>>,
    /// How many platform manifests the finding will leave.
    pub(crate) findings: usize,
    /// Workloads that will be free of it.
    pub(crate) workloads: Vec<String>,
    /// The chain of builds that decides when the last one ends.
    pub(crate) critical_path: Vec<ImageId>,
    pub(crate) finishes_at: Timestamp,
}

pub(crate) fn predict(simulation: &Simulation, incident: &Incident, facts: &Facts) -> Prediction {
    let hierarchy = simulation.hierarchy();
    let rebuilt = rebuilt(hierarchy, &incident.image);
    let inherits = inheriting(hierarchy, &incident.image);
    let cleared: BTreeSet<&ImageId> =
        rebuilt.iter().map(|i| &i.id).filter(|id| inherits.contains(id)).collect();
    let manifests = |id: &&ImageId| {
        facts
            .images
            .get(*id)
            .and_then(|image| image.current_version())
            .map_or(0, |version| version.platforms.len())
    };
    let workloads = simulation.workloads().into_iter().filter(|workload| cleared.contains(&workload.image));
    let (finishes_at, critical_path) = schedule(simulation, &rebuilt);
    Prediction {
        rebuilt: rebuilt.iter().map(|image| image.id.clone()).collect(),
        waves: waves(hierarchy, &rebuilt),
        findings: cleared.iter().map(manifests).sum(),
        workloads: workloads.map(|workload| workload.name).collect(),
        critical_path,
        finishes_at,
    }
}

/// An image follows if it can and if one of its parents does.
fn rebuilt<'h>(hierarchy: &'h Hierarchy, first: &ImageId) -> Vec<&'h Image> {
    let mut ids: BTreeSet<&ImageId> = BTreeSet::new();
    let mut rebuilt = Vec::new();
    for image in hierarchy.images().filter(|image| can_be_rebuilt(image)) {
        let follows = hierarchy.parents(&image.id).any(|parent| ids.contains(&parent.image.id));
        if follows || image.id == *first {
            ids.insert(&image.id);
            rebuilt.push(image);
        }
    }
    rebuilt
}

/// Returns the images that inherit the layers of `root`, itself among them.
pub(crate) fn inheriting<'h>(hierarchy: &'h Hierarchy, root: &ImageId) -> BTreeSet<&'h ImageId> {
    let mut inheriting: BTreeSet<&ImageId> = BTreeSet::new();
    for image in hierarchy.images() {
        let mut bases = hierarchy.parents(&image.id).filter(|parent| parent.kind == ParentKind::From);
        if image.id == *root || bases.any(|base| inheriting.contains(&base.image.id)) {
            inheriting.insert(&image.id);
        }
    }
    inheriting
}

fn waves(hierarchy: &Hierarchy, rebuilt: &[&Image]) -> Vec<Vec<ImageId>> {
    let ids: BTreeSet<&ImageId> = rebuilt.iter().map(|image| &image.id).collect();
    let mut wave_of: BTreeMap<&ImageId, usize> = BTreeMap::new();
    let mut waves: Vec<Vec<ImageId>> = Vec::new();
    for image in rebuilt {
        let parents = hierarchy.parents(&image.id).filter(|parent| ids.contains(&parent.image.id));
        let wave = parents.filter_map(|p| wave_of.get(&p.image.id)).max().map_or(0, |last| last + 1);
        wave_of.insert(&image.id, wave);
        waves.resize_with(waves.len().max(wave + 1), Vec::new);
        waves[wave].push(image.id.clone());
    }
    waves
}

/// Returns an image and everything that is built on it, in build order.
pub(crate) fn below<'h>(
    hierarchy: &'h Hierarchy,
    image: &ImageId,
) -> impl Iterator<Item = &'h ImageId> + use<'h> {
    let below = hierarchy.query([image], Direction::Descendants).map(Query::resolve);
    below.map(|set| set.ids().collect::<Vec<_>>()).unwrap_or_default().into_iter()
}
