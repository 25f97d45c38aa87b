//! The changes as a CloudFormation template.

use serde_json::{Map, Value, json};

use super::changes::by_repository;
use super::setting::{Change, Replica, Setting};
use crate::inventory::{Frequency, Scanner, Scanning};

/// Returns a template with a resource for each change. A repository that exists must be imported
/// into the stack: its resource is kept when the stack is deleted.
pub fn template(changes: &[Change]) -> Value {
    let mut resources = Map::new();
    for change in changes {
        let (name, kind, properties) = match &change.setting {
            Setting::Scanning { scanning } => {
                ("Scanning".to_owned(), "RegistryScanningConfiguration", of_scanning(scanning))
            }
            Setting::Replication { replicas } => {
                let to = |one: &Replica| json!({"Region": one.region, "RegistryId": one.account});
                let destinations: Vec<Value> = replicas.iter().map(to).collect();
                let rules = json!({"ReplicationConfiguration": {"Rules": [{"Destinations": destinations}]}});
                ("Replication".to_owned(), "ReplicationConfiguration", rules)
            }
            Setting::Cache { prefix, upstream } => {
                let mut rule = json!({"EcrRepositoryPrefix": prefix, "UpstreamRegistryUrl": upstream});
                if needs_secret(upstream) {
                    rule["CredentialArn"] = json!({"Ref": secret(prefix)});
                }
                (format!("Cache{}", word(prefix)), "PullThroughCacheRule", rule)
            }
            Setting::Template { prefix } => {
                let of_prefix = json!({"Prefix": prefix, "AppliedFor": ["PULL_THROUGH_CACHE"]});
                (format!("Template{}", word(prefix)), "RepositoryCreationTemplate", of_prefix)
            }
            Setting::Exclusion { principal } => {
                let name = principal.rsplit('/').next().unwrap_or_default();
                let exclusion = json!({"PrincipalArn": principal});
                (format!("Exclusion{}", word(name)), "PullTimeUpdateExclusion", exclusion)
            }
            Setting::Mutability { .. } | Setting::Policy { .. } => continue,
        };
        resources.insert(name, json!({"Type": format!("AWS::ECR::{kind}"), "Properties": properties}));
    }
    for (repository, settings) in by_repository(changes) {
        resources.insert(format!("Repository{}", word(repository)), of_repository(repository, &settings));
    }
    let mut template = json!({
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "What Patchwave's hierarchy file asks of this registry",
        "Resources": resources,
    });
    let secrets = changes.iter().filter_map(|change| match &change.setting {
        Setting::Cache { prefix, upstream } if needs_secret(upstream) => Some((
            secret(prefix),
            json!({"Type": "String", "Description": format!("The ARN of the secret ecr-pullthroughcache/... for {upstream}")}),
        )),
        _ => None,
    });
    let secrets: Map<String, Value> = secrets.collect();
    if !secrets.is_empty() {
        template["Parameters"] = Value::Object(secrets);
    }
    template
}

fn of_scanning(scanning: &Scanning) -> Value {
    let rules: Vec<Value> = scanning
        .rules
        .iter()
        .map(|rule| {
            let filter = |filter: &String| json!({"Filter": filter, "FilterType": "WILDCARD"});
            let filters: Vec<Value> = rule.filters.iter().map(filter).collect();
            json!({"ScanFrequency": frequency(rule.frequency), "RepositoryFilters": filters})
        })
        .collect();
    json!({"ScanType": scan_type(scanning.scanner), "Rules": rules})
}

fn of_repository(repository: &str, settings: &[&Setting]) -> Value {
    let mut properties = json!({"RepositoryName": repository});
    for setting in settings {
        match setting {
            Setting::Mutability { excluded_tags, .. } => {
                let filter = |tag: &String| {
                    json!({
                        "ImageTagMutabilityExclusionFilterType": "WILDCARD",
                        "ImageTagMutabilityExclusionFilterValue": tag,
                    })
                };
                let filters: Vec<Value> = excluded_tags.iter().map(filter).collect();
                properties["ImageTagMutability"] = "IMMUTABLE_WITH_EXCLUSION".into();
                properties["ImageTagMutabilityExclusionFilters"] = filters.into();
            }
            Setting::Policy { policy, .. } => properties["RepositoryPolicyText"] = policy.clone(),
            _ => {}
        }
    }
    json!({
        "Type": "AWS::ECR::Repository",
        "DeletionPolicy": "Retain",
        "UpdateReplacePolicy": "Retain",
        "Properties": properties,
    })
}

pub(super) fn frequency(frequency: Frequency) -> &'static str {
    match frequency {
        Frequency::Manual => "MANUAL",
        Frequency::OnPush => "SCAN_ON_PUSH",
        Frequency::Continuous => "CONTINUOUS_SCAN",
    }
}

pub(super) fn scan_type(scanner: Scanner) -> &'static str {
    match scanner {
        Scanner::Basic => "BASIC",
        Scanner::Enhanced => "ENHANCED",
    }
}

/// Whether ECR reads this upstream only with credentials.
pub(super) fn needs_secret(upstream: &str) -> bool {
    ["registry-1.docker.io", "ghcr.io", "registry.gitlab.com"].contains(&upstream)
        || upstream.ends_with(".azurecr.io")
}

fn secret(prefix: &str) -> String {
    format!("Secret{}", word(prefix))
}

/// Writes a text as a logical id: letters and digits, each part with a capital.
pub(super) fn word(text: &str) -> String {
    let parts = text.split(|c: char| !c.is_ascii_alphanumeric());
    let capital = |part: &str| {
        let mut letters = part.chars();
        letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str())
    };
    parts.filter_map(capital).collect()
}
