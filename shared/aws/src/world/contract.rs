//! The promises of every world, kept by the adapters on the fakes of the wire, and on moto's
//! registry where moto is right.

use std::collections::BTreeMap;

use patchwave::hierarchy::{Hierarchy, Image};
use patchwave::image::{Digest, ImageId};
use patchwave_tests::awsjson::Service;
use patchwave_tests::content::{self, Annotations, Document};
use patchwave_tests::contract::{self, Promise, TestBed};
use patchwave_tests::harness::{Harness, Setup};
use patchwave_tests::moto::{ACCOUNT, Moto};
use serde_json::{Value, json};

use super::{AwsWorld, wired};

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

/// The adapters on the fakes of the wire.
struct Wire {
    account: Harness,
    world: AwsWorld,
    image: ImageId,
    elsewhere: Hierarchy,
}

impl Wire {
    async fn new() -> Self {
        let account = Harness::start(Setup::default()).await;
        let settings = account.settings();
        let url = |service: &str| settings[&format!("AWS_ENDPOINT_URL_{service}")].clone();
        let world = wired::world(url, account.hierarchy.registry(), &settings["PATCHWAVE_TABLE"]);
        let elsewhere = hierarchy(ACCOUNT, "no/such");
        let image = account.hierarchy.resolve(IMAGE).unwrap().id.clone();
        Self { account, world, image, elsewhere }
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
    }
}

#[tokio::test]
async fn the_adapters_keep_the_promises_of_every_world() {
    Box::pin(contract::check(Wire::new, &[])).await;
}

/// The adapters on moto's registry.
struct OnMoto {
    moto: Moto,
    world: AwsWorld,
    hierarchy: Hierarchy,
    elsewhere: Hierarchy,
}

impl OnMoto {
    async fn new() -> Self {
        let (moto, hierarchy) = (Moto::start().await, hierarchy(ACCOUNT, "base/os"));
        let world = wired::world(|_| moto.url().to_owned(), hierarchy.registry(), "patchwave");
        let bed = Self { moto, world, hierarchy, elsewhere: self::hierarchy(ACCOUNT, "no/such") };
        bed.ecr("CreateRepository", json!({ "repositoryName": "base/os" })).await;
        bed
    }

    async fn ecr(&self, operation: &str, input: Value) {
        let target = format!("AmazonEC2ContainerRegistry_V20150921.{operation}");
        self.moto.call("ecr", &target, &input).await.unwrap();
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

impl TestBed for OnMoto {
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
            self.ecr("StartImageScan", json!({ "repositoryName": "base/os", "imageId": id })).await;
        }
    }

    async fn refuse(&self) {}
}

#[tokio::test]
async fn motos_registry_keeps_them_but_for_its_known_lies() {
    let lies = [
        (Promise::HistoryIsNewestFirst, "it deletes what loses its last tag, and counts pushes in seconds"),
        (Promise::ARefusedReadIsNoAnswer, "it refuses nothing"),
        (Promise::ADeclarationNamesTheVariables, "there is no pipeline"),
        (Promise::AnExecutionIsFoundByIdAndByKey, "it starts no pipeline"),
        (Promise::ATokenStartsOneExecution, "it starts no pipeline"),
        (Promise::AnUnknownExecutionIsNotFound, "it knows no executions"),
    ];
    Box::pin(contract::check(OnMoto::new, &lies)).await;
}
