//! Attestations that lie beside what they are about, and not in its index.

use std::collections::{BTreeMap, BTreeSet};

use super::document::Attestation;
use super::{Document, Estate, Provenance, estate};
use crate::image::{Digest, Tag};

/// Attestations that lie in a repository beside what they are about.
pub(super) struct Referrers<'e>(BTreeMap<Digest, BTreeSet<&'e Digest>>);

impl<'e> Referrers<'e> {
    /// Finds them by the subject that their manifests name, or by their tags.
    pub(super) fn of(estate: &'e Estate, repository: &'e estate::Repository) -> Self {
        let mut found: BTreeMap<Digest, BTreeSet<&Digest>> = BTreeMap::new();
        for version in &repository.versions {
            let tagged = version.tags.iter().find_map(subject_of);
            let listed = match estate.documents.get(&version.digest) {
                Some(Document::Index(index)) if tagged.is_some() => {
                    index.entries.iter().map(|entry| &entry.digest).collect()
                }
                _ => vec![&version.digest],
            };
            for digest in listed {
                let Some(Document::Attestation(about)) = estate.documents.get(digest) else { continue };
                if let Some(subject) = about.subject.clone().or_else(|| tagged.clone()) {
                    found.entry(subject).or_default().insert(digest);
                }
            }
        }
        Self(found)
    }

    /// Returns what is said about a manifest or an index.
    pub(super) fn about(&self, estate: &'e Estate, subject: &Digest) -> Vec<&'e Provenance> {
        let attestations = self.0.get(subject).into_iter().flatten();
        attestations.flat_map(|digest| provenance(estate, digest, subject)).collect()
    }
}

/// Returns the digest in the tag of a referrer: `sha256-<64 digits>`, and what it is, such as
/// `.att`.
/// <https://github.com/opencontainers/distribution-spec/blob/main/spec.md#referrers-tag-schema>
pub(super) fn subject_of(tag: &Tag) -> Option<Digest> {
    let rest = tag.as_str().strip_prefix("sha256-")?;
    let (hex, kind) = (rest.get(..64)?, rest.get(64..)?);
    (kind.is_empty() || kind.starts_with('.')).then(|| format!("sha256:{hex}").parse().ok()).flatten()
}

/// Reads the statements about a platform's manifest. One that names other subjects is not about it.
pub(super) fn provenance<'e>(
    estate: &'e Estate,
    attestation: &Digest,
    manifest: &Digest,
) -> Vec<&'e Provenance> {
    let Some(Document::Attestation(Attestation { statements, .. })) = estate.documents.get(attestation)
    else {
        return Vec::new();
    };
    let documents = statements.iter().filter_map(|digest| estate.documents.get(digest));
    let read = documents.filter_map(|document| match document {
        Document::Provenance(provenance) => Some(provenance.as_ref()),
        _ => None,
    });
    read.filter(|read| read.subjects.is_empty() || read.subjects.contains(manifest)).collect()
}
