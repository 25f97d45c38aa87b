//! Sets and removes tags of images that are there.

use aws_sdk_ecr::operation::put_image::PutImageError;
use patchwave::image::{Digest, Repository, Tag};
use patchwave_converge::Fault;

use super::super::Ecr;
use super::super::read::{by_digest, by_tag};
use crate::fault::{fault, invalid};
use crate::manifest::MEDIA_TYPES;

/// Which images may have the tag before it is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect<'e> {
    /// None, or the same image: nobody's tag is moved.
    Nobody,
    /// None, or any: then the tag stays where it is.
    Any,
    /// None, or this one.
    This(Option<&'e Digest>),
}

impl Ecr {
    /// Gives an image another tag, by putting the same bytes again. An image that has it already
    /// stays as it is.
    pub(crate) async fn tag(
        &self,
        repository: &Repository,
        digest: &Digest,
        tag: &Tag,
        expect: Expect<'_>,
    ) -> Result<(), Fault> {
        let operation = || format!("tag {repository}@{digest} as {tag}");
        let holder = self.describe(repository, &[by_tag(tag)]).await?.unwrap_or_default();
        match holder.first().map(|candidate| &candidate.digest) {
            Some(holder) if holder == digest => return Ok(()),
            Some(_) if expect == Expect::Any => return Ok(()),
            holder => {
                let expected = match expect {
                    Expect::Nobody | Expect::Any => None,
                    Expect::This(expected) => expected,
                };
                if holder != expected {
                    let by = holder.map_or("no image", |digest| digest.short());
                    return Err(invalid(operation(), format!("{by} has the tag now")));
                }
            }
        }
        let (manifest, media_type) = self.bytes(repository, digest).await?;
        self.put(operation(), (repository, digest), (manifest, media_type), Some(tag)).await.map(drop)
    }

    /// Puts the bytes of a manifest or an index. Returns whether that changed anything: another
    /// process may have put the same meanwhile.
    pub(super) async fn put(
        &self,
        operation: String,
        (repository, digest): (&Repository, &Digest),
        (bytes, media_type): (String, Option<String>),
        tag: Option<&Tag>,
    ) -> Result<bool, Fault> {
        let call = self.client.put_image().registry_id(&self.account).repository_name(repository.name());
        let call = call.image_manifest(bytes).set_image_manifest_media_type(media_type);
        let call = call.image_digest(digest.as_str()).set_image_tag(tag.map(ToString::to_string));
        match call.send().await {
            Ok(_) => Ok(true),
            Err(error)
                if error.as_service_error().is_some_and(PutImageError::is_image_already_exists_exception) =>
            {
                Ok(false)
            }
            Err(error) => Err(fault(operation, &error)),
        }
    }

    /// Reads the bytes of a manifest or an index, as they were pushed.
    pub(super) async fn bytes(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<(String, Option<String>), Fault> {
        let operation = || format!("read the manifest {repository}@{digest}");
        let call =
            self.client.batch_get_image().registry_id(&self.account).repository_name(repository.name());
        let call = call.image_ids(by_digest(digest));
        let output =
            call.set_accepted_media_types(Some(MEDIA_TYPES.map(str::to_owned).to_vec())).send().await;
        let output = output.map_err(|error| fault(operation(), &error))?;
        let image = output.images().first().ok_or_else(|| invalid(operation(), "the registry has none"))?;
        let bytes = image.image_manifest().ok_or_else(|| invalid(operation(), "the answer is empty"))?;
        Ok((bytes.to_owned(), image.image_manifest_media_type().map(str::to_owned)))
    }

    /// Removes a tag of an image that has another one. ECR deletes an image with its last tag, so
    /// the last tag stays.
    pub(crate) async fn untag(
        &self,
        repository: &Repository,
        digest: &Digest,
        tag: &Tag,
    ) -> Result<(), Fault> {
        let operation = || format!("remove the tag {tag} of {repository}@{digest}");
        let described = self.describe(repository, &[by_digest(digest)]).await?.unwrap_or_default();
        let Some(image) = described.first() else { return Ok(()) };
        if !image.tags.contains(tag) {
            return Ok(());
        }
        if image.tags.len() < 2 {
            return Err(invalid(operation(), "it is the last tag, and ECR would delete the image"));
        }
        let call =
            self.client.batch_delete_image().registry_id(&self.account).repository_name(repository.name());
        let output = call.image_ids(by_tag(tag)).send().await;
        let output = output.map_err(|error| fault(operation(), &error))?;
        match output.failures().first() {
            None => Ok(()),
            Some(failure) if failure.failure_code().is_some_and(|code| code.as_str() == "ImageNotFound") => {
                Ok(())
            }
            Some(failure) => Err(invalid(operation(), failure.failure_reason().unwrap_or("no reason given"))),
        }
    }
}
