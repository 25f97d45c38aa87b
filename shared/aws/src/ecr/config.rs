//! Configs of platform manifests: blobs, which the registry keeps in a bucket.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::result::SdkError;
use futures::stream::{self, StreamExt};
use patchwave::image::{Digest, Repository};
use patchwave_converge::{Fault, FaultKind, ManifestAt};

use super::Ecr;
use super::read::AT_ONCE;
use crate::clients::Bounded;
use crate::fault::{fault, invalid, kind_of_code, unavailable};
use crate::manifest::{self, Document, LARGEST_CONFIG};

type DiffIds = Result<Vec<Digest>, Fault>;

impl Ecr {
    /// Reads the digests of the uncompressed layers of platform manifests. They never change, so a
    /// process reads each once.
    pub(crate) async fn diff_ids(&self, wanted: &BTreeSet<ManifestAt>) -> BTreeMap<ManifestAt, DiffIds> {
        let mut by_repository: BTreeMap<&Repository, BTreeSet<Digest>> = BTreeMap::new();
        for (repository, digest) in wanted {
            by_repository.entry(repository).or_default().insert(digest.clone());
        }
        let mut read = BTreeMap::new();
        for (repository, digests) in by_repository {
            let documents = self.documents(repository, &digests).await;
            let each = documents.into_iter().map(|(digest, document)| async move {
                let at = (repository.clone(), digest);
                let diff_ids = self.diff_ids_of(&at, document).await;
                (at, diff_ids)
            });
            read.extend(stream::iter(each).buffer_unordered(AT_ONCE).collect::<Vec<_>>().await);
        }
        read
    }

    /// A config that makes no sense is as silent as one that is not there: it says nothing of its
    /// layers, and reading it again does not help.
    async fn diff_ids_of(&self, at: &ManifestAt, document: Result<Option<Document>, Fault>) -> DiffIds {
        if let Some(known) = self.cache.diff_ids(at) {
            return Ok(known);
        }
        let read = match document {
            Ok(Some(Document::Manifest { config: Some(config), .. })) => {
                self.blob(&at.0, &config, LARGEST_CONFIG).await
            }
            Ok(_) => Ok(Vec::new()),
            Err(fault) => Err(fault),
        };
        match read {
            Err(fault) if fault.kind != FaultKind::Invalid => Err(fault),
            read => {
                let diff_ids = manifest::diff_ids(&read.unwrap_or_default());
                self.cache.keep_diff_ids(at, &diff_ids);
                Ok(diff_ids)
            }
        }
    }

    /// Reads a blob, such as a config, that has at most `most` bytes.
    pub(crate) async fn blob(
        &self,
        repository: &Repository,
        blob: &Digest,
        most: u64,
    ) -> Result<Vec<u8>, Fault> {
        let operation = || format!("read the blob {repository}@{blob}");
        let url = self.blob_url(repository, blob).await?;
        self.download(operation(), &url, most, None).await
    }

    /// Reads the bytes of a blob from `at` to before `end`.
    pub(crate) async fn blob_part(
        &self,
        repository: &Repository,
        blob: &Digest,
        at: u64,
        end: u64,
    ) -> Result<Vec<u8>, Fault> {
        let operation = || format!("read the blob {repository}@{blob}");
        let url = self.blob_url(repository, blob).await?;
        let range = format!("bytes={at}-{}", end.saturating_sub(1));
        let part = self.download(operation(), &url, end - at, Some(range)).await?;
        if part.len() as u64 != end - at {
            let message = format!("{} bytes arrived where {} were asked for", part.len(), end - at);
            return Err(invalid(operation(), message));
        }
        Ok(part)
    }

    async fn blob_url(&self, repository: &Repository, blob: &Digest) -> Result<String, Fault> {
        let operation = || format!("read the blob {repository}@{blob}");
        let call = self.client.get_download_url_for_layer().registry_id(&self.account);
        let call = call.repository_name(repository.name()).layer_digest(blob.as_str());
        let output = call.send().await.map_err(|error| match error.as_service_error() {
            // Its key may not be used, which only a person can change.
            Some(e) if e.is_layer_inaccessible_exception() => {
                Fault { kind: FaultKind::Denied, ..fault(operation(), &error) }
            }
            _ => fault(operation(), &error),
        })?;
        let url = output.download_url().ok_or_else(|| invalid(operation(), "the answer has no URL"))?;
        Ok(url.to_owned())
    }

    /// Gets what a presigned URL names, or a range of it, with the connections of the registry's
    /// client.
    async fn download(
        &self,
        operation: String,
        url: &str,
        most: u64,
        range: Option<String>,
    ) -> Result<Vec<u8>, Fault> {
        let wrong = || invalid(operation.clone(), "the URL makes no sense");
        let host = url.find("://").map(|scheme| scheme + 3).ok_or_else(wrong)?;
        let path = url[host..].find('/').map(|at| host + at).ok_or_else(wrong)?;
        let (origin, path) = (url[..path].to_owned(), url[path..].to_owned());
        let http = self.client.config().http_client().ok_or_else(wrong)?;
        let get = Operation::builder()
            .service_name("ecr")
            .operation_name("GetLayer")
            .http_client(Bounded { http, most: usize::try_from(most).unwrap_or(usize::MAX) })
            .endpoint_url(&origin)
            .no_auth()
            .no_retry()
            .serializer(move |()| {
                let mut request = HttpRequest::empty();
                request.set_uri(path.as_str())?;
                if let Some(range) = &range {
                    request.headers_mut().try_insert("range", range.clone())?;
                }
                Ok(request)
            })
            .deserializer(|response| Ok::<_, OrchestratorError<Infallible>>(body(response)))
            .build();
        match get.invoke(()).await {
            Ok((200 | 206, body)) => Ok(body),
            Ok((status, _)) => {
                let kind = kind_of_code("", status);
                Err(Fault { kind, ..invalid(operation, format!("the answer has the status {status}")) })
            }
            // The body may be larger than its descriptor says.
            Err(SdkError::ResponseError(error)) => Err(invalid(operation, format!("{error:?}"))),
            Err(error) => Err(unavailable(operation, &error)),
        }
    }
}

fn body(response: &HttpResponse) -> (u16, Vec<u8>) {
    (response.status().as_u16(), response.body().bytes().unwrap_or_default().to_vec())
}
