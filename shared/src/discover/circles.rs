//! Edges that lead in a circle: at least one of them is wrong, and nothing says which.

use std::collections::{BTreeMap, BTreeSet};

use super::decide::Parents;
use super::lines::{Lines, Target};

/// Takes every edge out that is a part of a circle: then at least one of them is wrong.
pub(super) fn break_circles(lines: &Lines<'_>, parents: &mut [Parents]) {
    let mut left: Vec<usize> = parents.iter().map(|parents| own(parents).len()).collect();
    let mut children: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (child, parents) in parents.iter().enumerate() {
        for parent in own(parents) {
            children.entry(parent).or_default().push(child);
        }
    }
    let mut open: Vec<usize> = (0..left.len()).filter(|line| left[*line] == 0).collect();
    while let Some(line) = open.pop() {
        for child in children.get(&line).into_iter().flatten() {
            left[*child] -= 1;
            if left[*child] == 0 {
                open.push(*child);
            }
        }
    }
    // What is left stands in a circle, or below one.
    let stuck: BTreeSet<usize> = (0..left.len()).filter(|line| left[*line] > 0).collect();
    let in_circle: BTreeSet<usize> =
        stuck.iter().copied().filter(|line| reaches(*line, parents, &stuck)).collect();
    for line in &in_circle {
        let wrong = |target: &Target| matches!(target, Target::Line(parent) if in_circle.contains(parent));
        let names: Vec<String> =
            parents[*line].all().filter(|target| wrong(target)).map(|target| lines.name(target)).collect();
        let own = &mut parents[*line];
        own.default.notes.insert(format!("the evidence leads in a circle through {}", names.join(" and ")));
        own.default.copied.retain(|target| !wrong(target));
        own.on.retain(|_, target| !wrong(target));
        if own.default.from.as_ref().is_some_and(wrong) {
            own.default.candidates.extend(own.default.from.take());
            own.default.by = None;
            own.on.clear();
        }
    }
}

/// Returns the lines that a line is built on.
pub(super) fn own(parents: &Parents) -> BTreeSet<usize> {
    parents
        .all()
        .filter_map(|target| if let Target::Line(line) = target { Some(*line) } else { None })
        .collect()
}

/// Returns whether a line is above itself.
fn reaches(line: usize, parents: &[Parents], within: &BTreeSet<usize>) -> bool {
    let (mut open, mut seen) = (vec![line], BTreeSet::new());
    while let Some(at) = open.pop() {
        for parent in own(&parents[at]) {
            if parent == line {
                return true;
            }
            if within.contains(&parent) && seen.insert(parent) {
                open.push(parent);
            }
        }
    }
    false
}
