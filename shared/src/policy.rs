//! The policy that the hierarchy file sets for one image. The tier's values override the file's,
//! and the image's override the tier's.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::finding::{Coverage, Finding, FindingKey, Severity};
use crate::time::{Span, Timestamp};

/// Whether Patchwave starts rebuilds, or only plans and reports them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// Plans, records and reports; starts and claims nothing.
    #[default]
    Observe,
    /// Starts rebuilds.
    Enforce,
}

/// What Patchwave does for a finding without a known fix. Basic scanning does not name fixed
/// versions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum UnknownFix {
    /// Starts no rebuild. The next rebuild for another reason may fix the finding.
    #[default]
    TryWithNextRebuild,
    /// Starts a rebuild, and again after 1, 2, 4, 8, 8 … days while any such finding counts: a fix
    /// may be published any day, and the scanner does not say so.
    Retry,
    /// Starts one rebuild, once for each package and vulnerability.
    TryOnce,
    /// Starts no rebuild until a person requests one.
    Hold,
}

/// Who decides that an image may be rebuilt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Rebuild {
    /// Patchwave decides.
    #[default]
    Auto,
    /// A person approves each rebuild.
    Approval,
    /// The image's owner decides: the next commit rebuilds the image.
    NextCommit,
    /// Patchwave never rebuilds the image.
    Never,
}

/// Who decides that a version may be promoted to an environment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Promoting {
    /// Whoever promotes it, if nothing speaks against it.
    #[default]
    Auto,
    /// A person approves each version and environment.
    Approval,
}

/// A length of time that may be shorter for a critical finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Patience {
    pub critical: Span,
    pub default: Span,
}

impl Patience {
    /// Makes the same length of time for every severity.
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
    pub critical: Span,
    pub high: Span,
    /// For medium findings and all below.
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

/// One vulnerability that the hierarchy's owner decided not to rebuild this image for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Suppression {
    /// The vulnerability's id, such as `CVE-2024-0727`.
    pub vulnerability: String,
    /// The first time at which it no longer applies.
    pub until: Timestamp,
    /// Why the owner decided so, for the auditor.
    pub reason: String,
}

/// The policy of one image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// Observe or enforce. The deployment's mode may lower it.
    pub mode: Mode,
    /// The lowest severity that counts.
    pub rebuild_at: Severity,
    /// What to do for a finding without a known fix. By default it depends on the scan:
    /// [`Policy::for_unknown_fix`].
    pub unknown_fix: Option<UnknownFix>,
    /// The age at which Patchwave rebuilds a version.
    pub max_age: Span,
    /// How long the tag of a parent that Patchwave did not push must be unchanged before children
    /// start.
    pub quiet_period: Patience,
    /// How long a rebuild waits for the scan that proves it, and a finding for its parent's scan.
    pub proof_wait: Patience,
    /// How long a scan that was made once shows what is not in an image. The scanner learns of new
    /// vulnerabilities every day.
    pub scan_max_age: Span,
    /// How long quiet periods may delay a start at most.
    pub max_wait: Span,
    /// How long a build may hold a slot.
    pub max_build_time: Span,
    pub deadlines: Deadlines,
    /// How long an upstream tag may stay unchanged before people should check its support.
    pub upstream_silence: Span,
    pub rebuild: Rebuild,
    pub promotion: Promoting,
    /// The vulnerabilities that do not count on this image.
    pub suppress: Vec<Suppression>,
}

impl Policy {
    /// Returns whether a finding counts: its severity is high enough, and no suppression applies.
    pub fn counts(&self, finding: &Finding, now: Timestamp) -> bool {
        finding.severity >= self.rebuild_at && self.suppressed_until(&finding.key, now).is_none()
    }

    /// Returns what to do for a finding without a known fix, from a scan with this coverage. Basic
    /// scanning names no fix at all, so doing nothing would leave every finding there.
    pub fn for_unknown_fix(&self, coverage: Coverage) -> UnknownFix {
        let default = match coverage {
            Coverage::Os => UnknownFix::Retry,
            Coverage::OsAndLanguages => UnknownFix::default(),
        };
        self.unknown_fix.unwrap_or(default)
    }

    /// Returns until when the finding is suppressed, or nothing if it is not.
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
            unknown_fix: None,
            max_age: Span::days(30),
            quiet_period: Patience { critical: Span::minutes(1), default: Span::minutes(10) },
            proof_wait: Patience::always(Span::minutes(30)),
            scan_max_age: Span::days(7),
            max_wait: Span::hours(2),
            max_build_time: Span::hours(2),
            deadlines: Deadlines { critical: Span::hours(24), high: Span::days(7), medium: Span::days(30) },
            upstream_silence: Span::days(180),
            rebuild: Rebuild::default(),
            promotion: Promoting::default(),
            suppress: Vec::new(),
        }
    }
}

/// Limits of the whole fleet. The file sets them, and not a tier or an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// How many builds may run at once.
    pub max_concurrent_builds: u32,
    /// How many may start on one day (UTC).
    pub max_starts_per_day: u32,
}

impl Limits {
    /// How many starts of a day only critical findings and known exploits may take: a fifth.
    pub const fn reserved(self) -> u32 {
        self.max_starts_per_day / 5
    }

    /// Returns the limits for a start that is urgent, or for one that is not.
    #[must_use]
    pub const fn of_start(self, is_urgent: bool) -> Self {
        let reserved = if is_urgent { 0 } else { self.reserved() };
        Self { max_starts_per_day: self.max_starts_per_day - reserved, ..self }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_concurrent_builds: 20, max_starts_per_day: 200 }
    }
}
