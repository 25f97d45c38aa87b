//! A registry's settings: as they are, and as they should be.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::doctor::{Look, RepositorySeen};
use crate::inventory::Scanning;

/// How one registry is configured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Configured {
    pub scanning: Look<Scanning>,
    pub replicas: Look<BTreeSet<Replica>>,
    /// The upstream of each prefix of a pull-through cache.
    pub caches: Look<BTreeMap<String, String>>,
    /// The prefixes of the repository creation templates.
    pub templates: Look<BTreeSet<String>>,
    pub exclusions: Look<BTreeSet<String>>,
    pub repositories: Look<BTreeMap<String, RepositorySeen>>,
    /// The policies of the hierarchy's repositories; nothing for one without a policy.
    pub policies: BTreeMap<String, Look<Option<String>>>,
}

/// Where a registry's images are replicated to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Replica {
    pub account: String,
    pub region: String,
}

/// Who may pull and push, beside what the hierarchy file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// Every principal of this organisation may pull.
    pub organization: Option<String>,
    /// Functions of Lambda may pull.
    pub lambda: bool,
    /// The ARNs of the roles that may push.
    pub push: BTreeSet<String>,
    /// The ARNs of the principals whose pulls do not count.
    pub exclude: BTreeSet<String>,
}

/// One setting as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "setting", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Setting {
    /// The whole scanning configuration.
    Scanning { scanning: Scanning },
    /// All replicas.
    Replication { replicas: BTreeSet<Replica> },
    /// One pull-through cache.
    Cache { prefix: String, upstream: String },
    /// A creation template for the repositories of a cache. It has no lifecycle policy: a rule on
    /// untagged images would empty the cache.
    Template { prefix: String },
    /// A principal whose pulls do not count.
    Exclusion { principal: String },
    /// Which tags of a repository may move.
    Mutability { repository: String, excluded_tags: Vec<String> },
    /// The whole policy of a repository.
    Policy { repository: String, policy: Value },
}

/// A change of one setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    #[serde(flatten)]
    pub setting: Setting,
    pub why: String,
}

/// What should change, and what could not be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Changes {
    pub changes: Vec<Change>,
    pub unread: Vec<String>,
}
