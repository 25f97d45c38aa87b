//! Reads what builds images: pipelines, and the projects of CodeBuild that they run.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_codebuild::types::{EnvironmentVariableType, ProjectEnvironment};
use aws_sdk_codepipeline::types::{ActionDeclaration, PipelineDeclaration, StageDeclaration};
use aws_sdk_codepipeline::types::{PipelineExecutionStatus, PipelineExecutionSummary};
use futures::stream::{self, StreamExt};
use patchwave::discover::{Action, Estate, Execution, Pipeline, Project};
use patchwave_converge::Fault;

use super::{Refused, Watch};
use crate::clients::Clients;
use crate::fault::{fault, invalid};
use crate::time::timestamp;

/// Calls that are under way at once. CodePipeline publishes no rate.
const AT_ONCE: usize = 5;
/// Most pipelines that a page holds.
const PAGE: i32 = 1_000;
const MOST_PAGES: usize = 100;
/// The latest executions of each pipeline that are read: most that a page holds.
const EXECUTIONS: i32 = 100;
/// Projects that one call describes.
const PROJECTS: usize = 100;

/// Reads the builders of an account and Region into the estate.
pub(super) async fn read(
    clients: &Clients,
    account: &str,
    region: &str,
    watch: &Watch<'_>,
    estate: &mut Estate,
) {
    let mut pipelines = Vec::new();
    match names(clients, region, watch).await {
        Err(fault) => estate.unread.push(fault.into()),
        Ok(names) => {
            let of = names.len();
            let reads = names.iter().map(|name| pipeline(clients, account, region, name, watch));
            let mut reads = stream::iter(reads).buffer_unordered(AT_ONCE);
            while let Some(read) = reads.next().await {
                match read {
                    Ok(read) => pipelines.push(read),
                    Err(fault) => estate.unread.push(fault.into()),
                }
                watch.show("pipelines", pipelines.len(), of);
            }
        }
    }
    pipelines.sort_by(|a, b| a.name.cmp(&b.name));
    let actions = pipelines.iter().flat_map(|pipeline| &pipeline.actions);
    let builds = actions.filter(|action| action.provider == "CodeBuild");
    let projects: BTreeSet<&String> =
        builds.filter_map(|action| action.configuration.get("ProjectName")).collect();
    let projects: Vec<String> = projects.into_iter().cloned().collect();
    for batch in projects.chunks(PROJECTS) {
        watch.call();
        let answer = clients.codebuild().batch_get_projects().set_names(Some(batch.to_vec())).send().await;
        match answer {
            Ok(answer) => {
                let read = answer.projects().iter().map(|read| project(read, account, region));
                estate.projects.extend(read);
            }
            Err(error) => {
                estate.unread.push(
                    fault(format!("read the CodeBuild projects of {account} in {region}"), &error).into(),
                );
            }
        }
    }
    estate.pipelines.extend(pipelines);
}

/// Reads when the pipelines of an account and Region ran lately, and what they checked out.
pub(super) async fn executions(
    clients: &Clients,
    account: &str,
    region: &str,
    watch: &Watch<'_>,
    estate: &mut Estate,
) {
    let of_here = |pipeline: &Pipeline| pipeline.account == account && pipeline.region == region;
    let here: Vec<usize> =
        (0..estate.pipelines.len()).filter(|number| of_here(&estate.pipelines[*number])).collect();
    let (of, client) = (here.len(), &clients.codepipeline());
    let reads = here.into_iter().map(|number| {
        let name = estate.pipelines[number].name.clone();
        async move {
            watch.call();
            let call = client.list_pipeline_executions().pipeline_name(&name).max_results(EXECUTIONS);
            let answer =
                call.send().await.map_err(|error| fault(format!("list executions of {name}"), &error));
            (
                number,
                answer.map(|answer| {
                    answer.pipeline_execution_summaries().iter().filter_map(execution).collect()
                }),
            )
        }
    });
    let read: Vec<(usize, Result<Vec<Execution>, Fault>)> =
        stream::iter(reads).buffer_unordered(AT_ONCE).collect().await;
    watch.show("pipelines with executions", read.len(), of);
    let mut refused = Refused::default();
    for (number, read) in read {
        match read {
            Ok(executions) => estate.pipelines[number].executions = executions,
            Err(fault) => {
                refused.add(format!("list the executions of pipelines of {account} in {region}"), fault);
            }
        }
    }
    refused.tell(estate);
}

fn execution(summary: &PipelineExecutionSummary) -> Option<Execution> {
    let succeeded = summary.status() == Some(&PipelineExecutionStatus::Succeeded);
    let revisions = summary.source_revisions().iter().filter_map(|source| source.revision_id());
    Some(Execution {
        from: timestamp(summary.start_time().filter(|_| succeeded)?)?,
        to: timestamp(summary.last_update_time()?)?,
        commits: revisions.map(str::to_owned).collect(),
    })
}

async fn names(clients: &Clients, region: &str, watch: &Watch<'_>) -> Result<Vec<String>, Fault> {
    let operation = || format!("list the pipelines in {region}");
    let mut pages = clients.codepipeline().list_pipelines().into_paginator().page_size(PAGE).send();
    let mut names = Vec::new();
    for _ in 0..MOST_PAGES {
        watch.call();
        let Some(page) = pages.next().await else { return Ok(names) };
        let page = page.map_err(|error| fault(operation(), &error))?;
        names.extend(page.pipelines().iter().filter_map(|pipeline| pipeline.name()).map(str::to_owned));
    }
    Err(invalid(operation(), "the list does not end"))
}

async fn pipeline(
    clients: &Clients,
    account: &str,
    region: &str,
    name: &str,
    watch: &Watch<'_>,
) -> Result<Pipeline, Fault> {
    watch.call();
    let answer = clients.codepipeline().get_pipeline().name(name).send().await;
    let answer = answer.map_err(|error| fault(format!("read the pipeline {name}"), &error))?;
    let declared = answer
        .pipeline()
        .ok_or_else(|| invalid(format!("read the pipeline {name}"), "the answer holds none"))?;
    Ok(Pipeline {
        name: name.to_owned(),
        account: account.to_owned(),
        region: region.to_owned(),
        pipeline_type: declared.pipeline_type().map_or("V1", |kind| kind.as_str()).to_owned(),
        variables: declared.variables().iter().map(|variable| variable.name().to_owned()).collect(),
        actions: actions(declared),
        role: Some(declared.role_arn().to_owned()).filter(|role| !role.is_empty()),
        puts: BTreeSet::new(),
        executions: Vec::new(),
    })
}

fn actions(declared: &PipelineDeclaration) -> Vec<Action> {
    let actions = declared.stages().iter().flat_map(StageDeclaration::actions);
    actions.filter_map(action).collect()
}

fn action(declared: &ActionDeclaration) -> Option<Action> {
    let kind = declared.action_type_id()?;
    let variables = declared.environment_variables().iter();
    Some(Action {
        name: declared.name().to_owned(),
        category: kind.category().as_str().to_owned(),
        provider: kind.provider().to_owned(),
        configuration: declared.configuration().cloned().unwrap_or_default().into_iter().collect(),
        commands: declared.commands().to_vec(),
        variables: variables
            .map(|variable| (variable.name().to_owned(), variable.value().to_owned()))
            .collect(),
    })
}

/// Reads a project. The values of its secrets are elsewhere, and are not asked for.
fn project(read: &aws_sdk_codebuild::types::Project, account: &str, region: &str) -> Project {
    let variables = read.environment().map(ProjectEnvironment::environment_variables).unwrap_or_default();
    let is_plain = |kind: Option<&EnvironmentVariableType>| {
        kind.is_none_or(|kind| *kind == EnvironmentVariableType::Plaintext)
    };
    let plain = variables.iter().filter(|variable| is_plain(variable.r#type()));
    let plain: BTreeMap<String, String> =
        plain.map(|variable| (variable.name().to_owned(), variable.value().to_owned())).collect();
    Project {
        name: read.name().unwrap_or_default().to_owned(),
        account: account.to_owned(),
        region: region.to_owned(),
        variables: plain,
        buildspec: read.source().and_then(|source| source.buildspec()).map(str::to_owned),
        role: read.service_role().map(str::to_owned),
        puts: BTreeSet::new(),
    }
}
