//! What a scan says about one platform manifest.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::image::Digest;
use crate::time::{Span, Timestamp};

/// How bad a finding is. Scanners' other words (`UNDEFINED`, `UNTRIAGED`, `INFORMATIONAL`) are kept apart from `low`:
/// nobody has rated them yet, so no policy counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// Not rated, or informational.
    #[schemars(skip)]
    Unrated,
    Low,
    Medium,
    High,
    Critical,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unrated => "unrated",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        })
    }
}

/// A vulnerability in a package: the finding's identity from scan to scan and from image to image.
///
/// Its words are shared among copies: a plan puts the same finding into many of its answers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FindingKey {
    /// Such as `CVE-2024-6119`.
    pub vulnerability: Arc<str>,
    /// Such as `openssl`.
    pub package: Arc<str>,
}

impl fmt::Display for FindingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.vulnerability, self.package)
    }
}

impl From<FindingKey> for String {
    fn from(key: FindingKey) -> Self {
        key.to_string()
    }
}

impl TryFrom<String> for FindingKey {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (vulnerability, package) = text
            .split_once(" in ")
            .ok_or_else(|| format!("{text:?} is not `<vulnerability> in <package>`"))?;
        Ok(Self { vulnerability: vulnerability.into(), package: package.into() })
    }
}

/// Where a package comes from, which decides whether building again can replace it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PackageKind {
    /// Of the operating system: a rebuild installs the newest.
    Os,
    /// Of a language (pip, npm, jar, Go): pinned by the application's commit.
    Language,
}

/// What is known of a finding's fix.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Fix {
    /// Fixed in this version of the package.
    Version(String),
    /// The scanner says that none is published.
    NotPublished,
    /// The scanner does not say. Basic scanning never does.
    Unknown,
}

/// One vulnerability in one package of one platform manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// What it is.
    pub key: FindingKey,
    pub severity: Severity,
    /// The installed version, where the scanner names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installed: Option<String>,
    /// Operating system or language.
    pub kind: PackageKind,
    /// What is known of the fix.
    pub fix: Fix,
    /// The layer that holds the package, where the scanner names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<Digest>,
    /// When the scanner first saw it here, where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_observed: Option<Timestamp>,
    /// Whether an exploit is known.
    #[serde(default)]
    pub exploited: bool,
}

/// How long a scan is fresh: basic scanning makes no second one of an image earlier.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-scanning-basic.html>
pub const FRESH: Span = Span::hours(24);

/// What the scanner can see at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Coverage {
    /// Basic scanning: operating-system packages only.
    Os,
    /// Enhanced scanning: language packages too.
    OsAndLanguages,
}

/// The state of a platform manifest's scan. Only [`Scan::Complete`] is evidence of anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Scan {
    /// Never made, or not known to the registry any more.
    Missing,
    /// Asked for or under way.
    Pending,
    /// Made without success; the scanner's word for it. A scratch image's scan is unsupported for ever.
    Failed(String),
    /// The scanner's window ended: its findings are closed without a fix.
    Expired,
    /// Made, all pages read.
    #[serde(rename_all = "camelCase")]
    Complete {
        completed_at: Timestamp,
        /// What it could see.
        coverage: Coverage,
        /// All that it found, at any severity. Copies of a scan share them.
        findings: Arc<[Finding]>,
    },
}

impl Scan {
    /// Returns the findings; none unless the scan is complete.
    pub fn findings(&self) -> &[Finding] {
        match self {
            Self::Complete { findings, .. } => findings,
            _ => &[],
        }
    }

    /// Returns when the scan completed.
    pub fn completed_at(&self) -> Option<Timestamp> {
        match self {
            Self::Complete { completed_at, .. } => Some(*completed_at),
            _ => None,
        }
    }

    /// Tells whether this scan, if it is complete, lists `key`; nothing if it is not.
    pub fn lists(&self, key: &FindingKey) -> Option<bool> {
        match self {
            Self::Complete { findings, .. } => Some(findings.iter().any(|f| f.key == *key)),
            _ => None,
        }
    }

    /// Tells whether a new scan would be made if it were asked for. One that failed may succeed; one that is under way needs
    /// no asking. Enhanced scanning, which alone sees language packages and lets scans expire, makes none by hand.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-scanning-enhanced.html>
    pub fn can_be_repeated(&self, now: Timestamp) -> bool {
        match self {
            Self::Missing | Self::Failed(_) => true,
            Self::Pending | Self::Expired | Self::Complete { coverage: Coverage::OsAndLanguages, .. } => {
                false
            }
            Self::Complete { completed_at, coverage: Coverage::Os, .. } => FRESH.after(*completed_at) <= now,
        }
    }

    /// Says why the scan is no evidence; nothing if it is complete.
    pub fn unknown_because(&self) -> Option<String> {
        match self {
            Self::Missing => Some("never scanned".to_owned()),
            Self::Pending => Some("scan not finished".to_owned()),
            Self::Failed(why) => Some(format!("scan failed: {why}")),
            Self::Expired => Some("scan expired".to_owned()),
            Self::Complete { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_text_in_json() {
        let key = FindingKey { vulnerability: "CVE-2024-6119".into(), package: "libssl in disguise".into() };
        let json = serde_json::to_string(&key).unwrap();
        assert_eq!(serde_json::from_str::<FindingKey>(&json).unwrap(), key);
    }

    #[test]
    fn an_unrated_finding_is_below_every_threshold() {
        assert!(Severity::Unrated < Severity::Low);
        assert!(Severity::High < Severity::Critical);
    }
}
