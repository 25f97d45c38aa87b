//! Compares what ECR's own preview of a policy says with what Patchwave computes, image by image.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::hash::hash_of;
use super::images::Listing;
use super::judge::{Going, Reading, judge};
use super::policy::LifecyclePolicy;
use crate::image::{Digest, Tag};
use crate::time::Timestamp;

/// What ECR's preview of a text said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Previewed {
    pub at: Timestamp,
    /// The hash of the text that was previewed.
    pub hash: String,
    /// The images that would go by it.
    pub going: BTreeSet<Digest>,
    /// Where Patchwave computes something else.
    pub differences: Vec<Difference>,
    /// Whether only the reading in which manifests of indexes are counted fits what ECR says.
    #[serde(default)]
    pub counts_parts: bool,
}

/// An image about which ECR and Patchwave do not agree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    pub digest: Digest,
    pub tags: BTreeSet<Tag>,
    /// What Patchwave computes; nothing if the image stays.
    pub ours: Option<Going>,
    /// What ECR says; nothing if the image stays.
    pub ecr: Option<Going>,
}

/// Compares a preview of `text` with what is computed for the images as they were when it was made.
///
/// ECR does not say whether its preview lists the manifests that go with their index. So it is no
/// difference if one of those is on one list alone.
pub fn compare(
    text: &str,
    policy: &LifecyclePolicy,
    listing: &Listing,
    ecr: &BTreeMap<Digest, Going>,
    now: Timestamp,
) -> Previewed {
    let differences = |reading| {
        let ours = judge(policy, &listing.images, reading, now);
        let all: BTreeSet<&Digest> = ours.keys().chain(ecr.keys()).collect();
        let differ = |digest: &&&Digest| {
            ours.get(**digest) != ecr.get(**digest) && !goes_with_index(listing, digest, ecr)
        };
        let difference = |digest: &Digest| Difference {
            digest: digest.clone(),
            tags: listing.images.get(digest).map(|image| image.tags.clone()).unwrap_or_default(),
            ours: ours.get(digest).copied(),
            ecr: ecr.get(digest).copied(),
        };
        all.iter().filter(differ).map(|digest| difference(digest)).collect::<Vec<_>>()
    };
    let first = differences(Reading::WithoutParts);
    let counts_parts = !first.is_empty() && differences(Reading::WithParts).is_empty();
    Previewed {
        at: now,
        hash: hash_of(text),
        going: ecr.keys().cloned().collect(),
        differences: first,
        counts_parts,
    }
}

fn goes_with_index(listing: &Listing, digest: &Digest, ecr: &BTreeMap<Digest, Going>) -> bool {
    let lists = |(index, image): (&Digest, &super::RepositoryImage)| {
        image.children.contains(digest) && ecr.contains_key(index)
    };
    listing.images.iter().any(lists)
}
