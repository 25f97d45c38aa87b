//! What people ask of a registry and moto has not: previews of lifecycle policies, and downloads of
//! blobs. Uploads are moto's.

use std::collections::{BTreeMap, BTreeSet};

use patchwave::image::Digest;
use patchwave::lifecycle::{Action, LifecyclePolicy, Listing, Reading, judge};
use serde_json::{Value, json};

use super::Registry;
use crate::awsjson::{Answer, Refusal, text};
use crate::content;
use crate::moto::ACCOUNT;

impl Registry {
    /// Makes a blob that can be downloaded from here, and returns its digest.
    pub fn add_blob(&self, text: &str) -> String {
        let digest = content::digest(text);
        self.state().blobs.insert(digest.clone(), text.to_owned());
        digest
    }

    /// Returns the tags of an image.
    pub async fn tags_of(&self, repository: &str, digest: &str) -> BTreeSet<String> {
        let input = json!({ "repositoryName": repository, "imageIds": [{ "imageDigest": digest }] });
        let described = self.describe_images(&input).await.unwrap_or_default();
        let tags = described["imageDetails"][0]["imageTags"].as_array().cloned().unwrap_or_default();
        tags.iter().filter_map(|tag| tag.as_str().map(str::to_owned)).collect()
    }

    /// Returns a range of a blob, as the bucket of layers does.
    pub(super) fn blob(&self, digest: &str, range: &str) -> Option<Value> {
        let blob = self.state().blobs.get(digest)?.clone();
        let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        Some(blob.get(first..=last)?.into())
    }

    pub(super) fn start_preview(&self, input: &Value) -> Value {
        let repository = text(input, "repositoryName").to_owned();
        let policy = text(input, "lifecyclePolicyText").to_owned();
        self.state().previews.insert(repository.clone(), policy.clone());
        json!({ "registryId": ACCOUNT, "repositoryName": repository, "lifecyclePolicyText": policy,
            "status": "IN_PROGRESS" })
    }

    pub(super) async fn preview(&self, input: &Value) -> Answer {
        let repository = text(input, "repositoryName");
        let policy = self.state().previews.get(repository).cloned().ok_or_else(|| {
            Refusal::new("LifecyclePolicyPreviewNotFoundException", "there is no preview of this repository")
        })?;
        let images = self.images(&json!({ "repositoryName": repository })).await?;
        let wrong = |problem: String| Refusal::new("InvalidParameterException", problem);
        let mut listing = Listing::parse(&json!({ "imageDetails": images }).to_string()).map_err(wrong)?;
        listing.note_all(&self.lists(repository));
        let parsed = LifecyclePolicy::parse(&policy).map_err(|errors| wrong(errors.to_string()))?;
        let going = judge(&parsed, &listing.images, Reading::WithoutParts, self.clock.now());
        let result = |(digest, going): (&Digest, &patchwave::lifecycle::Going)| {
            let kind = match going.action {
                Action::Expire => "EXPIRE",
                Action::Transition => "TRANSITION",
            };
            json!({ "imageDigest": digest, "action": { "type": kind }, "appliedRulePriority": going.rule })
        };
        Ok(json!({ "registryId": ACCOUNT, "repositoryName": repository, "lifecyclePolicyText": policy,
            "status": "COMPLETE", "previewResults": going.iter().map(result).collect::<Vec<_>>() }))
    }

    /// Returns what each index of a repository lists.
    fn lists(&self, repository: &str) -> BTreeMap<Digest, BTreeSet<Digest>> {
        let state = self.state();
        let indexes = state.pushed.iter().filter(|((of, _), pushed)| of == repository && pushed.is_index());
        let listed = |content: &Value| {
            let entries = content["manifests"].as_array().cloned().unwrap_or_default();
            entries.iter().filter_map(|entry| entry["digest"].as_str()?.parse().ok()).collect()
        };
        indexes
            .filter_map(|((_, digest), pushed)| Some((digest.parse().ok()?, listed(&pushed.content))))
            .collect()
    }
}
