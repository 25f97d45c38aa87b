//! The scanner: layers hold packages, and versions of packages have vulnerabilities.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::clock::epoch_seconds;
use crate::moto::{ACCOUNT, REGION};

/// Which of ECR's two scanners the registry uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Scanning {
    /// On request, at most once a day. It finds only packages of the operating system, and names
    /// neither fixed versions nor layers.
    Basic,
    /// Amazon Inspector: continuous, and never on request. It finds language packages too, and
    /// names fixed versions and layers.
    #[default]
    Enhanced,
}

/// A package in a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    pub name: String,
    pub version: String,
    /// Inspector's name of the package manager: `OS`, `NODEPKG`, `PYTHONPKG` …
    pub manager: String,
}

/// A published vulnerability of one version of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vulnerability {
    /// For example `CVE-2026-1000`.
    pub id: String,
    pub package: String,
    /// The only version that has it.
    pub affects: String,
    /// The version that fixes it, if one is published.
    pub fixed_in: Option<String>,
    /// `CRITICAL`, `HIGH`, `MEDIUM` or `LOW`.
    pub severity: String,
    /// When scanners learned of it.
    pub known_since: Timestamp,
}

/// The result of the scan of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Complete(Timestamp),
    /// No result: the status in `DescribeImageScanFindings`.
    Other(&'static str),
}

/// A layer, a package in it, and a vulnerability of that package.
type Hit<'s> = (&'s str, &'s Package, &'s Vulnerability);

/// The registry's scanner.
#[derive(Debug, Default)]
pub struct Scanner {
    pub scanning: Scanning,
    /// The packages of each layer.
    pub packages: BTreeMap<String, Vec<Package>>,
    /// The result of each scanned manifest.
    pub scans: BTreeMap<String, Outcome>,
    pub vulnerabilities: Vec<Vulnerability>,
}

impl Scanner {
    /// Returns what a scan of `layers` at `seen_at` finds.
    pub fn hits<'s>(&'s self, layers: &'s [String], seen_at: Timestamp) -> Vec<Hit<'s>> {
        let held = layers.iter().flat_map(|layer| {
            self.packages.get(layer).into_iter().flatten().map(move |package| (layer.as_str(), package))
        });
        held.flat_map(|(layer, package)| {
            let known = self.vulnerabilities.iter().filter(move |v| {
                v.package == package.name && v.affects == package.version && v.known_since <= seen_at
            });
            known.map(move |vulnerability| (layer, package, vulnerability))
        })
        .filter(|(_, package, _)| self.scanning == Scanning::Enhanced || package.manager == "OS")
        .collect()
    }

    /// Returns the last moment that a scan completed at `completed` covers. Enhanced scanning goes
    /// on for ever.
    pub fn covers_until(&self, completed: Timestamp) -> Timestamp {
        match self.scanning {
            Scanning::Basic => completed,
            Scanning::Enhanced => self
                .vulnerabilities
                .iter()
                .map(|v| v.known_since)
                .max()
                .map_or(completed, |known| known.max(completed)),
        }
    }

    /// Writes a hit as a finding of `DescribeImageScanFindings`.
    pub fn finding(&self, hit: &Hit<'_>, repository: &str, manifest: &str) -> Value {
        match self.scanning {
            Scanning::Basic => basic(hit),
            Scanning::Enhanced => enhanced(hit, repository, manifest),
        }
    }
}

fn basic((_, package, vulnerability): &Hit<'_>) -> Value {
    json!({
        "name": vulnerability.id,
        "severity": vulnerability.severity,
        "uri": format!("https://www.cve.org/CVERecord?id={}", vulnerability.id),
        "attributes": [
            { "key": "package_name", "value": package.name },
            { "key": "package_version", "value": package.version },
        ],
    })
}

fn enhanced((layer, package, vulnerability): &Hit<'_>, repository: &str, manifest: &str) -> Value {
    let since = epoch_seconds(vulnerability.known_since);
    json!({
        "awsAccountId": ACCOUNT,
        "findingArn": format!("arn:aws:inspector2:{REGION}:{ACCOUNT}:finding/{}", vulnerability.id),
        "firstObservedAt": since,
        "lastObservedAt": since,
        "updatedAt": since,
        "fixAvailable": if vulnerability.fixed_in.is_some() { "YES" } else { "NO" },
        "exploitAvailable": "NO",
        "severity": vulnerability.severity,
        "status": "ACTIVE",
        "title": format!("{} - {}", vulnerability.id, package.name),
        "type": "PACKAGE_VULNERABILITY",
        "packageVulnerabilityDetails": {
            "vulnerabilityId": vulnerability.id,
            "source": "NVD",
            "vulnerablePackages": [{
                "name": package.name,
                "version": package.version,
                "packageManager": package.manager,
                "sourceLayerHash": layer,
                "fixedInVersion": vulnerability.fixed_in.as_deref().unwrap_or("NotAvailable"),
            }],
        },
        "resources": [{
            "type": "AWS_ECR_CONTAINER_IMAGE",
            "id": format!("arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{repository}/{manifest}"),
            "details": { "awsEcrContainerImage": {
                "repositoryName": repository,
                "registry": ACCOUNT,
                "imageHash": manifest,
            } },
        }],
    })
}
