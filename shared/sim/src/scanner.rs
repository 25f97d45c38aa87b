//! What the scanner knows, and when it says so.

use std::collections::BTreeMap;

use patchwave::finding::{Coverage, Finding, FindingKey, Fix, PackageKind, Scan};
use patchwave::image::Repository;
use patchwave::time::{Span, Timestamp};
use patchwave_converge::ManifestAt;

use crate::packages::{Package, Vulnerability, version};
use crate::registry::{Layers, packages};

/// Basic scanning refuses a second scan of an image in this time.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-scanning-basic.html>
const ONCE_IN: Span = Span::days(1);

/// How a repository is scanned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scanning {
    /// On push and on request; operating-system packages without their fixes.
    Basic,
    /// On push and whenever something new is known; all packages, with layer and fix.
    Enhanced,
}

/// The scanner: its database, and what it said of each manifest.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scanner {
    pub(crate) known: Vec<Vulnerability>,
    scanning: BTreeMap<Repository, Scanning>,
    scans: BTreeMap<ManifestAt, Scan>,
    asked: BTreeMap<ManifestAt, Timestamp>,
    first_observed: BTreeMap<(ManifestAt, FindingKey), Timestamp>,
}

impl Scanner {
    /// Says how a repository is scanned.
    pub(crate) fn cover(&mut self, repository: Repository, scanning: Scanning) {
        self.scanning.entry(repository).or_insert(scanning);
    }

    /// Returns how a repository is scanned.
    pub(crate) fn scanning(&self, repository: &Repository) -> Scanning {
        self.scanning.get(repository).copied().unwrap_or(Scanning::Enhanced)
    }

    /// Returns what is known of a manifest.
    pub(crate) fn scan(&self, at: &ManifestAt) -> Scan {
        self.scans.get(at).cloned().unwrap_or(Scan::Missing)
    }

    /// Puts a pushed manifest in the scanner's queue.
    pub(crate) fn enqueue(&mut self, at: &ManifestAt, now: Timestamp) {
        self.scans.entry(at.clone()).or_insert(Scan::Pending);
        self.asked.insert(at.clone(), now);
    }

    /// Replaces what is known of a manifest by what is no evidence.
    pub(crate) fn lose(&mut self, at: &ManifestAt, scan: Scan) {
        self.scans.insert(at.clone(), scan);
    }

    /// Asks for a scan by hand. Tells whether it will be made.
    pub(crate) fn request(&mut self, at: &ManifestAt, now: Timestamp) -> bool {
        let too_early = self.asked.get(at).is_some_and(|last| now < ONCE_IN.after(*last));
        if self.scanning(&at.0) == Scanning::Enhanced || too_early {
            return false;
        }
        self.asked.insert(at.clone(), now);
        true
    }

    /// Scans a manifest and returns the findings that its scan did not list before.
    pub(crate) fn complete(&mut self, at: &ManifestAt, layers: &Layers, now: Timestamp) -> Vec<Finding> {
        let scanning = self.scanning(&at.0);
        let installed = packages(layers);
        if installed.is_empty() {
            // Nothing that a package database lists: ECR says so for images from scratch.
            self.scans.insert(at.clone(), Scan::Failed("UNSUPPORTED_IMAGE".to_owned()));
            return Vec::new();
        }
        let mut findings = Vec::new();
        for (package, layer) in installed.into_values() {
            for vulnerability in self.known.iter().filter(|v| v.known_from <= now && v.is_in(package)) {
                if let Some(finding) = finding(scanning, vulnerability, package, layer, now) {
                    findings.push(finding);
                }
            }
        }
        for finding in findings.iter_mut().filter(|_| scanning == Scanning::Enhanced) {
            let first = self.first_observed.entry((at.clone(), finding.key.clone())).or_insert(now);
            finding.first_observed = Some(*first);
        }
        let before = self.scan(at);
        let new = findings.iter().filter(|f| before.lists(&f.key) != Some(true)).cloned().collect();
        let coverage = match scanning {
            Scanning::Basic => Coverage::Os,
            Scanning::Enhanced => Coverage::OsAndLanguages,
        };
        self.scans.insert(at.clone(), Scan::complete(now, coverage, findings));
        new
    }
}

/// Returns what the scanner says of a vulnerable package; nothing if this way of scanning does not see it.
fn finding(
    scanning: Scanning,
    vulnerability: &Vulnerability,
    package: &Package,
    layer: &patchwave::image::Digest,
    now: Timestamp,
) -> Option<Finding> {
    let enhanced = scanning == Scanning::Enhanced;
    if !enhanced && package.kind == PackageKind::Language {
        return None;
    }
    let fix = match vulnerability.fixed {
        _ if !enhanced => Fix::Unknown,
        Some((revision, published)) if published <= now => Fix::Version(version(package.name, revision)),
        _ => Fix::NotPublished,
    };
    Some(Finding {
        key: vulnerability.key(),
        severity: vulnerability.severity,
        installed: Some(package.version()),
        kind: package.kind,
        fix,
        layer: enhanced.then(|| layer.clone()),
        first_observed: None,
        exploited: enhanced && vulnerability.exploited,
    })
}
