//! What an invocation has read of the registry and need not read again.
//!
//! A document is what its digest says, whenever it is read. A scan is not: those of a look that was just made serve the pass
//! that follows it, and no other. Which versions count is never kept: a pass reads its executions first, and the tags after
//! them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use patchwave::finding::Scan;
use patchwave::image::{Digest, Repository};
use patchwave_converge::ManifestAt;

use super::read::Documents;
use crate::manifest::Document;

/// For as long as an invocation lasts.
#[derive(Debug, Clone, Default)]
pub(super) struct Kept(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    documents: BTreeMap<ManifestAt, Document>,
    scans: BTreeMap<ManifestAt, Scan>,
}

impl Kept {
    pub(super) fn document(&self, repository: &Repository, digest: &Digest) -> Option<Document> {
        self.state().documents.get(&(repository.clone(), digest.clone())).cloned()
    }

    /// Keeps those that were read; what is not there may be there next time.
    pub(super) fn keep_documents(&self, repository: &Repository, read: &Documents) {
        let mut state = self.state();
        for (digest, document) in read {
            if let Ok(Some(document)) = document {
                state.documents.insert((repository.clone(), digest.clone()), document.clone());
            }
        }
    }

    /// Keeps finished scans; one that says nothing may say something next time.
    pub(super) fn keep_scans(&self, scans: impl IntoIterator<Item = (ManifestAt, Scan)>) {
        let finished = scans.into_iter().filter(|(_, scan)| matches!(scan, Scan::Complete { .. }));
        self.state().scans.extend(finished);
    }

    /// Takes a scan: it serves once.
    pub(super) fn take_scan(&self, at: &ManifestAt) -> Option<Scan> {
        self.state().scans.remove(at)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
