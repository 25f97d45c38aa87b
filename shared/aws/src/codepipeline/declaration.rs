//! How pipelines are declared. Patchwave reads only those that it is about to start.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_codepipeline::Client;
use aws_sdk_codepipeline::types::{
    ActionCategory, ActionDeclaration, ExecutionMode as Mode, PipelineDeclaration, PipelineExecutionSummary,
    StageDeclaration, StageExecutionStatus, StageState,
};
use futures::StreamExt;
use patchwave::facts::{Declaration, ExecutionMode, PipelineFacts};
use patchwave::image::ImageId;
use patchwave::plan::Start;
use patchwave_converge::Fault;

use super::Pipelines;
use crate::fault::{fault, invalid};

/// Pipelines that are read at once. CodePipeline publishes no rate.
const AT_ONCE: usize = 5;
/// Pages of executions to search for a commit: the last thousand. A commit that is older was
/// reported before, and its image's record names it.
const MOST_PAGES: usize = 10;

impl Pipelines {
    /// Reads how these pipelines are declared. If newer executions supersede older ones, it also
    /// reads whether one is in progress.
    pub(crate) async fn declarations(&self, starts: &[&Start]) -> BTreeMap<ImageId, PipelineFacts> {
        let each =
            starts.iter().map(|start| async move { (start.image.clone(), self.declaration(start).await) });
        futures::stream::iter(each).buffer_unordered(AT_ONCE).collect().await
    }

    async fn declaration(&self, start: &Start) -> PipelineFacts {
        match self.read(start).await {
            Ok(Some(declared)) => PipelineFacts::Declared(declared),
            Ok(None) => PipelineFacts::NotFound,
            Err(fault) => PipelineFacts::Unread(fault.into()),
        }
    }

    async fn read(&self, start: &Start) -> Result<Option<Declaration>, Fault> {
        let name = &start.pipeline;
        let client = self.client(start.builder.as_ref()).await?;
        let operation = || format!("read the pipeline {name}");
        let pipeline = match client.get_pipeline().name(name).send().await {
            Ok(output) => output.pipeline,
            Err(error) => match error.as_service_error() {
                Some(e) if e.is_pipeline_not_found_exception() => return Ok(None),
                _ => return Err(fault(operation(), &error)),
            },
        };
        let Some(pipeline) = pipeline else {
            return Err(invalid(operation(), "the answer holds no pipeline"));
        };
        let mode = match pipeline.execution_mode() {
            Some(Mode::Queued) => ExecutionMode::Queued,
            Some(Mode::Parallel) => ExecutionMode::Parallel,
            // The default, and the only mode of type V1.
            Some(Mode::Superseded) | None => {
                ExecutionMode::Superseded { busy: is_busy(&client, name).await? }
            }
            Some(other) => {
                return Err(invalid(operation(), format!("the execution mode {other} is not known")));
            }
        };
        Ok(Some(Declaration {
            mode,
            variables: variables(&pipeline),
            sources: sources(&pipeline),
            revisions: self.reported(start).await?,
        }))
    }

    /// Returns those commits that the start pins and that one of the pipeline's last executions
    /// reported as its source.
    async fn reported(&self, start: &Start) -> Result<BTreeSet<String>, Fault> {
        let mut wanted: BTreeSet<&str> =
            start.sources.iter().map(|source| source.revision.as_str()).collect();
        let mut reported = BTreeSet::new();
        if wanted.is_empty() {
            return Ok(reported);
        }
        let client = self.client(start.builder.as_ref()).await?;
        let call = client.list_pipeline_executions().pipeline_name(&start.pipeline);
        let mut pages = call.into_paginator().page_size(super::PAGE).send();
        for _ in 0..MOST_PAGES {
            let page = match pages.next().await {
                None => break,
                Some(Ok(page)) => page.pipeline_execution_summaries.unwrap_or_default(),
                Some(Err(error)) => {
                    let operation = format!("list the executions of the pipeline {}", start.pipeline);
                    return Err(fault(operation, &error));
                }
            };
            let revisions = page.iter().flat_map(PipelineExecutionSummary::source_revisions);
            for revision in revisions.filter_map(|source| source.revision_id()) {
                let revision = revision.to_ascii_lowercase();
                if wanted.remove(revision.as_str()) {
                    reported.insert(revision);
                }
            }
            if wanted.is_empty() {
                break;
            }
        }
        Ok(reported)
    }
}

/// Returns whether any stage runs an execution, or has one that waits to enter it.
async fn is_busy(client: &Client, name: &str) -> Result<bool, Fault> {
    let state = client.get_pipeline_state().name(name).send().await;
    let state = state.map_err(|error| fault(format!("read the state of the pipeline {name}"), &error))?;
    Ok(state.stage_states().iter().any(is_stage_busy))
}

fn is_stage_busy(stage: &StageState) -> bool {
    let runs = stage.latest_execution().is_some_and(|latest| {
        matches!(latest.status(), StageExecutionStatus::InProgress | StageExecutionStatus::Stopping)
    });
    runs || stage.inbound_execution().is_some() || !stage.inbound_executions().is_empty()
}

/// The variables, each with whether it has a default.
fn variables(pipeline: &PipelineDeclaration) -> BTreeMap<String, bool> {
    let declared = pipeline.variables().iter();
    declared.map(|variable| (variable.name().to_owned(), variable.default_value().is_some())).collect()
}

fn sources(pipeline: &PipelineDeclaration) -> BTreeSet<String> {
    let is_source = |action: &&ActionDeclaration| {
        action.action_type_id().is_some_and(|kind| *kind.category() == ActionCategory::Source)
    };
    pipeline
        .stages()
        .iter()
        .flat_map(StageDeclaration::actions)
        .filter(is_source)
        .map(|action| action.name().to_owned())
        .collect()
}
