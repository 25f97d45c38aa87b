//! The proof of a rebuild: whether it fixed a finding.

use serde::{Deserialize, Serialize};

use crate::finding::{Coverage, FindingKey, PackageKind};
use crate::image::{Digest, ImageId, Platform};
use crate::time::Timestamp;

/// A finding of the replaced version on one platform, to be judged on the new version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToProve {
    pub platform: Platform,
    pub finding: FindingKey,
    /// A scan that does not cover language packages proves nothing about one.
    pub kind: PackageKind,
    /// When the finding appeared. A build may reproduce what was scanned before that, and such a
    /// scan does not say that the finding is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// What a scan of the new version says about a finding of the old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// A completed scan of the new version does not list it.
    Fixed,
    /// A completed scan of the new version still lists it, or the build pushed nothing new.
    Ineffective,
    /// No scan of the new version completed in time.
    Unscanned,
    /// A completed scan of the new version lists it with a status that proves nothing, such as
    /// suppressed.
    Unknown,
    /// The scan of the new version expired.
    Expired,
    /// The new version has no such platform.
    Removed,
}

/// A verdict, for one image, vulnerability, package and platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    pub image: ImageId,
    /// The version that was judged.
    pub version: Digest,
    pub platform: Platform,
    pub finding: FindingKey,
    pub verdict: Verdict,
    /// What the scan covers; nothing without a completed scan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<Coverage>,
}
