//! Inspector: which images it scans, for how long, and where it sees them run.

mod coverage;

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_inspector2::Client;
use aws_sdk_inspector2::types::{
    AwsEksWorkloadInfo, ClusterForImageFilterCriteria, ClusterInformation, ClusterMetadata,
    EcrPullDateRescanDuration, EcrPullDateRescanMode, EcrRescanDuration,
};
use futures::stream::{self, StreamExt};
use patchwave::image::{Digest, EcrRegistry, Partition, Repository};
use patchwave::inventory::{ConsumerKind, SeenInUse, UseIs, Windows};
use patchwave::time::Span;
use patchwave_converge::{Fault, ManifestAt};

use crate::fault::{fault, invalid};
use crate::pages;
use crate::time::timestamp;

/// Most clusters on a page.
/// <https://docs.aws.amazon.com/inspector/v2/APIReference/API_GetClustersForImage.html>
const CLUSTERS: i32 = 100;
/// Images that are read at once.
const AT_ONCE: usize = 8;
/// A repository holds at most 100,000 images, so more pages than these mean an endless loop.
const MOST_PAGES: usize = 5_000;

/// Inspector, for one registry.
#[derive(Debug, Clone)]
pub(crate) struct Inspector {
    client: Client,
    registry: EcrRegistry,
    /// Whether it is the home registry, whose repositories are named without its host.
    is_home: bool,
}

impl Inspector {
    pub(crate) fn new(client: Client, registry: &EcrRegistry) -> Self {
        Self { client, registry: registry.clone(), is_home: true }
    }

    /// Returns the scanner of a registry beside the home.
    pub(crate) fn of_another(client: Client, registry: &EcrRegistry) -> Self {
        Self { is_home: false, ..Self::new(client, registry) }
    }

    /// Reads how long Inspector scans an image.
    pub(crate) async fn windows(&self) -> Result<Windows, Fault> {
        let operation = "read Inspector's configuration";
        let output =
            self.client.get_configuration().send().await.map_err(|error| fault(operation, &error))?;
        let state = output.ecr_configuration().and_then(|ecr| ecr.rescan_duration_state());
        let state = state.ok_or_else(|| invalid(operation, "it has no rescan duration for ECR"))?;
        let window = |days: Option<&str>| {
            window(days.unwrap_or_default()).map_err(|problem| invalid(operation, problem))
        };
        Ok(Windows {
            after_push: window(state.rescan_duration().map(EcrRescanDuration::as_str))?,
            after_use: window(state.pull_date_rescan_duration().map(EcrPullDateRescanDuration::as_str))?,
            use_is: match state.pull_date_rescan_mode().map(EcrPullDateRescanMode::as_str) {
                Some("LAST_IN_USE_AT") => UseIs::Running,
                _ => UseIs::Pulled,
            },
        })
    }

    /// Reads in which clusters Inspector saw images run.
    pub(crate) async fn seen_in_use(
        &self,
        images: &BTreeSet<ManifestAt>,
    ) -> BTreeMap<ManifestAt, Result<Vec<SeenInUse>, Fault>> {
        let reads = images.iter().map(|at| async move { (at.clone(), self.clusters(at).await) });
        stream::iter(reads).buffer_unordered(AT_ONCE).collect().await
    }

    /// Returns how Inspector names an image.
    fn arn(&self, repository: &Repository, digest: &Digest) -> String {
        let (region, account) = (self.registry.region(), self.registry.account());
        let partition = Partition::of(region).name;
        format!("arn:{partition}:ecr:{region}:{account}:repository/{}/{digest}", repository.name())
    }

    async fn clusters(&self, (repository, digest): &ManifestAt) -> Result<Vec<SeenInUse>, Fault> {
        let operation = format!("ask Inspector where {repository}@{digest} runs");
        let filter =
            ClusterForImageFilterCriteria::builder().resource_id(self.arn(repository, digest)).build();
        let filter = filter.map_err(|error| invalid(&operation, error.to_string()))?;
        let call = self.client.get_clusters_for_image().filter(filter);
        let clusters = call.into_paginator().page_size(CLUSTERS).send();
        let clusters = pages::at_most(MOST_PAGES, operation, clusters, |page| page.cluster).await?;
        Ok(clusters.iter().flat_map(in_cluster).collect())
    }
}

/// Reads a window such as `DAYS_14`. A window that never ends is `None`.
fn window(text: &str) -> Result<Option<Span>, String> {
    if text == "LIFETIME" {
        return Ok(None);
    }
    let days = text.strip_prefix("DAYS_").and_then(|days| days.parse().ok());
    days.map(|days: u32| Some(Span::days(days))).ok_or_else(|| format!("{text:?} is not a window"))
}

/// Reads which workloads of a cluster run an image.
fn in_cluster(cluster: &ClusterInformation) -> Vec<SeenInUse> {
    let parts: Vec<&str> = cluster.cluster_arn().splitn(6, ':').collect();
    let [_, _, service, region, account, resource] = parts[..] else { return Vec::new() };
    let kind = if service == "eks" { ConsumerKind::Eks } else { ConsumerKind::Ecs };
    let name = resource.rsplit('/').next().unwrap_or(resource);
    let mut seen = Vec::new();
    for details in cluster.cluster_details() {
        let running =
            details.running_unit_count().and_then(|count| u32::try_from(count).ok()).unwrap_or_default();
        let Some(at) = timestamp(details.last_in_use()).filter(|_| running > 0) else { continue };
        seen.extend(workloads(details.cluster_metadata()).into_iter().map(|workload| SeenInUse {
            account: account.to_owned(),
            region: region.to_owned(),
            kind,
            cluster: name.to_owned(),
            workload,
            running,
            at,
        }));
    }
    seen
}

fn workloads(metadata: Option<&ClusterMetadata>) -> Vec<String> {
    match metadata {
        Some(ClusterMetadata::AwsEcsMetadataDetails(details)) => vec![details.details_group().to_owned()],
        Some(ClusterMetadata::AwsEksMetadataDetails(details)) => {
            let namespace = details.namespace().unwrap_or_default();
            let name = |w: &AwsEksWorkloadInfo| format!("{namespace}/{}/{}", w.r#type(), w.name());
            details.workload_info_list().iter().map(name).collect()
        }
        _ => vec!["unknown".to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use patchwave::inventory::Covering;
    use patchwave_tests::accounts::{FakeAccounts, Region};
    use serde_json::json;

    use super::*;
    use crate::fake::digest;

    fn resource(repository: &str, n: usize, code: &str, reason: &str) -> serde_json::Value {
        json!({
            "resourceType": "AWS_ECR_CONTAINER_IMAGE", "accountId": "111122223333", "scanType": "PACKAGE",
            "resourceId": format!("arn:aws:ecr:us-east-1:111122223333:repository/{repository}/{}", digest(n)),
            "scanStatus": { "statusCode": code, "reason": reason }, "lastScannedAt": 1_767_225_600.0,
            "resourceMetadata": { "ecrImage": { "inUseCount": 3, "lastInUseAt": 1_767_222_000.0, "tags": ["1"] },
                "ecrRepository": { "name": repository, "scanFrequency": "CONTINUOUS_SCAN" } },
        })
    }

    /// Starts a fake Inspector with this coverage, and a client that calls it.
    async fn inspector(coverage: Vec<serde_json::Value>) -> (Inspector, Arc<FakeAccounts>, impl Sized) {
        let accounts = Arc::new(FakeAccounts::default());
        accounts.set("111122223333", "us-east-1", Region { coverage, ..Region::default() });
        let server = accounts.serve().await;
        let config = crate::survey::tests::config(&server.url()).await;
        let registry: EcrRegistry = "111122223333.dkr.ecr.us-east-1.amazonaws.com".parse().unwrap();
        (Inspector::new(Client::new(&config), &registry), accounts, server)
    }

    #[tokio::test]
    async fn what_is_covered_is_read_page_by_page_of_these_repositories_alone() {
        let mut coverage: Vec<_> = (0..5).map(|n| resource("apps/web", n, "ACTIVE", "SUCCESSFUL")).collect();
        coverage.push(resource("apps/old", 7, "INACTIVE", "SCAN_ELIGIBILITY_EXPIRED"));
        coverage.push(resource("apps/odd", 8, "INACTIVE", "UNSUPPORTED_OS"));
        coverage.push(resource("others/x", 9, "ACTIVE", "SUCCESSFUL"));
        let (inspector, accounts, _server) = inspector(coverage).await;
        accounts.page(2);
        let mut repositories: BTreeSet<Repository> =
            (0..9).map(|n| format!("none/{n}").parse().unwrap()).collect();
        repositories.extend(["apps/web", "apps/old", "apps/odd"].map(|name| name.parse().unwrap()));

        let covered = inspector.covered(&repositories).await.unwrap();

        // Two batches of names.
        assert!(accounts.calls("ListCoverage") >= 4);
        assert_eq!(covered.len(), 7);
        let of = |n: usize| covered.iter().find(|covered| covered.digest.as_str() == digest(n)).unwrap();
        assert_eq!(of(0).covering, Covering::Active);
        assert_eq!((of(0).in_use, of(0).repository.as_str()), (Some(3), "apps/web"));
        assert_eq!(of(0).scanned_at, Some("2026-01-01T00:00:00Z".parse().unwrap()));
        assert_eq!(of(0).in_use_at, Some("2025-12-31T23:00:00Z".parse().unwrap()));
        assert_eq!(of(7).covering, Covering::Expired);
        assert_eq!(of(8).covering, Covering::Inactive("UNSUPPORTED_OS".into()));
    }

    #[tokio::test]
    async fn a_list_that_may_not_be_read_is_a_fault() {
        let (inspector, accounts, _server) = inspector(Vec::new()).await;
        accounts.refuse("ListCoverage", "AccessDeniedException", 1);
        let repositories = BTreeSet::from(["apps/web".parse().unwrap()]);
        let fault = inspector.covered(&repositories).await.unwrap_err();
        assert_eq!(fault.kind, patchwave_converge::FaultKind::Denied);
    }

    #[tokio::test]
    async fn where_an_image_was_seen_to_run_is_read_by_workload() {
        let (inspector, accounts, _server) = inspector(Vec::new()).await;
        let details = |running: u32, metadata: serde_json::Value| {
            json!({ "lastInUse": 1_767_222_000.0, "runningUnitCount": running, "stoppedUnitCount": 0,
                "clusterMetadata": metadata })
        };
        let pods = json!({ "awsEksMetadataDetails": { "namespace": "shop", "workloadInfoList": [
            { "name": "web", "type": "Deployment" }, { "name": "db", "type": "StatefulSet" }] } });
        let tasks =
            json!({ "awsEcsMetadataDetails": { "detailsGroup": "service:web", "taskDefinitionArn": "x" } });
        let clusters = vec![
            json!({ "clusterArn": "arn:aws:eks:eu-west-1:444455556666:cluster/private", "clusterDetails": [
                details(3, pods), details(0, tasks.clone())] }),
            json!({ "clusterArn": "arn:aws:ecs:us-east-1:111122223333:cluster/tasks",
                "clusterDetails": [details(2, tasks)] }),
        ];
        accounts.page(1);
        let image = format!("arn:aws:ecr:us-east-1:111122223333:repository/apps/web/{}", digest(1));
        accounts.set(
            "111122223333",
            "us-east-1",
            Region { clusters_of: BTreeMap::from([(image, clusters)]), ..Region::default() },
        );
        let at = |n: usize| ("apps/web".parse().unwrap(), digest(n).parse().unwrap());

        let seen = inspector.seen_in_use(&BTreeSet::from([at(1), at(2)])).await;

        let short = |seen: &SeenInUse| (seen.kind, seen.cluster.clone(), seen.workload.clone(), seen.running);
        let of = |n: usize| seen[&at(n)].as_ref().unwrap().iter().map(short).collect::<Vec<_>>();
        let private = |workload: &str| (ConsumerKind::Eks, "private".to_owned(), workload.to_owned(), 3);
        let tasks = (ConsumerKind::Ecs, "tasks".to_owned(), "service:web".to_owned(), 2);
        assert_eq!(of(1), [private("shop/Deployment/web"), private("shop/StatefulSet/db"), tasks]);
        assert_eq!(of(2), []);
        assert_eq!(seen[&at(1)].as_ref().unwrap()[0].account, "444455556666");
    }

    #[tokio::test]
    async fn the_windows_are_read() {
        let (inspector, _accounts, _server) = inspector(Vec::new()).await;
        let fortnight = Some(Span::days(14));
        let expected = Windows { after_push: fortnight, after_use: fortnight, use_is: UseIs::Running };
        assert_eq!(inspector.windows().await.unwrap(), expected);
        assert_eq!(window("LIFETIME"), Ok(None));
        assert!(window("WEEKS_2").is_err());
    }
}
