//! The build key, and the start that it names.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::context::{Context, hash};
use super::limits;
use super::pipeline::sent;
use super::{BuildKey, Goal, Reason, SourceRevision, Start, ToProve, upstream};
use crate::facts::Held;
use crate::finding::FindingKey;
use crate::hierarchy::{Image, Parent, Pipeline, Variable};
use crate::image::{Digest, ImageId};
use crate::time::Timestamp;

/// CodePipeline's limit for the length of a variable's value.
const LONGEST_VALUE: usize = 1_000;

/// Makes the start of `image` for `reasons`. Returns nothing if the image has no pipeline.
pub(super) fn start(
    context: &Context<'_>,
    image: &Image,
    reasons: &[Reason],
    due: Timestamp,
) -> Option<Start> {
    let pipeline = image.pipeline.as_ref()?;
    let parents: BTreeMap<ImageId, Digest> = context
        .hierarchy
        .parents(&image.id)
        .filter_map(|edge| Some((edge.image.id.clone(), context.current(&edge.image.id)?.digest.clone())))
        .collect();
    let no_cache = reasons.iter().any(|r| matches!(r, Reason::Vulnerable { .. } | Reason::Expired { .. }));
    let key = build_key(context, image, reasons, no_cache);
    let attempt = context.record(&image.id).last_attempt.saturating_add(1);
    Some(Start {
        image: image.id.clone(),
        pipeline: pipeline.name.clone(),
        builder: pipeline.builder.clone(),
        attempt,
        variables: variables(context, image, pipeline, reasons, &key, &parents, no_cache),
        sources: sources(context, image, pipeline),
        since: reasons.iter().map(Reason::since).min().unwrap_or(context.now),
        replaces: context.current(&image.id).map(|version| version.digest.clone()),
        to_prove: limits::to_prove(to_prove(context, image, reasons)),
        inputs: context.inputs(image),
        reasons: limits::reasons(reasons),
        upstreams: upstream::pulled(context, image),
        parents,
        key,
        no_cache,
        due,
        keeps_deadline: false,
    })
}

/// Returns the key of the goal. Every plan of the same goal has the same key, and after a success
/// the key is another one.
fn build_key(context: &Context<'_>, image: &Image, reasons: &[Reason], no_cache: bool) -> BuildKey {
    let record = context.record(&image.id);
    let causes: BTreeSet<String> = reasons.iter().flat_map(cause).collect();
    BuildKey(hash(&[
        format!("image {} {:?}", image.id, image.line),
        format!("replaces {:?}", context.current(&image.id).map(|version| &version.digest)),
        format!("after {:?}", record.success.as_ref().map(|success| (&success.key, success.at))),
        format!("inputs {}", context.inputs(image)),
        format!("causes {causes:?}"),
        format!("no cache {no_cache}"),
    ]))
}

fn cause(reason: &Reason) -> Vec<String> {
    match reason {
        Reason::Requested { id, .. } => vec![format!("request {id}")],
        _ => reason
            .causes()
            .map(|cause| match &cause.goal {
                Goal::Version(version) => format!("{} to {version}", cause.finding.package),
                Goal::Try(vulnerability) | Goal::Retry(vulnerability) => {
                    format!("{} against {vulnerability}", cause.finding.package)
                }
            })
            .collect(),
    }
}

fn variables(
    context: &Context<'_>,
    image: &Image,
    pipeline: &Pipeline,
    reasons: &[Reason],
    key: &BuildKey,
    parents: &BTreeMap<ImageId, Digest>,
    no_cache: bool,
) -> BTreeMap<String, String> {
    let codes: BTreeSet<&str> = reasons.iter().map(Reason::code).collect();
    let value = |variable: Variable| match variable {
        Variable::BaseImage => base(context, image, false),
        Variable::BaseReference => base(context, image, true),
        Variable::Parents => parents_value(parents, reasons),
        Variable::BuildKey => Some(key.to_string()),
        Variable::Reason => Some(codes.iter().copied().collect::<Vec<_>>().join(",")),
        Variable::NoCache => Some(no_cache.to_string()),
    };
    // CodePipeline refuses empty values and variables that the pipeline does not declare.
    sent(context, image, pipeline)
        .filter_map(|variable| Some((variable.name().to_owned(), value(variable)?)))
        .collect()
}

/// Returns the `from` parent at the digest that is built on: its repository, or with the host of
/// the nearest registry that holds it.
fn base(context: &Context<'_>, image: &Image, with_host: bool) -> Option<String> {
    let Parent::Image(id) = &image.from else { return None };
    let repository = &context.hierarchy.image(id).ok()?.repository;
    let digest = &context.current(id)?.digest;
    let replica = context.facts.replicas.get(&image.id);
    let nearest = replica.filter(|replica| replica.held == Held::Yes && replica.digest == *digest);
    let repository = nearest.filter(|_| with_host).map_or(repository, |replica| &replica.repository);
    let (host, name) = context.hierarchy.address(repository);
    Some(if with_host { format!("{host}/{name}@{digest}") } else { format!("{name}@{digest}") })
}

/// Returns the parents as JSON: all of them, or as many as fit, the changed ones first.
fn parents_value(parents: &BTreeMap<ImageId, Digest>, reasons: &[Reason]) -> Option<String> {
    let json = |parents: &BTreeMap<&ImageId, &Digest>| serde_json::to_string(parents).ok();
    let all: BTreeMap<&ImageId, &Digest> = parents.iter().collect();
    if all.is_empty() {
        return None;
    }
    let whole = json(&all)?;
    if whole.len() <= LONGEST_VALUE {
        return Some(whole);
    }
    let changed = |id: &ImageId| {
        reasons.iter().any(|r| matches!(r, Reason::ParentChanged { parent, .. } if parent == id))
    };
    let mut changed_first: Vec<(&ImageId, &Digest)> = all.into_iter().collect();
    changed_first.sort_by_key(|(id, _)| (!changed(id), *id));
    let mut kept = BTreeMap::new();
    for (id, digest) in changed_first {
        kept.insert(id, digest);
        if json(&kept)?.len() > LONGEST_VALUE {
            kept.remove(id);
        }
    }
    json(&kept)
}

fn sources(context: &Context<'_>, image: &Image, pipeline: &Pipeline) -> Vec<SourceRevision> {
    let Some(revision) = context.revision(image) else { return Vec::new() };
    pipeline
        .sources
        .iter()
        .map(|source| SourceRevision {
            action: source.action.clone(),
            revision_type: source.revision_type,
            revision: revision.to_owned(),
        })
        .collect()
}

/// Counts the findings of the current version that the record has no room for.
pub(super) fn not_followed(context: &Context<'_>, image: &Image) -> usize {
    let all = to_prove(context, image, &[]);
    let number = all.len();
    number - limits::to_prove(all).len()
}

/// Returns the findings of the replaced version that policy counts or that the build is made for,
/// on each platform.
///
/// Those that the build is made for come first, then the worst.
fn to_prove(context: &Context<'_>, image: &Image, reasons: &[Reason]) -> Vec<ToProve> {
    let Some(version) = context.current(&image.id) else { return Vec::new() };
    let causes: BTreeSet<&FindingKey> =
        reasons.iter().flat_map(Reason::causes).map(|cause| &cause.finding).collect();
    let mut to_prove = Vec::new();
    for (platform, manifest) in &version.platforms {
        let scanned = manifest.scan.completed_at();
        for finding in manifest.scan.findings() {
            let is_cause = causes.contains(&finding.key);
            if finding.severity >= image.policy.rebuild_at || is_cause {
                let item = ToProve {
                    platform: platform.clone(),
                    finding: finding.key.clone(),
                    kind: finding.kind,
                    since: scanned.map(|scanned| context.appeared(&image.id, finding, scanned)),
                };
                to_prove.push((Reverse((is_cause, finding.exploited, finding.severity)), item));
            }
        }
    }
    to_prove.sort();
    to_prove.into_iter().map(|(_, item)| item).collect()
}
