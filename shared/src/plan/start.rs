//! A start: all that the executor needs. It leaves the executor no choice.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Reason, ToProve};
use crate::hierarchy::{Builder, RevisionType};
use crate::image::{Digest, ImageId};
use crate::policy::Limits;
use crate::time::Timestamp;

/// The idempotency key of a build: 40 hexadecimal digits that name its goal.
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
    pub revision_type: RevisionType,
    /// A full commit id.
    pub revision: String,
}

/// One build to start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Start {
    pub image: ImageId,
    pub pipeline: String,
    /// The pipeline's account and region; nothing if they are the registry's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub builder: Option<Builder>,
    pub key: BuildKey,
    /// The number of the start of the image, from 1.
    pub attempt: u32,
    /// The pipeline variables to send.
    pub variables: BTreeMap<String, String>,
    /// The source actions to pin.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceRevision>,
    pub reasons: Vec<Reason>,
    /// When the earliest reason became true.
    pub since: Timestamp,
    /// The version that the build replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Digest>,
    /// The parents' versions that the new version is built on.
    pub parents: BTreeMap<ImageId, Digest>,
    /// What the build gets from upstream: the tags' digests, or what a cache still serves.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub upstreams: BTreeMap<ImageId, Digest>,
    /// The findings that its proof will judge.
    pub to_prove: BTreeSet<ToProve>,
    /// A hash of the inputs, such as parents and revision. Failures in a row count only on the same
    /// inputs.
    pub inputs: String,
    /// Whether the build must not use cached layers, because they have the old packages.
    pub no_cache: bool,
    /// When the rebuild is due. The executor starts builds in this order.
    pub due: Timestamp,
    /// Whether it would miss a deadline tomorrow. Then `maxStartsPerDay` counts it and does not
    /// hold it.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub keeps_deadline: bool,
}

impl Start {
    /// Returns the limits under which this start is claimed.
    #[must_use]
    pub fn limits(&self, of_fleet: Limits) -> Limits {
        let max_starts_per_day = if self.keeps_deadline { u32::MAX } else { of_fleet.max_starts_per_day };
        Limits { max_starts_per_day, ..of_fleet }
    }

    /// Returns CodePipeline's client request token: it allows letters, digits and hyphens only.
    pub fn token(&self) -> String {
        format!("{}-{}", self.key, self.attempt)
    }
}
