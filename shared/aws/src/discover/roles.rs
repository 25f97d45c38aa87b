//! Reads what roles may push: their inline and their attached policies.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_iam::Client;
use futures::stream::{self, StreamExt};
use patchwave::discover::{Estate, may_push};
use patchwave_converge::Fault;
use tokio::sync::Mutex;

use super::{Refused, Watch};
use crate::fault::{fault, invalid};
use crate::pages;

/// Calls that are under way at once. IAM publishes no rate.
const AT_ONCE: usize = 4;

/// Reads the rights of the roles of an account that its pipelines and projects have.
pub(super) async fn read(iam: &Client, account: &str, watch: &Watch<'_>, estate: &mut Estate) {
    let projects = estate.projects.iter().filter_map(|project| project.role.as_ref());
    let with_commands = |pipeline: &&patchwave::discover::Pipeline| {
        pipeline.actions.iter().any(|action| action.provider == "Commands")
    };
    let pipelines =
        estate.pipelines.iter().filter(with_commands).filter_map(|pipeline| pipeline.role.as_ref());
    let roles: BTreeSet<String> =
        projects.chain(pipelines).filter(|arn| arn.split(':').nth(4) == Some(account)).cloned().collect();
    let (of, managed) = (roles.len(), Managed::default());
    let mut refused = Refused::default();
    let reads = roles.into_iter().map(|role| {
        let managed = &managed;
        async move {
            let puts = puts(iam, &role, managed, watch).await;
            (role, puts)
        }
    });
    let mut reads = stream::iter(reads).buffer_unordered(AT_ONCE);
    let mut may: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    while let Some((role, puts)) = reads.next().await {
        match puts {
            Ok(puts) => drop(may.insert(role, puts)),
            Err(fault) => refused.add(format!("read what roles of {account} may push"), fault),
        }
        watch.show("roles", may.len(), of);
    }
    drop(reads);
    refused.tell(estate);
    let of = |role: &Option<String>| role.as_ref().and_then(|role| may.get(role)).cloned();
    for project in &mut estate.projects {
        project.puts.extend(of(&project.role).unwrap_or_default());
    }
    for pipeline in &mut estate.pipelines {
        pipeline.puts.extend(of(&pipeline.role).unwrap_or_default());
    }
}

/// The texts of managed policies, which many roles share.
type Managed = Mutex<BTreeMap<String, String>>;

/// Reads the resources to which a role may push. One that was deleted may push nowhere.
async fn puts(
    iam: &Client,
    role: &str,
    managed: &Managed,
    watch: &Watch<'_>,
) -> Result<BTreeSet<String>, Fault> {
    // The name of a role comes after its path.
    let name = role.rsplit('/').next().unwrap_or_default();
    let operation = || format!("read the policies of the role {name}");
    let mut policies = Vec::new();
    watch.call();
    let pages = iam.list_role_policies().role_name(name).into_paginator().send();
    let names = match pages::all(operation(), pages, |page| page.policy_names).await {
        Ok(names) => names,
        Err(fault) if fault.message.starts_with("NoSuchEntity") => return Ok(BTreeSet::new()),
        Err(fault) => return Err(fault),
    };
    for policy in names {
        watch.call();
        let read = iam.get_role_policy().role_name(name).policy_name(policy).send().await;
        policies.push(read.map_err(|error| fault(operation(), &error))?.policy_document);
    }
    watch.call();
    let pages = iam.list_attached_role_policies().role_name(name).into_paginator().send();
    let attached = pages::all(operation(), pages, |page| page.attached_policies.unwrap_or_default());
    for arn in attached.await?.iter().filter_map(|policy| policy.policy_arn()) {
        policies.push(of_managed(iam, arn, managed, watch).await?);
    }
    Ok(may_push(&policies))
}

async fn of_managed(iam: &Client, arn: &str, managed: &Managed, watch: &Watch<'_>) -> Result<String, Fault> {
    let operation = || format!("read the policy {arn}");
    if let Some(text) = managed.lock().await.get(arn) {
        return Ok(text.clone());
    }
    watch.call();
    let policy = iam.get_policy().policy_arn(arn).send().await.map_err(|error| fault(operation(), &error))?;
    let version = policy.policy().and_then(|policy| policy.default_version_id());
    let version = version.ok_or_else(|| invalid(operation(), "it has no default version"))?;
    watch.call();
    let read = iam.get_policy_version().policy_arn(arn).version_id(version).send().await;
    let read = read.map_err(|error| fault(operation(), &error))?;
    let text = read.policy_version().and_then(|version| version.document()).unwrap_or_default().to_owned();
    managed.lock().await.insert(arn.to_owned(), text.clone());
    Ok(text)
}
