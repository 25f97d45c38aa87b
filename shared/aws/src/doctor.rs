//! Reads what `patchwave doctor` judges. Every call only reads.

mod configured;
#[cfg(feature = "discover")]
pub(crate) mod rights;

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_codepipeline::types::{
    ActionCategory, ActionDeclaration, PipelineDeclaration, PipelineType as Type, StageDeclaration,
};
use aws_sdk_lambda::types::FunctionConfiguration;
use futures::stream::{self, StreamExt};
use patchwave::doctor::{
    CallerSeen, DeniedSeen, DeploymentSeen, FunctionSeen, Look, PipelineSeen, PipelineType, RegistrySeen,
    RepositorySeen, Seen,
};
use patchwave::hierarchy::{DeclaredRegistry, Hierarchy, Pipeline};
use patchwave::image::ImageId;
use patchwave::inventory::{Inventory, Scanner};
use patchwave::policy::Mode;
use patchwave::time::Timestamp;
use patchwave_converge::{Fault, World};

use crate::clients::Clients;
use crate::ecr::{Cache, Ecr};
use crate::fault::{fault, invalid};
use crate::inspector::Inspector;
use crate::installation::{Installation, NotDone};
use crate::pages;
use crate::settings::{EVENT_BUS, HIERARCHY, MODE, Source, TABLE, TICK};
pub use configured::configured;
#[cfg(test)]
pub(crate) use configured::{policy, templates};

/// How another account's audit trail names this session.
const SESSION: &str = "patchwave-doctor";
/// Pipelines that are read at once. CodePipeline publishes no rate.
const AT_ONCE: usize = 5;
/// Repositories that one call describes.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeRepositories.html>
const REPOSITORIES: i32 = 1_000;
/// More pages of any list mean an endless loop.
const MOST_PAGES: usize = 1_000;

/// Looks at everything that the hierarchy names, and at the deployment that the environment names.
///
/// # Errors
///
/// If the hierarchy does not answer. Everything else that does not answer was not seen.
pub async fn look(hierarchy: Option<Source>) -> Result<(Hierarchy, Seen, Timestamp), NotDone> {
    let installation = Installation::to_read(hierarchy).await?;
    let (world, hierarchy) = installation.world().await?;
    let clients = installation.clients();
    let mut seen = Seen { caller: Some(said(caller(clients).await)), ..Seen::default() };
    for registry in hierarchy.registries().iter() {
        seen.registries.insert(registry.name.clone(), of_registry(clients, registry).await);
    }
    seen.pipelines = pipelines(clients, &hierarchy).await;
    if let Some(table) = installation.table() {
        let images = hierarchy.images().map(|image| image.id.clone()).collect();
        let inventory = world.ledger().inventory(&images).await;
        seen.deployment = Some(deployment(clients, &hierarchy, table, said(inventory)).await);
    }
    Ok(((*hierarchy).clone(), seen, world.now()))
}

fn said<T>(answer: Result<T, Fault>) -> Look<T> {
    answer.map_err(|fault| fault.to_string())
}

async fn caller(clients: &Clients) -> Result<CallerSeen, Fault> {
    let operation = "ask STS who this is";
    let output = clients.sts().get_caller_identity().send().await.map_err(|e| fault(operation, &e))?;
    Ok(CallerSeen { principal: principal(output.arn().unwrap_or_default()) })
}

/// Returns the role of a session's ARN. The path of the role is not in it.
fn principal(arn: &str) -> String {
    let mut parts = arn.splitn(6, ':');
    let (partition, account) = (parts.nth(1).unwrap_or("aws"), parts.nth(2).unwrap_or_default());
    match parts.next().and_then(|resource| resource.strip_prefix("assumed-role/")) {
        Some(session) => {
            let role = session.split('/').next().unwrap_or_default();
            format!("arn:{partition}:iam::{account}:role/{role}")
        }
        None => arn.to_owned(),
    }
}

async fn of_registry(clients: &Clients, registry: &DeclaredRegistry) -> RegistrySeen {
    let clients = match connected(clients, registry).await {
        Ok(clients) => clients,
        Err(fault) => return unseen(&fault),
    };
    let ecr = clients.ecr(&registry.host);
    let scanning = said(Ecr::new(ecr.clone(), &registry.host, &Cache::default()).scanning().await);
    let windows = match &scanning {
        Ok(scanning) if scanning.scanner == Scanner::Enhanced => {
            let inspector = Inspector::new(clients.inspector(&registry.host), &registry.host);
            Some(said(inspector.windows().await))
        }
        _ => None,
    };
    RegistrySeen {
        scanning,
        windows,
        exclusions: said(exclusions(&ecr).await),
        deletes_replicas: Err("this build's SDK does not read whether replicas follow a deletion".to_owned()),
        repositories: said(repositories(&ecr).await),
    }
}

async fn connected(clients: &Clients, registry: &DeclaredRegistry) -> Result<Clients, Fault> {
    let credentials = match &registry.role {
        Some(role) => Some(clients.assume(registry.host.account(), role, SESSION).await?),
        None => None,
    };
    Ok(clients.elsewhere(registry.host.region(), credentials))
}

fn unseen(fault: &Fault) -> RegistrySeen {
    let because = fault.to_string();
    RegistrySeen {
        scanning: Err(because.clone()),
        windows: None,
        exclusions: Err(because.clone()),
        deletes_replicas: Err(because.clone()),
        repositories: Err(because),
    }
}

async fn exclusions(ecr: &aws_sdk_ecr::Client) -> Result<BTreeSet<String>, Fault> {
    let operation = "list the pull-time exclusions";
    let (mut excluded, mut from) = (BTreeSet::new(), None);
    for _ in 0..MOST_PAGES {
        let call = ecr.list_pull_time_update_exclusions().set_next_token(from);
        let output = call.send().await.map_err(|error| fault(operation, &error))?;
        excluded.extend(output.pull_time_update_exclusions().iter().cloned());
        from = output.next_token().map(str::to_owned);
        if from.is_none() {
            return Ok(excluded);
        }
    }
    Err(invalid(operation, format!("the list does not end after {MOST_PAGES} pages")))
}

async fn repositories(ecr: &aws_sdk_ecr::Client) -> Result<BTreeMap<String, RepositorySeen>, Fault> {
    let repositories = ecr.describe_repositories().into_paginator().page_size(REPOSITORIES).send();
    let operation = "describe the repositories";
    let repositories = pages::all(operation, repositories, |page| page.repositories.unwrap_or_default());
    Ok(repositories.await?.iter().map(seen_repository).collect())
}

fn seen_repository(repository: &aws_sdk_ecr::types::Repository) -> (String, RepositorySeen) {
    let filters = repository.image_tag_mutability_exclusion_filters().iter();
    let seen = RepositorySeen {
        mutability: repository.image_tag_mutability().map_or("MUTABLE", |of| of.as_str()).to_owned(),
        excluded_tags: filters.map(|filter| filter.filter().to_owned()).collect(),
    };
    (repository.repository_name().unwrap_or_default().to_owned(), seen)
}

async fn pipelines(
    clients: &Clients,
    hierarchy: &Hierarchy,
) -> BTreeMap<ImageId, Look<Option<PipelineSeen>>> {
    let named = hierarchy.images().filter_map(|image| Some((image.id.clone(), image.pipeline.as_ref()?)));
    let reads = named.map(|(id, pipeline)| async move { (id, said(one_pipeline(clients, pipeline).await)) });
    stream::iter(reads).buffer_unordered(AT_ONCE).collect().await
}

async fn one_pipeline(clients: &Clients, pipeline: &Pipeline) -> Result<Option<PipelineSeen>, Fault> {
    let client = match &pipeline.builder {
        None => clients.codepipeline(),
        Some(builder) => {
            let credentials = match &builder.role {
                Some(role) => Some(clients.assume(&builder.account, role, SESSION).await?),
                None => None,
            };
            clients.elsewhere(&builder.region, credentials).codepipeline()
        }
    };
    match client.get_pipeline().name(&pipeline.name).send().await {
        Ok(output) => Ok(output.pipeline.as_ref().map(seen)),
        Err(error) => match error.as_service_error() {
            Some(e) if e.is_pipeline_not_found_exception() => Ok(None),
            _ => Err(fault(format!("read the pipeline {}", pipeline.name), &error)),
        },
    }
}

fn seen(pipeline: &PipelineDeclaration) -> PipelineSeen {
    let actions: Vec<&ActionDeclaration> =
        pipeline.stages().iter().flat_map(StageDeclaration::actions).collect();
    let is = |action: &ActionDeclaration, category: &ActionCategory, provider: &str| {
        action.action_type_id().is_some_and(|of| of.category() == category && of.provider() == provider)
    };
    let configured =
        |action: &ActionDeclaration, key: &str| action.configuration().and_then(|all| all.get(key)).cloned();
    let sources = actions
        .iter()
        .filter(|action| action.action_type_id().is_some_and(|of| *of.category() == ActionCategory::Source));
    PipelineSeen {
        version: if pipeline.pipeline_type() == Some(&Type::V2) {
            PipelineType::V2
        } else {
            PipelineType::V1
        },
        mode: pipeline.execution_mode().map_or("SUPERSEDED", |mode| mode.as_str()).to_owned(),
        variables: pipeline.variables().iter().map(|variable| variable.name().to_owned()).collect(),
        sources: sources.map(|action| action.name().to_owned()).collect(),
        started_by: actions
            .iter()
            .filter(|action| is(action, &ActionCategory::Source, "ECR"))
            .filter_map(|action| configured(action, "RepositoryName"))
            .collect(),
        builds_without_arguments: actions
            .iter()
            .any(|action| is(action, &ActionCategory::Build, "ECRBuildAndPublish")),
    }
}

async fn deployment(
    clients: &Clients,
    hierarchy: &Hierarchy,
    table: &str,
    inventory: Look<Inventory>,
) -> DeploymentSeen {
    let unread = inventory.iter().flat_map(|inventory| &inventory.places);
    let unread = unread.filter_map(|(id, place)| Some((id.clone(), place.unread.clone()?))).collect();
    let surveyed_at = inventory.map(|inventory| inventory.places.values().filter_map(|of| of.read_at).max());
    DeploymentSeen {
        table: table.to_owned(),
        surveyed_at,
        unread,
        functions: said(functions(clients, hierarchy, table).await),
    }
}

/// Finds the functions whose settings name the table.
async fn functions(
    clients: &Clients,
    hierarchy: &Hierarchy,
    table: &str,
) -> Result<Vec<FunctionSeen>, Fault> {
    let functions = clients.lambda().list_functions().into_paginator().send();
    let functions =
        pages::all("list the Lambda functions", functions, |page| page.functions.unwrap_or_default());
    let mut found = Vec::new();
    for function in functions.await? {
        let Some(seen) = of_function(&function, table) else { continue };
        let denied = denied(clients, hierarchy, &function, table).await;
        found.push(FunctionSeen { denied, ..seen });
    }
    Ok(found)
}

/// Asks IAM what the role of a function may not write. Only a person's program asks that.
#[cfg(feature = "discover")]
async fn denied(
    clients: &Clients,
    hierarchy: &Hierarchy,
    function: &FunctionConfiguration,
    table: &str,
) -> Option<Look<BTreeSet<DeniedSeen>>> {
    Some(said(rights::denied(clients, hierarchy, function, table).await))
}

#[cfg(not(feature = "discover"))]
#[expect(clippy::unused_async, reason = "the other one asks IAM")]
async fn denied(
    _: &Clients,
    _: &Hierarchy,
    _: &FunctionConfiguration,
    _: &str,
) -> Option<Look<BTreeSet<DeniedSeen>>> {
    None
}

fn of_function(function: &FunctionConfiguration, table: &str) -> Option<FunctionSeen> {
    let set = function.environment().and_then(|environment| environment.variables())?;
    let named = |name: &str| set.get(name).map(String::as_str).unwrap_or_default();
    (named(TABLE.name) == table).then(|| FunctionSeen {
        name: function.function_name().unwrap_or_default().to_owned(),
        role: function.role().unwrap_or_default().to_owned(),
        mode: if named(MODE.name) == "enforce" { Mode::Enforce } else { Mode::Observe },
        hierarchy: named(HIERARCHY.name).to_owned(),
        has_tick: !named(TICK.name).is_empty(),
        has_listener: !named(EVENT_BUS.name).is_empty(),
        denied: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_of_its_role_and_a_user_is_itself() {
        let session = "arn:aws-cn:sts::111122223333:assumed-role/AWSReservedSSO_Read_1f/jo@example.com";
        assert_eq!(principal(session), "arn:aws-cn:iam::111122223333:role/AWSReservedSSO_Read_1f");
        let user = "arn:aws:iam::111122223333:user/jo";
        assert_eq!(principal(user), user);
    }
}
