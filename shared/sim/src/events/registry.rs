//! Events of ECR about pushes.
//!
//! <https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-eventbridge.html>

use patchwave::image::{Digest, Repository, Tag};
use patchwave::time::Timestamp;
use patchwave::trigger::Trigger;
use serde_json::json;

use super::{Delivery, EventWriter};

impl EventWriter {
    /// A manifest was put under one tag, or under none as the parts of an index are.
    pub(crate) fn pushed(
        &mut self,
        repository: &Repository,
        digest: &Digest,
        tag: Option<&Tag>,
        is_index: bool,
        now: Timestamp,
    ) -> Delivery {
        self.in_registry_of(repository, |writer, repository| {
            let trigger = Trigger::RepositoryChanged {
                at: writer.account_region(),
                repository: repository.clone(),
                digest: Some(digest.clone()),
                tags: tag.into_iter().cloned().collect(),
            };
            writer.delivery(trigger, |writer| {
                let kind = if is_index { "index" } else { "manifest" };
                let detail = json!({
                    "result": "SUCCESS",
                    "repository-name": repository,
                    "image-digest": digest,
                    "action-type": "PUSH",
                    "image-tag": tag.map_or("", Tag::as_str),
                    "manifest-media-type": format!("application/vnd.oci.image.{kind}.v1+json"),
                });
                writer.write("aws.ecr", "ECR Image Action", now, None, &detail)
            })
        })
    }
}
