//! What a scanner finds: packages lie in layers, vulnerabilities in versions of packages.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::clock::epoch_seconds;
use crate::moto::{ACCOUNT, REGION};

/// Which of ECR's two scanners the registry uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Scanning {
    /// Once a day at most, and when asked; operating-system packages only, no fixed versions, no layers.
    Basic,
    /// Amazon Inspector's: all the time, never when asked; language packages, fixed versions and layers.
    #[default]
    Enhanced,
}

/// A package in a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    pub name: String,
    pub version: String,
    /// Inspector's word for where it comes from: `OS`, `NODEPKG`, `PYTHONPKG` …
    pub manager: String,
}

/// A published vulnerability of one version of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vulnerability {
    /// Such as `CVE-2026-1000`.
    pub id: String,
    pub package: String,
    /// In which version.
    pub affects: String,
    /// The version that fixes it, if there is one yet.
    pub fixed_in: Option<String>,
    /// `CRITICAL`, `HIGH`, `MEDIUM` or `LOW`.
    pub severity: String,
    /// Since when scanners know of it.
    pub known_since: Timestamp,
}

/// What became of the scan of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Complete(Timestamp),
    /// It did not: the status word of `DescribeImageScanFindings`.
    Other(&'static str),
}

/// A package that a vulnerability is in, and the layer that holds it.
type Hit<'s> = (&'s str, &'s Package, &'s Vulnerability);

/// The registry's scanner.
#[derive(Debug, Default)]
pub struct Scanner {
    /// Which one it is.
    pub scanning: Scanning,
    /// What each layer holds.
    pub packages: BTreeMap<String, Vec<Package>>,
    /// The scan of each manifest that has one.
    pub scans: BTreeMap<String, Outcome>,
    /// What is known.
    pub vulnerabilities: Vec<Vulnerability>,
}

impl Scanner {
    /// Returns what a scan of `layers` finds at `seen_at`.
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

    /// Returns the last moment that a completed scan of `completed` covers: enhanced scanning never stops.
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
