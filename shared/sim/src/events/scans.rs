//! Events of ECR and Inspector about scans and findings.
//!
//! <https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-eventbridge.html>,
//! <https://docs.aws.amazon.com/inspector/latest/user/eventbridge-integration.html>

use std::collections::BTreeMap;

use patchwave::finding::{Finding, Fix, PackageKind, Severity};
use patchwave::image::{Digest, Repository, Tag};
use patchwave::time::Timestamp;
use patchwave::trigger::Trigger;
use patchwave_converge::ManifestAt;
use serde_json::{Value, json};

use super::{Delivery, EventWriter};
use crate::draw::hex;

impl EventWriter {
    fn scanned(&self, repository: &Repository, digest: &Digest, tags: &[Tag]) -> Trigger {
        Trigger::Scanned {
            at: self.account_region(),
            repository: repository.clone(),
            digest: Some(digest.clone()),
            tags: tags.to_vec(),
        }
    }

    /// A basic scan completed.
    pub(crate) fn basic_scan(
        &mut self,
        at: &ManifestAt,
        tags: &[Tag],
        findings: &[Finding],
        now: Timestamp,
    ) -> Delivery {
        let (repository, digest) = at;
        self.in_registry_of(repository, |writer, repository| {
            let scanned = writer.scanned(repository, digest, tags);
            writer.delivery(scanned, |writer| {
                let detail = json!({
                    "scan-status": "COMPLETE",
                    "repository-name": repository,
                    "finding-severity-counts": counts(findings),
                    "image-digest": digest,
                    "image-tags": tags,
                });
                let arn = writer.repository_arn(repository);
                writer.write("aws.ecr", "ECR Image Scan", now, Some(arn), &detail)
            })
        })
    }

    /// The first enhanced scan of a manifest completed.
    pub(crate) fn enhanced_scan(
        &mut self,
        at: &ManifestAt,
        tags: &[Tag],
        findings: &[Finding],
        now: Timestamp,
    ) -> Delivery {
        let (repository, digest) = at;
        self.in_registry_of(repository, |writer, repository| {
            let scanned = writer.scanned(repository, digest, tags);
            writer.delivery(scanned, |writer| {
                let arn = writer.repository_arn(repository);
                let mut counts = counts(findings);
                counts.insert("TOTAL", findings.len());
                let detail = json!({
                    "scan-status": "INITIAL_SCAN_COMPLETE",
                    "repository-name": arn,
                    "finding-severity-counts": counts,
                    "image-digest": digest,
                    "image-tags": tags,
                    "version": "1.0",
                });
                writer.write("aws.inspector2", "Inspector2 Scan", now, Some(arn), &detail)
            })
        })
    }

    /// Inspector found something new on a manifest that it had scanned before.
    pub(crate) fn finding(
        &mut self,
        at: &ManifestAt,
        tags: &[Tag],
        finding: &Finding,
        now: Timestamp,
    ) -> Delivery {
        // The trigger has no tags: they are in the event's resource, and the digest suffices.
        let (repository, digest) = at;
        self.in_registry_of(repository, |writer, repository| {
            let scanned = writer.scanned(repository, digest, &[]);
            writer.delivery(scanned, |writer| writer.finding_json((repository, digest), tags, finding, now))
        })
    }

    fn finding_json(
        &self,
        (repository, digest): (&Repository, &Digest),
        tags: &[Tag],
        finding: &Finding,
        now: Timestamp,
    ) -> Value {
        // Inspector's own format of time.
        let time = now.strftime("%a %b %d %H:%M:%S.%3f UTC %Y").to_string();
        let id = hex(&format!("finding {repository} {digest} {}", finding.key));
        let fixed_in = match &finding.fix {
            Fix::Version(version) => Some(version),
            Fix::NotPublished | Fix::Unknown => None,
        };
        let resource = format!("{}/{digest}", self.repository_arn(repository));
        let detail = json!({
            "awsAccountId": self.registry.account(),
            "exploitAvailable": if finding.exploited { "YES" } else { "NO" },
            "findingArn": self.arn("inspector2", &format!("finding/{}", id.get(..32).unwrap_or_default())),
            "firstObservedAt": time,
            "lastObservedAt": time,
            "updatedAt": time,
            "fixAvailable": if fixed_in.is_some() { "YES" } else { "NO" },
            "packageVulnerabilityDetails": {
                "vulnerabilityId": finding.key.vulnerability,
                "vulnerablePackages": [{
                    "name": finding.key.package,
                    "version": finding.installed,
                    "fixedInVersion": fixed_in,
                    "packageManager": if finding.kind == PackageKind::Os { "OS" } else { "GENERIC" },
                    "sourceLayerHash": finding.layer,
                }],
            },
            "resources": [{
                "id": resource,
                "type": "AWS_ECR_CONTAINER_IMAGE",
                "partition": "aws",
                "region": self.registry.region(),
                "details": { "awsEcrContainerImage": {
                    "imageHash": digest,
                    "imageTags": tags,
                    "registry": self.registry.account(),
                    "repositoryName": repository,
                } },
            }],
            "severity": severity(finding.severity),
            "status": "ACTIVE",
            "title": format!("{} - {}", finding.key.vulnerability, finding.key.package),
            "type": "PACKAGE_VULNERABILITY",
        });
        self.write("aws.inspector2", "Inspector2 Finding", now, Some(resource), &detail)
    }
}

/// Counts findings by severity. AWS leaves out severities without a finding.
fn counts(findings: &[Finding]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for finding in findings {
        *counts.entry(severity(finding.severity)).or_default() += 1;
    }
    counts
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Unrated => "UNDEFINED",
        Severity::Low => "LOW",
        Severity::Medium => "MEDIUM",
        Severity::High => "HIGH",
        Severity::Critical => "CRITICAL",
    }
}
