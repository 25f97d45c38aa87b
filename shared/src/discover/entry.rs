//! The entries of a drafted file.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Kind;
use crate::hierarchy::Tier;

pub(super) const UNKNOWN: &str = "unknown";

/// An entry of the drafted file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Draft {
    pub id: String,
    /// Whether the file must write the id.
    #[serde(skip)]
    pub(super) writes_id: bool,
    /// The host of its registry.
    #[serde(skip)]
    pub(super) host: String,
    /// The registry's name, if it is not `home`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registry: Option<String>,
    pub repository: String,
    /// Its stable tags, if it has any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag_pattern: Option<Pattern>,
    pub tier: Tier,
    /// An id, an upstream image, `scratch` or `unknown`.
    pub from: String,
    /// The bases of other platforms.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub from_on: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub copy_from: Vec<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub pinned: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<Builds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The kind of evidence that decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Kind>,
    /// What it may be built on, if that is not known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<String>,
    /// The evidence, and what a person should know.
    pub evidence: Vec<String>,
    /// How many images stand below it.
    pub below: usize,
}

/// The tags of a line without stable tags.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pattern {
    #[serde(rename = "match")]
    pub pattern: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
    /// Whether the highest version is current.
    pub by_version: bool,
}

/// The pipeline that builds an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Builds {
    pub name: String,
    /// A name under `builders`, if the pipeline is not where the registry is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub builder: Option<String>,
    pub variables: Vec<String>,
}

/// What was drafted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Drafted {
    /// In the order in which a person should check them: first what most images stand on.
    pub images: Vec<Draft>,
    /// What could not be read. While there is anything, the draft is not complete.
    pub unread: Vec<String>,
    #[serde(skip)]
    pub(super) head: String,
}
