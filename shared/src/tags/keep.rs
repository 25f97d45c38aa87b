//! Decides which images carry a keep tag.
//!
//! ECR ranks images by their push, and a new tag is no push. So a rule that keeps the last ten of
//! an environment expires an older image that runs. A keep tag, under a rule that never acts,
//! keeps it. Keep tags follow what runs, what would run, and the last deployments of each
//! environment.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::image::{Digest, KEEP, Tag, gone_tag, is_reserved, keep_tag};
use crate::inventory::{Answer, Row};
use crate::lifecycle::{Listing, doubts};
use crate::time::Timestamp;

/// How many complete inventories must not show an image before its keep tag is removed.
const UNSEEN: u32 = 2;

/// What is remembered of a keep tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kept {
    pub environment: String,
    pub digest: Digest,
    /// When it was last seen in use.
    pub last_used: Timestamp,
    /// When it was last seen to run; nothing if something only referred to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_ran: Option<Timestamp>,
    /// How many complete inventories in a row did not show it.
    #[serde(default)]
    pub unseen: u32,
    /// As of when the last of them was complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted: Option<Timestamp>,
}

/// What is remembered of the keep tags of one repository.
pub type KeepMemory = BTreeMap<Tag, Kept>;

/// What keep tags are decided from.
#[derive(Debug, Clone, Copy)]
pub struct KeepInput<'k> {
    pub listing: &'k Listing,
    pub inventory: &'k Answer,
    pub memory: &'k KeepMemory,
    /// How many deployments of an environment before what runs stay for a roll-back.
    pub deployments: usize,
    pub now: Timestamp,
}

/// A keep tag to remove.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Removal {
    pub tag: Tag,
    pub digest: Digest,
    /// The tag to set first. Without it the image would lose its last tag, and with it its life.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instead: Option<Tag>,
}

/// Which keep tags to set and to remove in one repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeepPlan {
    pub set: BTreeMap<Tag, Digest>,
    pub remove: Vec<Removal>,
    /// What stays as it is, and why.
    pub stays: Vec<String>,
    /// What to remember once this is done.
    pub memory: KeepMemory,
}

/// Decides the keep tags of one repository.
pub fn keep_plan(input: KeepInput<'_>) -> KeepPlan {
    let mut plan = KeepPlan { memory: input.memory.clone(), ..KeepPlan::default() };
    let wanted = wanted(input);
    let carried = carried(input.listing);
    for (tag, Use { environment, digest, runs }) in &wanted {
        match carried.get(tag) {
            Some(holder) if *holder != digest => {
                plan.stays.push(format!("{tag} names {} and not {}", holder.short(), digest.short()));
                continue;
            }
            Some(_) => {}
            None => drop(plan.set.insert(tag.clone(), digest.clone())),
        }
        let before = plan.memory.get(tag).and_then(|kept| kept.last_ran);
        let kept = Kept {
            environment: environment.clone(),
            digest: digest.clone(),
            last_used: input.now,
            last_ran: if *runs { Some(input.now) } else { before },
            unseen: 0,
            counted: None,
        };
        plan.memory.insert(tag.clone(), kept);
    }
    plan.memory.retain(|tag, _| wanted.contains_key(tag) || carried.contains_key(tag));
    // What is not read now may run what two earlier inventories did not show.
    if doubts(input.inventory, input.now).is_empty() {
        count_unseen(&mut plan, input, &carried, &wanted);
        remove(&mut plan, input, &wanted);
    }
    plan
}

/// A use that asks for a keep tag.
struct Use {
    environment: String,
    digest: Digest,
    /// Whether something runs it, and does not only refer to it.
    runs: bool,
}

type Wanted = BTreeMap<Tag, Use>;

/// Returns the keep tags of what runs or would run.
fn wanted(input: KeepInput<'_>) -> Wanted {
    let rows = input.inventory.running.iter().chain(&input.inventory.referenced);
    let mut wanted = Wanted::new();
    for row in rows {
        let environment = environment(row);
        for digest in with_indexes(input.listing, input.listing.named(row)) {
            let Some(tag) = keep_tag(&environment, digest) else { continue };
            let (environment, digest) = (environment.clone(), digest.clone());
            let entry = wanted.entry(tag).or_insert(Use { environment, digest, runs: false });
            entry.runs |= row.entry.runs;
        }
    }
    wanted
}

/// An account without an environment is one of its own.
fn environment(row: &Row) -> String {
    let place = &row.entry.place;
    place.environment.clone().unwrap_or_else(|| place.account.clone())
}

/// Returns those of the digests that are stored, and the indexes that list them: a runtime needs
/// the index to start another platform.
fn with_indexes<'a>(listing: &'a Listing, digests: Vec<&'a Digest>) -> BTreeSet<&'a Digest> {
    let mut all = BTreeSet::new();
    for digest in digests {
        let lists = listing.images.iter().filter(|(_, image)| image.children.contains(digest));
        all.extend(lists.map(|(index, _)| index));
        all.extend(listing.images.get_key_value(digest).map(|(digest, _)| digest));
    }
    all
}

/// Returns the keep tags that the repository has.
fn carried(listing: &Listing) -> BTreeMap<&Tag, &Digest> {
    let tags = listing.images.iter().flat_map(|(digest, image)| image.tags.iter().map(move |t| (t, digest)));
    tags.filter(|(tag, _)| tag.as_str().starts_with(KEEP)).collect()
}

/// Counts the complete inventories that do not show what carries a keep tag. Each counts once:
/// every place must have been read since the last one.
fn count_unseen(
    plan: &mut KeepPlan,
    input: KeepInput<'_>,
    carried: &BTreeMap<&Tag, &Digest>,
    wanted: &Wanted,
) {
    let read_at = input.inventory.places.iter().filter_map(|place| place.read_at).min();
    for (tag, digest) in carried.iter().filter(|(tag, _)| !wanted.contains_key(**tag)) {
        let kept = plan.memory.entry((*tag).clone()).or_insert_with(|| Kept {
            environment: environment_of(tag),
            digest: (*digest).clone(),
            last_used: input.now,
            // What was forgotten may have been the last deployment.
            last_ran: Some(input.now),
            unseen: 0,
            counted: None,
        });
        let Some(read_at) = read_at.filter(|read| *read > kept.last_used) else { continue };
        if kept.counted.is_none_or(|counted| read_at > counted) {
            kept.unseen += 1;
            // The next one must have read every place after this moment.
            kept.counted = Some(input.now);
        }
    }
}

fn environment_of(tag: &Tag) -> String {
    let rest = tag.as_str().trim_start_matches(KEEP);
    rest.rsplit_once('.').map_or(rest, |(environment, _)| environment).to_owned()
}

fn remove(plan: &mut KeepPlan, input: KeepInput<'_>, wanted: &Wanted) {
    let recent = earlier_deployments(&plan.memory, wanted, input.deployments);
    let ripe =
        |tag: &Tag, kept: &Kept| kept.unseen >= UNSEEN && !wanted.contains_key(tag) && !recent.contains(tag);
    let going: BTreeSet<Tag> =
        plan.memory.iter().filter(|(tag, kept)| ripe(tag, kept)).map(|(tag, _)| tag.clone()).collect();
    for tag in &going {
        let Some(digest) = plan.memory.get(tag).map(|kept| kept.digest.clone()) else { continue };
        let Some(image) = input.listing.images.get(&digest) else { continue };
        let stays = |other: &Tag| !going.contains(other) && !is_reserved(other);
        let kept_elsewhere = |other: &Tag| other.as_str().starts_with(KEEP) && !going.contains(other);
        let needs = !image.tags.iter().any(|other| stays(other) || kept_elsewhere(other));
        let instead = if needs { gone_tag(&digest) } else { None };
        plan.remove.push(Removal { tag: tag.clone(), digest, instead });
    }
    // What is remembered of them stays until the registry does not list them any more. Otherwise a
    // removal that failed would look like a deployment that was forgotten.
}

/// Returns the keep tags of each environment's last deployments before what is in use. The tags of
/// one deployment, such as those of an index and of its manifest, ran last at the same time.
fn earlier_deployments(memory: &KeepMemory, wanted: &Wanted, deployments: usize) -> BTreeSet<Tag> {
    let mut by_environment: BTreeMap<&str, BTreeMap<Timestamp, Vec<&Tag>>> = BTreeMap::new();
    for (tag, kept) in memory.iter().filter(|(tag, _)| !wanted.contains_key(*tag)) {
        let Some(ran) = kept.last_ran else { continue };
        by_environment.entry(&kept.environment).or_default().entry(ran).or_default().push(tag);
    }
    let newest = by_environment.values().flat_map(|times| times.values().rev().take(deployments).flatten());
    newest.map(|tag| (*tag).clone()).collect()
}
