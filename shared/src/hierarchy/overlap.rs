//! Whether two tag patterns can match the same tag.

use crate::image::TagPattern;

/// The longest tag, in characters:
/// <https://github.com/opencontainers/distribution-spec/blob/main/spec.md>.
const LONGEST_TAG: u32 = 128;

/// Returns whether some valid tag matches both patterns.
pub(super) fn overlap(left: &TagPattern, right: &TagPattern) -> bool {
    let (left, right) = (left.as_str().as_bytes(), right.as_str().as_bytes());
    // Almost all patterns of one repository differ before the first star; spare them the table.
    agree(left.iter(), right.iter())
        && agree(left.iter().rev(), right.iter().rev())
        && shortest_common_tag(left, right).is_some_and(|length| length <= LONGEST_TAG)
}

/// Returns whether the literal beginnings do not contradict each other.
fn agree<'a>(left: impl Iterator<Item = &'a u8>, right: impl Iterator<Item = &'a u8>) -> bool {
    left.zip(right).take_while(|(a, b)| **a != b'*' && **b != b'*').all(|(a, b)| a == b)
}

/// The shortest texts that match what is left of both patterns.
#[derive(Clone, Copy, Default)]
struct Shortest {
    /// As the continuation of a tag.
    rest: Option<u32>,
    /// As a whole tag: not empty, and its first character may start a tag.
    tag: Option<u32>,
}

/// Returns the length of the shortest tag that matches both, by working backwards through both
/// patterns at once.
///
/// A step to a cell skips a star and reads nothing, or reads one character. A star stays in place
/// when it reads a character. Every step but one leaves a part of a pattern behind, so a table
/// replaces the search.
fn shortest_common_tag(left: &[u8], right: &[u8]) -> Option<u32> {
    let mut below = vec![Shortest::default(); right.len() + 1];
    for i in (0..=left.len()).rev() {
        let mut row = vec![Shortest::default(); right.len() + 1];
        for j in (0..=right.len()).rev() {
            row[j] = match (left.get(i), right.get(j)) {
                (None, None) => Shortest { rest: Some(0), tag: None },
                (Some(b'*'), Some(b'*')) => {
                    let skipped = row[j + 1].or(below[j]);
                    // Both stars take one more character, which may start any tag.
                    skipped.or(Shortest { rest: None, tag: one_more(skipped.rest) })
                }
                (Some(b'*'), Some(literal)) => below[j].or(row[j + 1].after(*literal)),
                (Some(literal), Some(b'*')) => row[j + 1].or(below[j].after(*literal)),
                (Some(b'*'), None) => below[j],
                (None, Some(b'*')) => row[j + 1],
                (Some(a), Some(b)) if a == b => below[j + 1].after(*a),
                _ => Shortest::default(),
            };
        }
        below = row;
    }
    below[0].tag
}

impl Shortest {
    fn or(self, other: Self) -> Self {
        Self { rest: shorter(self.rest, other.rest), tag: shorter(self.tag, other.tag) }
    }

    /// Puts one character before.
    fn after(self, literal: u8) -> Self {
        let longer = one_more(self.rest);
        Self { rest: longer, tag: longer.filter(|_| !matches!(literal, b'.' | b'-')) }
    }
}

fn one_more(length: Option<u32>) -> Option<u32> {
    length.map(|length| length + 1)
}

fn shorter(left: Option<u32>, right: Option<u32>) -> Option<u32> {
    left.into_iter().chain(right).min()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::image::Tag;

    fn pattern(text: &str) -> TagPattern {
        text.parse().unwrap()
    }

    #[test]
    fn only_a_common_tag_counts() {
        assert!(overlap(&pattern("main-*"), &pattern("*-prod")));
        assert!(overlap(&pattern("main-*"), &pattern("main-a*")));
        assert!(!overlap(&pattern("main-*"), &pattern("release-*")));
        assert!(!overlap(&pattern("*-prod"), &pattern("*-test")));
        assert!(!overlap(&pattern("a*b*c"), &pattern("a*d")));
        assert!(overlap(&pattern("*"), &pattern("*")));
        // `a` 100 times and `b` 100 times: a tag of both would be too long.
        let (long_head, long_tail) = ("a".repeat(100) + "*", "*".to_owned() + &"b".repeat(100));
        assert!(!overlap(&pattern(&long_head), &pattern(&long_tail)));
    }

    fn short_tags() -> Vec<Tag> {
        let mut texts = vec![String::new()];
        let mut all = Vec::new();
        for _ in 0..7 {
            texts = texts.iter().flat_map(|text| ["a", "b", "-"].map(|c| text.clone() + c)).collect();
            all.extend(texts.iter().filter_map(|text| text.parse().ok()));
        }
        all
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn agrees_with_trying_all_short_tags(left in "[ab][ab*-]{0,2}\\*[ab-]{0,1}|\\*[ab*-]{0,3}", right in "[ab][ab*-]{0,2}\\*[ab-]{0,1}|\\*[ab*-]{0,3}") {
            let (left, right) = (pattern(&left), pattern(&right));
            let tried = short_tags().iter().any(|tag| left.matches(tag) && right.matches(tag));
            prop_assert_eq!(overlap(&left, &right), tried);
        }
    }
}
