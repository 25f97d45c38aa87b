//! Suggestions for names that do not exist.

/// At most so many are offered.
const OFFERED: usize = 3;

/// Returns the candidates that are most like `name`, the nearest first.
pub(super) fn near<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let limit = 2.max(name.len() / 5);
    let mut close: Vec<(usize, &str)> = candidates
        .into_iter()
        .filter_map(|candidate| Some((distance(name, candidate, limit)?, candidate)))
        .collect();
    close.sort_unstable();
    close.dedup();
    close.into_iter().take(OFFERED).map(|(_, candidate)| candidate.to_owned()).collect()
}

/// Returns how far apart two names are; nothing if that is too far. A name that continues the
/// other, such as a repository continued by its tag, comes right after the spelling mistakes.
fn distance(name: &str, candidate: &str, limit: usize) -> Option<usize> {
    let edits = edits(name.as_bytes(), candidate.as_bytes(), limit);
    let long = name.len().min(candidate.len()) > 2;
    let continues = long && (candidate.starts_with(name) || name.starts_with(candidate));
    edits.or_else(|| continues.then(|| limit + candidate.len().abs_diff(name.len())))
}

/// Counts the insertions, deletions and replacements that turn one text into the other; nothing
/// above `limit`.
fn edits(left: &[u8], right: &[u8], limit: usize) -> Option<usize> {
    if left.len().abs_diff(right.len()) > limit {
        return None;
    }
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().filter(|edits| *edits <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_spelling_mistakes_before_longer_names() {
        let names = ["platform/node:22", "platform/node:20", "platform/go:1", "base/al2023"];
        assert_eq!(near("platform/nod:22", names), ["platform/node:22", "platform/node:20"]);
        assert_eq!(near("platform/node", names), ["platform/node:20", "platform/node:22"]);
        assert!(near("nginx", names).is_empty());
    }
}
