//! ECR on the wire. Scans are implemented here, images are those of moto with its differences from
//! AWS corrected, and other calls go to moto.

mod care;
mod images;
mod scans;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::awsjson::{Answer, Refusal, Service, text};
use crate::bus::Bus;
use crate::clock::Clock;
use crate::content::{self, Document};
use crate::moto::{self, ACCOUNT, REGION};
use crate::scanner::{Outcome, Package, Scanner, Scanning, Vulnerability};

/// The registry of the account.
pub struct Registry {
    moto: String,
    clock: Arc<Clock>,
    bus: Arc<Bus>,
    state: Mutex<State>,
}

/// What moto does not store.
#[derive(Debug, Default)]
struct State {
    scanner: Scanner,
    /// The number of entries on every page, small so that every test reads several pages.
    page: usize,
    /// Every pushed manifest and index, by repository and digest.
    pushed: BTreeMap<(String, String), Pushed>,
    /// What the configs of these digests list as their uncompressed layers.
    diff_ids: BTreeMap<String, Vec<String>>,
    /// Blobs, by their digest.
    blobs: BTreeMap<String, String>,
    /// The text of each repository's last preview.
    previews: BTreeMap<String, String>,
    /// Where the configs are.
    url: String,
    /// Repositories whose scans fail.
    failing_scans: BTreeSet<String>,
    calls: BTreeMap<String, u32>,
}

#[derive(Debug, Clone)]
struct Pushed {
    at: Timestamp,
    text: String,
    content: Value,
}

impl Pushed {
    fn is_index(&self) -> bool {
        self.content["manifests"].is_array()
    }

    fn layers(&self) -> Vec<String> {
        content::layers(&self.content)
    }
}

impl Registry {
    /// Makes a registry that stores its images in the moto at this address.
    pub fn new(moto: &str, scanning: Scanning, clock: Arc<Clock>, bus: Arc<Bus>) -> Self {
        let scanner = Scanner { scanning, ..Scanner::default() };
        let state = State { scanner, page: 2, ..State::default() };
        Self { moto: moto.to_owned(), clock, bus, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a repository.
    pub async fn create_repository(&self, name: &str) -> Answer {
        self.forward("CreateRepository", &json!({ "repositoryName": name })).await
    }

    /// Pushes a document with or without a tag, as a Docker client does.
    pub async fn push(&self, repository: &str, document: &Document, tag: Option<&str>) -> Answer {
        let mut input = json!({
            "repositoryName": repository,
            "imageManifest": document.text,
            "imageManifestMediaType": document.media_type,
        });
        if let Some(tag) = tag {
            input["imageTag"] = tag.into();
        }
        self.put_image(input).await
    }

    /// Moves a tag to a version that was pushed before, as a person does who puts it back.
    pub async fn retag(&self, repository: &str, digest: &str, tag: &str) -> Answer {
        let document = self.document(repository, digest).unwrap_or_default();
        self.put_image(json!({
            "repositoryName": repository,
            "imageManifest": document.to_string(),
            "imageManifestMediaType": document["mediaType"],
            "imageTag": tag,
        }))
        .await
    }

    /// Says where this registry is served. It answers with URLs of configs there.
    pub fn serve_at(&self, url: &str) {
        url.clone_into(&mut self.state().url);
    }

    /// Sets what the config of a manifest lists as its uncompressed layers. Other configs cannot be
    /// found.
    pub fn set_diff_ids(&self, manifest: &Value, diff_ids: &[String]) {
        let config = text(&manifest["config"], "digest").to_owned();
        self.state().diff_ids.insert(config, diff_ids.to_vec());
    }

    fn download_url(&self, input: &Value) -> Answer {
        let (state, layer) = (self.state(), text(input, "layerDigest"));
        if !state.diff_ids.contains_key(layer) && !state.blobs.contains_key(layer) {
            return Err(Refusal::new("LayersNotFoundException", "The specified layers could not be found"));
        }
        let url = format!("{}/layers/{layer}?X-Amz-Signature=a%2Fb", state.url);
        Ok(json!({ "downloadUrl": url, "layerDigest": layer }))
    }

    fn config(&self, digest: &str) -> Value {
        json!({ "os": "linux", "rootfs": { "type": "layers", "diff_ids": self.state().diff_ids.get(digest) } })
    }

    /// Sets the packages of a layer.
    pub fn layer_holds(&self, layer: &str, packages: &[Package]) {
        self.state().scanner.packages.insert(layer.to_owned(), packages.to_vec());
    }

    /// Returns the packages of a layer.
    pub fn packages_in(&self, layer: &str) -> Vec<Package> {
        self.state().scanner.packages.get(layer).cloned().unwrap_or_default()
    }

    /// Publishes a vulnerability. Enhanced scanning finds it at once and emits events. Basic
    /// scanning finds it in the next scan.
    pub fn disclose(&self, vulnerability: Vulnerability) {
        let id = vulnerability.id.clone();
        self.state().scanner.vulnerabilities.push(vulnerability);
        if self.state().scanner.scanning == Scanning::Enhanced {
            self.emit_findings(&id);
        }
    }

    /// Makes every later scan in a repository fail.
    pub fn fail_scans_of(&self, repository: &str) {
        self.state().failing_scans.insert(repository.to_owned());
    }

    /// Returns how often an operation was called.
    pub fn calls(&self, operation: &str) -> u32 {
        self.state().calls.get(operation).copied().unwrap_or_default()
    }

    /// Returns a pushed manifest or index.
    pub fn document(&self, repository: &str, digest: &str) -> Option<Value> {
        let state = self.state();
        state.pushed.get(&(repository.to_owned(), digest.to_owned())).map(|pushed| pushed.content.clone())
    }

    /// Returns the digest that a tag names.
    pub async fn tagged(&self, repository: &str, tag: &str) -> Option<String> {
        let input = json!({ "repositoryName": repository, "imageIds": [{ "imageTag": tag }] });
        let described = self.describe_images(&input).await.ok()?;
        described["imageDetails"][0]["imageDigest"].as_str().map(str::to_owned)
    }

    /// Returns the digests of a repository that have a tag with this prefix, oldest push first.
    pub async fn tagged_with_prefix(&self, repository: &str, prefix: &str) -> Vec<String> {
        let images = self.images(&json!({ "repositoryName": repository })).await.unwrap_or_default();
        let tagged = |image: &&Value| {
            let tags = image["imageTags"].as_array().map(Vec::as_slice).unwrap_or_default();
            tags.iter().filter_map(Value::as_str).any(|tag| tag.starts_with(prefix))
        };
        images.iter().filter(tagged).filter_map(|i| i["imageDigest"].as_str()).map(str::to_owned).collect()
    }

    async fn forward(&self, operation: &str, input: &Value) -> Answer {
        let target = format!("AmazonEC2ContainerRegistry_V20150921.{operation}");
        moto::call(&self.moto, "ecr", &target, input).await
    }
}

impl Service for Registry {
    async fn call(&self, operation: &str, input: Value) -> Answer {
        *self.state().calls.entry(operation.to_owned()).or_default() += 1;
        match operation {
            "BatchGetImage" => self.batch_get_image(&input).await,
            "DescribeImages" => self.describe_images(&input).await,
            "DescribeImageScanFindings" => self.describe_image_scan_findings(&input),
            "DescribePullThroughCacheRules" => Ok(json!({ "pullThroughCacheRules": [] })),
            "DescribeRegistry" => {
                Ok(json!({ "registryId": ACCOUNT, "replicationConfiguration": { "rules": [] } }))
            }
            "GetDownloadUrlForLayer" => self.download_url(&input),
            "GetLifecyclePolicyPreview" => self.preview(&input).await,
            "GetSigningConfiguration" => {
                Err(Refusal::new("SigningConfigurationNotFoundException", "the registry signs nothing"))
            }
            "StartLifecyclePolicyPreview" => Ok(self.start_preview(&input)),
            "GetRegistryScanningConfiguration" => Ok(self.scanning_configuration()),
            "ListImages" => self.list_images(&input).await,
            "ListPullTimeUpdateExclusions" => Ok(json!({ "pullTimeUpdateExclusions": [] })),
            "PutImage" => self.put_image(input).await,
            "StartImageScan" => self.start_image_scan(&input),
            _ => match operation.strip_prefix("/layers/") {
                Some(digest) => {
                    let range = self.blob(digest, text(&input, "range"));
                    Ok(range.unwrap_or_else(|| self.config(digest)))
                }
                None => self.forward(operation, &input).await,
            },
        }
    }
}

fn repository_arn(repository: &str) -> String {
    format!("arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{repository}")
}

fn image_not_found(repository: &str, id: &Value) -> Refusal {
    Refusal::new(
        "ImageNotFoundException",
        format!("The image with imageId {id} does not exist within the repository with name '{repository}'"),
    )
}

impl State {
    fn outcome_of(&self, manifest: &str) -> Option<Outcome> {
        self.scanner.scans.get(manifest).cloned()
    }
}
