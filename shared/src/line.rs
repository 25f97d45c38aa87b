//! Decides which version of an image counts.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::hierarchy::{Line, Promotion};
use crate::image::{Digest, Order, Tag, TagFamily};
use crate::time::Timestamp;

/// A tagged version, as far as a line needs to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub digest: Digest,
    pub tags: Vec<Tag>,
    pub pushed_at: Timestamp,
    /// The commit that it was built from, if it names one.
    pub revision: Option<String>,
}

/// Returns the candidate that counts on `line`.
///
/// On a pattern line versions are ordered by the first push of their *commit*, then by their own
/// push. A rebuild of an old commit keeps that commit's place. So a rebuild never moves the line
/// backwards. A version that does not name its commit counts as a commit of its own.
pub fn current<'c>(line: &Line, candidates: &'c [Candidate]) -> Option<&'c Candidate> {
    match line {
        // The caller knows what runs and calls `deployed`.
        Line::Deployed { .. } => None,
        Line::Promoted { .. } => deployed(&promoted(line, candidates)?.digest, candidates),
        Line::Stable(tags) => {
            let tracked = tags.first()?;
            candidates.iter().find(|candidate| candidate.tags.contains(tracked))
        }
        Line::Newest(pattern) => {
            let matching: Vec<&Candidate> =
                candidates.iter().filter(|c| c.tags.iter().any(|tag| pattern.matches(tag))).collect();
            match pattern.order {
                Order::Pushed => last_pushed(matching),
                Order::Version => highest(pattern, matching),
            }
        }
    }
}

fn last_pushed(matching: Vec<&Candidate>) -> Option<&Candidate> {
    let mut first_push = BTreeMap::new();
    for candidate in &matching {
        let first = first_push.entry(commit(candidate)).or_insert(candidate.pushed_at);
        *first = candidate.pushed_at.min(*first);
    }
    matching.into_iter().max_by_key(|c| (first_push.get(commit(c)), c.pushed_at, &c.digest))
}

/// Returns the newest push of the commit with the highest version. A rebuild keeps its commit's
/// version, whatever its own tag is. Tags that are no versions do not count.
fn highest<'c>(family: &TagFamily, matching: Vec<&'c Candidate>) -> Option<&'c Candidate> {
    let mut of_commit = BTreeMap::new();
    for candidate in &matching {
        let version = candidate.tags.iter().filter_map(|tag| family.version(tag)).max();
        let highest = of_commit.entry(commit(candidate)).or_insert(None);
        *highest = version.max(highest.take());
    }
    let known = |c: &&Candidate| of_commit.get(commit(c)).is_some_and(Option::is_some);
    matching.into_iter().filter(known).max_by_key(|c| (of_commit.get(commit(c)), c.pushed_at, &c.digest))
}

/// Returns the candidate that people promoted to the environment of a line.
pub fn promoted<'c>(line: &Line, candidates: &'c [Candidate]) -> Option<&'c Candidate> {
    let Line::Promoted { by, .. } = line else { return None };
    match by {
        Promotion::Tag(tag) => candidates.iter().find(|candidate| candidate.tags.contains(tag)),
        Promotion::Newest(family) => current(&Line::Newest(family.clone()), candidates),
    }
}

/// Returns the `most` candidates of a line that come last in its order, among which the current one
/// is.
pub fn foremost(line: &Line, mut candidates: Vec<Candidate>, most: usize) -> Vec<Candidate> {
    let version = |candidate: &Candidate| match line {
        Line::Newest(family) if family.order == Order::Version => {
            candidate.tags.iter().filter_map(|tag| family.version(tag)).max()
        }
        _ => None,
    };
    candidates.sort_by_cached_key(|candidate| Reverse((version(candidate), candidate.pushed_at)));
    candidates.truncate(most);
    candidates
}

/// Returns the candidate that counts if `running` is deployed: the newest push of the same commit.
///
/// So a rebuild counts before its owner has deployed it. If the version does not name its commit,
/// the version itself counts.
pub fn deployed<'c>(running: &Digest, candidates: &'c [Candidate]) -> Option<&'c Candidate> {
    let runs = candidates.iter().find(|candidate| candidate.digest == *running)?;
    let same = candidates.iter().filter(|candidate| commit(candidate) == commit(runs));
    same.max_by_key(|candidate| (candidate.pushed_at, &candidate.digest))
}

fn commit(candidate: &Candidate) -> &str {
    candidate.revision.as_deref().unwrap_or(candidate.digest.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(n: u8, tag: &str, pushed: i64, revision: Option<&str>) -> Candidate {
        Candidate {
            digest: format!("sha256:{}", format!("{n:02x}").repeat(32)).parse().unwrap(),
            tags: vec![tag.parse().unwrap()],
            pushed_at: Timestamp::from_second(pushed).unwrap(),
            revision: revision.map(str::to_owned),
        }
    }

    #[test]
    fn a_rebuild_of_an_old_commit_does_not_move_the_line_backwards() {
        let line = Line::Newest("main-*".parse().unwrap());
        let pushed = [
            candidate(1, "main-a", 10, Some("a")),
            candidate(2, "main-b", 20, Some("b")),
            candidate(3, "main-a-2", 30, Some("a")),
            candidate(4, "dev-c", 40, Some("c")),
        ];
        assert_eq!(current(&line, &pushed), Some(&pushed[1]));
        let rebuilt = [pushed.as_slice(), &[candidate(5, "main-b-2", 50, Some("b"))]].concat();
        assert_eq!(current(&line, &rebuilt), Some(&rebuilt[4]), "within its commit the newest push counts");
    }

    #[test]
    fn what_is_deployed_is_followed_by_its_own_commits_rebuilds_only() {
        let pushed = [
            candidate(1, "main-a", 10, Some("a")),
            candidate(2, "main-b", 20, Some("b")),
            candidate(3, "main-a-2", 30, Some("a")),
            candidate(4, "main-x", 40, None),
        ];
        assert_eq!(deployed(&pushed[0].digest, &pushed), Some(&pushed[2]));
        assert_eq!(deployed(&pushed[1].digest, &pushed), Some(&pushed[1]), "not the newest push");
        assert_eq!(deployed(&pushed[3].digest, &pushed), Some(&pushed[3]));
        assert_eq!(deployed(&pushed[3].digest, &pushed[..3]), None, "it is no longer there");
    }

    #[test]
    fn versions_without_a_commit_are_ordered_by_their_own_push() {
        let line = Line::Newest("main-*".parse().unwrap());
        let pushed = [candidate(1, "main-a", 10, None), candidate(2, "main-b", 5, None)];
        assert_eq!(current(&line, &pushed), Some(&pushed[0]));
    }

    #[test]
    fn the_first_stable_tag_is_tracked() {
        let line = Line::Stable(vec!["22".parse().unwrap(), "22.9".parse().unwrap()]);
        let pushed = [candidate(1, "22.9", 20, None), candidate(2, "22", 10, None)];
        assert_eq!(current(&line, &pushed), Some(&pushed[1]));
        assert_eq!(current(&line, &pushed[..1]), None);
    }
}
