//! Decides what goes with a version that is copied to another repository, and in which order.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::image::{Digest, Repository, Tag};
use crate::lifecycle::{Listing, StorageClass};

/// What is copied to another repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CopyPlan {
    pub from: Repository,
    /// The manifests and indexes, in this order: what one lists or is about comes before it. So a
    /// copy that ends anywhere leaves nothing incomplete.
    pub manifests: Vec<Digest>,
    /// The tags by which tools find what belongs to a digest, such as a signature.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<Tag, Digest>,
}

impl CopyPlan {
    /// Finds everything that goes with a version: what it lists, and the signatures, attestations
    /// and other artefacts about any of it, by their subject or by their tag.
    ///
    /// # Errors
    ///
    /// Something that is listed is not there, or is in the archive and cannot be pulled.
    pub(super) fn new(from: &Repository, listing: &Listing, version: &Digest) -> Result<Self, String> {
        let mut copy = Self { from: from.clone(), manifests: Vec::new(), tags: BTreeMap::new() };
        let about = about(listing);
        let mut left = vec![version];
        let mut seen = BTreeSet::new();
        while let Some(root) = left.pop() {
            let before = copy.manifests.len();
            copy.add(listing, root, &mut seen)?;
            for added in copy.manifests.get(before..).unwrap_or_default() {
                for (tag, artefact) in about.get(added.hex()).into_iter().flatten() {
                    copy.tags.extend(tag.map(|tag| (tag.clone(), (*artefact).clone())));
                    left.push(artefact);
                }
            }
        }
        Ok(copy)
    }

    /// Adds what a manifest lists, and then the manifest.
    fn add<'l>(
        &mut self,
        listing: &'l Listing,
        digest: &'l Digest,
        seen: &mut BTreeSet<&'l Digest>,
    ) -> Result<(), String> {
        if !seen.insert(digest) {
            return Ok(());
        }
        let missing = |why: &str| format!("{}@{digest} {why}", self.from);
        let image = listing.images.get(digest).ok_or_else(|| missing("is listed and is not there"))?;
        if image.storage == StorageClass::Archive {
            return Err(missing("is in the archive; restore it first"));
        }
        for child in &image.children {
            self.add(listing, child, seen)?;
        }
        self.manifests.push(digest.clone());
        Ok(())
    }
}

/// What is about a digest, by its hexadecimal digits, with the tag that says so.
type About<'l> = BTreeMap<&'l str, Vec<(Option<&'l Tag>, &'l Digest)>>;

/// Finds the artefacts of a repository: those that name a subject, and those whose tag begins with
/// `sha256-` and the digest.
/// <https://github.com/opencontainers/distribution-spec/blob/main/spec.md#referrers-tag-schema>
fn about(listing: &Listing) -> About<'_> {
    let mut about = About::new();
    for (digest, image) in &listing.images {
        let subject = image.subject.iter().map(|subject| (subject.hex(), None));
        let by_tag = image.tags.iter().filter_map(|tag| Some((named(tag)?, Some(tag))));
        for (subject, tag) in subject.chain(by_tag) {
            about.entry(subject).or_default().push((tag, digest));
        }
    }
    about
}

fn named(tag: &Tag) -> Option<&str> {
    let rest = tag.as_str().strip_prefix("sha256-")?;
    let (hex, rest) = rest.split_at_checked(64)?;
    let is_hex = hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_hex && (rest.is_empty() || rest.starts_with('.'))).then_some(hex)
}
