//! What is not known, and the scans that would answer it.

use serde::{Deserialize, Serialize};

use crate::image::{Digest, ImageId, Platform, Repository};
use crate::time::Timestamp;

/// A manifest whose scan a decision waits for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AwaitedScan {
    pub image: ImageId,
    pub repository: Repository,
    pub platform: Platform,
    /// The digest of the platform manifest.
    pub digest: Digest,
}

/// Something that is not known. It is never taken for clean.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unknown {
    pub image: ImageId,
    /// The platform, if only one is affected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// What is not known, and why.
    pub because: String,
    /// Since when, if it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}
