//! Pipelines: their type, mode, variables and sources.

use super::finding::{Finding, Level};
use super::seen::{PipelineSeen, PipelineType, Seen};
use crate::hierarchy::{Hierarchy, Image, Pipeline, Variable};

pub(super) fn judge(hierarchy: &Hierarchy, seen: &Seen) -> Vec<Finding> {
    let mut findings = Vec::new();
    for image in hierarchy.images() {
        let (Some(pipeline), Some(of)) = (&image.pipeline, seen.pipelines.get(&image.id)) else { continue };
        match of {
            Err(because) => {
                findings.push(Finding::not_checked(format!("pipeline {}", pipeline.name), because));
            }
            Ok(None) => findings.push(Finding::new(
                Level::Broken,
                image.id.as_str(),
                format!("CodePipeline has no pipeline {}: the image is held as NoPipeline", pipeline.name),
                "create it, or correct `pipeline` in the hierarchy file",
            )),
            Ok(Some(of)) => findings.extend(one(hierarchy, image, pipeline, of)),
        }
    }
    findings
}

fn one(hierarchy: &Hierarchy, image: &Image, pipeline: &Pipeline, of: &PipelineSeen) -> Vec<Finding> {
    let name = &pipeline.name;
    let mut findings = Vec::new();
    let undeclared: Vec<&str> = wanted(pipeline).filter(|name| !of.variables.contains(*name)).collect();
    if of.version == PipelineType::V1 && !pipeline.variables.is_empty() {
        findings.push(Finding::new(
            Level::Broken,
            image.id.as_str(),
            format!("the pipeline {name} is of type V1, which takes no variables"),
            "set PipelineType: V2 in its template, or `variables: []` in the hierarchy file",
        ));
    } else if !undeclared.is_empty() {
        findings.push(Finding::new(
            Level::Broken,
            image.id.as_str(),
            format!("the pipeline {name} does not declare {}: a start is refused", undeclared.join(", ")),
            "declare each with a default in its template, or list the others under `variables`",
        ));
    }
    let missing = pipeline.sources.iter().find(|source| !of.sources.contains(&source.action));
    if let Some(source) = missing {
        findings.push(Finding::new(
            Level::Broken,
            image.id.as_str(),
            format!("the pipeline {name} has no source action {:?}", source.action),
            "correct `sources` in the hierarchy file",
        ));
    }
    if of.mode == "SUPERSEDED" {
        findings.push(Finding::new(
            Level::Warning,
            image.id.as_str(),
            format!("the pipeline {name} supersedes executions: Patchwave starts it only while it is idle"),
            "set ExecutionMode: QUEUED in its template",
        ));
    }
    findings.extend(starts_twice(hierarchy, image, name, of));
    if of.builds_without_arguments && pipeline.takes(Variable::BaseImage) {
        findings.push(Finding::new(
            Level::Warning,
            image.id.as_str(),
            format!("ECRBuildAndPublish in {name} takes no build argument: the base's digest does not reach the build"),
            "let its Dockerfile name the base by its stable tag",
        ));
    }
    findings
}

/// The variables that a start of it always sends.
fn wanted(pipeline: &Pipeline) -> impl Iterator<Item = &'static str> {
    // Only a pipeline that declares this one gets it.
    let always = |variable: &&Variable| **variable != Variable::BaseReference;
    pipeline.variables.iter().filter(always).map(|variable| variable.name())
}

/// A push of a parent starts such a pipeline by itself, beside Patchwave.
fn starts_twice(hierarchy: &Hierarchy, image: &Image, name: &str, of: &PipelineSeen) -> Option<Finding> {
    let parents = hierarchy.parents(&image.id).map(|edge| edge.image.repository.name());
    let parent = parents.into_iter().find(|parent| of.started_by.contains(*parent))?;
    Some(Finding::new(
        Level::Broken,
        image.id.as_str(),
        format!("a push to {parent} starts the pipeline {name} by itself: each rebuild of it builds twice"),
        format!("delete the source action of {name} that reads {parent} from ECR"),
    ))
}
