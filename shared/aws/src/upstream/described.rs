//! What an upstream manifest or index says about its content.

use std::collections::BTreeMap;

use jiff::Timestamp;
use patchwave::image::{Digest, Platform};
use patchwave::upstream::Described;
use serde::Deserialize;
use serde_json::Value;

use crate::manifest::{self, Document, SINGLE};

/// The dates of an index. Docker's official images write one for each platform.
#[derive(Deserialize)]
struct Dated {
    #[serde(default)]
    annotations: Option<BTreeMap<String, Value>>,
    #[serde(default)]
    manifests: Option<Vec<Dated>>,
}

impl Dated {
    /// Returns the latest date. 1970 and the like are no build times.
    fn latest(&self) -> Option<Timestamp> {
        let own = self.annotations.as_ref().and_then(|notes| notes.get("org.opencontainers.image.created"));
        let own = own.and_then(Value::as_str).and_then(|text| text.parse::<Timestamp>().ok());
        let own = own.filter(|at| at.as_second() > YEAR);
        let below = self.manifests.iter().flatten().filter_map(Dated::latest).max();
        own.max(below)
    }
}

/// Seconds.
const YEAR: i64 = 366 * 86_400;

/// Reads a manifest or index whose digest is `digest`. Attestations are left out: their manifests
/// are marked, and no image runs on their platform.
pub(crate) fn read(text: &str, digest: &Digest) -> Result<Described, String> {
    let platforms = match manifest::parse(text).map_err(|invalid| invalid.to_string())? {
        Document::Index { mut platforms, .. } => {
            platforms.retain(|platform, _| !platform.is_marked_as_attestation());
            platforms
        }
        Document::Manifest { .. } => {
            let single: Result<Platform, _> = SINGLE.parse();
            single.map(|single| BTreeMap::from([(single, digest.clone())])).unwrap_or_default()
        }
        Document::Artifact(media_type) => return Err(format!("it is no image: {media_type}")),
    };
    let built_at = serde_json::from_str::<Dated>(text).ok().and_then(|dated| dated.latest());
    Ok(Described { platforms, built_at })
}
