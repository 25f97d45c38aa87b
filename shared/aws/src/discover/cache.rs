//! Documents on disk, by their digests. They never change, so a second run need not ask for them.
//!
//! A file that does not have its digest any more is read again. Each file is written under another
//! name first, so a run that ends in between leaves nothing half-written: the next one goes on.

use std::fs;
use std::io;
use std::path::PathBuf;

use patchwave::image::Digest;

/// A folder of documents, or none.
#[derive(Debug, Clone)]
pub(super) struct Cache(Option<PathBuf>);

impl Cache {
    pub(super) const fn none() -> Self {
        Self(None)
    }

    /// Uses a folder, and makes it if it is not there.
    pub(super) fn at(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        Ok(Self(Some(folder)))
    }

    pub(super) fn get(&self, digest: &Digest) -> Option<Vec<u8>> {
        fs::read(self.file(digest)?).ok().filter(|bytes| Digest::of(bytes) == *digest)
    }

    /// Keeps a document. A cache that is full or read-only only makes the next run slower.
    pub(super) fn keep(&self, digest: &Digest, bytes: &[u8]) {
        let Some(file) = self.file(digest) else { return };
        let part = file.with_extension(format!("part-{}", std::process::id()));
        let written = file.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&part, bytes));
        let _ = written.and_then(|()| fs::rename(&part, &file));
    }

    /// A folder for each first two digits: a large estate has a hundred thousand documents.
    fn file(&self, digest: &Digest) -> Option<PathBuf> {
        let hex = digest.as_str().strip_prefix("sha256:")?;
        Some(self.0.as_ref()?.join("sha256").join(hex.get(..2)?).join(hex))
    }
}
