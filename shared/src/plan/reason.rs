//! Why an image is to be rebuilt.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::finding::{FindingKey, Severity};
use crate::image::{Digest, ImageId};
use crate::time::{Span, Timestamp};

/// What a build is to change about a package: part of the build key.
///
/// Where the fix is known, the fixed version is the goal, whatever vulnerabilities it answers; where it is not, each
/// vulnerability is its own goal, so that a second one in the same package is not taken for the first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Goal {
    /// Bring the package to this version.
    Version(String),
    /// See whether a rebuild helps against this vulnerability.
    Try(String),
}

/// A finding that a rebuild is made for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    /// What is to change.
    pub goal: Goal,
    /// The finding.
    pub finding: FindingKey,
    /// How bad it is.
    pub severity: Severity,
    /// Whether an exploit is known.
    pub exploited: bool,
    /// When it appeared.
    pub since: Timestamp,
}

/// How the version that a child was built on is known, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Evidence {
    /// Patchwave started the build and wrote it down.
    Recorded,
    /// `org.opencontainers.image.base.digest`.
    Annotation,
    /// The child's layers start with the whole list of the parent's.
    Layers,
    /// The parent's current version was pushed before, or after, the child's build.
    Time,
}

/// Why an image is to be rebuilt. Each reason holds what was and what is, and since when.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "code", rename_all_fields = "camelCase")]
pub enum Reason {
    /// It carries findings that policy counts and a rebuild can help.
    Vulnerable {
        /// The findings.
        causes: BTreeSet<Cause>,
        /// When the first of them appeared.
        since: Timestamp,
    },
    /// A parent's content is not what it was built on.
    ParentChanged {
        /// Which parent.
        parent: ImageId,
        /// What it was built on; unknown where only time is evidence.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        built_on: Option<Digest>,
        /// The parent's current version.
        now: Digest,
        /// How that is known.
        evidence: Evidence,
        /// When the reason for the parent's own change became true.
        since: Timestamp,
    },
    /// It is older than policy allows.
    Expired {
        /// Its age.
        age: Span,
        /// When it became too old.
        since: Timestamp,
    },
    /// A person asked for it.
    Requested {
        /// The request's id.
        id: String,
        /// Who.
        by: String,
        /// When.
        since: Timestamp,
    },
    /// Its stable tag does not exist.
    NeverBuilt {
        /// When that was first seen.
        since: Timestamp,
    },
}

impl Reason {
    /// Returns when the reason became true.
    pub fn since(&self) -> Timestamp {
        match self {
            Self::Vulnerable { since, .. }
            | Self::ParentChanged { since, .. }
            | Self::Expired { since, .. }
            | Self::Requested { since, .. }
            | Self::NeverBuilt { since } => *since,
        }
    }

    /// Returns the reason's code: one word, safe in a shell.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Vulnerable { .. } => "Vulnerable",
            Self::ParentChanged { .. } => "ParentChanged",
            Self::Expired { .. } => "Expired",
            Self::Requested { .. } => "Requested",
            Self::NeverBuilt { .. } => "NeverBuilt",
        }
    }

    /// Returns the findings that the build is for.
    pub fn causes(&self) -> impl Iterator<Item = &Cause> {
        match self {
            Self::Vulnerable { causes, .. } => Some(causes),
            _ => None,
        }
        .into_iter()
        .flatten()
    }
}
