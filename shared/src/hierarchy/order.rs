//! The build order, or the cycles that make one impossible.

use serde_saphyr::Location;

use super::Tier;
use super::draft::Draft;
use super::error::{Problem, Report};
use super::parents::Lineage;

/// Returns the positions of the images in build order: by tier, then by wave, then by id. An image
/// that copies from one of a later tier comes with that tier, after it. Images on a cycle, and
/// those below one, are missing; the cycles are reported.
pub(super) fn build_order(drafts: &[Draft], lineages: &[Lineage], report: &mut Report<'_>) -> Vec<usize> {
    let mut children = vec![Vec::new(); drafts.len()];
    let mut waiting_for = vec![0_usize; drafts.len()];
    for (child, lineage) in lineages.iter().enumerate() {
        for parent in other_parents(child, lineage) {
            children[parent].push(child);
            waiting_for[child] += 1;
        }
    }
    let mut wave_of = vec![0_u32; drafts.len()];
    let mut tier_of: Vec<Tier> = drafts.iter().map(|draft| draft.tier).collect();
    let mut order: Vec<usize> = (0..drafts.len()).filter(|index| waiting_for[*index] == 0).collect();
    let mut done = 0;
    while let Some(next) = order.get(done).copied() {
        done += 1;
        for child in &children[next] {
            wave_of[*child] = wave_of[*child].max(wave_of[next] + 1);
            tier_of[*child] = tier_of[*child].max(tier_of[next]);
            waiting_for[*child] -= 1;
            if waiting_for[*child] == 0 {
                order.push(*child);
            }
        }
    }
    order.sort_by_key(|index| (tier_of[*index], wave_of[*index], &drafts[*index].id, *index));
    report_cycles(drafts, lineages, &waiting_for, report);
    order
}

/// Returns the parents in the file; an image that is its own parent is reported where its parents
/// are.
fn other_parents(child: usize, lineage: &Lineage) -> impl Iterator<Item = usize> {
    lineage.inside.iter().map(|(_, parent)| *parent).filter(move |parent| *parent != child)
}

/// Walks up from every image that is still waiting. Each has a waiting parent, so the walk must
/// come back to itself: on a new cycle, or on one already reported.
fn report_cycles(drafts: &[Draft], lineages: &[Lineage], waiting_for: &[usize], report: &mut Report<'_>) {
    let mut visited = vec![false; drafts.len()];
    for start in (0..drafts.len()).filter(|index| waiting_for[*index] > 0) {
        let mut path = Vec::new();
        let mut here = start;
        while !std::mem::replace(&mut visited[here], true) {
            path.push(here);
            let waiting = other_parents(here, &lineages[here]).find(|parent| waiting_for[*parent] > 0);
            here = waiting.unwrap_or(here);
        }
        if let Some(entry) = path.iter().position(|index| *index == here) {
            report_cycle(drafts, lineages, &path[entry..], report);
        }
    }
}

/// Reports a cycle from the image that comes first in the file.
fn report_cycle(drafts: &[Draft], lineages: &[Lineage], cycle: &[usize], report: &mut Report<'_>) {
    let first = (0..cycle.len()).min_by_key(|position| cycle[*position]).unwrap_or_default();
    let around: Vec<usize> = cycle.iter().cycle().skip(first).take(cycle.len() + 1).copied().collect();
    let ids = around.iter().map(|index| drafts[*index].id.clone()).collect();
    report.add(place(lineages, &around), Problem::Cycle(ids));
}

/// Returns where the first image of a cycle names the next.
fn place(lineages: &[Lineage], around: &[usize]) -> Location {
    let named =
        |image: usize, parent: usize| lineages[image].inside.iter().find(|(_, named)| *named == parent);
    match around {
        [image, parent, ..] => named(*image, *parent).map_or(Location::UNKNOWN, |(at, _)| *at),
        _ => Location::UNKNOWN,
    }
}
