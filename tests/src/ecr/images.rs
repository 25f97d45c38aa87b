//! The images that moto stores, with answers corrected to those of AWS.
//!
//! moto deletes an image that loses its last tag, but ECR keeps it untagged. So every tagged image
//! gets a second tag, which no answer shows. moto answers without pages, counts pushes in whole
//! seconds, invents digests of indexes, and answers with the newest tag instead of the one in the
//! request.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{Pushed, Registry, image_not_found};
use crate::awsjson::{Answer, Refusal, page, text};
use crate::clock::epoch_seconds;
use crate::content;
use crate::moto::ACCOUNT;

/// The prefix of the tags that keep images in moto.
const KEEP: &str = "kept-";
/// The most images in one `BatchGetImage`.
const MAX_BATCH: usize = 100;

impl Registry {
    pub(super) async fn put_image(&self, mut input: Value) -> Answer {
        let repository = text(&input, "repositoryName").to_owned();
        let manifest = text(&input, "imageManifest").to_owned();
        let tag = input["imageTag"].as_str().map(str::to_owned);
        let digest = content::digest(&manifest);
        input["imageDigest"] = digest.as_str().into();
        if tag.is_some() {
            self.keep(&input, &digest).await?;
        }
        let answer = self.forward("PutImage", &input).await?;
        let content: Value = serde_json::from_str(&manifest).unwrap_or_default();
        let pushed = Pushed { at: self.clock.now(), text: manifest, content };
        let media_type = text(&pushed.content, "mediaType").to_owned();
        let is_new = !self.state().pushed.contains_key(&(repository.clone(), digest.clone()));
        self.state().pushed.entry((repository.clone(), digest.clone())).or_insert_with(|| pushed.clone());
        self.emit_push(&repository, &digest, tag.as_deref(), &media_type);
        if is_new && !pushed.is_index() {
            self.scan_pushed(&repository, &digest);
        }
        Ok(answer)
    }

    /// Makes a push of an image this many hours older.
    pub fn push_earlier(&self, repository: &str, digest: &str, hours: i64) {
        if let Some(pushed) = self.state().pushed.get_mut(&(repository.to_owned(), digest.to_owned())) {
            pushed.at -= SignedDuration::from_hours(hours);
        }
    }

    async fn keep(&self, input: &Value, digest: &str) -> Result<(), Refusal> {
        let mut kept = input.clone();
        kept["imageTag"] = format!("{KEEP}{}", digest.trim_start_matches("sha256:")).into();
        match self.forward("PutImage", &kept).await {
            Err(refusal) if refusal.code != "ImageAlreadyExistsException" => Err(refusal),
            _ => Ok(()),
        }
    }

    fn emit_push(&self, repository: &str, digest: &str, tag: Option<&str>, media_type: &str) {
        let detail = json!({
            "action-type": "PUSH",
            "result": "SUCCESS",
            "repository-name": repository,
            "image-digest": digest,
            // ECR writes empty text for a missing tag.
            "image-tag": tag.unwrap_or_default(),
            "manifest-media-type": media_type,
        });
        self.bus.emit("aws.ecr", "ECR Image Action", &[], detail);
    }

    pub(super) async fn describe_images(&self, input: &Value) -> Answer {
        if input["imageIds"].is_array() {
            if input["maxResults"].is_number() || input["nextToken"].is_string() {
                let message = "maxResults and nextToken cannot be used with imageIds";
                return Err(Refusal::new("InvalidParameterException", message));
            }
            return Ok(json!({ "imageDetails": self.images(input).await? }));
        }
        let images = self.images(input).await?;
        let images = match input["filter"]["tagStatus"].as_str() {
            Some("TAGGED") => images.into_iter().filter(|image| image["imageTags"].is_array()).collect(),
            Some("UNTAGGED") => images.into_iter().filter(|image| !image["imageTags"].is_array()).collect(),
            _ => images,
        };
        self.paged("imageDetails", &images, input)
    }

    /// Returns images as `DescribeImages` writes them, oldest push first.
    pub(super) async fn images(&self, input: &Value) -> Result<Vec<Value>, Refusal> {
        let mut wanted = json!({ "repositoryName": input["repositoryName"] });
        if input["imageIds"].is_array() {
            wanted["imageIds"] = input["imageIds"].clone();
        }
        let described = self.forward("DescribeImages", &wanted).await?;
        let mut images = described["imageDetails"].as_array().cloned().unwrap_or_default();
        for image in &mut images {
            self.correct(text(input, "repositoryName"), image);
        }
        images.sort_by(|a, b| {
            a["imagePushedAt"]
                .as_f64()
                .unwrap_or_default()
                .total_cmp(&b["imagePushedAt"].as_f64().unwrap_or_default())
        });
        Ok(images)
    }

    fn correct(&self, repository: &str, image: &mut Value) {
        let key = (repository.to_owned(), text(image, "imageDigest").to_owned());
        if let Some(pushed) = self.state().pushed.get(&key) {
            image["imagePushedAt"] = epoch_seconds(pushed.at).into();
            image["imageManifestMediaType"] = pushed.content["mediaType"].clone();
        }
        let Some(tags) = image["imageTags"].as_array() else { return };
        let own: Vec<Value> = tags.iter().filter(|tag| !is_ours(tag)).cloned().collect();
        match image.as_object_mut() {
            Some(image) if own.is_empty() => drop(image.remove("imageTags")),
            _ => image["imageTags"] = own.into(),
        }
    }

    pub(super) async fn list_images(&self, input: &Value) -> Answer {
        let listed =
            self.forward("ListImages", &json!({ "repositoryName": input["repositoryName"] })).await?;
        let ids = listed["imageIds"].as_array().cloned().unwrap_or_default();
        let ids: Vec<Value> = ids.into_iter().filter(|id| !is_ours(&id["imageTag"])).collect();
        self.paged("imageIds", &ids, input)
    }

    fn paged(&self, field: &str, items: &[Value], input: &Value) -> Answer {
        let size = self.state().page;
        let (items, next) = page(items, input["nextToken"].as_str(), size)?;
        Ok(json!({ field: items, "nextToken": next }))
    }

    pub(super) async fn batch_get_image(&self, input: &Value) -> Answer {
        let ids = input["imageIds"].as_array().cloned().unwrap_or_default();
        if ids.is_empty() || ids.len() > MAX_BATCH {
            return Err(Refusal::new(
                "InvalidParameterException",
                "imageIds takes between 1 and 100 image ids",
            ));
        }
        let (mut images, mut failures) = (Vec::new(), Vec::new());
        for id in ids {
            match self.one_image(input, &id).await {
                Some(image) => images.push(image),
                None => failures.push(json!({
                    "imageId": id,
                    "failureCode": "ImageNotFound",
                    "failureReason": "Requested image not found",
                })),
            }
        }
        Ok(json!({ "images": images, "failures": failures }))
    }

    /// Returns one image if it exists and the caller accepts its media type. A digest always names
    /// the same content, so moto is not asked for it.
    async fn one_image(&self, input: &Value, id: &Value) -> Option<Value> {
        let repository = text(input, "repositoryName");
        let mut id = id.clone();
        if id["imageDigest"].is_null() {
            id["imageDigest"] = self.tagged(repository, text(&id, "imageTag")).await?.into();
        }
        let pushed = self.pushed(repository, &id).ok()?;
        let media_type = &pushed.content["mediaType"];
        let accepted = input["acceptedMediaTypes"].as_array();
        accepted.is_none_or(|types| types.contains(media_type)).then(|| {
            json!({
                "registryId": ACCOUNT,
                "repositoryName": repository,
                "imageId": id,
                "imageManifest": pushed.text,
                "imageManifestMediaType": media_type,
            })
        })
    }

    pub(super) fn pushed(&self, repository: &str, id: &Value) -> Result<Pushed, Refusal> {
        let key = (repository.to_owned(), text(id, "imageDigest").to_owned());
        self.state().pushed.get(&key).cloned().ok_or_else(|| image_not_found(repository, id))
    }
}

fn is_ours(tag: &Value) -> bool {
    tag.as_str().is_some_and(|tag| tag.starts_with(KEEP))
}
