//! Why an image is to be rebuilt.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::finding::{FindingKey, Severity};
use crate::image::{Digest, ImageId};
use crate::time::{Span, Timestamp};

/// What a build is to change about a package. It is part of the build key.
///
/// If the fix is known, the goal is the fixed version, and it covers every vulnerability that this
/// version fixes. If it is not known, each vulnerability is a goal of its own. Otherwise a second
/// vulnerability in the same package would count as the first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Goal {
    /// Bring the package to this version.
    Version(String),
    /// Try whether a rebuild fixes this vulnerability.
    Try(String),
    /// Try that on the schedule that all such findings of the image share.
    Retry(String),
}

/// A finding that a rebuild is made for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    pub goal: Goal,
    pub finding: FindingKey,
    pub severity: Severity,
    /// Whether an exploit is known.
    pub exploited: bool,
    /// When it appeared.
    pub since: Timestamp,
}

impl Cause {
    /// Returns whether it is tried on the schedule of `unknownFix: retry`.
    pub fn is_retried(&self) -> bool {
        matches!(self.goal, Goal::Retry(_))
    }
}

/// How Patchwave knows which version a child was built on, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Evidence {
    /// Patchwave recorded it when it started the build.
    Recorded,
    /// `org.opencontainers.image.base.digest`.
    Annotation,
    /// The child's layers start with the whole list of the parent's.
    Layers,
    /// The parent's current version was pushed before, or after, the child's build.
    Time,
}

/// Why an image is to be rebuilt. Each reason has the old and the new state, and when it became
/// true.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "code", rename_all_fields = "camelCase")]
pub enum Reason {
    /// It carries findings that policy counts and a rebuild can help.
    Vulnerable {
        causes: BTreeSet<Cause>,
        /// When the first of them appeared.
        since: Timestamp,
    },
    /// A parent's current content differs from the content that the image was built on.
    ParentChanged {
        parent: ImageId,
        /// The parent's version that it was built on; not known if only time is evidence.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        built_on: Option<Digest>,
        /// The parent's current version.
        now: Digest,
        evidence: Evidence,
        /// When the reason for the parent's own change became true.
        since: Timestamp,
    },
    /// It is older than policy allows.
    Expired {
        age: Span,
        /// When it became too old.
        since: Timestamp,
    },
    /// A person asked for it.
    Requested {
        /// The request's id.
        id: String,
        by: String,
        since: Timestamp,
    },
    /// Its stable tag does not exist.
    NeverBuilt {
        /// When Patchwave first saw that.
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

    /// Returns the findings that the build is made for.
    pub fn causes(&self) -> impl Iterator<Item = &Cause> {
        match self {
            Self::Vulnerable { causes, .. } => Some(causes),
            _ => None,
        }
        .into_iter()
        .flatten()
    }
}
