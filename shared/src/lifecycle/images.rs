//! The images of one repository, as `aws ecr describe-images` prints them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::image::{Digest, Repository, Tag, is_index};
use crate::time::Timestamp;

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
#[derive(Debug, Clone, PartialEq, Eq)]
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
        Ok(listing)
    }

    /// Notes that an index lists an image.
    pub fn note(&mut self, index: &Digest, child: &Digest) {
        if let Some(image) = self.images.get_mut(index).filter(|_| index != child) {
            image.children.insert(child.clone());
        }
    }
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
        }
    }
}
