//! Which version a line is at.

use patchwave::hierarchy::{Line, Promotion};
use patchwave::image::{Order, TagFamily};
use patchwave::line::{Candidate, current, foremost, promoted};

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

#[test]
fn a_backport_is_never_current_where_versions_order() {
    let pushed = |n: u64, tag: &str, seconds: i64, revision: Option<&str>| Candidate {
        digest: digest(n),
        tags: vec![tag.parse().unwrap()],
        pushed_at: at(seconds),
        revision: revision.map(str::to_owned),
    };
    let history = [
        pushed(1, "v2.3.0", 0, Some("a")),
        pushed(2, "v1.9.9", 60, Some("b")),
        pushed(3, "v2.4.0-rc1", 90, Some("c")),
        pushed(4, "vnext", 120, None),
    ];
    let family =
        |order| TagFamily { pattern: "v*".parse().unwrap(), except: vec!["*-rc*".parse().unwrap()], order };
    let line = Line::Newest(family(Order::Version));
    assert_eq!(current(&line, &history).map(|now| &now.digest), Some(&digest(1)));
    assert_eq!(foremost(&line, history.to_vec(), 1)[0].digest, digest(1), "of many, the highest are read");
    // The rebuild has a tag of its own, which is a lower version. Its commit counts.
    let rebuilt = [history.as_slice(), &[pushed(5, "v2.3.0-r7", 150, Some("a"))]].concat();
    assert_eq!(current(&line, &rebuilt).map(|now| &now.digest), Some(&digest(5)));
    let pushed_last = Line::Newest(family(Order::Pushed));
    assert_eq!(current(&pushed_last, &history).map(|now| &now.digest), Some(&digest(4)));
}

#[test]
fn the_line_of_an_environment_is_at_the_newest_build_of_what_was_promoted() {
    let pushed = |n: u64, tags: &[&str], seconds: i64, revision: &str| Candidate {
        digest: digest(n),
        tags: tags.iter().map(|tag| tag.parse().unwrap()).collect(),
        pushed_at: at(seconds),
        revision: Some(revision.to_owned()),
    };
    let history = [
        pushed(1, &["main-a", "uat"], 0, "a"),
        pushed(2, &["main-b"], 60, "b"),
        pushed(3, &["main-a-2"], 90, "a"),
    ];
    let line = Line::Promoted { environment: "uat".into(), by: Promotion::Tag("uat".parse().unwrap()) };
    assert_eq!(promoted(&line, &history).map(|tagged| &tagged.digest), Some(&digest(1)));
    assert_eq!(current(&line, &history).map(|now| &now.digest), Some(&digest(3)));
    assert_eq!(current(&line, &history[1..]), None, "nothing was promoted");
}
