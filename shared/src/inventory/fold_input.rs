//! What [`fold`](super::fold) adds to what was known.

use super::catalog::Catalog;
use super::survey::Survey;
use crate::hierarchy::Hierarchy;
use crate::time::Timestamp;

/// What a survey saw, and what it takes to understand it.
#[derive(Debug, Clone, Copy)]
pub struct FoldInput<'l> {
    /// What was seen.
    pub survey: &'l Survey,
    /// When the survey began that this is a part of, or all of.
    pub began: Timestamp,
    /// Whether it ends with this: only then does a list of clusters say which are no longer there.
    pub ended: bool,
    /// The images.
    pub hierarchy: &'l Hierarchy,
    /// What the registry says.
    pub catalog: &'l Catalog,
    /// The time.
    pub now: Timestamp,
}
