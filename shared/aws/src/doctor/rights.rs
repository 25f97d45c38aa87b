//! Asks IAM what the role of a function may write. Nothing is written.
//! <https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html>

use std::collections::BTreeSet;

use aws_sdk_iam::types::{ContextEntry, ContextKeyTypeEnum, EvaluationResult, PolicyEvaluationDecisionType};
use aws_sdk_lambda::types::FunctionConfiguration;
use patchwave::doctor::{DeniedSeen, WRITES};
use patchwave::hierarchy::Hierarchy;
use patchwave_converge::Fault;

use crate::clients::Clients;
use crate::fault::invalid;
use crate::pages;
use crate::settings::{EVENT_BUS, TICK};

/// Resources of one call. AWS publishes no limit.
const BATCH: usize = 50;

/// Where a function is, and where it writes.
struct Writer<'f> {
    role: &'f str,
    partition: &'f str,
    region: &'f str,
    account: &'f str,
}

/// Returns what the role of a function may not write.
pub(crate) async fn denied(
    clients: &Clients,
    hierarchy: &Hierarchy,
    function: &FunctionConfiguration,
    table: &str,
) -> Result<BTreeSet<DeniedSeen>, Fault> {
    let name = function.function_name().unwrap_or_default();
    let operation = format!("simulate what {name} writes");
    let parts: Vec<&str> = function.function_arn().unwrap_or_default().splitn(6, ':').collect();
    let (Some(role), [_, partition, _, region, account, _]) = (function.role(), parts.as_slice()) else {
        return Err(invalid(operation, "the function has no ARN or no role"));
    };
    let writer = Writer { role, partition, region, account };
    let set = function.environment().and_then(|environment| environment.variables());
    let set = |name: &str| set.and_then(|set| set.get(name)).map(String::as_str).unwrap_or_default();
    let mut denied = BTreeSet::new();
    for (action, _) in WRITES {
        let resources = match action.split(':').next().unwrap_or_default() {
            "codepipeline" => writer.pipelines(hierarchy),
            "dynamodb" => vec![writer.arn("dynamodb", &format!("table/{table}"))],
            "ecr" => writer.repositories(hierarchy),
            "events" => writer.bus(set(EVENT_BUS.name)),
            _ => writer.schedules(set(TICK.name)),
        };
        for resources in resources.chunks(BATCH) {
            denied.extend(writer.simulate(clients, action, resources, &operation).await?);
        }
    }
    Ok(denied)
}

impl Writer<'_> {
    fn arn(&self, service: &str, resource: &str) -> String {
        let Self { partition, region, account, .. } = self;
        format!("arn:{partition}:{service}:{region}:{account}:{resource}")
    }

    /// The pipelines that the function starts with its own role.
    fn pipelines(&self, hierarchy: &Hierarchy) -> Vec<String> {
        let pipelines = hierarchy.images().filter_map(|image| image.pipeline.as_ref());
        let own = pipelines.filter(|pipeline| pipeline.builder.is_none());
        let names: BTreeSet<&str> = own.map(|pipeline| pipeline.name.as_str()).collect();
        names.into_iter().map(|name| self.arn("codepipeline", name)).collect()
    }

    /// The repositories that the function reads with its own role.
    fn repositories(&self, hierarchy: &Hierarchy) -> Vec<String> {
        let own: BTreeSet<String> = hierarchy
            .registries()
            .iter()
            .filter(|registry| registry.role.is_none() && registry.host.account() == self.account)
            .flat_map(|registry| {
                let here = hierarchy.images().map(|image| hierarchy.address(&image.repository));
                let here = here.filter(|(host, _)| *host == registry.host);
                here.map(|(host, name)| {
                    let Self { partition, account, .. } = self;
                    format!("arn:{partition}:ecr:{}:{account}:repository/{name}", host.region())
                })
            })
            .collect();
        own.into_iter().collect()
    }

    fn bus(&self, bus: &str) -> Vec<String> {
        match bus {
            "" => Vec::new(),
            arn if arn.starts_with("arn:") => vec![arn.to_owned()],
            name => vec![self.arn("events", &format!("event-bus/{name}"))],
        }
    }

    /// The schedules that the function makes: in the group of the tick.
    fn schedules(&self, tick: &str) -> Vec<String> {
        let group = tick.split_once('/').map(|(group, _)| group);
        group.map(|group| self.arn("scheduler", &format!("schedule/{group}/recheck"))).into_iter().collect()
    }

    async fn simulate(
        &self,
        clients: &Clients,
        action: &str,
        resources: &[String],
        operation: &str,
    ) -> Result<Vec<DeniedSeen>, Fault> {
        let call = clients.iam().simulate_principal_policy().policy_source_arn(self.role);
        let mut call = call.action_names(action).set_resource_arns(Some(resources.to_vec()));
        if action == "events:PutEvents" {
            // The policy admits events in Patchwave's own name alone.
            let source = ContextEntry::builder().context_key_name("events:source");
            let source =
                source.context_key_type(ContextKeyTypeEnum::StringList).context_key_values("patchwave");
            call = call.context_entries(source.build());
        }
        let results = pages::all(operation, call.into_paginator().send(), |page| {
            page.evaluation_results.unwrap_or_default()
        });
        Ok(results.await?.iter().flat_map(|result| of_result(action, result)).collect())
    }
}

/// Reads the decisions about each resource, which are below the one about all.
fn of_result(action: &str, result: &EvaluationResult) -> Vec<DeniedSeen> {
    let seen = |resource: &str, decision: &PolicyEvaluationDecisionType, missing: &[String]| {
        (*decision != PolicyEvaluationDecisionType::Allowed).then(|| DeniedSeen {
            action: action.to_owned(),
            resource: resource.to_owned(),
            decision: decision.as_str().to_owned(),
            missing: missing.iter().cloned().collect(),
        })
    };
    match result.resource_specific_results() {
        [] => {
            let resource = result.eval_resource_name().unwrap_or("*");
            seen(resource, result.eval_decision(), result.missing_context_values()).into_iter().collect()
        }
        each => each
            .iter()
            .filter_map(|of| {
                seen(of.eval_resource_name(), of.eval_resource_decision(), of.missing_context_values())
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests;
