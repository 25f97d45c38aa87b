//! What runs now and would be refused, before anything is enforced.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::admitted::Admitted;
use super::allowed::{Allowed, name_and_digest};
use super::manifests::Scope;
use crate::inventory::{ConsumerKind, Entry, Inventory};

/// What the policies would say about everything that runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Review {
    /// How many images in workloads of Kubernetes were judged.
    pub judged: usize,
    pub refused: Vec<Refused>,
    /// How many are in namespaces that the policies leave out.
    pub exempt: usize,
    /// Places that were not read: what runs there was not judged.
    pub unread: Vec<String>,
}

/// An image that runs, or that something would start, and that the policies would refuse.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refused {
    /// Whether the whole list of digests is the reason, and not the list of repositories.
    pub by_digests: bool,
    pub because: Because,
    /// The cluster's place.
    pub place: String,
    pub workload: String,
    /// As the workload asks for it.
    pub image: String,
    pub runs: bool,
}

/// Why an image is refused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Because {
    /// It names no digest, or is not written as a reference.
    NoDigest,
    /// Its repository is neither in the hierarchy nor approved.
    NotAllowed,
    /// Its digest is not on the list.
    NotAdmitted { why: String },
}

/// Judges one image as the policies do. `admitted` is the second policy's list, if it is used.
pub fn judge(allowed: &BTreeSet<Allowed>, admitted: Option<&Admitted>, image: &str) -> Option<Because> {
    let Some((name, digest)) = name_and_digest(image) else {
        return Some(Because::NoDigest);
    };
    let Some(by) = allowed.iter().find(|allowed| allowed.has(name)) else {
        return Some(Because::NotAllowed);
    };
    // What others build is not scanned here, so its repository is all that can be asked.
    let is_ours = matches!(by, Allowed::Repository(_));
    let why = admitted.filter(|_| is_ours)?.refusal(&digest)?;
    Some(Because::NotAdmitted { why })
}

/// Judges everything that runs on Kubernetes, or that something would start there.
pub fn refused(
    inventory: &Inventory,
    allowed: &BTreeSet<Allowed>,
    admitted: Option<&Admitted>,
    scope: &Scope,
) -> Review {
    let mut review = Review::default();
    for entry in inventory.entries.values().filter(|entry| entry.place.kind == ConsumerKind::Eks) {
        if namespace(entry).is_some_and(|name| scope.is_exempt(name)) {
            review.exempt += 1;
            continue;
        }
        review.judged += 1;
        let Some(because) = judge(allowed, admitted, &entry.asked) else { continue };
        review.refused.push(Refused {
            by_digests: matches!(because, Because::NotAdmitted { .. }),
            because,
            place: entry.place.id(),
            workload: entry.workload.clone(),
            image: entry.asked.clone(),
            runs: entry.runs,
        });
    }
    review.refused.sort();
    let unread = inventory.places.keys().filter_map(|id| Some((id, inventory.unread_because(id)?)));
    let of_clusters = unread.filter(|(id, _)| id.contains("/eks"));
    review.unread = of_clusters.map(|(id, because)| format!("{id}: {because}")).collect();
    review
}

/// Returns the namespace of what runs on Kubernetes.
pub(super) fn namespace(entry: &Entry) -> Option<&str> {
    entry.workload.split_once('/').map(|(namespace, _)| namespace)
}
