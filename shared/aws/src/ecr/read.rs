//! Calls to the registry, each for as much as one call can answer.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ecr::operation::batch_get_image::BatchGetImageError;
use aws_sdk_ecr::types::{DescribeImagesFilter, ImageDetail, ImageFailure, ImageIdentifier, TagStatus};
use futures::stream::{self, StreamExt};
use patchwave::image::{Digest, Repository, Tag};
use patchwave::line::Candidate;
use patchwave_converge::{Fault, FaultKind};

use super::Ecr;
use crate::fault::{fault, invalid};
use crate::manifest::{self, Document, MEDIA_TYPES};
use crate::time::timestamp;

/// Most ids that one call takes.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchGetImage.html>
const MOST_IDS: usize = 100;
/// Most images that one page holds.
pub(super) const PAGE: i32 = 1_000;
/// A repository holds at most 100,000 images, so more pages than these mean an endless loop.
pub(super) const MOST_PAGES: usize = 200;
/// Calls that are under way at once.
pub(super) const AT_ONCE: usize = 16;

/// The document of each digest; `None` if the registry has none.
pub(super) type Documents = BTreeMap<Digest, Result<Option<Document>, Fault>>;

pub(super) fn by_tag(tag: &Tag) -> ImageIdentifier {
    ImageIdentifier::builder().image_tag(tag.as_str()).build()
}

pub(super) fn by_digest(digest: &Digest) -> ImageIdentifier {
    ImageIdentifier::builder().image_digest(digest.as_str()).build()
}

impl Ecr {
    /// Describes those images of `ids` that exist. Returns nothing if the repository does not
    /// exist.
    ///
    /// One missing id fails the whole call, and the error does not say which. So Patchwave halves
    /// the ids until the missing one is alone. One missing id among a hundred costs a dozen calls;
    /// the usual case costs no extra call.
    pub(super) async fn describe(
        &self,
        repository: &Repository,
        ids: &[ImageIdentifier],
    ) -> Result<Option<Vec<Candidate>>, Fault> {
        let operation = || format!("describe images of {repository}");
        let mut asked: Vec<&[ImageIdentifier]> = ids.chunks(MOST_IDS).collect();
        let mut found = Vec::new();
        while let Some(ids) = asked.pop() {
            let call = self.client.describe_images().registry_id(&self.account);
            match call.repository_name(repository.name()).set_image_ids(Some(ids.to_vec())).send().await {
                Ok(output) => found.append(&mut candidates(&operation(), output.image_details())?),
                Err(error) => match error.as_service_error() {
                    Some(e) if e.is_image_not_found_exception() => {
                        let (left, right) = ids.split_at(ids.len() / 2);
                        asked.extend(
                            [left, right].into_iter().filter(|half| !half.is_empty() && ids.len() > 1),
                        );
                    }
                    Some(e) if e.is_repository_not_found_exception() => return Ok(None),
                    _ => return Err(fault(operation(), &error)),
                },
            }
        }
        Ok(Some(found))
    }

    /// Lists all images of a repository, or all that have a tag. Returns nothing if the repository
    /// does not exist.
    pub(super) async fn list(
        &self,
        repository: &Repository,
        tags: TagStatus,
    ) -> Result<Option<Vec<Candidate>>, Fault> {
        let operation = || format!("list the images of {repository}");
        let filter = DescribeImagesFilter::builder().tag_status(tags).build();
        let call =
            self.client.describe_images().registry_id(&self.account).repository_name(repository.name());
        let mut pages = call.filter(filter).into_paginator().page_size(PAGE).send();
        let mut found = Vec::new();
        for _ in 0..MOST_PAGES {
            match pages.next().await {
                None => return Ok(Some(found)),
                Some(Ok(page)) => found.append(&mut candidates(&operation(), page.image_details())?),
                Some(Err(error)) => match error.as_service_error() {
                    Some(e) if e.is_repository_not_found_exception() => return Ok(None),
                    _ => return Err(fault(operation(), &error)),
                },
            }
        }
        Err(invalid(operation(), format!("the list does not end after {MOST_PAGES} pages")))
    }

    /// Reads the manifests and indexes of these digests.
    pub(super) async fn documents(&self, repository: &Repository, digests: &BTreeSet<Digest>) -> Documents {
        let mut documents = Documents::new();
        let mut unread: Vec<Digest> = Vec::new();
        for digest in digests {
            match self.cache.document(repository, digest) {
                Some(document) => {
                    documents.insert(digest.clone(), Ok(Some(document)));
                }
                None => unread.push(digest.clone()),
            }
        }
        let calls = unread.chunks(MOST_IDS).map(|chunk| self.batch(repository, chunk));
        let read = stream::iter(calls).buffer_unordered(AT_ONCE).map(stream::iter).flatten();
        let read: Documents = read.collect().await;
        self.cache.keep_documents(repository, &read);
        documents.extend(read);
        documents
    }

    async fn batch(&self, repository: &Repository, digests: &[Digest]) -> Documents {
        let parse = |(digest, text): (Digest, Result<Option<String>, Fault>)| {
            let document =
                text.and_then(|text| text.map(|text| parse(repository, &digest, &text)).transpose());
            (digest, document)
        };
        self.texts(repository, digests).await.into_iter().map(parse).collect()
    }

    /// Reads the texts of at most [`MOST_IDS`] manifests and indexes.
    pub(crate) async fn texts(
        &self,
        repository: &Repository,
        digests: &[Digest],
    ) -> BTreeMap<Digest, Result<Option<String>, Fault>> {
        let operation = || format!("read manifests of {repository}");
        let call =
            self.client.batch_get_image().registry_id(&self.account).repository_name(repository.name());
        let ids = digests.iter().map(by_digest).collect();
        let answer = call
            .set_image_ids(Some(ids))
            .set_accepted_media_types(Some(MEDIA_TYPES.map(str::to_owned).to_vec()))
            .send()
            .await;
        let output = match answer {
            Ok(output) => output,
            Err(error) => {
                let gone = error
                    .as_service_error()
                    .is_some_and(BatchGetImageError::is_repository_not_found_exception);
                let each = if gone { Ok(None) } else { Err(fault(operation(), &error)) };
                return digests.iter().map(|digest| (digest.clone(), each.clone())).collect();
            }
        };
        // An image that the answer leaves out is unknown, which is not the same as deleted.
        let left_out = || Err(invalid(operation(), "the answer leaves it out"));
        let mut texts: BTreeMap<Digest, Result<Option<String>, Fault>> =
            digests.iter().map(|digest| (digest.clone(), left_out())).collect();
        for failure in output.failures() {
            if let Some(digest) = digest_of(failure.image_id()) {
                texts.insert(digest, failed(&operation(), failure));
            }
        }
        for image in output.images() {
            let Some(digest) = digest_of(image.image_id()) else { continue };
            texts.insert(digest, Ok(Some(image.image_manifest().unwrap_or_default().to_owned())));
        }
        texts
    }

    /// Lists everything that was pushed to a repository. A repository that was deleted has nothing.
    #[cfg(feature = "discover")]
    pub(crate) async fn pushes(&self, repository: &Repository) -> Result<Vec<Candidate>, Fault> {
        Ok(self.list(repository, TagStatus::Any).await?.unwrap_or_default())
    }
}

fn parse(repository: &Repository, digest: &Digest, text: &str) -> Result<Document, Fault> {
    let operation = || format!("read the manifest {repository}@{digest}");
    manifest::parse(text).map_err(|problem| invalid(operation(), problem.to_string()))
}

fn digest_of(id: Option<&ImageIdentifier>) -> Option<Digest> {
    id?.image_digest()?.parse().ok()
}

/// Reads why the registry did not return one image of a batch.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ImageFailure.html>
fn failed(operation: &str, failure: &ImageFailure) -> Result<Option<String>, Fault> {
    let code = failure.failure_code().map_or("", |code| code.as_str());
    let kind = match code {
        "ImageNotFound" => return Ok(None),
        "ImageInaccessible" | "KmsError" | "UpstreamAccessDenied" => FaultKind::Denied,
        "UpstreamTooManyRequests" => FaultKind::Throttled,
        "UpstreamUnavailable" => FaultKind::Unavailable,
        _ => FaultKind::Invalid,
    };
    let message = format!("{code}: {}", failure.failure_reason().unwrap_or("no reason given"));
    Err(Fault { kind, ..invalid(operation, message) })
}

fn candidates(operation: &str, images: &[ImageDetail]) -> Result<Vec<Candidate>, Fault> {
    images.iter().map(|image| candidate(image).map_err(|problem| invalid(operation, problem))).collect()
}

/// Reads one image's description. Its commit is in its manifest and is not known yet.
fn candidate(image: &ImageDetail) -> Result<Candidate, String> {
    let digest: Digest = image
        .image_digest()
        .ok_or("imageDigest is missing")?
        .parse()
        .map_err(|e| format!("imageDigest: {e}"))?;
    let pushed_at = image.image_pushed_at().and_then(timestamp);
    Ok(Candidate {
        pushed_at: pushed_at.ok_or_else(|| format!("imagePushedAt of {digest} is missing"))?,
        digest,
        // The registry's tags follow the same grammar. A tag that does not can be on no line.
        tags: image.image_tags().iter().filter_map(|tag| tag.parse().ok()).collect(),
        revision: None,
    })
}
