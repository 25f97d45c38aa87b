//! How a registry scans, and what its scanner says of the images it watches.

use serde::{Deserialize, Serialize};

use super::survey::ConsumerKind;
use crate::image::{Digest, Repository};
use crate::time::{Span, Timestamp};

/// Which scanner a registry has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Scanner {
    /// The registry's own, which scans on request.
    Basic,
    /// Amazon Inspector, which scans again by itself.
    Enhanced,
}

/// When a scanner scans a repository's images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Frequency {
    /// On request; never with an enhanced scanner, which takes no requests.
    Manual,
    /// Once, after the push.
    OnPush,
    /// Again whenever a vulnerability becomes known, for as long as the [`Windows`] last.
    Continuous,
}

/// A registry's scanning configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scanning {
    pub scanner: Scanner,
    /// Which repositories it scans, and when.
    pub rules: Vec<ScanningRule>,
}

/// One rule of a scanning configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScanningRule {
    pub frequency: Frequency,
    /// Which repositories it is for, by [`matches`](fn@matches).
    pub filters: Vec<String>,
}

impl Scanning {
    /// Returns when a repository's images are scanned: as often as any rule grants.
    pub fn frequency(&self, repository: &Repository) -> Frequency {
        let granted =
            self.rules.iter().filter(|rule| rule.filters.iter().any(|filter| matches(filter, repository)));
        granted.map(|rule| rule.frequency).max().unwrap_or(Frequency::Manual)
    }
}

/// Returns whether a filter is for a repository. `*` matches any text, and a filter without one
/// matches any part of the name.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-scanning-filters.html>
pub fn matches(filter: &str, repository: &Repository) -> bool {
    let name = repository.as_str();
    let Some((first, rest)) = filter.split_once('*') else { return name.contains(filter) };
    let Some(mut name) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = name.find(part) else { return false };
        name = &name[at + part.len()..];
    }
    name.ends_with(last)
}

/// How long a continuous scanner watches an image; `None` means without limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Windows {
    pub after_push: Option<Span>,
    pub after_use: Option<Span>,
    pub use_is: UseIs,
}

/// What an enhanced scanner counts as use of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UseIs {
    /// It ran on ECS or EKS.
    Running,
    Pulled,
}

impl Windows {
    /// Returns the window after the push, if it is too short for an unused image that lives
    /// `max_age`. The image would not be scanned in its last days, and unscanned is not clean.
    pub fn too_short_for(&self, max_age: Span) -> Option<Span> {
        self.after_push.filter(|window| *window < max_age)
    }
}

/// What an enhanced scanner says of one image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Covered {
    pub repository: Repository,
    /// A platform manifest's.
    pub digest: Digest,
    pub covering: Covering,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scanned_at: Option<Timestamp>,
    /// How many tasks and pods ran it, in data that may be a day old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_use: Option<u32>,
    /// When the scanner last saw it run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_use_at: Option<Timestamp>,
}

/// Whether an enhanced scanner watches an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Covering {
    Active,
    /// Its window has ended, so vulnerabilities that became known since then are not reported for
    /// it.
    Expired,
    /// Not watched for another reason, in the scanner's words.
    Inactive(String),
}

/// What an enhanced scanner saw of an image in a cluster.
///
/// This is weaker evidence than a survey: it may be a day old, and only of images that the scanner
/// watches. Patchwave uses it for clusters that it cannot read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeenInUse {
    pub account: String,
    pub region: String,
    /// ECS or EKS.
    pub kind: ConsumerKind,
    pub cluster: String,
    /// What ran it, named as in a [`Sighting`](super::Sighting).
    pub workload: String,
    /// How many tasks or pods ran, of all workloads that the scanner counts together.
    pub running: u32,
    /// When the scanner last saw it run.
    pub at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(name: &str) -> Repository {
        name.parse().unwrap()
    }

    #[test]
    fn filters_are_the_registrys() {
        for (filter, name, expected) in [
            ("*", "apps/checkout", true),
            ("apps/*", "apps/checkout", true),
            ("apps/*", "base/apps/x", false),
            ("*/checkout", "apps/checkout", true),
            ("*/checkout", "apps/checkout2", false),
            ("a*s/*out", "apps/checkout", true),
            ("*ab*ab", "cab", false),
            ("apps", "team/apps/checkout", true),
            ("web", "apps/checkout", false),
        ] {
            assert_eq!(matches(filter, &repository(name)), expected, "{filter} {name}");
        }
    }

    #[test]
    fn a_repository_gets_the_most_that_any_rule_grants() {
        let rule = |frequency, filter: &str| ScanningRule { frequency, filters: vec![filter.to_owned()] };
        let rules = vec![rule(Frequency::OnPush, "*"), rule(Frequency::Continuous, "apps/*")];
        let scanning = Scanning { scanner: Scanner::Enhanced, rules };
        assert_eq!(scanning.frequency(&repository("apps/checkout")), Frequency::Continuous);
        assert_eq!(scanning.frequency(&repository("base/os")), Frequency::OnPush);
        let none = Scanning { scanner: Scanner::Enhanced, rules: Vec::new() };
        assert_eq!(none.frequency(&repository("base/os")), Frequency::Manual);
    }

    #[test]
    fn a_window_must_last_as_long_as_an_image() {
        let windows = |days| Windows { after_push: days, after_use: None, use_is: UseIs::Running };
        assert_eq!(windows(Some(Span::days(14))).too_short_for(Span::days(30)), Some(Span::days(14)));
        assert_eq!(windows(Some(Span::days(30))).too_short_for(Span::days(30)), None);
        assert_eq!(windows(None).too_short_for(Span::days(30)), None);
    }
}
