//! What was read of registries and of what builds, before anything is concluded from it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::Document;
use crate::image::{self, Digest, EcrRegistry, Tag};
use crate::time::Timestamp;
use crate::unread::Unread;

/// Everything that a draft is made from.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Estate {
    /// The first is `home`.
    pub registries: Vec<Registry>,
    /// Manifests, indexes, configs and attestations, by their digests.
    pub documents: BTreeMap<Digest, Document>,
    pub pipelines: Vec<Pipeline>,
    pub projects: Vec<Project>,
    /// Pushes of the last ninety days, from `CloudTrail`.
    pub pushes: Vec<Push>,
    /// What could not be read beside repositories and documents.
    pub unread: Vec<Unread>,
}

/// A private ECR registry.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Registry {
    pub host: EcrRegistry,
    /// Its pull-through caches: from the prefix of the repositories to the upstream registry.
    #[serde(default)]
    pub caches: BTreeMap<String, String>,
    pub repositories: Vec<Repository>,
}

/// A repository and what lies in it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Repository {
    pub name: image::Repository,
    /// The resource's tags, not the images'.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    #[serde(default)]
    pub versions: Vec<Version>,
    /// Why its versions could not be listed.
    #[serde(default)]
    pub unread: Option<Unread>,
}

/// Something that was pushed, as `DescribeImages` lists it: with or without a tag, an image or not.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    pub digest: Digest,
    #[serde(default)]
    pub tags: BTreeSet<Tag>,
    pub pushed_at: Timestamp,
}

/// A pipeline of CodePipeline.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pipeline {
    pub name: String,
    pub account: String,
    pub region: String,
    /// `V1` or `V2`.
    #[serde(rename = "type")]
    pub pipeline_type: String,
    /// The variables that it declares.
    #[serde(default)]
    pub variables: BTreeSet<String>,
    pub actions: Vec<Action>,
    /// The ARN of its own role, which runs the action `Commands`.
    #[serde(default)]
    pub role: Option<String>,
    /// The ARNs of the repositories to which that role's policies allow `ecr:PutImage`. They may
    /// have `*` for any characters.
    #[serde(default)]
    pub puts: BTreeSet<String>,
    /// Its latest executions that succeeded.
    #[serde(default)]
    pub executions: Vec<Execution>,
}

/// An execution of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Execution {
    pub from: Timestamp,
    pub to: Timestamp,
    /// What its source actions checked out.
    #[serde(default)]
    pub commits: BTreeSet<String>,
}

/// An action of a pipeline.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Action {
    pub name: String,
    /// `Source`, `Build`, …
    pub category: String,
    pub provider: String,
    #[serde(default)]
    pub configuration: BTreeMap<String, String>,
    /// Of the action `Commands`.
    #[serde(default)]
    pub commands: Vec<String>,
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
}

/// A project of CodeBuild.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Project {
    pub name: String,
    pub account: String,
    pub region: String,
    /// Its environment's plain variables.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// The text of its buildspec, or where that is.
    #[serde(default)]
    pub buildspec: Option<String>,
    /// The ARN of its service role.
    #[serde(default)]
    pub role: Option<String>,
    /// The ARNs of the repositories to which the role's policies allow `ecr:PutImage`. They may
    /// have `*` for any characters.
    #[serde(default)]
    pub puts: BTreeSet<String>,
}

/// Calls of `PutImage`, as `CloudTrail` records them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Push {
    pub account: String,
    pub region: String,
    pub repository: String,
    /// The ARN of the role that called.
    pub role: String,
}
