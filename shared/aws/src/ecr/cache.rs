//! Caches what an invocation has read from the registry.
//!
//! A document never changes, because its digest identifies its content. A scan changes: the scans
//! that a survey read serve only the pass that follows it. Which versions count is never cached,
//! because a pass reads its executions first and the tags after them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use patchwave::finding::Scan;
use patchwave::image::{Digest, Repository};
use patchwave_converge::ManifestAt;

use super::read::Documents;
use crate::manifest::Document;

/// Lasts as long as an invocation.
#[derive(Debug, Clone, Default)]
pub(super) struct Cache(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    documents: BTreeMap<ManifestAt, Document>,
    scans: BTreeMap<ManifestAt, Scan>,
}

impl Cache {
    pub(super) fn document(&self, repository: &Repository, digest: &Digest) -> Option<Document> {
        self.state().documents.get(&(repository.clone(), digest.clone())).cloned()
    }

    /// Keeps the documents that were read. A missing document may exist at the next read.
    pub(super) fn keep_documents(&self, repository: &Repository, read: &Documents) {
        let mut state = self.state();
        for (digest, document) in read {
            if let Ok(Some(document)) = document {
                state.documents.insert((repository.clone(), digest.clone()), document.clone());
            }
        }
    }

    /// Keeps finished scans. An unfinished scan may be finished at the next read.
    pub(super) fn keep_scans(&self, scans: impl IntoIterator<Item = (ManifestAt, Scan)>) {
        let finished = scans.into_iter().filter(|(_, scan)| matches!(scan, Scan::Complete { .. }));
        self.state().scans.extend(finished);
    }

    /// Removes the scan from the cache, because it serves once.
    pub(super) fn take_scan(&self, at: &ManifestAt) -> Option<Scan> {
        self.state().scans.remove(at)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
}
