//! What is not known, and the scans that would tell.

use serde::{Deserialize, Serialize};

use crate::image::{Digest, ImageId, Platform, Repository};

/// A manifest whose scan a decision waits for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AwaitedScan {
    /// Of which image.
    pub image: ImageId,
    /// Its repository.
    pub repository: Repository,
    /// The platform.
    pub platform: Platform,
    /// The platform manifest.
    pub digest: Digest,
}

/// Something that is not known, and therefore not clean.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unknown {
    /// About which image.
    pub image: ImageId,
    /// On which platform, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// What, and why.
    pub because: String,
}
