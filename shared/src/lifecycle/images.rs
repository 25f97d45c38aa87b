//! The images of one repository, as `aws ecr describe-images` prints them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::image::{Digest, Repository, Tag, is_index};
use crate::time::{Span, Timestamp};

/// The media types of the configs that runtimes run.
/// <https://github.com/opencontainers/image-spec/blob/main/media-types.md>
const IMAGE_CONFIGS: [&str; 2] =
    ["application/vnd.docker.container.image.v1+json", "application/vnd.oci.image.config.v1+json"];
/// How long before its index a client may have pushed a manifest.
const UPLOAD: Span = Span::hours(1);

/// Where an image is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StorageClass {
    /// It can be pulled.
    Standard,
    /// It must be restored before it can be pulled.
    Archive,
}

/// The images of one repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// The account of the registry, and the repository; `None` if there is no image.
    pub of: Option<(String, Repository)>,
    pub images: BTreeMap<Digest, RepositoryImage>,
}

/// An image or an index, as lifecycle policies see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryImage {
    pub tags: BTreeSet<Tag>,
    pub pushed_at: Timestamp,
    /// When it was last pulled. The registry records this once a day.
    pub pulled_at: Option<Timestamp>,
    /// When it was last moved to the archive.
    pub archived_at: Option<Timestamp>,
    /// When it was last restored from the archive.
    pub restored_at: Option<Timestamp>,
    pub storage: StorageClass,
    pub is_index: bool,
    /// The images that an index lists, if they are known. The registry does not say which.
    pub children: BTreeSet<Digest>,
    /// Whether an index lists it, or may: it has no tag, and an index was pushed soon after it.
    pub is_part: bool,
    /// What it says it is: the media type of its config, or the artifact type.
    pub artifact_type: Option<String>,
    /// The image that it is about, such as the one that a signature signs.
    pub subject: Option<Digest>,
    /// Compressed. Layers that images share are counted in each of them.
    pub bytes: u64,
    /// How many findings its last scan counted; nothing if it was not scanned.
    pub findings: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    image_details: Vec<Detail>,
    #[serde(alias = "NextToken")]
    next_token: Option<IgnoredAny>,
}

/// Unknown keys are allowed, because AWS may add some.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    registry_id: String,
    repository_name: Repository,
    image_digest: Digest,
    #[serde(default)]
    image_tags: BTreeSet<Tag>,
    image_pushed_at: PrintedTime,
    last_recorded_pull_time: Option<PrintedTime>,
    last_archived_at: Option<PrintedTime>,
    last_activated_at: Option<PrintedTime>,
    #[serde(default)]
    image_status: Status,
    #[serde(default)]
    image_manifest_media_type: String,
    artifact_media_type: Option<String>,
    subject_manifest_digest: Option<Digest>,
    #[serde(default)]
    image_size_in_bytes: u64,
    image_scan_findings_summary: Option<FindingsSummary>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FindingsSummary {
    #[serde(default)]
    finding_severity_counts: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Status {
    #[default]
    Active,
    /// It is being restored from the archive, and is active soon.
    Activating,
    Archived,
}

/// Newer versions of the AWS CLI print ISO 8601, older ones seconds since 1970.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "TimeFormat")]
struct PrintedTime(Timestamp);

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a time: ISO 8601, or seconds since 1970")]
enum TimeFormat {
    Text(Timestamp),
    Seconds(f64),
}

impl TryFrom<TimeFormat> for PrintedTime {
    type Error = jiff::Error;

    fn try_from(printed: TimeFormat) -> Result<Self, jiff::Error> {
        Ok(Self(match printed {
            TimeFormat::Text(at) => at,
            TimeFormat::Seconds(seconds) => {
                Timestamp::from_duration(SignedDuration::try_from_secs_f64(seconds)?)?
            }
        }))
    }
}

impl Listing {
    /// Reads what `aws ecr describe-images` prints for one repository.
    ///
    /// # Errors
    ///
    /// Fails if the text is something else, or is not the whole of one repository.
    pub fn parse(json: &str) -> Result<Self, String> {
        let described: Described = serde_json::from_str(json)
            .map_err(|error| format!("not what `aws ecr describe-images` prints: {error}"))?;
        if described.next_token.is_some() {
            return Err(
                "not the whole repository: run `aws ecr describe-images` without --max-items".to_owned()
            );
        }
        let mut listing = Self::default();
        for detail in described.image_details {
            let of = (detail.registry_id.clone(), detail.repository_name.clone());
            if listing.of.get_or_insert_with(|| of.clone()) != &of {
                return Err(format!("{} is in it too; pass the images of one repository only", of.1));
            }
            listing.images.insert(detail.image_digest.clone(), detail.into());
        }
        listing.guess_parts();
        Ok(listing)
    }

    /// Notes that an index lists an image.
    pub fn note(&mut self, index: &Digest, child: &Digest) {
        if let Some(image) = self.images.get_mut(index).filter(|_| index != child) {
            image.children.insert(child.clone());
            self.mark(child);
        }
    }

    /// Notes what each index lists, where all of them were read. Then nothing is guessed.
    pub fn note_all(&mut self, lists: &BTreeMap<Digest, BTreeSet<Digest>>) {
        self.images.values_mut().for_each(|image| image.is_part = false);
        for (index, children) in lists {
            for child in children {
                self.note(index, child);
            }
        }
    }

    fn mark(&mut self, child: &Digest) {
        if let Some(image) = self.images.get_mut(child) {
            image.is_part = true;
        }
    }

    /// Marks what an index may list. A client pushes the manifests of an index before the index.
    fn guess_parts(&mut self) {
        let indexes = self.images.values().filter(|image| image.is_index);
        let pushes: BTreeSet<Timestamp> = indexes.map(|index| index.pushed_at).collect();
        for image in self.images.values_mut() {
            let could_be = !image.is_index && image.tags.is_empty() && image.subject.is_none();
            let soon = image.pushed_at..=UPLOAD.after(image.pushed_at);
            image.is_part = could_be && pushes.range(soon).next().is_some();
        }
    }
}

impl RepositoryImage {
    /// Returns whether no runtime can run it, by the type of its config.
    pub fn is_artefact(&self) -> bool {
        let is_config = |of: &String| IMAGE_CONFIGS.contains(&of.as_str());
        !self.is_index && self.artifact_type.as_ref().is_some_and(|of| !is_config(of))
    }

    /// Returns whether it may be a signature, an attestation or the like. Whoever pushes an image
    /// can make it appear so, so this never hides an image.
    pub fn may_be_artefact(&self) -> bool {
        let by_type = self.artifact_type.as_ref().is_some_and(|of| !IMAGE_CONFIGS.contains(&of.as_str()));
        let by_tags = !self.tags.is_empty() && self.tags.iter().all(names_a_digest);
        by_type || by_tags || self.subject.is_some()
    }
}

/// Returns whether a tag has the form in which tools name what belongs to a digest:
/// `sha256-<64 digits>`, and what it is.
/// <https://github.com/opencontainers/distribution-spec/blob/main/spec.md#referrers-tag-schema>
fn names_a_digest(tag: &Tag) -> bool {
    let hex = tag.as_str().strip_prefix("sha256-").and_then(|rest| rest.get(..64));
    hex.is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

impl From<Detail> for RepositoryImage {
    fn from(detail: Detail) -> Self {
        let at = |time: Option<PrintedTime>| time.map(|time| time.0);
        Self {
            tags: detail.image_tags,
            pushed_at: detail.image_pushed_at.0,
            pulled_at: at(detail.last_recorded_pull_time),
            archived_at: at(detail.last_archived_at),
            restored_at: at(detail.last_activated_at),
            storage: match detail.image_status {
                Status::Active | Status::Activating => StorageClass::Standard,
                Status::Archived => StorageClass::Archive,
            },
            is_index: is_index(&detail.image_manifest_media_type),
            children: BTreeSet::new(),
            is_part: false,
            artifact_type: detail.artifact_media_type,
            subject: detail.subject_manifest_digest,
            bytes: detail.image_size_in_bytes,
            findings: detail
                .image_scan_findings_summary
                .map(|summary| summary.finding_severity_counts.values().sum()),
        }
    }
}
