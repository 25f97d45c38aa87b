//! The promises of every world, kept by the adapters on the fakes of the wire, and on moto's
//! registry, bus and schedules where moto is right.

use std::collections::BTreeMap;
use std::sync::Arc;

use patchwave::hierarchy::{Hierarchy, Image};
use patchwave::image::{Digest, ImageId};
use patchwave_tests::awsjson::Service;
use patchwave_tests::content::{self, Annotations, Document};
use patchwave_tests::contract::{self, Lie, Promise, TestBed};
use patchwave_tests::harness::{Harness, Setup};
use patchwave_tests::http::Server;
use patchwave_tests::moto::{ACCOUNT, Moto};
use patchwave_tests::schedules;
use serde_json::{Value, json};

use super::{AwsWorld, wired};
use crate::eventbridge::Bus;
use crate::scheduler::{Schedule, Scheduler};

const ECR: &str = "AmazonEC2ContainerRegistry_V20150921";
const IMAGE: &str = "apps/cart:live";

fn hierarchy(account: &str, repository: &str) -> Hierarchy {
    let yaml = format!(
        "{{version: 1, registry: {account}.dkr.ecr.us-east-1.amazonaws.com, images: [{{tier: base, \
         repository: {repository}, tags: ['1'], from: scratch, pipeline: none}}]}}"
    );
    Hierarchy::parse("h.yaml", &yaml).unwrap()
}

fn only(hierarchy: &Hierarchy) -> &Image {
    hierarchy.images().next().unwrap()
}

/// The `n`th version of an image: the manifests of its platforms, and its index.
fn version(n: u32) -> (Vec<Document>, Document) {
    let layers = [content::digest(&format!("layer {n}"))];
    let manifest = |platform| content::manifest(&format!("{platform} {n}"), &layers, &Annotations::new());
    let platforms: BTreeMap<&str, Document> =
        content::PLATFORMS.into_iter().map(|platform| (platform, manifest(platform))).collect();
    let index = content::index(&platforms, &Annotations::new());
    (platforms.into_values().collect(), index)
}

fn bus(url: String, name: &str) -> Bus {
    Bus::new(aws_sdk_eventbridge::Client::new(&wired::config(url)), name.to_owned())
}

/// Creates a tick's regular schedule, and the client that schedules extra ones.
async fn ticks(moto: &Moto) -> Scheduler {
    schedules::create(moto, "tick").await;
    let schedule = Schedule { group: "patchwave".to_owned(), name: "tick".to_owned() };
    Scheduler::new(aws_sdk_scheduler::Client::new(&wired::config(moto.url().to_owned())), schedule)
}

/// The adapters on the fakes of the wire.
struct Wire {
    account: Harness,
    world: AwsWorld,
    image: ImageId,
    elsewhere: Hierarchy,
    _events: Server,
}

impl Wire {
    async fn new() -> Self {
        let account = Harness::start(Setup::default()).await;
        let settings = account.settings();
        let url = |service: &str| settings[&format!("AWS_ENDPOINT_URL_{service}")].clone();
        let mut world = wired::world(url, account.hierarchy.registry(), &settings["PATCHWAVE_TABLE"]);
        let events = account.moto().front("events", Arc::clone(&account.traffic)).await;
        world.bus = Some(bus(events.url(), &settings["PATCHWAVE_EVENT_BUS"]));
        world.ticks = Some(ticks(account.moto()).await);
        let elsewhere = hierarchy(ACCOUNT, "no/such");
        let image = account.hierarchy.resolve(IMAGE).unwrap().id.clone();
        Self { account, world, image, elsewhere, _events: events }
    }

    fn repository(&self) -> &str {
        self.image().repository.as_str()
    }
}

impl TestBed for Wire {
    type World = AwsWorld;

    fn world(&self) -> &AwsWorld {
        &self.world
    }

    fn image(&self) -> &Image {
        self.account.hierarchy.image(&self.image).unwrap()
    }

    fn stranger(&self) -> &Image {
        only(&self.elsewhere)
    }

    async fn push(&self, n: u32) -> Digest {
        let (registry, (manifests, index)) = (&self.account.registry, version(n));
        for manifest in &manifests {
            registry.push(self.repository(), manifest, None).await.unwrap();
        }
        for tag in self.account.recipe(IMAGE).tags("contract", "") {
            registry.push(self.repository(), &index, Some(&tag)).await.unwrap();
        }
        index.digest.parse().unwrap()
    }

    async fn put_back(&self, version: &Digest) {
        for tag in self.account.recipe(IMAGE).tags("contract", "") {
            self.account.registry.retag(self.repository(), version.as_str(), &tag).await.unwrap();
        }
    }

    async fn delete(&self, version: &Digest) {
        let input = json!({ "repositoryName": self.repository(), "imageIds": [{ "imageDigest": version }] });
        self.account.registry.call("BatchDeleteImage", input).await.unwrap();
    }

    async fn scan(&self, version: &Digest) {
        self.account.registry.scan_version(self.repository(), version.as_str());
    }

    async fn refuse(&self) {
        self.account.traffic.refuse("DescribeImages", "AccessDeniedException");
        self.account.traffic.refuse("PutEvents", "AccessDeniedException");
    }

    async fn notices(&self) -> Vec<String> {
        let notices = self.account.notices().await;
        notices.iter().map(|notice| notice["id"].as_str().unwrap().to_owned()).collect()
    }

    async fn rechecks(&self) -> usize {
        schedules::rechecks(self.account.moto()).await.len()
    }
}

#[tokio::test]
async fn the_adapters_keep_the_promises_of_every_world() {
    Box::pin(contract::check(Wire::new, &[])).await;
}

/// The adapters on the registry of an emulator.
struct Emulated {
    moto: Moto,
    world: AwsWorld,
    hierarchy: Hierarchy,
    elsewhere: Hierarchy,
}

impl Emulated {
    async fn by(moto: Moto) -> Self {
        let hierarchy = hierarchy(ACCOUNT, "base/os");
        let mut world = wired::world(|_| moto.url().to_owned(), hierarchy.registry(), "patchwave");
        world.ticks = Some(ticks(&moto).await);
        let bed = Self { moto, world, hierarchy, elsewhere: self::hierarchy(ACCOUNT, "no/such") };
        bed.ecr("CreateRepository", json!({ "repositoryName": "base/os" })).await;
        bed
    }

    async fn ecr(&self, operation: &str, input: Value) {
        self.moto.call("ecr", &format!("{ECR}.{operation}"), &input).await.unwrap();
    }

    async fn put(&self, document: &Document, tag: Option<&str>) {
        self.ecr(
            "PutImage",
            json!({
                "repositoryName": "base/os", "imageManifest": document.text, "imageTag": tag,
                "imageManifestMediaType": document.media_type, "imageDigest": document.digest,
            }),
        )
        .await;
    }
}

impl TestBed for Emulated {
    type World = AwsWorld;

    fn world(&self) -> &AwsWorld {
        &self.world
    }

    fn image(&self) -> &Image {
        only(&self.hierarchy)
    }

    fn stranger(&self) -> &Image {
        only(&self.elsewhere)
    }

    async fn push(&self, n: u32) -> Digest {
        let (manifests, index) = version(n);
        for manifest in &manifests {
            self.put(manifest, Some(&format!("platform-{}", &manifest.digest[7..]))).await;
        }
        self.put(&index, Some("1")).await;
        index.digest.parse().unwrap()
    }

    async fn put_back(&self, version: &Digest) {
        let known = [1, 2].map(self::version).into_iter().find(|(_, index)| index.digest == version.as_str());
        self.put(&known.unwrap().1, Some("1")).await;
    }

    async fn delete(&self, version: &Digest) {
        let input = json!({ "repositoryName": "base/os", "imageIds": [{ "imageDigest": version }] });
        self.ecr("BatchDeleteImage", input).await;
    }

    async fn scan(&self, _version: &Digest) {
        for manifest in version(1).0 {
            let id = json!({ "imageDigest": manifest.digest });
            let input = json!({ "repositoryName": "base/os", "imageId": id });
            // Not every emulator has it.
            let _ = self.moto.call("ecr", &format!("{ECR}.StartImageScan"), &input).await;
        }
    }

    async fn refuse(&self) {}

    async fn notices(&self) -> Vec<String> {
        Vec::new()
    }

    async fn rechecks(&self) -> usize {
        schedules::rechecks(&self.moto).await.len()
    }
}

/// What neither emulator has.
const WITHOUT_PIPELINES: [Lie; 6] = [
    (Promise::ARefusedReadIsNoAnswer, "it refuses nothing"),
    (Promise::ADeclarationNamesTheVariables, "there is no pipeline"),
    (Promise::AnExecutionIsFoundByIdAndByKey, "it starts no pipeline"),
    (Promise::ATokenStartsOneExecution, "it starts no pipeline"),
    (Promise::ANoticeArrivesOnce, "this deployment has no bus"),
    (Promise::ARefusedNoticeIsNotSent, "it refuses nothing"),
];

#[tokio::test]
async fn motos_registry_keeps_them_but_for_its_known_lies() {
    let order = "it deletes what loses its last tag, and counts pushes in seconds";
    let lies = [&WITHOUT_PIPELINES[..], &[(Promise::HistoryIsNewestFirst, order)]].concat();
    Box::pin(contract::check(async || Emulated::by(Moto::start().await).await, &lies)).await;
}

#[tokio::test]
async fn ministacks_registry_keeps_them_but_for_its_known_lies() {
    let lies = [
        &WITHOUT_PIPELINES[..],
        &[
            (Promise::AScanCompletes, "it has no scanner"),
            (Promise::AnUnknownPipelineIsNotFound, "it has no CodePipeline"),
            (Promise::AnUnknownExecutionIsNotFound, "it has no CodePipeline"),
        ],
    ]
    .concat();
    Box::pin(contract::check(async || Emulated::by(Moto::ministack().await).await, &lies)).await;
}
