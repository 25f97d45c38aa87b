//! Shares of the slots: one for each owner, and one for each repository without an owner.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::facts::Slots;
use crate::hierarchy::{Hierarchy, Image};
use crate::image::ImageId;

/// Whose share an image takes a part of.
pub(super) fn claimant(image: &Image) -> &str {
    image.owner.as_ref().map_or(image.repository.as_str(), |owner| &owner.name)
}

/// Returns the largest number of slots that each claimant can have, where nobody gets more than it
/// wants.
pub(super) fn equal_share(wanted: &BTreeMap<&str, usize>, capacity: usize) -> usize {
    let fits = |share: &usize| wanted.values().map(|wanted| wanted.min(share)).sum::<usize>() <= capacity;
    let most = wanted.values().max().copied().unwrap_or_default();
    if fits(&most) {
        return most;
    }
    (0..most).take_while(fits).last().unwrap_or_default()
}

/// Returns which images of a queue to observe for `room` free slots. Each next one is the first of
/// those whose claimants hold the fewest slots.
///
/// A queue is sorted by urgency. If its first images were taken instead, an owner with many urgent
/// images would keep all others out of the page, and so out of the sharing of the slots.
pub fn first_of_each_share(
    hierarchy: &Hierarchy,
    slots: &Slots,
    queue: &[ImageId],
    room: usize,
) -> BTreeSet<ImageId> {
    let claimant = |id: &'_ ImageId| hierarchy.image(id).ok().map(claimant);
    let mut held: BTreeMap<Option<&str>, usize> = BTreeMap::new();
    for id in &slots.held_by {
        *held.entry(claimant(id)).or_default() += 1;
    }
    let mut waiting: BTreeMap<Option<&str>, VecDeque<usize>> = BTreeMap::new();
    for (place, id) in queue.iter().enumerate() {
        waiting.entry(claimant(id)).or_default().push_back(place);
    }
    let next = |waiting: &VecDeque<usize>| waiting.front().copied();
    let count = |claimant: Option<&str>| held.get(&claimant).copied().unwrap_or_default();
    let mut shares: BTreeSet<(usize, usize, Option<&str>)> = waiting
        .iter()
        .filter_map(|(claimant, waiting)| Some((count(*claimant), next(waiting)?, *claimant)))
        .collect();
    let mut chosen = BTreeSet::new();
    while chosen.len() < room
        && let Some((held, place, claimant)) = shares.pop_first()
    {
        chosen.insert(queue[place].clone());
        let left = waiting.get_mut(&claimant).and_then(|waiting| {
            waiting.pop_front();
            next(waiting)
        });
        shares.extend(left.map(|place| (held + 1, place, claimant)));
    }
    chosen
}
