//! What [`fold`](super::fold) adds to the inventory.

use super::catalog::Catalog;
use super::survey::Survey;
use crate::hierarchy::Hierarchy;
use crate::time::Timestamp;

/// What a survey saw, and what is needed to understand it.
#[derive(Debug, Clone, Copy)]
pub struct FoldInput<'l> {
    pub survey: &'l Survey,
    /// When the whole survey began. This may be a part of it.
    pub began: Timestamp,
    /// Whether the whole survey ends with this part. Only then does a list of clusters show which
    /// ones are gone.
    pub ended: bool,
    pub hierarchy: &'l Hierarchy,
    pub catalog: &'l Catalog<'l>,
    pub now: Timestamp,
}
