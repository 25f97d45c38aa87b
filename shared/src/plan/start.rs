//! A start: all that an executor needs, with no choice left.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Reason, ToProve};
use crate::hierarchy::{Builder, RevisionType};
use crate::image::{Digest, ImageId};
use crate::time::Timestamp;

/// Names the goal of a build: 40 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BuildKey(pub(super) String);

impl BuildKey {
    /// Returns the digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BuildKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A source action pinned to a revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceRevision {
    /// The action's name.
    pub action: String,
    /// How the revision is written.
    pub revision_type: RevisionType,
    /// The revision: a full commit id.
    pub revision: String,
}

/// One build to start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Start {
    /// What is built.
    pub image: ImageId,
    /// By which pipeline.
    pub pipeline: String,
    /// Where that is; nothing if where the registry is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub builder: Option<Builder>,
    /// The goal.
    pub key: BuildKey,
    /// Which start of it, from 1.
    pub attempt: u32,
    /// The pipeline variables to send.
    pub variables: BTreeMap<String, String>,
    /// The source actions to pin.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceRevision>,
    /// Why.
    pub reasons: Vec<Reason>,
    /// When the earliest reason became true.
    pub since: Timestamp,
    /// The version that is to be replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Digest>,
    /// The parents' versions that it is to be built on.
    pub parents: BTreeMap<ImageId, Digest>,
    /// What its proof will judge.
    pub to_prove: BTreeSet<ToProve>,
    /// Parents and revision in one word: failures in a row count only on the same inputs.
    pub inputs: String,
    /// Whether cached layers would bring the old packages back.
    pub no_cache: bool,
    /// When the start is due; the executor starts in this order.
    pub due: Timestamp,
}

impl Start {
    /// Returns CodePipeline's client request token: it allows letters, digits and hyphens only.
    pub fn token(&self) -> String {
        format!("{}-{}", self.key, self.attempt)
    }
}
