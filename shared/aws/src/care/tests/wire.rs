//! Two registries, a table and STS on the wire. The registries refuse what ECR refuses: a manifest
//! without its layers, an index without its manifests, bytes of another digest. A process that is
//! killed makes no further call.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use aws_config::SdkConfig;
use aws_sdk_s3::primitives::SdkBody;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use patchwave::image::Digest;
use serde_json::{Value, json};

use crate::fake;

pub(super) const HOME: &str = "111122223333";
pub(super) const LIVE: &str = "222233334444";
/// Small, so that a blob has several parts.
pub(super) const PART: usize = 64;
const TOKEN: &str = "QVdTOnRva2Vu";
const NOW: u64 = 1_773_960_000;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Repository {
    pub(super) blobs: BTreeMap<String, String>,
    pub(super) manifests: BTreeMap<String, String>,
    pub(super) tags: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct State {
    pub(super) repositories: BTreeMap<(String, String), Repository>,
    uploads: BTreeMap<String, String>,
    /// What was written to the table, in order.
    pub(super) items: Vec<Value>,
    /// The number of the first call that a killed process does not make any more.
    pub(super) kill: Option<usize>,
    /// The operation to which access is denied.
    pub(super) refused: Option<&'static str>,
    pub(super) calls: usize,
    /// What was asked and answered, in order.
    pub(super) transcript: Vec<Value>,
    /// How many blobs are still mounted, and the status of the answer to the next request.
    pub(super) mounts: (usize, u16),
    /// The blobs that the distribution API was asked to mount.
    pub(super) asked: Vec<String>,
    /// The most bytes that one call carried.
    pub(super) largest: usize,
}

pub(super) type Shared = Arc<Mutex<State>>;

pub(super) fn digest(text: &str) -> String {
    Digest::of(text.as_bytes()).to_string()
}

impl State {
    pub(super) fn repository(&mut self, account: &str, name: &str) -> &mut Repository {
        self.repositories.entry((account.to_owned(), name.to_owned())).or_default()
    }
}

impl Repository {
    /// Pushes a manifest with its blobs, and returns its digest.
    pub(super) fn push(&mut self, layers: &[&str], subject: Option<&str>) -> String {
        let config = format!("{{\"of\":{layers:?}}}");
        let blob = |text: &str, kind: &str| json!({"mediaType": format!("application/vnd.oci.image.{kind}"), "digest": digest(text), "size": text.len()});
        let mut manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": blob(&config, "config.v1+json"),
            "layers": layers.iter().map(|layer| blob(layer, "layer.v1.tar")).collect::<Vec<_>>()});
        if let Some(subject) = subject {
            manifest["subject"] = json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": subject, "size": 1});
        }
        for text in layers.iter().copied().chain([config.as_str()]) {
            self.blobs.insert(digest(text), text.to_owned());
        }
        self.put(manifest.to_string())
    }

    /// Pushes an index of manifests.
    pub(super) fn index(&mut self, manifests: &[(&str, &String)]) -> String {
        let entry = |(architecture, digest): &(&str, &String)| {
            json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 1,
                "platform": {"os": "linux", "architecture": architecture}})
        };
        let manifests: Vec<Value> = manifests.iter().map(entry).collect();
        self.put(
            json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests})
                .to_string(),
        )
    }

    fn put(&mut self, text: String) -> String {
        let digest = digest(&text);
        self.manifests.insert(digest.clone(), text);
        digest
    }

    /// Returns everything that a manifest needs and that is not here.
    pub(super) fn lacks(&self, text: &str) -> (BTreeSet<String>, BTreeSet<String>) {
        let content: Value = serde_json::from_str(text).unwrap();
        let named = |keys: &[&str]| -> BTreeSet<String> {
            let listed = keys.iter().flat_map(|key| match &content[*key] {
                Value::Array(all) => all.clone(),
                Value::Null => vec![],
                one => vec![one.clone()],
            });
            listed.map(|one| one["digest"].as_str().unwrap().to_owned()).collect()
        };
        let blobs = named(&["config", "layers"]);
        let manifests = named(&["manifests"]);
        (
            blobs.into_iter().filter(|blob| !self.blobs.contains_key(blob)).collect(),
            manifests.into_iter().filter(|manifest| !self.manifests.contains_key(manifest)).collect(),
        )
    }

    fn detail(&self, digest: &str) -> Value {
        let text = &self.manifests[digest];
        let content: Value = serde_json::from_str(text).unwrap();
        let tags: Vec<&String> =
            self.tags.iter().filter(|(_, of)| *of == digest).map(|(tag, _)| tag).collect();
        let mut detail = json!({"imageDigest": digest, "imageTags": tags, "imagePushedAt": NOW,
            "imageSizeInBytes": text.len(), "imageStatus": "ACTIVE", "imageManifestMediaType": content["mediaType"]});
        if let Some(subject) = content["subject"]["digest"].as_str() {
            detail["subjectManifestDigest"] = subject.into();
        }
        detail
    }

    fn find(&self, id: &Value) -> Option<String> {
        let by_tag = id["imageTag"].as_str().and_then(|tag| self.tags.get(tag).cloned());
        by_tag.or_else(|| {
            Some(id["imageDigest"].as_str()?.to_owned()).filter(|d| self.manifests.contains_key(d))
        })
    }
}

type Outcome = Result<Value, &'static str>;

impl State {
    fn answer(&mut self, operation: &str, input: &Value) -> Outcome {
        match operation {
            "BatchWriteItem" => {
                self.items.push(input["RequestItems"]["patchwave"][0]["PutRequest"]["Item"].clone());
                return Ok(json!({"UnprocessedItems": {}}));
            }
            "BatchGetItem" => {
                let key = &input["RequestItems"]["patchwave"]["Keys"][0];
                let is_it = |item: &&Value| (&item["pk"], &item["sk"]) == (&key["pk"], &key["sk"]);
                let found: Vec<&Value> = self.items.iter().rev().find(is_it).into_iter().collect();
                return Ok(json!({"Responses": {"patchwave": found}}));
            }
            "UploadLayerPart" => return self.part(input),
            "GetAuthorizationToken" => {
                let endpoint = format!("https://{HOME}.dkr.ecr.us-east-1.amazonaws.com");
                return Ok(json!({"authorizationData": [
                    {"authorizationToken": TOKEN, "expiresAt": NOW, "proxyEndpoint": endpoint}]}));
            }
            _ => {}
        }
        let account = input["registryId"].as_str().unwrap_or(HOME).to_owned();
        let name = input["repositoryName"].as_str().unwrap_or_default().to_owned();
        let key = (account.clone(), name.clone());
        let upload = format!("upload-{}", self.uploads.len());
        let Some(repository) = self.repositories.get_mut(&key) else {
            return Err("RepositoryNotFoundException");
        };
        match operation {
            "DescribeImages" => match input["imageIds"].as_array() {
                None => {
                    let all: Vec<Value> =
                        repository.manifests.keys().map(|of| repository.detail(of)).collect();
                    Ok(json!({"imageDetails": all}))
                }
                Some(ids) => {
                    let found: Option<Vec<String>> = ids.iter().map(|id| repository.find(id)).collect();
                    let found = found.ok_or("ImageNotFoundException")?;
                    Ok(
                        json!({"imageDetails": found.iter().map(|of| repository.detail(of)).collect::<Vec<_>>()}),
                    )
                }
            },
            "BatchGetImage" => {
                let image = |id: &Value| {
                    let digest = repository.find(id)?;
                    let text = &repository.manifests[&digest];
                    let content: Value = serde_json::from_str(text).unwrap();
                    Some(
                        json!({"registryId": account, "repositoryName": name, "imageId": {"imageDigest": digest},
                        "imageManifest": text, "imageManifestMediaType": content["mediaType"]}),
                    )
                };
                let ids = input["imageIds"].as_array().unwrap();
                Ok(json!({"images": ids.iter().filter_map(image).collect::<Vec<_>>(), "failures": []}))
            }
            "BatchCheckLayerAvailability" => {
                let layer = |layer: &Value| match repository.blobs.get(layer.as_str().unwrap()) {
                    Some(text) => {
                        json!({"layerDigest": layer, "layerAvailability": "AVAILABLE", "layerSize": text.len()})
                    }
                    None => json!({"layerDigest": layer, "layerAvailability": "UNAVAILABLE"}),
                };
                let layers = input["layerDigests"].as_array().unwrap();
                Ok(json!({"layers": layers.iter().map(layer).collect::<Vec<_>>(), "failures": []}))
            }
            "GetDownloadUrlForLayer" => {
                let layer = input["layerDigest"].as_str().unwrap();
                let found = repository.blobs.contains_key(layer);
                let url =
                    format!("https://layers.example/{account}/{layer}?name={name}&X-Amz-Signature=a%2Fb");
                if found {
                    Ok(json!({"downloadUrl": url, "layerDigest": layer}))
                } else {
                    Err("LayersNotFoundException")
                }
            }
            "InitiateLayerUpload" => {
                self.uploads.insert(upload.clone(), String::new());
                Ok(json!({"uploadId": upload, "partSize": PART}))
            }
            "CompleteLayerUpload" => {
                let upload = input["uploadId"].as_str().unwrap();
                let text = self.uploads.get(upload).ok_or("UploadNotFoundException")?.clone();
                if input["layerDigests"] != json!([digest(&text)]) {
                    return Err("InvalidLayerException");
                }
                repository.blobs.insert(digest(&text), text.clone());
                Ok(
                    json!({"registryId": account, "repositoryName": name, "uploadId": upload, "layerDigest": digest(&text)}),
                )
            }
            "BatchDeleteImage" => {
                let ids = input["imageIds"].as_array().unwrap();
                for id in ids {
                    repository.tags.remove(id["imageTag"].as_str().unwrap());
                }
                Ok(json!({"imageIds": ids, "failures": []}))
            }
            "PutImage" => put_image(repository, &account, &name, input),
            _ => Err("UnknownOperation"),
        }
    }

    /// Answers the request to mount a blob.
    fn mount(&mut self, path: &str) -> u16 {
        let (name, query) = path.strip_prefix("/v2/").unwrap().split_once("/blobs/uploads/?mount=").unwrap();
        let (blob, from) = query.split_once("&from=").unwrap();
        self.asked.push(blob.to_owned());
        let (left, status) = &mut self.mounts;
        let Some(fewer) = left.checked_sub(1) else { return *status };
        *left = fewer;
        let text = self.repository(HOME, from).blobs[blob].clone();
        self.repository(HOME, name).blobs.insert(blob.to_owned(), text);
        201
    }

    fn part(&mut self, input: &Value) -> Outcome {
        let upload = input["uploadId"].as_str().unwrap();
        let blob = STANDARD.decode(input["layerPartBlob"].as_str().unwrap()).unwrap();
        let text = self.uploads.get_mut(upload).ok_or("UploadNotFoundException")?;
        let (first, last) =
            (input["partFirstByte"].as_u64().unwrap(), input["partLastByte"].as_u64().unwrap());
        if first != text.len() as u64 || last + 1 != first + blob.len() as u64 {
            return Err("InvalidLayerPartException");
        }
        self.largest = self.largest.max(blob.len());
        text.push_str(&String::from_utf8(blob).unwrap());
        Ok(
            json!({"registryId": input["registryId"], "repositoryName": input["repositoryName"], "uploadId": upload,
            "lastByteReceived": last}),
        )
    }
}

fn put_image(repository: &mut Repository, account: &str, name: &str, input: &Value) -> Outcome {
    let text = input["imageManifest"].as_str().unwrap();
    if input["imageDigest"].as_str().is_some_and(|given| given != digest(text)) {
        return Err("ImageDigestDoesNotMatchException");
    }
    let (layers, manifests) = repository.lacks(text);
    if !layers.is_empty() {
        return Err("LayersNotFoundException");
    }
    if !manifests.is_empty() {
        return Err("ReferencedImagesNotFoundException");
    }
    let pushed = repository.put(text.to_owned());
    let mut id = json!({"imageDigest": pushed});
    if let Some(tag) = input["imageTag"].as_str() {
        repository.tags.insert(tag.to_owned(), pushed);
        id["imageTag"] = tag.into();
    }
    Ok(
        json!({"image": {"registryId": account, "repositoryName": name, "imageId": id, "imageManifest": text}}),
    )
}

/// Returns the configuration of clients that these services answer.
pub(super) fn connect(state: &Shared) -> SdkConfig {
    let state = Arc::clone(state);
    fake::raw(move |request| respond(&mut state.lock().unwrap(), &request))
}

fn respond(state: &mut State, request: &http::Request<SdkBody>) -> http::Response<String> {
    let header =
        |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let body = request.body().bytes().unwrap_or_default();
    let target = header("x-amz-target").rsplit('.').next().unwrap_or_default().to_owned();
    let response = http::Response::builder();
    let is_mount = request.method() == "POST" && request.uri().path().starts_with("/v2/");
    if target.is_empty() && !is_mount && request.uri().host() != Some("layers.example") {
        return response.status(200).body(ASSUMED.to_owned()).unwrap();
    }
    let number = state.calls;
    state.calls += 1;
    if state.kill.is_some_and(|kill| number >= kill) {
        return response.status(500).body("{}".to_owned()).unwrap();
    }
    if is_mount {
        assert_eq!(request.uri().host(), Some("111122223333.dkr.ecr.us-east-1.amazonaws.com"));
        assert_eq!(header("authorization"), format!("Basic {TOKEN}"));
        let status = state.mount(request.uri().path_and_query().unwrap().as_str());
        return response.status(status).body(String::new()).unwrap();
    }
    if target.is_empty() {
        let (text, range) = (layer(state, request), header("range"));
        let (first, last) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-')).unwrap();
        let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
        return response.status(206).body(text[first..=last].to_owned()).unwrap();
    }
    let input: Value = serde_json::from_slice(body).unwrap();
    let account = input["registryId"].as_str().unwrap_or(HOME);
    // What is at home is read with the caller's own credentials, and what is live with the role's.
    let (key, is_ecr) =
        (if account == LIVE { "COPIER" } else { "id" }, header("x-amz-target").contains("ContainerRegistry"));
    assert!(
        !is_ecr || header("authorization").contains(&format!("Credential={key}/")),
        "{target}: {account}"
    );
    let is_refused = state.refused == Some(target.as_str());
    let outcome = if is_refused { Err("AccessDeniedException") } else { state.answer(&target, &input) };
    let (status, output) = match outcome {
        Ok(output) => (200, output),
        Err(code) => (400, json!({"__type": code, "message": format!("the fake answers {code}")})),
    };
    if is_ecr {
        state
            .transcript
            .push(json!({"operation": target, "input": input, "status": status, "output": output}));
    }
    response.status(status).body(output.to_string()).unwrap()
}

/// Returns the blob that a presigned URL names.
fn layer(state: &State, request: &http::Request<SdkBody>) -> String {
    let mut path = request.uri().path().split('/').skip(1);
    let (account, layer) = (path.next().unwrap(), path.next().unwrap());
    let query = request.uri().query().unwrap();
    let name = query.strip_prefix("name=").and_then(|rest| rest.split('&').next()).unwrap();
    state.repositories[&(account.to_owned(), name.to_owned())].blobs[layer].clone()
}

const ASSUMED: &str = "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
    <AccessKeyId>COPIER</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>\
    <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>";
