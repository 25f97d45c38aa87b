//! Scans: what basic scanning and Inspector say about platform manifests.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ecr::operation::describe_image_scan_findings::DescribeImageScanFindingsOutput;
use aws_sdk_ecr::operation::start_image_scan::StartImageScanError;
use aws_sdk_ecr::types::{
    EnhancedImageScanFinding, FindingSeverity, ImageScanFinding, ImageScanFindings,
    PackageVulnerabilityDetails, VulnerablePackage,
};
use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::orchestrator::OrchestratorError;
use aws_smithy_runtime_api::client::retries::classifiers::{
    ClassifyRetry, RetryAction, RetryClassifierPriority,
};
use futures::stream::{self, StreamExt};
use patchwave::finding::{
    Absence, Coverage, Finding, FindingKey, Fix, PackageKind, Scan, Severity, Unclear, Uncounted,
};
use patchwave::image::{Digest, Repository};
use patchwave::unread::Unread;
use patchwave_converge::{Fault, ManifestAt, ScanRequest};

use super::Ecr;
use super::read::{AT_ONCE, by_digest};
use crate::fault::fault;
use crate::time::timestamp;

/// Most findings that one page holds.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeImageScanFindings.html>
const PAGE: i32 = 1_000;
/// Most pages to read. More pages mean an endless loop.
const MOST_PAGES: usize = 100;
/// Most findings of one manifest to keep: ten times what the worst images have.
const MOST_FINDINGS: usize = 20_000;
/// The package of a finding that does not name one.
const UNNAMED: &str = "unnamed";

type Findings = BTreeMap<FindingKey, Finding>;

impl Ecr {
    /// Reads the scans of platform manifests.
    pub(crate) async fn scans(&self, wanted: &BTreeSet<ManifestAt>) -> BTreeMap<ManifestAt, ScanRead> {
        let reads = wanted.iter().map(|at| async { (at.clone(), self.scan(at).await) });
        stream::iter(reads).buffer_unordered(AT_ONCE).collect().await
    }

    /// Reads one scan. A scan that is not read completely is unread: half a list of findings would
    /// look cleaner than it is.
    async fn scan(&self, at: &ManifestAt) -> ScanRead {
        match self.answered(at).await {
            Ok(answer) if answer.lacks_time() => ScanRead::WithoutTime(answer),
            Ok(answer) => ScanRead::Whole(answer.complete()),
            Err(scan) => ScanRead::Whole(scan),
        }
    }

    /// Reads all pages of an answer, or the scan that it stands for if there are none.
    async fn answered(&self, (repository, digest): &ManifestAt) -> Result<Answered, Scan> {
        let call = self.client.describe_image_scan_findings().registry_id(&self.account);
        let call = call.repository_name(repository.name()).image_id(by_digest(digest));
        let mut pages = call.into_paginator().page_size(PAGE).send();
        let mut answer = Answered::default();
        for _ in 0..MOST_PAGES {
            let page = match pages.next().await {
                Some(Ok(page)) => page,
                Some(Err(error)) => match error.as_service_error() {
                    Some(e) if e.is_scan_not_found_exception() => return Err(Scan::Missing),
                    Some(e) if e.is_image_not_found_exception() || e.is_repository_not_found_exception() => {
                        return Err(unclear("the registry has no such image"));
                    }
                    _ => return Err(Scan::Unread(fault("read the scan", &error).into())),
                },
                None => return Ok(answer),
            };
            answer.add(status(&page)?, &page);
            if answer.findings.len() > MOST_FINDINGS {
                return Err(unclear(format!("it has more than {MOST_FINDINGS} findings")));
            }
        }
        Err(unclear(format!("its findings do not end after {MOST_PAGES} pages")))
    }

    /// Requests a scan. The SDK would take a limit for throttling and ask three times more.
    pub(crate) async fn request_scan(
        &self,
        repository: &Repository,
        manifest: &Digest,
    ) -> Result<ScanRequest, Fault> {
        let call = self.client.start_image_scan().registry_id(&self.account);
        let call = call.repository_name(repository.name()).image_id(by_digest(manifest));
        let once = aws_sdk_ecr::Config::builder().retry_classifier(LimitIsFinal);
        let Err(error) = call.customize().config_override(once).send().await else {
            return Ok(ScanRequest::Begun);
        };
        // "The scan quota per image has been exceeded" is about this image, and basic scanning
        // makes one scan of it a day. Every other limit is the account's.
        let message = error.as_service_error().and_then(|e| e.meta().message()).unwrap_or_default();
        let is_limit = error.as_service_error().is_some_and(StartImageScanError::is_limit_exceeded_exception);
        if is_limit && !message.contains("per image") {
            return Ok(ScanRequest::AtLimit);
        }
        let impossible = error.as_service_error().is_some_and(|e| {
            // Enhanced scanning allows none on request: it answers with ValidationException or says
            // that the feature is disabled. Archived images and unsupported image types allow none
            // either.
            e.is_limit_exceeded_exception()
                || e.is_validation_exception()
                || e.is_unsupported_image_type_exception()
                || e.is_image_archived_exception()
                || e.meta().message().is_some_and(|message| message.contains("disabled"))
        });
        if impossible {
            Ok(ScanRequest::Refused)
        } else {
            Err(fault(format!("ask for a scan of {repository}@{manifest}"), &error))
        }
    }
}

/// Repeats no request that a limit refused: it refuses all of them until the day ends.
#[derive(Debug)]
struct LimitIsFinal;

impl ClassifyRetry for LimitIsFinal {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let error =
            context.output_or_error().and_then(Result::err).and_then(OrchestratorError::as_operation_error);
        let error = error.and_then(|error| error.downcast_ref::<StartImageScanError>());
        match error {
            Some(error) if error.is_limit_exceeded_exception() => RetryAction::RetryForbidden,
            _ => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "LimitIsFinal"
    }

    /// After the SDK's own, which takes every limit for throttling.
    fn priority(&self) -> RetryClassifierPriority {
        RetryClassifierPriority::run_after(RetryClassifierPriority::transient_error_classifier())
    }
}

/// An answer that makes no sense, or that is not read to its end: the scan may say anything.
fn unclear(because: impl Into<String>) -> Scan {
    Scan::Unread(Unread { because: because.into(), needs_person: true })
}

/// The statuses that mean that findings can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    /// Made once.
    Complete,
    /// Inspector watches the image until the end of its scan window.
    Active,
}

/// Returns the status of a finished scan, or the scan that is not finished.
fn status(page: &DescribeImageScanFindingsOutput) -> Result<Status, Scan> {
    let status = page.image_scan_status();
    let word = status.and_then(|status| status.status()).map_or("no status", |status| status.as_str());
    let because = || match status.and_then(|status| status.description()) {
        Some(why) if !why.is_empty() => format!("{word}: {}", why.chars().take(200).collect::<String>()),
        _ => word.to_owned(),
    };
    match word {
        "COMPLETE" => Ok(Status::Complete),
        "ACTIVE" => Ok(Status::Active),
        "IN_PROGRESS" | "PENDING" => Err(Scan::Pending),
        "SCAN_ELIGIBILITY_EXPIRED" => Err(Scan::Expired),
        "UNSUPPORTED_IMAGE" | "IMAGE_SIZE_EXCEEDED" => Err(Scan::Unsupported(because())),
        "FAILED" | "FINDINGS_UNAVAILABLE" | "LIMIT_EXCEEDED" | "IMAGE_ARCHIVED" => {
            Err(Scan::Failed(because()))
        }
        _ => Err(unclear(format!("its status is unknown to Patchwave: {}", because()))),
    }
}

fn completed_at(findings: &ImageScanFindings) -> Option<jiff::Timestamp> {
    let times = [findings.image_scan_completed_at(), findings.vulnerability_source_updated_at()];
    times.into_iter().flatten().find_map(timestamp)
}

/// The scan of one manifest, as far as the registry knows it.
#[derive(Debug)]
pub(crate) enum ScanRead {
    Whole(Scan),
    /// A watched image without findings may have no time. Inspector knows when it scanned it last.
    WithoutTime(Answered),
}

/// What the pages of one scan say together.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    findings: Findings,
    unclear: BTreeMap<FindingKey, Unclear>,
    status: Option<Status>,
    completed_at: Option<jiff::Timestamp>,
    /// Whether Inspector made the scan: then it covers language packages too.
    is_enhanced: bool,
    /// How many findings the answer counts, by severity.
    counted: u64,
}

impl Answered {
    fn add(&mut self, status: Status, page: &DescribeImageScanFindingsOutput) {
        self.status = Some(status);
        let Some(found) = page.image_scan_findings() else { return };
        self.completed_at = self.completed_at.or_else(|| completed_at(found));
        self.is_enhanced |= !found.enhanced_findings().is_empty();
        let counts = found.finding_severity_counts().into_iter().flat_map(|counts| counts.values());
        self.counted = self.counted.max(counts.map(|count| u64::from(count.unsigned_abs())).sum());
        for found in found.findings() {
            self.list(vec![basic(found)], found.severity().map(FindingSeverity::as_str));
        }
        for found in found.enhanced_findings() {
            match inactive(found) {
                Some(status) => {
                    let findings = enhanced(found).into_iter();
                    self.unclear.extend(findings.map(|f| (f.key, Unclear::Status(status.to_owned()))));
                }
                None => self.list(enhanced(found), found.severity()),
            }
        }
    }

    /// Adds findings that the scanner rates with `word`.
    fn list(&mut self, findings: Vec<Finding>, word: Option<&str>) {
        for finding in findings {
            if let Some(word) = word.filter(|word| !SEVERITIES.contains(word)) {
                self.unclear.insert(finding.key.clone(), Unclear::Severity(word.to_owned()));
            }
            match self.findings.entry(finding.key.clone()) {
                Entry::Vacant(free) => {
                    free.insert(finding);
                }
                Entry::Occupied(mut taken) => merge(taken.get_mut(), finding),
            }
        }
    }

    fn lacks_time(&self) -> bool {
        self.status == Some(Status::Active) && self.completed_at.is_none()
    }

    /// Completes a scan without a time.
    pub(crate) fn completed_at(self, at: Option<jiff::Timestamp>) -> Scan {
        Self { completed_at: at, ..self }.complete()
    }

    fn complete(self) -> Scan {
        if self.counted > 0 && self.findings.is_empty() && self.unclear.is_empty() {
            return unclear(format!("it counts {} findings and lists none", self.counted));
        }
        let coverage = match self.status {
            Some(Status::Complete) if !self.is_enhanced => Coverage::Os,
            Some(Status::Complete | Status::Active) => Coverage::OsAndLanguages,
            None => return unclear("it has no status"),
        };
        // A scan of unknown age proves nothing.
        let Some(completed_at) = self.completed_at else {
            return unclear("it does not say when it completed");
        };
        Scan::Complete {
            completed_at,
            coverage,
            findings: self.findings.into_values().collect(),
            unclear: self.unclear,
            absence: match self.status {
                Some(Status::Active) => Absence::Shown,
                _ => Absence::ShownWhileRecent,
            },
            uncounted: Uncounted::default(),
        }
    }
}

/// The words for severities in the models of ECR and Inspector.
const SEVERITIES: [&str; 7] =
    ["CRITICAL", "HIGH", "MEDIUM", "LOW", "INFORMATIONAL", "UNDEFINED", "UNTRIAGED"];

/// Returns the status of a finding that a person suppressed or that Inspector closed. It may be
/// there all the same: a closed finding proves nothing.
fn inactive(found: &EnhancedImageScanFinding) -> Option<&str> {
    found.status().filter(|status| *status != "ACTIVE")
}

/// Merges two reports of one vulnerability in one package, such as the same library in two places.
/// The worse one counts.
fn merge(one: &mut Finding, other: Finding) {
    one.severity = one.severity.max(other.severity);
    one.exploited |= other.exploited;
    one.kind = one.kind.min(other.kind);
    one.fix = match (one.fix.clone(), other.fix) {
        (Fix::NotPublished, fix) | (fix, Fix::NotPublished) => fix,
        (one, other) => one.min(other),
    };
    one.layer = one.layer.take().or(other.layer);
    one.installed = one.installed.take().or(other.installed);
    one.first_observed = [one.first_observed, other.first_observed].into_iter().flatten().min();
}

fn basic(found: &ImageScanFinding) -> Finding {
    let attribute = |key: &str| {
        let attribute = found.attributes().iter().find(|attribute| attribute.key() == key);
        attribute.and_then(|attribute| attribute.value()).map(str::to_owned)
    };
    Finding {
        key: FindingKey {
            vulnerability: identifier(found.name().unwrap_or(UNNAMED)).into(),
            package: attribute("package_name").as_deref().unwrap_or(UNNAMED).into(),
        },
        severity: severity(found.severity().map(FindingSeverity::as_str)),
        installed: attribute("package_version"),
        kind: PackageKind::Os,
        fix: Fix::Unknown,
        layer: None,
        first_observed: None,
        exploited: false,
    }
}

/// Reads an Inspector finding: one for each package that it names.
///
/// Findings of other types (code, network) are skipped, because a rebuild does not fix them.
fn enhanced(found: &EnhancedImageScanFinding) -> Vec<Finding> {
    if found.r#type().is_some_and(|kind| kind != "PACKAGE_VULNERABILITY") {
        return Vec::new();
    }
    let details = found.package_vulnerability_details();
    let vulnerability = details.and_then(|d| d.vulnerability_id()).or(found.title()).unwrap_or(UNNAMED);
    let finding = |package: Option<&VulnerablePackage>| Finding {
        key: FindingKey {
            vulnerability: identifier(vulnerability).into(),
            package: package.and_then(|package| package.name()).unwrap_or(UNNAMED).into(),
        },
        severity: severity(found.severity()),
        installed: package.and_then(installed),
        kind: match package.and_then(|package| package.package_manager()) {
            None | Some("OS") => PackageKind::Os,
            Some(_) => PackageKind::Language,
        },
        fix: fix(package.and_then(|package| package.fixed_in_version()), found.fix_available()),
        layer: package.and_then(|package| package.source_layer_hash()).and_then(|hash| hash.parse().ok()),
        first_observed: found.first_observed_at().and_then(timestamp),
        exploited: found.exploit_available() == Some("YES"),
    };
    match details.map(PackageVulnerabilityDetails::vulnerable_packages) {
        Some(packages) if !packages.is_empty() => packages.iter().map(|p| finding(Some(p))).collect(),
        // A finding without a package is still a finding.
        _ => vec![finding(None)],
    }
}

/// A title may take the place of a missing identifier. It must not contain the separator of a
/// written key: the key would be another one when it is read back.
fn identifier(name: &str) -> String {
    name.replace(" in ", "_in_")
}

fn installed(package: &VulnerablePackage) -> Option<String> {
    let version = package.version()?;
    Some(match package.release() {
        Some(release) if !release.is_empty() => format!("{version}-{release}"),
        _ => version.to_owned(),
    })
}

fn fix(fixed_in: Option<&str>, available: Option<&str>) -> Fix {
    match fixed_in.filter(|version| !version.is_empty()) {
        Some("NotAvailable") => Fix::NotPublished,
        Some(version) => Fix::Version(version.to_owned()),
        None if available == Some("NO") => Fix::NotPublished,
        None => Fix::Unknown,
    }
}

fn severity(name: Option<&str>) -> Severity {
    match name.unwrap_or_default() {
        "CRITICAL" => Severity::Critical,
        "HIGH" => Severity::High,
        "MEDIUM" => Severity::Medium,
        "LOW" => Severity::Low,
        _ => Severity::Unrated,
    }
}
