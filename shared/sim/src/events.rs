//! Events as EventBridge delivers them, in the shapes of AWS.
//!
//! <https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-eventbridge.html>,
//! <https://docs.aws.amazon.com/inspector/latest/user/eventbridge-integration.html>,
//! <https://docs.aws.amazon.com/codepipeline/latest/userguide/detect-state-changes-cloudwatch-events.html>

use std::collections::BTreeMap;

use patchwave::facts::ExecutionState;
use patchwave::finding::{Finding, Fix, PackageKind, Severity};
use patchwave::image::{Digest, EcrRegistry, Repository, Tag};
use patchwave::time::Timestamp;
use patchwave::trigger::{AccountRegion, Trigger};
use patchwave_converge::ManifestAt;
use serde_json::{Value, json};

use crate::draw::hex;
use crate::pipelines::Execution;

/// An event: what its function is going to make of it, and how AWS writes it.
#[derive(Debug, Clone)]
pub(crate) struct Letter {
    pub(crate) trigger: Trigger,
    /// Its number, the same on every copy: AWS calls it the event's id.
    pub(crate) number: u64,
    /// Nothing where nobody is going to read it.
    pub(crate) json: Option<Value>,
}

/// Writes events of one account and region.
#[derive(Debug, Clone)]
pub(crate) struct Envelope {
    registry: EcrRegistry,
    written: u64,
    /// Whether events are written as JSON: where a world is played for its end alone, what a letter means is enough.
    pub(crate) is_writing: bool,
}

impl Envelope {
    pub(crate) fn new(registry: EcrRegistry) -> Self {
        Self { registry, written: 0, is_writing: true }
    }

    fn place(&self) -> AccountRegion {
        AccountRegion {
            account: self.registry.account().to_owned(),
            region: self.registry.region().to_owned(),
        }
    }

    /// Numbers an event, and writes it if anybody is going to read it.
    fn letter(&mut self, trigger: Trigger, json: impl FnOnce(&Self) -> Value) -> Letter {
        self.written += 1;
        let json = self.is_writing.then(|| json(self));
        Letter { trigger, number: self.written, json }
    }

    fn write(
        &self,
        source: &str,
        detail_type: &str,
        now: Timestamp,
        resource: Option<String>,
        detail: &Value,
    ) -> Value {
        let id = hex(&format!("event {}", self.written));
        let part = |range: std::ops::Range<usize>| id.get(range).unwrap_or_default();
        json!({
            "version": "0",
            "id": format!("{}-{}-{}-{}-{}", part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)),
            "detail-type": detail_type,
            "source": source,
            "account": self.registry.account(),
            "time": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "region": self.registry.region(),
            "resources": resource.into_iter().collect::<Vec<_>>(),
            "detail": detail,
        })
    }

    fn arn(&self, service: &str, name: &str) -> String {
        format!("arn:aws:{service}:{}:{}:{name}", self.registry.region(), self.registry.account())
    }

    fn repository_arn(&self, repository: &Repository) -> String {
        self.arn("ecr", &format!("repository/{repository}"))
    }

    /// One manifest was put: under one tag, or under none as the parts of an index are.
    pub(crate) fn pushed(
        &mut self,
        repository: &Repository,
        digest: &Digest,
        tag: Option<&Tag>,
        is_index: bool,
        now: Timestamp,
    ) -> Letter {
        let trigger = Trigger::RepositoryChanged {
            at: self.place(),
            repository: repository.clone(),
            digest: Some(digest.clone()),
            tags: tag.into_iter().cloned().collect(),
        };
        self.letter(trigger, |envelope| {
            let kind = if is_index { "index" } else { "manifest" };
            let detail = json!({
                "result": "SUCCESS",
                "repository-name": repository,
                "image-digest": digest,
                "action-type": "PUSH",
                "image-tag": tag.map_or("", Tag::as_str),
                "manifest-media-type": format!("application/vnd.oci.image.{kind}.v1+json"),
            });
            envelope.write("aws.ecr", "ECR Image Action", now, None, &detail)
        })
    }

    fn scanned(&self, (repository, digest): &ManifestAt, tags: &[Tag]) -> Trigger {
        Trigger::Scanned {
            at: self.place(),
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
    ) -> Letter {
        self.letter(self.scanned(at, tags), |envelope| {
            let (repository, digest) = at;
            let detail = json!({
                "scan-status": "COMPLETE",
                "repository-name": repository,
                "finding-severity-counts": counts(findings),
                "image-digest": digest,
                "image-tags": tags,
            });
            let arn = envelope.repository_arn(repository);
            envelope.write("aws.ecr", "ECR Image Scan", now, Some(arn), &detail)
        })
    }

    /// The first enhanced scan of a manifest completed.
    pub(crate) fn enhanced_scan(
        &mut self,
        at: &ManifestAt,
        tags: &[Tag],
        findings: &[Finding],
        now: Timestamp,
    ) -> Letter {
        self.letter(self.scanned(at, tags), |envelope| {
            let (repository, digest) = at;
            let arn = envelope.repository_arn(repository);
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
            envelope.write("aws.inspector2", "Inspector2 Scan", now, Some(arn), &detail)
        })
    }

    /// Something new is known about a manifest that was scanned before.
    pub(crate) fn finding(
        &mut self,
        at: &ManifestAt,
        tags: &[Tag],
        finding: &Finding,
        now: Timestamp,
    ) -> Letter {
        // Its tags stand in the resource, where nobody needs them: the digest says which.
        self.letter(self.scanned(at, &[]), |envelope| envelope.finding_json(at, tags, finding, now))
    }

    fn finding_json(&self, at: &ManifestAt, tags: &[Tag], finding: &Finding, now: Timestamp) -> Value {
        let (repository, digest) = at;
        // Inspector's own way to write time.
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

    /// An execution of Patchwave's changed state.
    pub(crate) fn execution(&mut self, execution: &Execution, now: Timestamp) -> Letter {
        let Execution { id, start, started_at, state, .. } = execution;
        self.execution_of(&start.pipeline, id, (*started_at, *state), now)
    }

    /// Anybody's execution changed state.
    pub(crate) fn execution_of(
        &mut self,
        pipeline: &str,
        id: &str,
        (started_at, state): (Timestamp, ExecutionState),
        now: Timestamp,
    ) -> Letter {
        let state = match state {
            ExecutionState::InProgress => "STARTED",
            ExecutionState::Succeeded => "SUCCEEDED",
            ExecutionState::Failed => "FAILED",
            ExecutionState::Stopped => "STOPPED",
            ExecutionState::Superseded => "SUPERSEDED",
        };
        let trigger = Trigger::Execution {
            at: self.place(),
            pipeline: pipeline.to_owned(),
            execution: id.to_owned(),
            state: state.to_owned().into(),
        };
        self.letter(trigger, |envelope| {
            let detail = json!({
                "pipeline": pipeline,
                "execution-id": id,
                "start-time": started_at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(),
                "state": state,
                // CodePipeline writes whole numbers with a fraction.
                "version": 1.0,
                "pipeline-execution-attempt": 1.0,
            });
            let arn = envelope.arn("codepipeline", pipeline);
            let kind = "CodePipeline Pipeline Execution State Change";
            envelope.write("aws.codepipeline", kind, now, Some(arn), &detail)
        })
    }

    /// The time of the rule that ticks, or of the one that sweeps, has come.
    pub(crate) fn scheduled(&mut self, trigger: Trigger, now: Timestamp) -> Letter {
        let rule = if trigger == Trigger::Sweep { "patchwave-sweep" } else { "patchwave-tick" };
        self.letter(trigger, |envelope| {
            let arn = envelope.arn("events", &format!("rule/{rule}"));
            envelope.write("aws.events", "Scheduled Event", now, Some(arn), &json!({}))
        })
    }
}

/// Severities without a finding are left out.
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
