//! ECR's scanning: what the scanner knows, and what it says about each manifest.

use std::collections::BTreeMap;

use patchwave::finding::{Coverage, Finding, FindingKey, Findings, Fix, PackageKind, Scan, Unclear};
use patchwave::image::Repository;
use patchwave::time::{Span, Timestamp};
use patchwave_converge::{ManifestAt, ScanRequest};

use crate::packages::{Package, Vulnerability, version};
use crate::registry::{Layers, packages};

/// Basic scanning refuses a second scan of an image within this time.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-scanning-basic.html>
const ONCE_IN: Span = Span::days(1);

/// The scanning type of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scanning {
    /// Scans on push and on request, and lists operating-system packages without their fixes.
    Basic,
    /// Scans on push and when a vulnerability becomes known, and lists all packages with layer and
    /// fix.
    Enhanced,
}

/// The scanner: its database, and the last scan of each manifest.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scanner {
    pub(crate) known: Vec<Vulnerability>,
    scanning: BTreeMap<Repository, Scanning>,
    scans: BTreeMap<ManifestAt, Scan>,
    asked: BTreeMap<ManifestAt, Timestamp>,
    first_observed: BTreeMap<(ManifestAt, FindingKey), Timestamp>,
}

impl Scanner {
    /// Sets how a repository is scanned.
    pub(crate) fn cover(&mut self, repository: Repository, scanning: Scanning) {
        self.scanning.entry(repository).or_insert(scanning);
    }

    /// Returns how a repository is scanned.
    pub(crate) fn scanning(&self, repository: &Repository) -> Scanning {
        self.scanning.get(repository).copied().unwrap_or(Scanning::Enhanced)
    }

    /// Returns the last scan of a manifest.
    pub(crate) fn scan(&self, at: &ManifestAt) -> Scan {
        self.scans.get(at).cloned().unwrap_or(Scan::Missing)
    }

    /// Adds a pushed manifest to the scanner's queue.
    pub(crate) fn enqueue(&mut self, at: &ManifestAt, now: Timestamp) {
        self.scans.entry(at.clone()).or_insert(Scan::Pending);
        self.asked.insert(at.clone(), now);
    }

    /// Replaces the last scan of a manifest by one without a result.
    pub(crate) fn lose(&mut self, at: &ManifestAt, scan: Scan) {
        self.scans.insert(at.clone(), scan);
    }

    /// Suppresses the newest vulnerability that the last scan of a manifest lists, and returns it.
    pub(crate) fn suppress(&mut self, at: &ManifestAt) -> Option<FindingKey> {
        let Some(Scan::Complete { findings, unclear, .. }) = self.scans.get_mut(at) else { return None };
        let (newest, others) = findings.split_last()?;
        let key = newest.key.clone();
        let others = Findings::from(others);
        *findings = others;
        unclear.insert(key.clone(), Unclear::Status("SUPPRESSED".to_owned()));
        Some(key)
    }

    /// Requests a scan. Returns whether the scanner accepts.
    pub(crate) fn request(&mut self, at: &ManifestAt, now: Timestamp) -> ScanRequest {
        let too_early = self.asked.get(at).is_some_and(|last| now < ONCE_IN.after(*last));
        if self.scanning(&at.0) == Scanning::Enhanced || too_early {
            return ScanRequest::Refused;
        }
        self.asked.insert(at.clone(), now);
        ScanRequest::Begun
    }

    /// Scans a manifest and returns the findings that its last scan did not list.
    pub(crate) fn complete(&mut self, at: &ManifestAt, layers: &Layers, now: Timestamp) -> Vec<Finding> {
        let scanning = self.scanning(&at.0);
        let installed = packages(layers);
        if installed.is_empty() {
            // Images from scratch have no package database, so ECR cannot scan them.
            self.scans.insert(at.clone(), Scan::Unsupported("UNSUPPORTED_IMAGE".to_owned()));
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

/// Returns the finding about a vulnerable package, or nothing if this scanning type does not see
/// it.
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
