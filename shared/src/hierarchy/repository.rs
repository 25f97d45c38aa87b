//! A repository as people write it: often with more than its name.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::image::{Reference, Registry, Repository};

/// How the hosts of registries end.
const REGISTRY_DOMAINS: [&str; 7] = [".com", ".com.cn", ".io", ".org", ".dev", ".aws", ".amazonaws.eu"];

/// The name of a repository in the file's registry, without anything around it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "Repository")]
pub(super) struct RepositoryName(pub(super) Repository);

impl TryFrom<String> for RepositoryName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (name, around) = bare(&text);
        match name.parse::<Repository>() {
            Ok(repository) if around.is_empty() => Ok(Self(repository)),
            Ok(repository) => {
                let (around, text) = (around.join(" and "), shown(&text));
                Err(format!("{text:?} holds {around} beside the repository's name; write {repository}"))
            }
            Err(invalid) => Err(text.parse::<Repository>().err().unwrap_or(invalid).to_string()),
        }
    }
}

/// Outside text ends up in messages and logs: keep it short.
fn shown(text: &str) -> String {
    text.chars().take(200).collect()
}

/// Returns the name of a repository without scheme, host, tag and digest, and which of them it had.
fn bare(text: &str) -> (&str, Vec<&'static str>) {
    let mut around = Vec::new();
    let mut name = text;
    if let Some((_, rest)) = name.split_once("://") {
        around.push("a scheme");
        name = rest;
    }
    if let Some((host, rest)) = name.split_once('/')
        && is_host(host)
    {
        around.push("a registry's host");
        name = rest;
    }
    if let Some((rest, _)) = name.split_once('@') {
        around.push("a digest");
        name = rest;
    }
    if let Some((rest, _)) = name.split_once(':') {
        around.push("a tag");
        name = rest;
    }
    (name, around)
}

/// Returns whether the first part of a name is a host and nothing else. ECR allows dots there, so
/// `team.one/app` may be a repository.
fn is_host(part: &str) -> bool {
    part.contains(':') || part == "localhost" || REGISTRY_DOMAINS.iter().any(|domain| part.ends_with(domain))
}

/// Returns the first part of a repository's name and the rest, if other tools would read the first
/// as a host.
pub(super) fn host_like(repository: &Repository) -> Option<(&str, &str)> {
    repository.as_str().split_once('/').filter(|(part, _)| part.parse::<Registry>().is_ok())
}

/// Returns the full reference of the image that Docker means by `name`; nothing if `name` is no
/// image, or has more of a path than an image of Docker Hub.
pub(super) fn on_docker_hub(name: &str) -> Option<String> {
    let meant = Reference::read(name)?;
    (meant.registry.is_docker_hub() && meant.repository.as_str().matches('/').count() == 1)
        .then(|| meant.to_string())
}
