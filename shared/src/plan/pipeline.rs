//! Checks whether an image's pipeline accepts the start that Patchwave would make.
//!
//! CodePipeline refuses a start with variables or sources that the pipeline does not declare.
//! Patchwave would repeat such a start at each tick, so it holds the image instead and says why.

use super::context::Context;
use super::hold::NAMES_NO_PIPELINE;
use crate::facts::{Declaration, ExecutionMode, PipelineFacts};
use crate::hierarchy::{Image, Parent, Pipeline, Variable};
use crate::policy::Mode;
use crate::unread::Unread;

/// Whether Patchwave could start a build of this image at all. Children do not wait for an image
/// that it cannot build.
pub(super) fn can_start(context: &Context<'_>, image: &Image) -> bool {
    context.left_to_people(image).is_none()
        && context.mode(image) == Mode::Enforce
        && !lacks_revision(context, image)
        && unfit(context, image).is_none()
}

/// Whether the pipeline is pinned to the line's commit, and the commit is not known.
///
/// Whoever pushes an image writes its annotations. So a commit counts only if an execution of the
/// pipeline reported it, or if a person accepted it: else a push would choose the code that runs
/// with the pipeline's rights.
pub(super) fn lacks_revision(context: &Context<'_>, image: &Image) -> bool {
    if image.pipeline.as_ref().is_none_or(|pipeline| pipeline.sources.is_empty()) {
        return false;
    }
    let Some(revision) = context.revision(image) else { return true };
    let is_denied = match facts(context, image) {
        Some(PipelineFacts::Declared(declared)) => !declared.revisions.contains(revision),
        Some(PipelineFacts::NotFound | PipelineFacts::Unread(_)) | None => false,
    };
    let record = context.record(&image.id);
    let accepted = record.accepted_revision.as_ref().map(|accepted| &accepted.revision);
    is_denied && record.revision.as_deref() != Some(revision) && accepted.is_none_or(|of| of != revision)
}

/// Returns the commit of the line, if an execution of the pipeline reported it.
pub(super) fn reported_revision<'a>(context: &Context<'a>, image: &Image) -> Option<&'a str> {
    let revision = context.revision(image)?;
    match facts(context, image)? {
        PipelineFacts::Declared(declared) => declared.revisions.contains(revision).then_some(revision),
        PipelineFacts::NotFound | PipelineFacts::Unread(_) => None,
    }
}

/// Says why no pipeline can build the image. Returns nothing if one can, or if CodePipeline was not
/// asked yet.
pub(super) fn unfit(context: &Context<'_>, image: &Image) -> Option<String> {
    let Some(pipeline) = &image.pipeline else { return Some(NAMES_NO_PIPELINE.into()) };
    match facts(context, image)? {
        PipelineFacts::NotFound => Some(format!("CodePipeline has no pipeline {}", pipeline.name)),
        PipelineFacts::Declared(declared) => refused(context, image, pipeline, declared),
        PipelineFacts::Unread(_) => None,
    }
}

/// Says why it is not known whether the pipeline accepts the start.
pub(super) fn unread<'a>(context: &Context<'a>, image: &Image) -> Option<&'a Unread> {
    match facts(context, image)? {
        PipelineFacts::Unread(unread) => Some(unread),
        PipelineFacts::Declared(_) | PipelineFacts::NotFound => None,
    }
}

/// Whether a start would supersede an execution of the pipeline, such as a developer's release that
/// waits for its approval.
pub(super) fn is_busy(context: &Context<'_>, image: &Image) -> bool {
    matches!(
        facts(context, image),
        Some(PipelineFacts::Declared(Declaration { mode: ExecutionMode::Superseded { busy: true }, .. }))
    )
}

fn facts<'a>(context: &Context<'a>, image: &Image) -> Option<&'a PipelineFacts> {
    context.facts.pipelines.get(&image.id)
}

/// Says which part of the start the pipeline would refuse.
fn refused(
    context: &Context<'_>,
    image: &Image,
    pipeline: &Pipeline,
    declared: &Declaration,
) -> Option<String> {
    let name = &pipeline.name;
    let sent: Vec<&str> = sent(context, image, pipeline).map(Variable::name).collect();
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
    Some(format!("{name} has no source action {:?}: correct `sources` in the hierarchy", source.action))
}

/// Returns the variables that a start of the image sends.
///
/// The whole reference joined the others later: only a pipeline that declares it gets it.
pub(super) fn sent(
    context: &Context<'_>,
    image: &Image,
    pipeline: &Pipeline,
) -> impl Iterator<Item = Variable> {
    let from_image = matches!(image.from, Parent::Image(_));
    let from_home = match &image.from {
        Parent::Image(id) => {
            context.hierarchy.image(id).is_ok_and(|parent| parent.repository.split().0.is_none())
        }
        Parent::Upstream(_) | Parent::Scratch | Parent::Unknown => false,
    };
    let declares_reference = match facts(context, image) {
        Some(PipelineFacts::Declared(declared)) => {
            declared.variables.contains_key(Variable::BaseReference.name())
        }
        _ => false,
    };
    let has_parents = from_image || image.copy_from.iter().any(|parent| matches!(parent, Parent::Image(_)));
    Variable::ALL.into_iter().filter(|variable| pipeline.takes(*variable)).filter(move |variable| {
        match variable {
            Variable::BaseImage => from_home,
            Variable::BaseReference => from_image && declares_reference,
            Variable::Parents => has_parents,
            Variable::BuildKey | Variable::Reason | Variable::NoCache => true,
        }
    })
}
