//! The survey against its services on loopback, with a clock that moves only when the survey waits.

mod accounts;
pub(crate) mod answers;
mod ecs;
mod functions;
mod hostile;
mod kubernetes;
mod moto;
mod scale;
mod schedules;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use futures::future::{BoxFuture, LocalBoxFuture};
use patchwave::inventory::{ConsumerKind, Place, PlaceRead, Sighting, Survey};
use patchwave::time::Timestamp;
use patchwave_converge::Fault;
use patchwave_tests::accounts::{EcsCluster, FakeAccounts, Region, access_key};
use patchwave_tests::http::Server;
use serde_json::{Value, json};

use super::{Begun, Book, Clock, Marks, Surveyor, Target};
use crate::clients::Clients;

const ACCOUNT: &str = "111122223333";
const REGION: &str = "us-east-1";
const NOON: &str = "2026-01-01T12:00:00Z";

/// A clock that moves only when a caller waits.
struct Moving(Mutex<Timestamp>);

impl Clock for Moving {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }

    fn until(&self, then: Timestamp) -> BoxFuture<'_, ()> {
        let mut now = self.0.lock().unwrap();
        *now = then.max(*now);
        Box::pin(std::future::ready(()))
    }
}

impl Moving {
    /// Returns the seconds since noon.
    fn waited(&self) -> f64 {
        self.now().duration_since(at(NOON)).as_secs_f64()
    }
}

fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

/// Keeps no marks.
struct Nowhere;

fn unmarked() -> Book {
    Book::new(Arc::new(Nowhere), &[])
}

impl Marks for Nowhere {
    fn write(&self, _: Begun) -> LocalBoxFuture<'_, Result<(), Fault>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn remove(&self, _: Option<Place>, _: Timestamp) -> LocalBoxFuture<'_, Result<(), Fault>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Fake accounts, and a surveyor that reads them.
struct Fixture {
    accounts: Arc<FakeAccounts>,
    surveyor: Surveyor,
    clock: Arc<Moving>,
    _server: Server,
}

impl Fixture {
    async fn new() -> Self {
        let accounts = Arc::new(FakeAccounts::default());
        let server = accounts.serve().await;
        let clock = Arc::new(Moving(Mutex::new(at(NOON))));
        let surveyor = Surveyor {
            clients: Clients::of(config(&server.url()).await),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            kube_endpoint: None,
            book: unmarked(),
        };
        Self { accounts, surveyor, clock, _server: server }
    }

    /// An account with one region.
    async fn of(region: Region) -> Self {
        let fixture = Self::new().await;
        fixture.accounts.set(ACCOUNT, REGION, region);
        fixture
    }

    async fn survey(&self) -> Survey {
        let (survey, cursor) = self.surveyor.survey(&[own()], None, None).await;
        assert_eq!(cursor, None);
        survey
    }
}

/// Makes a configuration whose every service is at `endpoint`.
pub(crate) async fn config(endpoint: &str) -> SdkConfig {
    let credentials = Credentials::new(access_key(ACCOUNT), "secret", None, None, "test");
    aws_config::defaults(BehaviorVersion::v2026_01_12())
        .region(aws_config::Region::new(REGION))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .timeout_config(TimeoutConfig::builder().operation_timeout(Duration::from_mins(1)).build())
        .endpoint_url(endpoint)
        .load()
        .await
}

/// The account where the survey runs.
fn own() -> Target {
    Target {
        account: ACCOUNT.to_owned(),
        environment: Some("prod".to_owned()),
        role: None,
        regions: vec![REGION.to_owned()],
    }
}

fn place(kind: ConsumerKind, cluster: Option<&str>) -> Place {
    Place {
        account: ACCOUNT.to_owned(),
        region: REGION.to_owned(),
        kind,
        cluster: cluster.map(str::to_owned),
        environment: Some("prod".to_owned()),
    }
}

/// Returns why a place was not read. Panics if it was not surveyed.
fn unread<'s>(survey: &'s Survey, place: &Place) -> Option<&'s str> {
    let found: Vec<&PlaceRead> = survey.places.iter().filter(|read| read.place == *place).collect();
    assert_eq!(found.len(), 1, "{place:?} in {:?}", survey.places);
    found[0].unread.as_deref()
}

/// Returns why a place was not read. Panics if it was read.
fn reason(survey: &Survey, place: &Place) -> String {
    unread(survey, place).unwrap_or_else(|| panic!("{place:?} was read")).to_owned()
}

/// Returns the sightings in a short form: workload, container, what it resolved to.
fn seen<'s>(survey: &'s Survey) -> Vec<(&'s str, &'s str, Option<&'s str>)> {
    let short = |s: &'s Sighting| (s.workload.as_str(), s.container.as_str(), s.resolved.as_deref());
    survey.sightings.iter().map(short).collect()
}

fn digest(n: usize) -> String {
    crate::fake::digest(n)
}

fn arn(resource: &str) -> String {
    format!("arn:aws:ecs:{REGION}:{ACCOUNT}:{resource}")
}

/// A cluster of ECS with these tasks.
fn cluster(name: &str, tasks: Vec<Value>) -> EcsCluster {
    EcsCluster { arn: arn(&format!("cluster/{name}")), tasks, ..EcsCluster::default() }
}

/// A running task of a group, with containers that are given by name and digest.
fn task(cluster: &str, id: usize, group: &str, containers: &[(&str, Option<String>)]) -> Value {
    let family = group.split(':').next_back().unwrap();
    let containers = containers.iter().map(|(name, digest)| {
        let mut container = json!({
            "name": name, "image": format!("{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/apps/{name}:main-1"),
            "lastStatus": "RUNNING",
        });
        if let Some(digest) = digest {
            container["imageDigest"] = json!(digest);
        }
        container
    });
    json!({
        "taskArn": arn(&format!("task/{cluster}/{id:032x}")),
        "taskDefinitionArn": arn(&format!("task-definition/{family}:7")),
        "group": group, "lastStatus": "RUNNING", "startedAt": 1_767_225_600.0,
        "attributes": [{ "name": "ecs.cpu-architecture", "value": "x86_64" }],
        "containers": containers.collect::<Vec<_>>(),
    })
}

/// A service without tasks, with these revisions.
fn service(cluster: &str, name: &str, revisions: &[&str]) -> Value {
    let revisions = revisions.iter().map(|id| json!({ "arn": revision_arn(cluster, name, id) }));
    json!({
        "serviceArn": arn(&format!("service/{cluster}/{name}")), "serviceName": name, "status": "ACTIVE",
        "desiredCount": 0, "runningCount": 0, "taskDefinition": arn(&format!("task-definition/{name}:7")),
        "currentServiceRevisions": revisions.collect::<Vec<_>>(),
    })
}

fn revision_arn(cluster: &str, service: &str, id: &str) -> String {
    arn(&format!("service-revision/{cluster}/{service}/{id}"))
}

/// A revision of a service, with containers that are given by name and digest.
fn revision(cluster: &str, service: &str, id: &str, images: &BTreeMap<&str, String>) -> Value {
    let images = images.iter().map(
        |(name, digest)| json!({ "containerName": name, "image": format!("apps/{name}:main-1"), "imageDigest": digest }),
    );
    json!({
        "serviceRevisionArn": revision_arn(cluster, service, id),
        "serviceArn": arn(&format!("service/{cluster}/{service}")),
        "taskDefinition": arn(&format!("task-definition/{service}:7")),
        "containerImages": images.collect::<Vec<_>>(),
    })
}
