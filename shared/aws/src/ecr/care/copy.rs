//! Copies an image from one repository to another: each blob in parts, each manifest as it is.
//!
//! A blob is copied before the manifest that names it, and what is there already is not copied
//! again. So a copy that ended anywhere goes on where it ended, blob by blob. What the registry
//! mounts is not copied either. One part is in memory at a time.
//! <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_UploadLayerPart.html>

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_ecr::config::timeout::TimeoutConfig;
use aws_sdk_ecr::operation::complete_layer_upload::CompleteLayerUploadError as CompleteError;
use aws_sdk_ecr::operation::upload_layer_part::UploadLayerPartError;
use aws_sdk_ecr::primitives::Blob;
use aws_sdk_ecr::types::LayerAvailability;
use patchwave::image::{Digest, Hashing, Repository};
use patchwave_converge::{Fault, FaultKind};

use super::super::Ecr;
use super::super::read::by_digest;
use super::mount::Mounts;
use crate::fault::{fault, invalid};
use crate::manifest::{self, Content};

/// The largest part that a call takes, in bytes.
const LARGEST_PART: i64 = 20 * 1024 * 1024;
/// Most layers that one question is about.
const MOST_LAYERS: usize = 100;
/// How long a part may take. It is a hundred times larger than any other call.
const PART: Duration = Duration::from_mins(2);
/// How often a part is downloaded before the copy ends.
const TRIES: u32 = 3;

/// How much was copied; what was there already is not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    pub manifests: u64,
    pub blobs: u64,
    pub bytes: u64,
    /// Blobs that the registry shares between both repositories: none of their bytes was copied.
    pub mounted: u64,
}

/// One end of a copy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End<'e> {
    pub(crate) registry: &'e Ecr,
    pub(crate) repository: &'e Repository,
}

impl End<'_> {
    /// Copies these manifests here, in their order, each after its blobs.
    pub(crate) async fn take(&self, from: End<'_>, manifests: &[Digest]) -> Result<Amount, Fault> {
        let mut amount = Amount::default();
        let ids: Vec<_> = manifests.iter().map(by_digest).collect();
        let there = self.registry.describe(self.repository, &ids).await?.ok_or_else(|| {
            let operation = format!("copy to {}", self.repository);
            invalid(
                operation,
                "the registry has no such repository; create it, with the policies that it needs",
            )
        })?;
        let there: BTreeSet<Digest> = there.into_iter().map(|candidate| candidate.digest).collect();
        let mut mounts = Mounts::between(from, *self);
        for digest in manifests.iter().filter(|digest| !there.contains(*digest)) {
            self.take_one(from, digest, (&mut mounts, &mut amount)).await?;
        }
        Ok(amount)
    }

    async fn take_one(
        &self,
        from: End<'_>,
        digest: &Digest,
        (mounts, amount): (&mut Mounts<'_>, &mut Amount),
    ) -> Result<(), Fault> {
        let operation = || format!("copy {}@{digest} to {}", from.repository, self.repository);
        let (text, media_type) = from.registry.bytes(from.repository, digest).await?;
        if Digest::of(text.as_bytes()) != *digest {
            return Err(invalid(operation(), "the registry sent a manifest of another digest"));
        }
        let blobs = manifest::contents(&text).map_err(|problem| invalid(operation(), problem.to_string()))?;
        for blob in self.missing(blobs).await? {
            if mounts.mount(*self, &blob.digest).await {
                amount.mounted += 1;
                continue;
            }
            self.take_blob(from, &blob).await?;
            amount.blobs += 1;
            amount.bytes += blob.size;
        }
        let put = self.registry.put(operation(), (self.repository, digest), (text, media_type), None);
        amount.manifests += u64::from(put.await?);
        Ok(())
    }

    /// Returns those blobs that are not here.
    async fn missing(&self, blobs: Vec<Content>) -> Result<Vec<Content>, Fault> {
        let Self { registry, repository } = self;
        let mut here = BTreeSet::new();
        let digests: BTreeSet<&Digest> = blobs.iter().map(|blob| &blob.digest).collect();
        let digests: Vec<String> = digests.into_iter().map(ToString::to_string).collect();
        for some in digests.chunks(MOST_LAYERS) {
            let call = registry.client.batch_check_layer_availability().registry_id(&registry.account);
            let call = call.repository_name(repository.name()).set_layer_digests(Some(some.to_vec()));
            let output = call.send().await;
            let output =
                output.map_err(|error| fault(format!("read which layers {repository} has"), &error))?;
            let available = output
                .layers()
                .iter()
                .filter(|layer| layer.layer_availability() == Some(&LayerAvailability::Available));
            here.extend(available.filter_map(|layer| layer.layer_digest().map(str::to_owned)));
        }
        // A manifest may name a blob twice.
        Ok(blobs.into_iter().filter(|blob| here.insert(blob.digest.to_string())).collect())
    }

    async fn take_blob(&self, from: End<'_>, blob: &Content) -> Result<(), Fault> {
        let Self { registry, repository } = self;
        let operation = || format!("copy the blob {}@{} to {repository}", from.repository, blob.digest);
        let call = registry.client.initiate_layer_upload().registry_id(&registry.account);
        let begun = call.repository_name(repository.name()).send().await;
        let begun = begun.map_err(|error| fault(operation(), &error))?;
        let upload = begun.upload_id().ok_or_else(|| invalid(operation(), "the answer has no upload"))?;
        let size = begun.part_size().unwrap_or(LARGEST_PART).clamp(1, LARGEST_PART).unsigned_abs();
        let (mut hashing, mut at) = (Hashing::default(), 0);
        while at < blob.size {
            let end = blob.size.min(at + size);
            let part = from.part(blob, at, end).await?;
            hashing.add(&part);
            self.put_part(upload, (at, end - 1), part)
                .await
                .map_err(|fault| Fault { operation: operation(), ..fault })?;
            at = end;
        }
        if hashing.digest() != blob.digest {
            return Err(invalid(operation(), "the registry sent bytes of another digest"));
        }
        let call = registry.client.complete_layer_upload().registry_id(&registry.account);
        let call = call.repository_name(repository.name()).upload_id(upload);
        let completed = call.layer_digests(blob.digest.as_str()).send().await;
        match completed {
            Ok(_) => Ok(()),
            Err(error)
                if error.as_service_error().is_some_and(CompleteError::is_layer_already_exists_exception) =>
            {
                Ok(())
            }
            Err(error) => Err(fault(operation(), &error)),
        }
    }

    /// Uploads a part, given with its first and its last byte.
    async fn put_part(&self, upload: &str, (first, last): (u64, u64), part: Vec<u8>) -> Result<(), Fault> {
        let Self { registry, repository } = self;
        let number = |byte: u64| i64::try_from(byte).unwrap_or(i64::MAX);
        let call = registry.client.upload_layer_part().registry_id(&registry.account);
        let call = call.repository_name(repository.name()).upload_id(upload);
        let call = call.part_first_byte(number(first)).part_last_byte(number(last));
        let call = call.layer_part_blob(Blob::new(part)).customize();
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(PART).operation_timeout(3 * PART);
        let config = aws_sdk_ecr::config::Builder::new().timeout_config(timeouts.build());
        let Err(error) = call.config_override(config).send().await else { return Ok(()) };
        // The answer to an earlier attempt was lost.
        let received = error.as_service_error().and_then(|error| match error {
            UploadLayerPartError::InvalidLayerPartException(wrong) => wrong.last_valid_byte_received(),
            _ => None,
        });
        if received == Some(number(last)) { Ok(()) } else { Err(fault("upload a part", &error)) }
    }

    /// Downloads the bytes of a blob from `at` to before `end`.
    async fn part(&self, blob: &Content, at: u64, end: u64) -> Result<Vec<u8>, Fault> {
        let Self { registry, repository } = self;
        let mut tried = 1;
        loop {
            let read = registry.blob_part(repository, &blob.digest, at, end);
            let read = tokio::time::timeout(PART, read).await.unwrap_or_else(|_| {
                let operation = format!("read the blob {repository}@{}", blob.digest);
                Err(Fault {
                    kind: FaultKind::Unavailable,
                    ..invalid(operation, "it does not arrive in time")
                })
            });
            match read {
                Err(fault) if fault.kind == FaultKind::Unavailable && tried < TRIES => tried += 1,
                read => return read,
            }
        }
    }
}
