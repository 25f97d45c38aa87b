//! What a scan says about one platform manifest.

mod uncounted;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::image::Digest;
use crate::time::{Span, Timestamp};
use crate::unread::Unread;
pub use uncounted::Uncounted;

/// How bad a finding is. A scanner's other values (`UNDEFINED`, `UNTRIAGED`, `INFORMATIONAL`) are
/// not `low` but unrated: no policy counts them.
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

/// A vulnerability in a package. It identifies a finding in all scans and images.
///
/// Copies share the text, because a plan repeats the same finding many times.
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

/// Where a package comes from, which decides whether a rebuild can replace it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PackageKind {
    /// A package of the operating system: a rebuild installs the newest version.
    Os,
    /// A package of a language (pip, npm, jar, Go): the application's commit pins its version.
    Language,
}

/// What is known about a finding's fix.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Fix {
    /// Fixed in this version of the package.
    Version(String),
    /// The scanner reports that none is published.
    NotPublished,
    /// The scanner does not report it. Basic scanning never does.
    Unknown,
}

/// One vulnerability in one package of one platform manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    pub key: FindingKey,
    pub severity: Severity,
    /// The installed version, if the scanner names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installed: Option<String>,
    pub kind: PackageKind,
    pub fix: Fix,
    /// The layer that contains the package, if the scanner names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<Digest>,
    /// When the scanner first saw it in this image, if the scanner reports that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_observed: Option<Timestamp>,
    /// Whether an exploit is known.
    #[serde(default)]
    pub exploited: bool,
}

impl Finding {
    /// Returns whether no policy counts it because it is not rated, although it may be serious.
    pub fn is_unrated_and_serious(&self) -> bool {
        self.severity == Severity::Unrated && (self.exploited || matches!(self.fix, Fix::Version(_)))
    }
}

/// The findings of one scan, sorted by key. Copies share them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Finding>")]
pub struct Findings(Arc<[Finding]>);

impl Findings {
    /// Returns the finding `key`, if the scan lists it. If it lists it more than once, the first
    /// that was listed counts.
    pub fn get(&self, key: &FindingKey) -> Option<&Finding> {
        let at = self.0.partition_point(|finding| finding.key < *key);
        self.0.get(at).filter(|finding| finding.key == *key)
    }
}

impl Deref for Findings {
    type Target = [Finding];

    fn deref(&self) -> &[Finding] {
        &self.0
    }
}

impl From<Vec<Finding>> for Findings {
    fn from(mut listed: Vec<Finding>) -> Self {
        // Stable: what was listed first stays first.
        listed.sort_by(|a, b| a.key.cmp(&b.key));
        Self(listed.into())
    }
}

impl From<Arc<[Finding]>> for Findings {
    fn from(listed: Arc<[Finding]>) -> Self {
        if listed.is_sorted_by(|a, b| a.key <= b.key) { Self(listed) } else { listed.to_vec().into() }
    }
}

impl From<&[Finding]> for Findings {
    fn from(listed: &[Finding]) -> Self {
        listed.to_vec().into()
    }
}

impl<const N: usize> From<[Finding; N]> for Findings {
    fn from(listed: [Finding; N]) -> Self {
        Vec::from(listed).into()
    }
}

impl FromIterator<Finding> for Findings {
    fn from_iter<T: IntoIterator<Item = Finding>>(listed: T) -> Self {
        listed.into_iter().collect::<Vec<_>>().into()
    }
}

/// How long Patchwave requests no second basic scan of an image. ECR makes one a day. A daily sweep
/// begins a little earlier or later than the day before, so an hour less makes its scans daily.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-scanning-basic.html>
const FRESH: Span = Span::hours(23);

/// Which packages the scanner covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Coverage {
    /// Basic scanning: operating-system packages only.
    Os,
    /// Enhanced scanning: language packages too.
    OsAndLanguages,
}

/// Why an answer about a finding is no evidence, neither that the finding is there nor that it is
/// not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Unclear {
    /// The scanner lists the finding with this status, such as `SUPPRESSED` or `CLOSED`.
    Status(String),
    /// The scanner rates the finding with a word that Patchwave does not know.
    Severity(String),
}

impl fmt::Display for Unclear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(word) => write!(f, "the scanner lists it as {word}"),
            Self::Severity(word) => write!(f, "the scanner rates it with the unknown word {word:?}"),
        }
    }
}

/// Whether a complete scan that does not list a finding shows that the finding is not there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Absence {
    /// It does: the scanner goes on watching the image.
    #[default]
    Shown,
    /// It does while it is younger than `scanMaxAge`: it was made once.
    ShownWhileRecent,
    /// It does not: it is older than that.
    Unknown,
}

/// The state of a platform manifest's scan. Only [`Scan::Complete`] is evidence of anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Scan {
    /// Never made, or deleted from the registry.
    Missing,
    /// Requested or under way.
    Pending,
    /// Made without success, with the scanner's reason.
    Failed(String),
    /// The scanner cannot scan such an image, in its words: a scratch image, or one that is too
    /// large. It answers the same for ever.
    Unsupported(String),
    /// The scanner no longer watches the image. It closed the findings without a fix.
    Expired,
    /// Not read, or the answer contradicts itself: the scan may say anything.
    Unread(Unread),
    /// Made, and all its pages were read.
    #[serde(rename_all = "camelCase")]
    Complete {
        completed_at: Timestamp,
        coverage: Coverage,
        /// All findings, at any severity, but those that were dropped. Copies of a scan share them.
        findings: Findings,
        /// Findings of which the answer is no evidence.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        unclear: BTreeMap<FindingKey, Unclear>,
        #[serde(default, skip_serializing_if = "crate::is_default")]
        absence: Absence,
        /// Findings that were dropped because no policy can count them.
        #[serde(default, skip_serializing_if = "crate::is_default")]
        uncounted: Uncounted,
    },
}

/// Why a scan that nobody made is no evidence.
pub(crate) const NEVER_SCANNED: &str = "never scanned";

impl Scan {
    /// Makes a completed scan in which nothing is unclear.
    pub fn complete(completed_at: Timestamp, coverage: Coverage, findings: impl Into<Findings>) -> Self {
        Self::Complete {
            completed_at,
            coverage,
            findings: findings.into(),
            unclear: BTreeMap::new(),
            absence: Absence::Shown,
            uncounted: Uncounted::default(),
        }
    }

    /// Drops the findings below `lowest`, the lowest severity that the policy of the image or of
    /// one below it counts. It keeps their number, and whether one is listed. What the scanner has
    /// not rated and may be serious stays: a report names it.
    #[must_use]
    pub fn without_uncounted(mut self, lowest: Severity) -> Self {
        if let Self::Complete { findings, uncounted, .. } = &mut self {
            let counts = |finding: &&Finding| finding.severity >= lowest || finding.is_unrated_and_serious();
            let (kept, dropped): (Vec<&Finding>, Vec<&Finding>) = findings.iter().partition(counts);
            if !dropped.is_empty() {
                *uncounted = Uncounted::of(dropped.into_iter());
                *findings = kept.into_iter().cloned().collect();
            }
        }
        self
    }

    /// Returns the scan as it counts at `now`. A scan that was made once shows after `max_age` what
    /// was there, and not what else is.
    #[must_use]
    pub fn as_of(mut self, now: Timestamp, max_age: Span) -> Self {
        if let Self::Complete { completed_at, absence, .. } = &mut self
            && *absence == Absence::ShownWhileRecent
            && max_age.after(*completed_at) <= now
        {
            *absence = Absence::Unknown;
        }
        self
    }

    /// Returns whether the scan is complete and shows that what it does not list is not there.
    pub fn shows_absence(&self) -> bool {
        matches!(self, Self::Complete { absence, .. } if *absence != Absence::Unknown)
    }

    /// Returns the findings; none unless the scan is complete.
    pub fn findings(&self) -> &[Finding] {
        match self {
            Self::Complete { findings, .. } => findings,
            _ => &[],
        }
    }

    /// Returns the finding `key`, if the scan is complete and lists it.
    pub fn finding(&self, key: &FindingKey) -> Option<&Finding> {
        match self {
            Self::Complete { findings, .. } => findings.get(key),
            _ => None,
        }
    }

    /// Returns when the scan completed.
    pub fn completed_at(&self) -> Option<Timestamp> {
        match self {
            Self::Complete { completed_at, .. } => Some(*completed_at),
            _ => None,
        }
    }

    /// Returns whether this scan lists `key`. Returns nothing if the scan is not complete, or if
    /// its answer about `key` is no evidence.
    pub fn lists(&self, key: &FindingKey) -> Option<bool> {
        match self {
            Self::Complete { findings, unclear, uncounted, .. } => {
                let is_listed = findings.get(key).is_some() || uncounted.lists(key);
                let is_clear = !unclear.contains_key(key) && self.shows_absence();
                (is_listed || is_clear).then_some(is_listed)
            }
            _ => None,
        }
    }

    /// Returns whether the scan is complete and its answer about `key` is no evidence.
    pub fn is_unclear(&self, key: &FindingKey) -> bool {
        matches!(self, Self::Complete { unclear, .. } if unclear.contains_key(key))
    }

    /// Returns the findings of which the answer is no evidence.
    pub fn unclear(&self) -> impl Iterator<Item = (&FindingKey, &Unclear)> {
        match self {
            Self::Complete { unclear, .. } => Some(unclear),
            _ => None,
        }
        .into_iter()
        .flatten()
    }

    /// Returns why the scan could not be read.
    pub fn unread(&self) -> Option<&Unread> {
        match self {
            Self::Unread(unread) => Some(unread),
            _ => None,
        }
    }

    /// Returns whether the registry would make a new scan on request.
    ///
    /// A scan that failed may succeed, and a pending one needs no request. Enhanced scanning makes
    /// no scan on request. Only enhanced scanning covers language packages, and only its scans
    /// expire.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-scanning-enhanced.html>
    pub fn can_be_repeated(&self, now: Timestamp) -> bool {
        match self {
            Self::Missing | Self::Failed(_) => true,
            Self::Pending
            | Self::Unsupported(_)
            | Self::Expired
            | Self::Unread(_)
            | Self::Complete { coverage: Coverage::OsAndLanguages, .. } => false,
            Self::Complete { completed_at, coverage: Coverage::Os, .. } => FRESH.after(*completed_at) <= now,
        }
    }

    /// Says why the scan does not show that the image is clean. Returns nothing if it does.
    pub fn unknown_because(&self) -> Option<String> {
        match self {
            Self::Missing => Some(NEVER_SCANNED.to_owned()),
            Self::Pending => Some("scan not finished".to_owned()),
            Self::Failed(why) => Some(format!("scan failed: {why}")),
            Self::Unsupported(why) => Some(format!("cannot be scanned: {why}")),
            Self::Expired => Some("scan expired".to_owned()),
            Self::Unread(why) => Some(format!("scan not read: {why}")),
            Self::Complete { completed_at, absence: Absence::Unknown, .. } => {
                Some(format!("last scanned on {}", completed_at.strftime("%Y-%m-%d")))
            }
            Self::Complete { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    fn key(number: u8) -> FindingKey {
        FindingKey {
            vulnerability: format!("CVE-{}", number / 3).into(),
            package: format!("p{}", number % 3).into(),
        }
    }

    fn listed(numbers: &[u8]) -> Vec<Finding> {
        let numbers = numbers.iter().zip(0..);
        let finding = |(number, place): (&u8, usize)| Finding {
            key: key(*number),
            severity: Severity::High,
            installed: Some(place.to_string()),
            kind: PackageKind::Os,
            fix: Fix::Unknown,
            layer: None,
            first_observed: None,
            exploited: false,
        };
        numbers.map(finding).collect()
    }

    proptest! {
        #[test]
        fn a_finding_is_the_first_that_a_search_of_the_list_finds(numbers in prop::collection::vec(0_u8..12, 0..20)) {
            let listed = listed(&numbers);
            let json = serde_json::to_string(&listed).unwrap();
            let read: Findings = serde_json::from_str(&json).unwrap();
            for findings in [listed.clone().into(), Arc::<[Finding]>::from(listed.clone()).into(), read] {
                for number in 0..13 {
                    let searched = listed.iter().find(|finding| finding.key == key(number));
                    prop_assert_eq!(Findings::get(&findings, &key(number)), searched);
                }
                prop_assert_eq!(findings.len(), listed.len());
            }
        }
    }
}
