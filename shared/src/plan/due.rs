//! When a rebuild is due, and why then.

use serde::{Deserialize, Serialize};

use crate::finding::{FindingKey, Severity};
use crate::image::ImageId;
use crate::time::{Span, Timestamp};

/// When an image's rebuild is due: its own deadline, or that of an image below that needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Due {
    /// The earliest deadline.
    pub at: Timestamp,
    /// What sets it.
    #[serde(flatten)]
    pub because: Deadline,
    /// The image below whose deadline it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needed_by: Option<ImageId>,
}

impl Due {
    /// Returns whether a critical finding or a known exploit sets the deadline. A part of the day's
    /// starts is kept for such images.
    pub fn is_urgent(&self) -> bool {
        match &self.because {
            Deadline::Exploited { .. } => true,
            Deadline::Severity { severity, .. } => *severity == Severity::Critical,
            Deadline::Reason { .. } => false,
        }
    }
}

/// What sets a deadline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "because", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Deadline {
    /// A finding with a known exploit is due when it appears.
    Exploited { finding: FindingKey },
    /// A finding is due after the deadline of its severity; after half of it where the image runs
    /// in production.
    Severity {
        finding: FindingKey,
        /// The highest that any platform's scan gives it.
        severity: Severity,
        /// The deadline of this severity, by policy.
        within: Span,
        /// Whether half of it applies.
        in_production: bool,
    },
    /// A reason without findings is due after the deadline of medium findings.
    Reason {
        code: String,
        /// The deadline of medium findings, by policy.
        within: Span,
    },
}
