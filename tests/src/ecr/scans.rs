//! Scans of platform manifests. An index is never scanned.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Registry, repository_arn};
use crate::awsjson::{Answer, Refusal, page, text};
use crate::clock::epoch_seconds;
use crate::content;
use crate::moto::ACCOUNT;
use crate::scanner::{Outcome, Scanning};

impl Registry {
    /// Scans a manifest that was just pushed.
    pub(super) fn scan_pushed(&self, repository: &str, manifest: &str) {
        // Scanners read no layers of attestations.
        if self.layers_of(repository, manifest).is_empty() {
            self.state().scanner.scans.insert(manifest.to_owned(), Outcome::Other("UNSUPPORTED_IMAGE"));
            return;
        }
        self.scan(repository, manifest);
    }

    /// Scans a manifest and emits the event of a scan on push or of a repeated scan.
    pub fn scan(&self, repository: &str, manifest: &str) {
        let outcome = if self.state().failing_scans.contains(repository) {
            Outcome::Other("FAILED")
        } else {
            Outcome::Complete(self.clock.now())
        };
        self.state().scanner.scans.insert(manifest.to_owned(), outcome);
        self.bus.put(self.scan_event(repository, manifest));
    }

    /// Scans all platform manifests under an index.
    pub fn scan_version(&self, repository: &str, index: &str) {
        let document = self.document(repository, index).unwrap_or_default();
        for manifest in content::platforms(&document).values() {
            self.scan(repository, manifest);
        }
    }

    /// Completes the requested scans.
    pub fn finish_scans(&self) {
        let waiting: Vec<(String, String)> = {
            let state = self.state();
            let in_progress = |(_, manifest): &&(String, String)| {
                state.outcome_of(manifest) == Some(Outcome::Other("IN_PROGRESS"))
            };
            state.pushed.keys().filter(in_progress).cloned().collect()
        };
        for (repository, manifest) in waiting {
            self.scan(&repository, &manifest);
        }
    }

    /// Emits the Inspector finding of a vulnerability for each manifest that carries it.
    pub(super) fn emit_findings(&self, vulnerability: &str) {
        let now = self.clock.now();
        let state = self.state();
        let findings = state.pushed.iter().filter_map(|((repository, manifest), pushed)| {
            let layers = pushed.layers();
            let hits = state.scanner.hits(&layers, now);
            let hit = hits.iter().find(|(_, _, known)| known.id == vulnerability);
            hit.map(|hit| (repository, manifest, state.scanner.finding(hit, repository, manifest)))
        });
        for (repository, manifest, mut finding) in findings {
            for time in ["firstObservedAt", "lastObservedAt", "updatedAt"] {
                // The events of Inspector write times in another way than its API.
                finding[time] = now.strftime("%a %b %d %H:%M:%S%.3f UTC %Y").to_string().into();
            }
            let resource = format!("{}/{manifest}", repository_arn(repository));
            self.bus.emit("aws.inspector2", "Inspector2 Finding", &[resource], finding);
        }
    }

    /// Returns the vulnerabilities that a scan of a manifest lists now.
    pub fn vulnerabilities_in(&self, repository: &str, manifest: &str) -> Vec<String> {
        let layers = self.layers_of(repository, manifest);
        let now = self.clock.now();
        self.state().scanner.hits(&layers, now).iter().map(|(_, _, known)| known.id.clone()).collect()
    }

    /// Makes the event that the scan of a manifest has ended, without emitting it.
    pub fn scan_event(&self, repository: &str, manifest: &str) -> Value {
        let mut counts = self.severity_counts(repository, manifest);
        let (scanning, failed) = {
            let state = self.state();
            (state.scanner.scanning, state.outcome_of(manifest) == Some(Outcome::Other("FAILED")))
        };
        let (source, detail_type, name, status) = match scanning {
            Scanning::Basic => {
                let status = if failed { "FAILED" } else { "COMPLETE" };
                ("aws.ecr", "ECR Image Scan", repository.to_owned(), status)
            }
            Scanning::Enhanced => {
                counts.insert("TOTAL".into(), counts.values().sum());
                ("aws.inspector2", "Inspector2 Scan", repository_arn(repository), "INITIAL_SCAN_COMPLETE")
            }
        };
        let mut detail = json!({
            "scan-status": status,
            "repository-name": name,
            "image-digest": manifest,
            "image-tags": [],
        });
        if status != "FAILED" {
            detail["finding-severity-counts"] = json!(counts);
        }
        self.bus.event(source, detail_type, &[repository_arn(repository)], detail)
    }

    fn layers_of(&self, repository: &str, manifest: &str) -> Vec<String> {
        content::layers(&self.document(repository, manifest).unwrap_or_default())
    }

    fn severity_counts(&self, repository: &str, manifest: &str) -> BTreeMap<String, u32> {
        let layers = self.layers_of(repository, manifest);
        let now = self.clock.now();
        self.state().scanner.hits(&layers, now).iter().fold(
            BTreeMap::new(),
            |mut counts, (_, _, vulnerability)| {
                *counts.entry(vulnerability.severity.clone()).or_default() += 1;
                counts
            },
        )
    }

    pub(super) fn scanning_configuration(&self) -> Value {
        let (kind, frequency) = match self.state().scanner.scanning {
            Scanning::Basic => ("BASIC", "SCAN_ON_PUSH"),
            Scanning::Enhanced => ("ENHANCED", "CONTINUOUS_SCAN"),
        };
        json!({
            "registryId": ACCOUNT,
            "scanningConfiguration": {
                "scanType": kind,
                "rules": [{
                    "scanFrequency": frequency,
                    "repositoryFilters": [{ "filter": "*", "filterType": "WILDCARD" }],
                }],
            },
        })
    }

    pub(super) fn start_image_scan(&self, input: &Value) -> Answer {
        let (repository, id) = (text(input, "repositoryName"), &input["imageId"]);
        let pushed = self.pushed(repository, id)?;
        let manifest = text(id, "imageDigest");
        let mut state = self.state();
        if state.scanner.scanning == Scanning::Enhanced {
            return Err(Refusal::new("ValidationException", "This feature is disabled"));
        }
        if pushed.layers().is_empty() {
            return Err(Refusal::new("UnsupportedImageTypeException", "the image cannot be scanned"));
        }
        if let Some(Outcome::Complete(at)) = state.outcome_of(manifest)
            && self.clock.now().duration_since(at) < SignedDuration::from_hours(24)
        {
            return Err(Refusal::new("LimitExceededException", "the scan quota per image has been exceeded"));
        }
        state.scanner.scans.insert(manifest.to_owned(), Outcome::Other("IN_PROGRESS"));
        Ok(described(repository, id, "IN_PROGRESS", Value::Null))
    }

    pub(super) fn describe_image_scan_findings(&self, input: &Value) -> Answer {
        let (repository, id) = (text(input, "repositoryName"), &input["imageId"]);
        let pushed = self.pushed(repository, id)?;
        let manifest = text(id, "imageDigest");
        let state = self.state();
        match state.outcome_of(manifest) {
            _ if pushed.is_index() => Err(scan_not_found(repository, id)),
            None => Err(scan_not_found(repository, id)),
            Some(Outcome::Other(status)) => Ok(described(repository, id, status, Value::Null)),
            Some(Outcome::Complete(at)) => {
                let covered = state.scanner.covers_until(at);
                let layers = pushed.layers();
                let hits = state.scanner.hits(&layers, covered);
                let all: Vec<Value> =
                    hits.iter().map(|hit| state.scanner.finding(hit, repository, manifest)).collect();
                let (findings, next) = page(&all, input["nextToken"].as_str(), state.page)?;
                let (status, field) = match state.scanner.scanning {
                    Scanning::Basic => ("COMPLETE", "findings"),
                    Scanning::Enhanced => ("ACTIVE", "enhancedFindings"),
                };
                let mut answer = described(repository, id, status, completed(covered, field, findings));
                answer["nextToken"] = next.into();
                Ok(answer)
            }
        }
    }
}

fn completed(at: Timestamp, field: &str, findings: Vec<Value>) -> Value {
    let at = epoch_seconds(at);
    json!({ "imageScanCompletedAt": at, "vulnerabilitySourceUpdatedAt": at, field: findings })
}

fn described(repository: &str, id: &Value, status: &str, findings: Value) -> Value {
    json!({
        "registryId": ACCOUNT,
        "repositoryName": repository,
        "imageId": id,
        "imageScanStatus": { "status": status, "description": "" },
        "imageScanFindings": findings,
    })
}

fn scan_not_found(repository: &str, id: &Value) -> Refusal {
    let message =
        format!("Image scan does not exist for the image with '{id}' in the repository '{repository}'");
    Refusal::new("ScanNotFoundException", message)
}
