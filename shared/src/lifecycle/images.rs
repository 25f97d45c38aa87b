//! What lies in one repository, as `aws ecr describe-images` prints it.

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
    /// Where it can be pulled from.
    Standard,
    /// Where it must be restored before it can be pulled.
    Archive,
}

/// The images of one repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// The repository, and the account of its registry; nothing if there is no image.
    pub of: Option<(String, Repository)>,
    /// Its images.
    pub images: BTreeMap<Digest, RepositoryImage>,
}

/// An image, or a list of images, as lifecycle policies see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryImage {
    /// Its tags.
    pub tags: BTreeSet<Tag>,
    /// When it was pushed.
    pub pushed_at: Timestamp,
    /// When it was last pulled; the registry notes this once a day.
    pub pulled_at: Option<Timestamp>,
    /// When it was last put into the archive.
    pub archived_at: Option<Timestamp>,
    /// When it was last restored from there.
    pub restored_at: Option<Timestamp>,
    /// Where it is stored.
    pub storage: StorageClass,
    /// Whether it is a list of images: an index.
    pub is_index: bool,
    /// What it lists, as far as that is known: the registry does not say.
    pub children: BTreeSet<Digest>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    image_details: Vec<Detail>,
    #[serde(alias = "NextToken")]
    next_token: Option<IgnoredAny>,
}

/// Keys that are not read are AWS's to add.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    registry_id: String,
    repository_name: Repository,
    image_digest: Digest,
    #[serde(default)]
    image_tags: BTreeSet<Tag>,
    image_pushed_at: Moment,
    last_recorded_pull_time: Option<Moment>,
    last_archived_at: Option<Moment>,
    last_activated_at: Option<Moment>,
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
    /// On its way out of the archive: soon what an active one is.
    Activating,
    Archived,
}

/// A moment: the newer AWS CLI prints ISO 8601, the older one seconds since 1970.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "Printed")]
struct Moment(Timestamp);

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a time: ISO 8601, or seconds since 1970")]
enum Printed {
    Text(Timestamp),
    Seconds(f64),
}

impl TryFrom<Printed> for Moment {
    type Error = jiff::Error;

    fn try_from(printed: Printed) -> Result<Self, jiff::Error> {
        Ok(Self(match printed {
            Printed::Text(at) => at,
            Printed::Seconds(seconds) => {
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
    /// Says where it is not that, or that it is not the whole of one repository.
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
                return Err(format!("{} is in it too; name the images of one repository", of.1));
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
        let at = |moment: Option<Moment>| moment.map(|moment| moment.0);
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
