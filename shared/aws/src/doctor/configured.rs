//! Reads how a registry is configured, for `patchwave registry`.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ecr::Client;
use patchwave::hierarchy::Hierarchy;
use patchwave::registry::{Configured, Replica};
use patchwave_converge::Fault;

use super::{connected, exclusions, repositories, said};
use crate::ecr::{Cache, Ecr};
use crate::fault::{fault, invalid};
use crate::installation::{Installation, NotDone};
use crate::pages;
use crate::settings::Source;

/// Reads the configuration of the registry that the hierarchy file has under `name`; nothing if it
/// has none of that name.
///
/// # Errors
///
/// If the hierarchy or the registry's account does not answer. What else does not answer is named.
pub async fn configured(
    hierarchy: Option<Source>,
    name: &str,
) -> Result<Option<(Hierarchy, Configured)>, NotDone> {
    let installation = Installation::to_read(hierarchy).await?;
    let (_, hierarchy) = installation.world().await?;
    let Some(registry) = hierarchy.registries().named(name) else { return Ok(None) };
    let clients = connected(installation.clients(), registry).await?;
    let ecr = clients.ecr(&registry.host);
    let mut policies = BTreeMap::new();
    let images = hierarchy.images().filter(|image| hierarchy.address(&image.repository).0 == registry.host);
    let names: BTreeSet<&str> = images.map(|image| image.repository.name()).collect();
    for name in names {
        policies.insert(name.to_owned(), said(policy(&ecr, name).await));
    }
    let configured = Configured {
        scanning: said(Ecr::new(ecr.clone(), &registry.host, &Cache::default()).scanning().await),
        replicas: said(replicas(&ecr).await),
        caches: said(caches(&ecr).await),
        templates: said(templates(&ecr).await),
        exclusions: said(exclusions(&ecr).await),
        repositories: said(repositories(&ecr).await),
        policies,
    };
    Ok(Some(((*hierarchy).clone(), configured)))
}

pub(crate) async fn policy(ecr: &Client, repository: &str) -> Result<Option<String>, Fault> {
    match ecr.get_repository_policy().repository_name(repository).send().await {
        Ok(output) => Ok(output.policy_text),
        Err(error) => match error.as_service_error() {
            Some(e)
                if e.is_repository_policy_not_found_exception() || e.is_repository_not_found_exception() =>
            {
                Ok(None)
            }
            _ => Err(fault(format!("read the policy of {repository}"), &error)),
        },
    }
}

async fn replicas(ecr: &Client) -> Result<BTreeSet<Replica>, Fault> {
    let operation = "describe the registry";
    let output = ecr.describe_registry().send().await.map_err(|error| fault(operation, &error))?;
    let rules = output
        .replication_configuration()
        .map(aws_sdk_ecr::types::ReplicationConfiguration::rules)
        .unwrap_or_default();
    if rules.iter().any(|rule| !rule.repository_filters().is_empty()) {
        return Err(invalid(operation, "its replication rules have filters: change them by hand"));
    }
    let replica = |to: &aws_sdk_ecr::types::ReplicationDestination| Replica {
        account: to.registry_id().to_owned(),
        region: to.region().to_owned(),
    };
    Ok(rules.iter().flat_map(aws_sdk_ecr::types::ReplicationRule::destinations).map(replica).collect())
}

async fn caches(ecr: &Client) -> Result<BTreeMap<String, String>, Fault> {
    let rules = ecr.describe_pull_through_cache_rules().into_paginator().send();
    let operation = "describe the pull-through caches";
    let rules = pages::all(operation, rules, |page| page.pull_through_cache_rules.unwrap_or_default());
    let named = rules
        .await?
        .into_iter()
        .filter_map(|rule| Some((rule.ecr_repository_prefix?, rule.upstream_registry_url?)));
    Ok(named.collect())
}

pub(crate) async fn templates(ecr: &Client) -> Result<BTreeSet<String>, Fault> {
    let templates = ecr.describe_repository_creation_templates().into_paginator().send();
    let operation = "describe the creation templates";
    let templates =
        pages::all(operation, templates, |page| page.repository_creation_templates.unwrap_or_default());
    Ok(templates.await?.into_iter().filter_map(|template| template.prefix).collect())
}
