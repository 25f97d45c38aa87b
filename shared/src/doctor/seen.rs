//! What was seen of the accounts.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::image::ImageId;
use crate::inventory::{Scanning, Windows};
use crate::policy::Mode;
use crate::time::Timestamp;

/// What an answer says, or why there is none.
pub type Look<T> = Result<T, String>;

/// Everything that was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    /// Who looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<Look<CallerSeen>>,
    /// By the name of the registry in the hierarchy file.
    pub registries: BTreeMap<String, RegistrySeen>,
    /// By the image that each builds; nothing if there is no such pipeline.
    pub pipelines: BTreeMap<ImageId, Look<Option<PipelineSeen>>>,
    /// Nothing if the environment names no deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<DeploymentSeen>,
}

/// Who looked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallerSeen {
    /// The ARN of the role or the user, and not that of a session.
    pub principal: String,
}

/// One registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegistrySeen {
    pub scanning: Look<Scanning>,
    /// Nothing if its scanner has no windows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows: Option<Look<Windows>>,
    /// The principals whose pulls do not count.
    pub exclusions: Look<BTreeSet<String>>,
    /// Whether a deletion here deletes in replicas.
    pub deletes_replicas: Look<bool>,
    /// The repositories of the hierarchy in it, by their names.
    pub repositories: Look<BTreeMap<String, RepositorySeen>>,
}

/// One repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RepositorySeen {
    /// ECR's own word: `MUTABLE`, `IMMUTABLE`, or either `_WITH_EXCLUSION`.
    pub mutability: String,
    /// The tags that its exclusion is for, with `*` for any characters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excluded_tags: Vec<String>,
}

/// Which type a pipeline has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PipelineType {
    V1,
    V2,
}

/// One pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PipelineSeen {
    pub version: PipelineType,
    /// CodePipeline's own word: `QUEUED`, `PARALLEL` or `SUPERSEDED`.
    pub mode: String,
    pub variables: BTreeSet<String>,
    pub sources: BTreeSet<String>,
    /// The repositories whose pushes start it, of actions of the provider ECR.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub started_by: BTreeSet<String>,
    /// Whether `ECRBuildAndPublish` builds, which takes no build argument.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub builds_without_arguments: bool,
}

/// What is deployed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentSeen {
    pub table: String,
    /// When the last survey read everything that it tried; nothing if none was made.
    pub surveyed_at: Look<Option<Timestamp>>,
    /// The places that could not be read at the last survey, with the reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unread: BTreeMap<String, String>,
    /// The functions that name this table in their settings.
    pub functions: Look<Vec<FunctionSeen>>,
}

/// One function of Patchwave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionSeen {
    pub name: String,
    /// The ARN of its role.
    pub role: String,
    pub mode: Mode,
    /// What `PATCHWAVE_HIERARCHY` names there.
    pub hierarchy: String,
    pub has_tick: bool,
    pub has_listener: bool,
    /// The writes that IAM says its role may not make; nothing if IAM was not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denied: Option<Look<BTreeSet<DeniedSeen>>>,
}

/// A write that a role may not make.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeniedSeen {
    pub action: String,
    /// The ARN of what would be written.
    pub resource: String,
    /// IAM's own word: `implicitDeny` or `explicitDeny`.
    pub decision: String,
    /// Keys of conditions that the simulation had no values for. Then a real call may be allowed.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub missing: BTreeSet<String>,
}
