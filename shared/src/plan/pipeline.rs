//! Whether an image's pipeline takes the start that Patchwave would make.
//!
//! CodePipeline refuses a start that sends what the pipeline does not declare, and a refused start every quarter of an hour
//! helps nobody: what would be refused is held, with the reason.

use super::context::Context;
use crate::facts::{Declaration, ExecutionMode, PipelineFacts};
use crate::hierarchy::{Image, Parent, Pipeline, Variable};
use crate::policy::Mode;

/// Whether Patchwave could start a build of this image at all. Children do not wait for what it cannot build.
pub(super) fn can_start(context: &Context<'_>, image: &Image) -> bool {
    context.left_to_people(image).is_none()
        && context.mode(image) == Mode::Enforce
        && !lacks_revision(context, image)
        && unfit(context, image).is_none()
}

/// Whether the pipeline is pinned to the line's commit, and the commit is not known.
pub(super) fn lacks_revision(context: &Context<'_>, image: &Image) -> bool {
    image.pipeline.as_ref().is_some_and(|pipeline| !pipeline.sources.is_empty())
        && context.revision(image).is_none()
}

/// Why no pipeline can build the image; nothing if one can, or if nobody has asked yet.
pub(super) fn unfit(context: &Context<'_>, image: &Image) -> Option<String> {
    let Some(pipeline) = &image.pipeline else { return Some("the hierarchy names no pipeline".into()) };
    match facts(context, image)? {
        PipelineFacts::NotFound => Some(format!("CodePipeline has no pipeline {}", pipeline.name)),
        PipelineFacts::Declared(declared) => refused(image, pipeline, declared),
        PipelineFacts::Unknown(_) => None,
    }
}

/// Why it is not known whether the pipeline takes the start.
pub(super) fn unknown(context: &Context<'_>, image: &Image) -> Option<String> {
    match facts(context, image)? {
        PipelineFacts::Unknown(because) => Some(because.clone()),
        PipelineFacts::Declared(_) | PipelineFacts::NotFound => None,
    }
}

/// Whether a start would overtake what the pipeline has under way: a developer's release that waits there.
pub(super) fn is_busy(context: &Context<'_>, image: &Image) -> bool {
    matches!(
        facts(context, image),
        Some(PipelineFacts::Declared(Declaration { mode: ExecutionMode::Superseded { busy: true }, .. }))
    )
}

fn facts<'a>(context: &Context<'a>, image: &Image) -> Option<&'a PipelineFacts> {
    context.facts.pipelines.get(&image.id)
}

/// What of the start the pipeline would refuse.
fn refused(image: &Image, pipeline: &Pipeline, declared: &Declaration) -> Option<String> {
    let name = &pipeline.name;
    let sent: Vec<&str> = sent(image, pipeline).map(Variable::name).collect();
    if let Some(variable) = sent.iter().find(|variable| !declared.variables.contains_key(**variable)) {
        return Some(format!(
            "{name} does not declare the variable {variable}: declare it, or leave it out of `variables`"
        ));
    }
    let required = declared
        .variables
        .iter()
        .find(|(name, has_default)| !**has_default && !sent.contains(&name.as_str()));
    if let Some((variable, _)) = required {
        return Some(format!(
            "the variable {variable} of {name} has no default, and Patchwave does not send it"
        ));
    }
    let source = pipeline.sources.iter().find(|source| !declared.sources.contains(&source.action))?;
    Some(format!("{name} has no source action {:?}: `sources` names those to pin", source.action))
}

/// The variables that a start of the image carries.
pub(super) fn sent(image: &Image, pipeline: &Pipeline) -> impl Iterator<Item = Variable> {
    let on_ours = matches!(image.from, Parent::Image(_));
    let has_parents = on_ours || image.copy_from.iter().any(|parent| matches!(parent, Parent::Image(_)));
    Variable::ALL.into_iter().filter(|variable| pipeline.takes(*variable)).filter(move |variable| {
        match variable {
            Variable::BaseImage => on_ours,
            Variable::Parents => has_parents,
            Variable::BuildKey | Variable::Reason | Variable::NoCache => true,
        }
    })
}
