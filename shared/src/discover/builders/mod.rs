//! Which pipeline pushes to which repository.
//!
//! The strongest evidence that names one pipeline decides: what the action `ECRBuildAndPublish`
//! pushes to, then what CodeBuild's environment and inline buildspec name, then where alone its
//! role may push, then who pushed, then whose source is built, then when was pushed. Two pipelines
//! of equal rank: neither. A pipeline that pushes to several repositories cannot be described yet,
//! because nothing would tell it which to build.

mod named;
mod rank;
mod rights;
mod traces;

use std::collections::{BTreeMap, BTreeSet};

use super::lines::Lines;
use super::{Action, Estate, Pipeline};
use named::Places;
use rank::{Link, Rank};
pub use rights::may_push;

/// What is known of the builder of a repository's images.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Built {
    /// The number of the pipeline.
    pub(super) by: Option<usize>,
    /// The evidence, or why there is no builder.
    pub(super) words: Vec<String>,
}

/// What pushes to each place, by the strongest evidence alone.
type Links = BTreeMap<usize, Vec<Link>>;

/// Finds the builder of each place.
pub(super) fn builders(estate: &Estate, lines: &Lines<'_>) -> BTreeMap<usize, Built> {
    let best = strongest(estate, lines);
    let mut pushes: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for (place, found) in &best {
        for link in found {
            pushes.entry(link.pipeline).or_default().insert(*place);
        }
    }
    let pushes = |pipeline: usize| pushes.get(&pipeline).map_or(0, BTreeSet::len);
    best.into_iter().map(|(place, found)| (place, decide(estate, &found, &pushes))).collect()
}

/// Counts the repositories with images of which nothing stronger than who pushed says the builder.
/// While there are any, more evidence is worth asking for.
#[must_use]
pub fn without_builder(estate: &Estate) -> usize {
    let lines = Lines::new(estate);
    let best = strongest(estate, &lines);
    let is_open = |place: &usize| {
        let first = best.get(place).and_then(|found| found.first());
        !lines.lines_of(*place).is_empty() && first.is_none_or(|link| link.rank > Rank::Pushed)
    };
    (0..lines.catalog.places.len()).filter(is_open).count()
}

fn strongest(estate: &Estate, lines: &Lines<'_>) -> Links {
    let places = Places::new(estate, lines);
    let mut found: BTreeMap<usize, BTreeSet<Link>> = BTreeMap::new();
    for (number, pipeline) in estate.pipelines.iter().enumerate() {
        for action in &pipeline.actions {
            for (place, rank, words) in places.pushed_by(estate, pipeline, action) {
                found.entry(place).or_default().insert(Link { rank, pipeline: number, words });
            }
        }
    }
    for (place, link) in traces::links(estate, lines) {
        found.entry(place).or_default().insert(link);
    }
    let best = found.into_iter().map(|(place, all)| {
        let rank = all.first().map(|link| link.rank);
        let mut best: Vec<Link> = all.into_iter().filter(|link| Some(link.rank) == rank).collect();
        best.dedup_by_key(|link| link.pipeline);
        (place, best)
    });
    best.collect()
}

fn decide(estate: &Estate, links: &[Link], pushes: &dyn Fn(usize) -> usize) -> Built {
    let name = |pipeline: usize| estate.pipelines[pipeline].name.as_str();
    let none = |because: String| Built { by: None, words: vec![format!("no builder: {because}")] };
    match links {
        [link] if link.rank.is_weak() && pushes(link.pipeline) > 1 => none(format!(
            "{} may build it, and other repositories as well: {}",
            name(link.pipeline),
            link.words
        )),
        [link] if pushes(link.pipeline) > 1 => none(format!(
            "the pipeline {} pushes {} repositories, and no variable says which to build",
            name(link.pipeline),
            pushes(link.pipeline)
        )),
        [link] => Built {
            by: Some(link.pipeline),
            words: vec![format!("built by {}: {}", name(link.pipeline), link.words)],
        },
        links => {
            let names: Vec<&str> = links.iter().map(|link| name(link.pipeline)).collect();
            none(format!("{} push it alike; name one", names.join(" and ")))
        }
    }
}

/// Says what a pipeline needs before it can take a base image. Nothing if it can.
pub(super) fn missing(pipeline: &Pipeline) -> Option<String> {
    let publishes = pipeline.actions.iter().any(|action| action.provider == "ECRBuildAndPublish");
    if publishes {
        return Some(
            "ECRBuildAndPublish passes no build argument: let the Dockerfile name its base by a stable tag"
                .to_owned(),
        );
    }
    if pipeline.pipeline_type != "V2" {
        return Some(format!(
            "the pipeline is of type {}: make it V2, and declare variables",
            pipeline.pipeline_type
        ));
    }
    let takes = pipeline.variables.contains("PATCHWAVE_BASE_IMAGE")
        || pipeline.variables.contains("PATCHWAVE_BASE_REFERENCE");
    (!takes).then(|| {
        "the pipeline does not declare PATCHWAVE_BASE_IMAGE: it builds on what its Dockerfile names"
            .to_owned()
    })
}

/// Names the repository whose push starts a pipeline by itself: it would build twice.
pub(super) fn starts_by_itself(pipeline: &Pipeline) -> Option<String> {
    let is_ecr = |action: &&Action| action.category == "Source" && action.provider == "ECR";
    let action = pipeline.actions.iter().find(is_ecr)?;
    let name = action.configuration.get("RepositoryName")?;
    let tag = action.configuration.get("ImageTag").map_or("latest", String::as_str);
    Some(format!(
        "the action {} starts this pipeline when {name}:{tag} is pushed, so it would build twice: remove it",
        action.name
    ))
}
