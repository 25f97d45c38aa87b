//! Whether upstream fixed a finding.

use std::collections::BTreeMap;

use super::Content;
use crate::finding::{FindingKey, Scan};
use crate::image::{Digest, Platform};
use crate::time::Timestamp;

/// Returns whether the scans show that a tag's new content no longer has a finding that its old
/// content had, on each of the platforms on which an image carries it since `appeared`.
///
/// Only scans are evidence. The old content must list the finding, or it may come from elsewhere.
/// The new one must have been scanned completely since the finding appeared, and must not list it.
/// A scan that is missing, not read, too old or unclear about the finding shows nothing.
pub fn lacks<'p>(
    scans: &BTreeMap<Digest, Scan>,
    (before, now): (&Content, &Content),
    finding: &FindingKey,
    (platforms, appeared): (impl IntoIterator<Item = &'p Platform>, Timestamp),
) -> bool {
    let mut platforms = platforms.into_iter().peekable();
    let scan = |content: &Content, platform| scans.get(content.on(platform)?);
    let is_fixed = |platform| {
        let had = scan(before, platform).is_some_and(|scan| scan.finding(finding).is_some());
        let lacks = scan(now, platform).is_some_and(|scan| {
            scan.lists(finding) == Some(false) && scan.completed_at().is_some_and(|at| at >= appeared)
        });
        had && lacks
    };
    platforms.peek().is_some() && platforms.all(is_fixed)
}
