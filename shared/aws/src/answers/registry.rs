//! ECR.

use std::collections::{BTreeMap, BTreeSet};

use aws_config::SdkConfig;
use patchwave::finding::{Scan, Severity};
use patchwave::hierarchy::Hierarchy;
use patchwave::image::Digest;
use patchwave::inventory::{Frequency, Scanner};
use patchwave_converge::{Fault, Found, ManifestAt, ScanRequest};
use serde_json::{Value, json};

use super::{Row, again, check, failing, kind, of_call};
use crate::ecr::{Cache, Ecr, ScanRead};
use crate::fake::{self, digest};

pub(super) const YAML: &str = "{version: 1, registry: 111122223333.dkr.ecr.us-east-1.amazonaws.com, \
                    images: [{tier: base, repository: base/os, tags: ['1'], from: scratch}]}";

pub(super) fn ecr(config: &SdkConfig) -> Ecr {
    let registry = "111122223333.dkr.ecr.us-east-1.amazonaws.com".parse().unwrap();
    Ecr::new(aws_sdk_ecr::Client::new(config), &registry, &Cache::default())
}

pub(super) fn digest_of(n: usize) -> Digest {
    digest(n).parse().unwrap()
}

fn at() -> ManifestAt {
    ("base/os".parse().unwrap(), digest_of(1))
}

pub(super) fn manifest() -> String {
    json!({"config": {"digest": digest(2), "mediaType": "application/vnd.oci.image.config.v1+json", "size": 2},
           "layers": [{"digest": digest(3), "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip"}]})
    .to_string()
}

fn usual(operation: &str) -> Value {
    match operation {
        "DescribeImages" => json!({"imageDetails": [
            {"imageDigest": digest(1), "imageTags": ["1"], "imagePushedAt": 1_700_000_000}]}),
        "BatchGetImage" => {
            json!({"images": [{"imageId": {"imageDigest": digest(1)}, "imageManifest": manifest()}]})
        }
        _ => json!({}),
    }
}

#[tokio::test]
async fn answers_of_the_registry() {
    check("answers_of_the_registry", async |row| {
        let ecr = ecr(&failing(row, usual));
        let one = BTreeSet::from([at()]);
        match row.operation {
            "DescribeImages" => found(current(&ecr).await),
            "BatchGetImage" => match ecr.versions(&one).await.remove(&at()).unwrap() {
                Ok(None) => "absent".to_owned(),
                answer => of_call(answer, "found"),
            },
            "GetDownloadUrlForLayer" => match ecr.diff_ids(&one).await.remove(&at()).unwrap() {
                Ok(digests) if digests.is_empty() => "silent".to_owned(),
                answer => of_call(answer, "found"),
            },
            "GetRegistryScanningConfiguration" => of_call(ecr.scanning().await, "found"),
            "DescribeImageScanFindings" => scan(&ecr).await,
            "StartImageScan" => match ecr.request_scan(&at().0, &at().1).await {
                Ok(ScanRequest::Begun) => "begun".to_owned(),
                Ok(ScanRequest::Refused) => "refused".to_owned(),
                Ok(ScanRequest::AtLimit) => "atLimit".to_owned(),
                Err(fault) => kind(fault.kind).to_owned(),
            },
            other => panic!("no call of {other}"),
        }
    })
    .await;
}

async fn current(ecr: &Ecr) -> Result<Found, Fault> {
    let hierarchy = Hierarchy::parse("h.yaml", YAML).unwrap();
    let images: Vec<_> = hierarchy.images().collect();
    ecr.currents(&images, &Ok(BTreeMap::new())).await.into_values().next().unwrap()
}

fn found(found: Result<Found, Fault>) -> String {
    match found {
        Ok(Found::Absent) => "absent".to_owned(),
        Ok(Found::NoRepository(_)) => "noRepository".to_owned(),
        answer => of_call(answer, "found"),
    }
}

async fn scan(ecr: &Ecr) -> String {
    match ecr.scans(&BTreeSet::from([at()])).await.remove(&at()).unwrap() {
        ScanRead::WithoutTime(_) => "withoutTime".to_owned(),
        ScanRead::Whole(Scan::Missing) => "missing".to_owned(),
        ScanRead::Whole(Scan::Pending) => "pending".to_owned(),
        ScanRead::Whole(Scan::Failed(_)) => "failed".to_owned(),
        ScanRead::Whole(Scan::Unsupported(_)) => "unsupported".to_owned(),
        ScanRead::Whole(Scan::Expired) => "expired".to_owned(),
        ScanRead::Whole(Scan::Unread(unread)) => again(&unread),
        ScanRead::Whole(Scan::Complete { findings, .. }) => match findings.iter().next() {
            None => "complete".to_owned(),
            Some(finding) => severity(finding.severity).to_owned(),
        },
    }
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "critical",
        Severity::High => "high",
        Severity::Medium => "medium",
        Severity::Low => "low",
        Severity::Unrated => "unrated",
    }
}

#[tokio::test]
async fn values_of_the_registry() {
    check("values_of_the_registry", async |row| {
        let (config, _) = fake::config(1, move |operation, _| (200, with_value(row, operation)));
        let ecr = ecr(&config);
        match row.operation {
            "ImageFailureCode" => match ecr.versions(&BTreeSet::from([at()])).await.remove(&at()).unwrap() {
                Ok(None) => "absent".to_owned(),
                answer => of_call(answer, "found"),
            },
            "ScanStatus" | "FindingSeverity" => scan(&ecr).await,
            "ScanType" => match ecr.scanning().await.unwrap().scanner {
                Scanner::Basic => "basic".to_owned(),
                Scanner::Enhanced => "enhanced".to_owned(),
            },
            "ScanFrequency" => match ecr.scanning().await.unwrap().rules[0].frequency {
                Frequency::Continuous => "continuous".to_owned(),
                Frequency::OnPush => "onPush".to_owned(),
                Frequency::Manual => "manual".to_owned(),
            },
            other => panic!("no value of {other}"),
        }
    })
    .await;
}

/// What the registry answers when the row's value is in its answers.
fn with_value(row: Row, operation: &str) -> Value {
    let or = |enumeration, other: &'static str| {
        if row.is_value_of(enumeration) { row.answer } else { other }
    };
    match operation {
        "BatchGetImage" if row.is_value_of("ImageFailureCode") => {
            json!({"failures": [{"imageId": {"imageDigest": digest(1)}, "failureCode": row.answer}]})
        }
        "DescribeImageScanFindings" => {
            let finding = json!({"name": "CVE-1", "severity": or("FindingSeverity", "HIGH"),
                "attributes": [{"key": "package_name", "value": "openssl"}]});
            let findings = if row.is_value_of("FindingSeverity") { vec![finding] } else { Vec::new() };
            json!({"imageScanStatus": {"status": or("ScanStatus", "COMPLETE")}, "imageScanFindings": {
                "imageScanCompletedAt": 1_700_000_000, "findings": findings}})
        }
        "GetRegistryScanningConfiguration" => json!({"scanningConfiguration": {
            "scanType": or("ScanType", "BASIC"),
            "rules": [{"scanFrequency": or("ScanFrequency", "MANUAL"), "repositoryFilters": []}]}}),
        other => usual(other),
    }
}
