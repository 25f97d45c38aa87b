//! What the hierarchy file asks for, resolved for one image: file, then tier, then image.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::finding::{Finding, FindingKey, Severity};
use crate::time::{Span, Timestamp};

/// Whether starts are only planned and reported, or made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// Plans, records and reports; starts and claims nothing.
    #[default]
    Observe,
    /// Starts rebuilds.
    Enforce,
}

/// What a finding without a known fix is worth. Basic scanning names no fixed versions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum UnknownFix {
    /// Rides along with the next rebuild and starts none.
    #[default]
    TryWithNextRebuild,
    /// Starts one rebuild, once for each package and vulnerability.
    TryOnce,
    /// Waits for a person.
    Hold,
}

/// Who decides that an image may be rebuilt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Rebuild {
    /// Patchwave does.
    #[default]
    Auto,
    /// A person approves each one.
    Approval,
    /// The next commit brings it.
    NextCommit,
    /// Nobody: Patchwave leaves the image alone.
    Never,
}

/// A span that is shorter when a critical finding waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Patience {
    /// With a critical finding.
    pub critical: Span,
    pub default: Span,
}

impl Patience {
    /// The same for every severity.
    pub const fn always(span: Span) -> Self {
        Self { critical: span, default: span }
    }

    /// Returns the span that applies to `severity`.
    pub fn for_severity(self, severity: Severity) -> Span {
        if severity == Severity::Critical { self.critical } else { self.default }
    }
}

/// How long after a finding appeared its fix is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deadlines {
    /// For critical findings.
    pub critical: Span,
    /// For high findings.
    pub high: Span,
    /// For medium findings and everything below.
    pub medium: Span,
}

impl Deadlines {
    /// Returns the deadline of a finding of `severity`.
    pub fn for_severity(&self, severity: Severity) -> Span {
        match severity {
            Severity::Critical => self.critical,
            Severity::High => self.high,
            _ => self.medium,
        }
    }
}

/// One vulnerability that somebody decided not to rebuild for, on the images that the hierarchy resolved it to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Suppression {
    /// The vulnerability's id, such as `CVE-2024-0727`.
    pub vulnerability: String,
    /// The first moment at which it no longer applies.
    pub until: Timestamp,
    /// Why, for the auditor.
    pub reason: String,
}

/// The policy of one image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// Observe or enforce, before the deployment's ceiling.
    pub mode: Mode,
    /// The lowest severity that counts.
    pub rebuild_at: Severity,
    /// What to do about findings without a known fix.
    pub unknown_fix: UnknownFix,
    /// No version stays longer than this.
    pub max_age: Span,
    /// How long a parent that somebody else pushes must have been still.
    pub quiet_period: Patience,
    /// How long a rebuild waits for the scan that proves it, and a finding for its parent's scan.
    pub proof_wait: Patience,
    /// The longest that quiet periods may delay a start.
    pub max_wait: Span,
    /// How long a build may occupy a slot.
    pub max_build_time: Span,
    /// When fixes are due.
    pub deadlines: Deadlines,
    /// Who decides.
    pub rebuild: Rebuild,
    /// What does not count on this image.
    pub suppress: Vec<Suppression>,
}

impl Policy {
    /// Tells whether a finding counts: it is bad enough, and nobody has decided otherwise for now.
    pub fn counts(&self, finding: &Finding, now: Timestamp) -> bool {
        finding.severity >= self.rebuild_at && self.suppressed_until(&finding.key, now).is_none()
    }

    /// Returns until when the finding is suppressed; nothing if it is not.
    pub fn suppressed_until(&self, key: &FindingKey, now: Timestamp) -> Option<Timestamp> {
        let of_it = |s: &&Suppression| *s.vulnerability == *key.vulnerability && s.until > now;
        self.suppress.iter().filter(of_it).map(|suppression| suppression.until).max()
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            rebuild_at: Severity::High,
            unknown_fix: UnknownFix::default(),
            max_age: Span::days(30),
            quiet_period: Patience { critical: Span::minutes(1), default: Span::minutes(10) },
            proof_wait: Patience::always(Span::minutes(30)),
            max_wait: Span::hours(2),
            max_build_time: Span::hours(2),
            deadlines: Deadlines { critical: Span::hours(24), high: Span::days(7), medium: Span::days(30) },
            rebuild: Rebuild::default(),
            suppress: Vec::new(),
        }
    }
}

/// Limits of the whole fleet: they belong to the file, not to a tier or an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// How many builds may run at once.
    pub max_concurrent_builds: u32,
    /// How many may start on one day (UTC).
    pub max_starts_per_day: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_concurrent_builds: 20, max_starts_per_day: 200 }
    }
}
