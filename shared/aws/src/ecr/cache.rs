//! Caches what a process has read from the registry.
//!
//! A document or a config never changes, because its digest identifies its content: a warm process
//! keeps them. A scan changes: the scans that a survey read serve only the pass that follows it.
//! Which versions count is never cached, because a pass reads its executions first and the tags
//! after them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use patchwave::finding::Scan;
use patchwave::image::{Digest, Repository};
use patchwave_converge::ManifestAt;

use super::read::Documents;
use crate::manifest::Document;

/// Most digests that the kept documents and configs hold together: about 30 MB. A cache that is
/// full begins again.
const MOST_DIGESTS: usize = 200_000;

/// What a process keeps. Its scans serve one invocation.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cache {
    kept: Arc<Mutex<Kept>>,
    scans: Arc<Mutex<BTreeMap<ManifestAt, Scan>>>,
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
    /// Returns a cache with the same documents and without scans.
    pub(super) fn of_next_invocation(&self) -> Self {
        Self { kept: Arc::clone(&self.kept), scans: Arc::default() }
    }

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

    /// Keeps finished scans. An unfinished scan may be finished at the next read.
    pub(super) fn keep_scans(&self, scans: impl IntoIterator<Item = (ManifestAt, Scan)>) {
        let finished = scans.into_iter().filter(|(_, scan)| matches!(scan, Scan::Complete { .. }));
        lock(&self.scans).extend(finished);
    }

    /// Removes the scan from the cache, because it serves once.
    pub(super) fn take_scan(&self, at: &ManifestAt) -> Option<Scan> {
        lock(&self.scans).remove(at)
    }
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use patchwave::finding::Coverage;

    use super::*;
    use crate::fake::digest;

    #[test]
    fn a_finished_scan_serves_once_and_an_unfinished_one_never() {
        let at = |n| -> ManifestAt { ("base/os".parse().unwrap(), digest(n).parse().unwrap()) };
        let completed_at = "2026-01-01T12:00:00Z".parse().unwrap();
        let finished = Scan::complete(completed_at, Coverage::Os, []);
        let unfinished = [Scan::Missing, Scan::Pending, Scan::Failed("no answer".into()), Scan::Expired];
        let cache = Cache::default();
        cache.keep_scans(unfinished.into_iter().enumerate().map(|(n, scan)| (at(n), scan)));
        cache.keep_scans([(at(9), finished.clone())]);
        assert_eq!((0..5).filter_map(|n| cache.take_scan(&at(n))).count(), 0);
        assert_eq!([cache.take_scan(&at(9)), cache.take_scan(&at(9))], [Some(finished), None]);
    }

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
        let scan = Scan::complete("2026-01-01T12:00:00Z".parse().unwrap(), Coverage::Os, []);
        cache.keep_documents(&here, &[(of(1), Ok(Some(Document::Artifact("text/plain".into()))))].into());
        cache.keep_diff_ids(&at(1), &[of(2)]);
        cache.keep_scans([(at(1), scan)]);
        let next = cache.of_next_invocation();
        assert!(next.document(&here, &of(1)).is_some());
        assert_eq!((next.diff_ids(&at(1)), next.take_scan(&at(1))), (Some(vec![of(2)]), None));
        let layers: Vec<Digest> = (0..1_000).map(of).collect();
        for n in 0..1_000 {
            cache.keep_diff_ids(&at(n), &layers);
        }
        assert!(lock(&cache.kept).digests <= MOST_DIGESTS);
        assert_eq!(cache.diff_ids(&at(999)), Some(layers));
    }
}
