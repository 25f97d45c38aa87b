//! ECR's API before what docker-registry keeps: the same documents, byte for byte.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::{UPSTREAM, Workshop};
use crate::awsjson::{self, Refusal, text};
use crate::http::Server;

const CALLER: &str = "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
    <GetCallerIdentityResult><Arn>arn:aws:iam::111122223333:user/reader</Arn><UserId>x</UserId>\
    <Account>111122223333</Account></GetCallerIdentityResult></GetCallerIdentityResponse>";

impl Workshop {
    /// Serves what was pushed as the ECR of [`super::HOST`]. What is upstream is not part of it.
    /// The account has no pipeline.
    pub async fn serve_as_ecr(self: &Arc<Self>) -> Server {
        let workshop = Arc::clone(self);
        Server::start(Router::new().fallback(move |uri: Uri, headers: HeaderMap, body: Bytes| {
            let workshop = Arc::clone(&workshop);
            async move { workshop.respond(&uri, &headers, &body) }
        }))
        .await
    }

    fn respond(&self, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Response {
        if let Some(digest) = uri.path().strip_prefix("/blobs/") {
            return self
                .blob(digest)
                .map_or(StatusCode::NOT_FOUND.into_response(), IntoResponse::into_response);
        }
        if body.starts_with(b"Action=GetCallerIdentity") {
            return CALLER.into_response();
        }
        let host = headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
        let input: Value = serde_json::from_slice(body).unwrap_or_default();
        let name = text(&input, "repositoryName");
        let answer = match awsjson::operation(headers).as_str() {
            "DescribeRepositories" => {
                let repositories =
                    self.repositories().into_iter().map(|name| json!({ "repositoryName": name }));
                Ok(json!({ "repositories": repositories.collect::<Vec<_>>() }))
            }
            "DescribeImages" => Ok(json!({ "imageDetails": self.images(name) })),
            "BatchGetImage" => Ok(self.manifests(&input)),
            "GetDownloadUrlForLayer" => {
                let digest = text(&input, "layerDigest");
                Ok(json!({ "downloadUrl": format!("http://{host}/blobs/{digest}"), "layerDigest": digest }))
            }
            "DescribePullThroughCacheRules" => Ok(json!({ "pullThroughCacheRules": [] })),
            "ListPipelines" => Ok(json!({ "pipelines": [] })),
            "LookupEvents" => Ok(json!({ "Events": [] })),
            other => Err(Refusal::new("AccessDeniedException", other)),
        };
        awsjson::respond(answer)
    }

    fn blob(&self, digest: &str) -> Option<Vec<u8>> {
        let hex = digest.strip_prefix("sha256:")?;
        std::fs::read(self.stored(&format!("blobs/sha256/{}/{hex}/data", hex.get(..2)?))).ok()
    }

    fn repositories(&self) -> Vec<String> {
        let root = self.stored("repositories");
        let mut found = Vec::new();
        let mut open = vec![root.clone()];
        while let Some(folder) = open.pop() {
            for name in entries(&folder) {
                let path = folder.join(&name);
                if name == "_manifests" {
                    let name = folder.strip_prefix(&root).ok().and_then(Path::to_str);
                    found.extend(name.filter(|name| !name.starts_with(UPSTREAM)).map(str::to_owned));
                } else if !name.starts_with('_') && path.is_dir() {
                    open.push(path);
                }
            }
        }
        found.sort();
        found
    }

    /// Lists all that was ever pushed, also what lost its tag.
    fn images(&self, repository: &str) -> Vec<Value> {
        let manifests = self.stored(&format!("repositories/{repository}/_manifests"));
        let mut tags: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for tag in entries(&manifests.join("tags")) {
            let link = manifests.join("tags").join(&tag).join("current/link");
            tags.entry(std::fs::read_to_string(link).unwrap_or_default()).or_default().push(tag);
        }
        let revisions = manifests.join("revisions/sha256");
        let image = |hex: String| {
            let pushed =
                std::fs::metadata(revisions.join(&hex).join("link")).and_then(|link| link.modified()).ok()?;
            let pushed = pushed.duration_since(UNIX_EPOCH).ok()?.as_secs_f64();
            let digest = format!("sha256:{hex}");
            let mut image =
                json!({ "imageDigest": digest, "imagePushedAt": pushed, "repositoryName": repository });
            if let Some(tags) = tags.get(&digest) {
                image["imageTags"] = json!(tags);
            }
            Some(image)
        };
        entries(&revisions).into_iter().filter_map(image).collect()
    }

    fn manifests(&self, input: &Value) -> Value {
        let (mut images, mut failures) = (Vec::new(), Vec::new());
        for id in input["imageIds"].as_array().into_iter().flatten() {
            match self.blob(text(id, "imageDigest")) {
                Some(bytes) => {
                    images.push(json!({ "imageId": id, "imageManifest": String::from_utf8_lossy(&bytes) }));
                }
                None => failures.push(json!({ "imageId": id, "failureCode": "ImageNotFound" })),
            }
        }
        json!({ "images": images, "failures": failures })
    }
}

fn entries(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}
