//! Gathers the facts of one page: of the images that it names, of all that these depend on, and of
//! what shows which of them must act.

use std::collections::{BTreeMap, BTreeSet};

use patchwave::facts::{Deployments, Facts};
use patchwave::hierarchy::Hierarchy;
use patchwave::image::ImageId;
use patchwave::time::Timestamp;

use crate::agenda::Page;
use crate::observe::{add_departed, observe_with};
use crate::scope::with_ancestors;
use crate::world::{Fault, Records, World};

/// Observes what a page names, with a page of the children of each image that is walked over: at
/// most `most` images, besides their ancestors. `deployments` is what the ledger says of all
/// images, if it was read already.
pub(crate) async fn observe_page<W: World>(
    world: &W,
    hierarchy: &Hierarchy,
    page: Page,
    most: usize,
    deployments: Option<&BTreeMap<ImageId, Deployments>>,
) -> Result<Facts, Fault> {
    let mut records = Records::default();
    let Page { named, scheduled, slots, is_first } = page;
    let mut seeds: BTreeSet<ImageId> = named.union(&scheduled).cloned().collect();
    add(world, &mut records, &seeds).await?;
    let now = world.now();
    let counts = |id: &ImageId| named.contains(id) || is_scheduled(&records, id, now);
    seeds.retain(counts);
    let rolled = children(hierarchy, &records, &seeds, most.saturating_sub(seeds.len()));
    seeds.extend(rolled.values().flat_map(|walk| walk.children.iter().cloned()));
    let decided = with_ancestors(hierarchy, &seeds);
    add(world, &mut records, &decided).await?;

    let carriers = decided.iter().filter_map(|id| records.read.get(id)).flat_map(|record| &record.carriers);
    let carriers = with_ancestors(hierarchy, carriers);
    let all: BTreeSet<ImageId> = decided.union(&carriers).cloned().collect();
    add(world, &mut records, &all).await?;
    records.read.retain(|id, _| all.contains(id));
    records.unreadable.retain(|id, _| all.contains(id));
    let mut facts = observe_with(world, hierarchy, &all, records, slots, deployments).await?;
    if is_first {
        add_departed(world, hierarchy, &mut facts).await?;
    }
    let carriers = carriers.difference(&decided).cloned().collect();
    let rolled = rolled.into_iter().map(|(id, walk)| (id, walk.last)).collect();
    Ok(Facts { carriers, rolled, ..facts })
}

/// Reads the records of those images that were not read yet.
async fn add<W: World>(world: &W, records: &mut Records, images: &BTreeSet<ImageId>) -> Result<(), Fault> {
    let is_new = |id: &&ImageId| !records.read.contains_key(*id) && !records.unreadable.contains_key(*id);
    let wanted: BTreeSet<ImageId> = images.iter().filter(is_new).cloned().collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let Records { read, unreadable } = world.records(&wanted).await?;
    records.read.extend(read);
    records.unreadable.extend(unreadable);
    Ok(())
}

/// Whether a record says that its image is due or in a queue. One that cannot be read is looked at,
/// so that the report names it.
fn is_scheduled(records: &Records, id: &ImageId, now: Timestamp) -> bool {
    let is_scheduled = |record: &patchwave::record::Record| record.is_due(now) || record.ready.is_some();
    records.read.get(id).map_or_else(|| records.unreadable.contains_key(id), is_scheduled)
}

/// A page of an image's children.
struct Walk {
    children: Vec<ImageId>,
    /// The last of them; nothing if no more follow.
    last: Option<ImageId>,
}

/// Returns the next children of the images that are walked over, `room` of them together, and at
/// least one of each.
fn children(
    hierarchy: &Hierarchy,
    records: &Records,
    images: &BTreeSet<ImageId>,
    room: usize,
) -> BTreeMap<ImageId, Walk> {
    let rolling = |id: &ImageId| Some((id.clone(), records.read.get(id)?.rolling.clone()?));
    let walked: Vec<_> = images.iter().filter_map(rolling).collect();
    let each = (room / walked.len().max(1)).max(1);
    let walk = |(id, rolling): (ImageId, patchwave::record::Rolling)| {
        let children: BTreeSet<&ImageId> = hierarchy.children(&id).map(|child| &child.image.id).collect();
        let mut left =
            children.into_iter().filter(|child| rolling.after.as_ref().is_none_or(|after| *child > after));
        let children: Vec<ImageId> = left.by_ref().take(each).cloned().collect();
        let last = left.next().and_then(|_| children.last().cloned());
        (id, Walk { children, last })
    };
    walked.into_iter().map(walk).collect()
}
