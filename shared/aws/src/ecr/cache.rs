//! Caches what a process has read from the registry.
//!
//! A document or a config never changes, because its digest identifies its content: a warm process
//! keeps them. A scan changes, and so does which version counts: neither is ever cached.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use patchwave::image::{Digest, Repository};
use patchwave_converge::ManifestAt;

use super::read::Documents;
use crate::manifest::Document;

/// Most digests that the kept documents and configs hold together: about 30 MB. A cache that is
/// full begins again.
const MOST_DIGESTS: usize = 200_000;

/// What a process keeps. Its copies share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cache {
    kept: Arc<Mutex<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    documents: BTreeMap<ManifestAt, Document>,
    diff_ids: BTreeMap<ManifestAt, Vec<Digest>>,
    digests: usize,
}

impl Kept {
    /// Makes room for an entry with so many digests.
    fn make_room(&mut self, digests: usize) {
        if self.digests + digests > MOST_DIGESTS {
            *self = Self::default();
        }
        self.digests += digests;
    }
}

impl Document {
    /// How many digests it holds, with its own.
    fn digests(&self) -> usize {
        1 + match self {
            Self::Index { platforms, others, .. } => platforms.len() + others.len(),
            Self::Manifest { layers, .. } => layers.len() + 1,
            Self::Artifact(_) => 0,
        }
    }
}

impl Cache {
    pub(super) fn document(&self, repository: &Repository, digest: &Digest) -> Option<Document> {
        lock(&self.kept).documents.get(&(repository.clone(), digest.clone())).cloned()
    }

    /// Keeps the documents that were read. A missing document may exist at the next read.
    pub(super) fn keep_documents(&self, repository: &Repository, read: &Documents) {
        let mut kept = lock(&self.kept);
        for (digest, document) in read {
            if let Ok(Some(document)) = document {
                kept.make_room(document.digests());
                kept.documents.insert((repository.clone(), digest.clone()), document.clone());
            }
        }
    }

    pub(super) fn diff_ids(&self, at: &ManifestAt) -> Option<Vec<Digest>> {
        lock(&self.kept).diff_ids.get(at).cloned()
    }

    pub(super) fn keep_diff_ids(&self, at: &ManifestAt, diff_ids: &[Digest]) {
        let mut kept = lock(&self.kept);
        kept.make_room(1 + diff_ids.len());
        kept.diff_ids.insert(at.clone(), diff_ids.to_vec());
    }
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::digest;

    #[test]
    fn a_document_is_cached_by_its_repository_and_what_was_not_read_is_not_cached() {
        let (cache, here) = (Cache::default(), "base/os".parse().unwrap());
        let of = |n: usize| -> Digest { digest(n).parse().unwrap() };
        let artifact = Document::Artifact("text/plain".into());
        let failed = Err(crate::fault::invalid("read", "nothing"));
        cache
            .keep_documents(&here, &[(of(1), Ok(Some(artifact))), (of(2), Ok(None)), (of(3), failed)].into());
        assert!(cache.document(&here, &of(1)).is_some());
        assert!(cache.document(&"base/slim".parse().unwrap(), &of(1)).is_none());
        assert!(cache.document(&here, &of(2)).is_none() && cache.document(&here, &of(3)).is_none());
    }

    #[test]
    fn documents_and_configs_last_longer_than_an_invocation_and_never_without_limit() {
        let (cache, here): (Cache, Repository) = (Cache::default(), "base/os".parse().unwrap());
        let of = |n: usize| -> Digest { digest(n).parse().unwrap() };
        let at = |n: usize| (here.clone(), of(n));
        cache.keep_documents(&here, &[(of(1), Ok(Some(Document::Artifact("text/plain".into()))))].into());
        cache.keep_diff_ids(&at(1), &[of(2)]);
        let next = cache.clone();
        assert!(next.document(&here, &of(1)).is_some());
        assert_eq!(next.diff_ids(&at(1)), Some(vec![of(2)]));
        let layers: Vec<Digest> = (0..1_000).map(of).collect();
        for n in 0..1_000 {
            cache.keep_diff_ids(&at(n), &layers);
        }
        assert!(lock(&cache.kept).digests <= MOST_DIGESTS);
        assert_eq!(cache.diff_ids(&at(999)), Some(layers));
    }
}
