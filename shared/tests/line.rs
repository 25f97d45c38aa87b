//! Which version a line is at.

use patchwave::hierarchy::Line;
use patchwave::line::{Candidate, current};

use crate::fleet::{at, digest};

#[test]
fn a_pattern_line_never_goes_backwards() {
    let pushed = |n: u64, tag: &str, seconds: i64, revision: &str| Candidate {
        digest: digest(n),
        tags: vec![tag.parse().unwrap()],
        pushed_at: at(seconds),
        revision: Some(revision.into()),
    };
    let line = Line::Newest("main-*".parse().unwrap());
    // Production runs commit A, main is at B, and A is rebuilt for production.
    let history =
        [pushed(1, "main-a", 0, "a"), pushed(2, "main-b", 60, "b"), pushed(3, "main-a-rebuilt", 120, "a")];
    assert_eq!(current(&line, &history).map(|now| &now.digest), Some(&digest(2)));
}
