//! From what was known and what was seen to what is known.
//!
//! Only a place that was read to its end says what is no longer there. Everything else that was not seen stays as it was,
//! marked with its age: nothing is concluded from absence.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::assess::assess;
use super::exposure;
use super::fold_input::FoldInput;
use super::named::{self, NoDigest};
use super::resolve::{Resolution, resolve};
use super::state::{Entry, EntryKey, Inventory, PlaceState};
use super::survey::{Place, PlaceRead, Sighting, Survey, Use};
use crate::finding::FindingKey;
use crate::image::{Digest, ImageId};
use crate::time::Timestamp;

/// Something that is not as it was when it was last looked at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Change {
    /// A digest runs, or is referred to, that was not.
    Appeared {
        /// Where.
        place: String,
        /// In which workload.
        workload: String,
        /// The image as it was asked for.
        asked: String,
        /// The digest, if it is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        digest: Option<Digest>,
        /// What it is.
        resolution: Resolution,
    },
    /// A digest no longer runs, or is no longer referred to.
    Disappeared {
        /// Where.
        place: String,
        /// In which workload.
        workload: String,
        /// The image as it was asked for.
        asked: String,
        /// The digest, if it was known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        digest: Option<Digest>,
        /// When it was last seen.
        last_seen: Timestamp,
    },
    /// What runs became vulnerable.
    Vulnerable {
        /// Which image.
        image: ImageId,
        /// To what.
        finding: FindingKey,
        /// Since when.
        since: Timestamp,
    },
    /// Nothing that runs has the finding any more.
    Patched {
        /// Which image.
        image: ImageId,
        /// What it had.
        finding: FindingKey,
        /// Since when.
        since: Timestamp,
        /// When it was last seen running with it.
        vulnerable_until: Timestamp,
    },
    /// The finding is no longer listed, or no longer counts, on what runs unchanged.
    Withdrawn {
        /// Which image.
        image: ImageId,
        /// What it had.
        finding: FindingKey,
    },
    /// A place can no longer be read.
    Unread {
        /// Which.
        place: String,
        /// Why.
        because: String,
    },
    /// A place can be read again.
    ReadAgain {
        /// Which.
        place: String,
    },
    /// A cluster no longer exists.
    PlaceGone {
        /// Which.
        place: String,
    },
}

/// What is known after a look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folded {
    /// Everything that is known.
    pub inventory: Inventory,
    /// What is not as it was.
    pub changes: BTreeSet<Change>,
    /// What no longer runs, as it was last.
    pub ended: BTreeMap<EntryKey, Entry>,
    /// The places that are no longer there.
    pub gone: BTreeSet<String>,
}

/// Adds a look to what was known.
pub fn fold(before: &Inventory, look: &FoldInput<'_>) -> Folded {
    let mut folded = Folded { inventory: before.clone(), ..Folded::default() };
    for read in &look.survey.places {
        folded.read(read);
    }
    let mut seen = seen(before, look);
    add_reported(&mut seen, before, look);
    let blind = blind(look.survey);
    let here: BTreeSet<EntryKey> = seen.keys().cloned().collect();
    folded.add(before, seen);
    folded.end_unseen(look.survey, &here, &blind);
    if look.ended {
        folded.end_clusters(look);
    }
    assess(&mut folded.inventory, look);
    exposure::turn(&mut folded, before, look);
    folded.inventory.forget_versions();
    folded
}

/// Makes entries of the sightings: one for each digest and workload of a place.
fn seen(before: &Inventory, look: &FoldInput<'_>) -> BTreeMap<EntryKey, Seen> {
    let earlier = earlier(before);
    let read_at: BTreeMap<String, Timestamp> =
        look.survey.places.iter().map(|read| (read.place.id(), read.at)).collect();
    let looked = look.survey.sightings.iter().filter(|sighting| !sighting.used.is_report());
    let mut sightings: Vec<&Sighting> = looked.collect();
    sightings.sort();
    sightings.dedup();
    let mut seen: BTreeMap<EntryKey, Seen> = BTreeMap::new();
    for sighting in sightings {
        let at = read_at.get(&sighting.place.id()).copied().unwrap_or(look.now);
        let entry = entry(look, sighting, &earlier, at);
        let unit = sighting.unit.clone();
        match seen.entry(entry.key()) {
            std::collections::btree_map::Entry::Vacant(vacant) => {
                vacant.insert(Seen { entry, units: BTreeSet::from([unit]) });
            }
            std::collections::btree_map::Entry::Occupied(mut occupied) => {
                let Seen { entry: all, units } = occupied.get_mut();
                units.insert(unit);
                all.since = all.since.min(entry.since);
                all.containers.extend(entry.containers);
                // If one of them does not say where it runs, it may be anywhere.
                if all.architectures.is_empty() || entry.architectures.is_empty() {
                    all.architectures.clear();
                } else {
                    all.architectures.extend(entry.architectures);
                }
            }
        }
    }
    seen
}

/// Adds what a scanner reports of places that were not read. Of what was seen there, now or when it was last read, it only says
/// that it still runs.
fn add_reported(seen: &mut BTreeMap<EntryKey, Seen>, before: &Inventory, look: &FoldInput<'_>) {
    let earlier = earlier(before);
    for sighting in look.survey.sightings.iter().filter(|sighting| sighting.used.is_report()) {
        let mut entry = entry(look, sighting, &earlier, look.now);
        let place = entry.place.id();
        // What was read there since then says more.
        let read_at = before.places.get(&place).and_then(|state| state.read_at);
        if read_at.is_some_and(|read| read >= entry.last_seen) {
            continue;
        }
        // A scanner knows a platform's manifest; what it is a part of is one thing that runs.
        entry.digest = entry.resolution.version().cloned().or(entry.digest);
        let is_same = |other: &Entry| {
            (other.runs && !other.reported && other.workload == entry.workload)
                && (other.place.id() == place && other.known() == entry.known())
        };
        if seen.values().any(|seen| is_same(&seen.entry)) {
            continue;
        }
        let known = before.entries.values().find(|other| is_same(other));
        let entry = match known {
            Some(known) => Entry { last_seen: known.last_seen.max(entry.last_seen), ..known.clone() },
            None => entry,
        };
        let Seen { entry: all, .. } =
            seen.entry(entry.key()).or_insert_with(|| Seen { entry: entry.clone(), units: BTreeSet::new() });
        all.units = all.units.max(entry.units);
        all.since = all.since.min(entry.since);
        all.last_seen = all.last_seen.max(entry.last_seen);
    }
}

/// The image that each digest was when it was last looked.
fn earlier(before: &Inventory) -> BTreeMap<&Digest, &ImageId> {
    let known = before.entries.values();
    known.filter_map(|entry| Some((entry.digest.as_ref()?, entry.resolution.image()?))).collect()
}

/// The running containers that do not say what they run: by place, workload and name.
fn blind(survey: &Survey) -> BTreeSet<(String, &str, &str)> {
    let is_blind = |sighting: &&Sighting| {
        let digest = named::digest(sighting);
        !sighting.used.is_reference() && digest.is_err_and(|because| because != NoDigest::Sidecar)
    };
    let name = |s| -> (String, &str, &str) {
        let s: &Sighting = s;
        (s.place.id(), s.workload.as_str(), s.container.as_str())
    };
    survey.sightings.iter().filter(is_blind).map(name).collect()
}

/// Tells whether a container of this entry's name runs there, nobody knows what.
fn is_blind(blind: &BTreeSet<(String, &str, &str)>, entry: &Entry) -> bool {
    let place = entry.place.id();
    entry
        .containers
        .iter()
        .any(|name| blind.contains(&(place.clone(), entry.workload.as_str(), name.as_str())))
}

struct Seen {
    entry: Entry,
    units: BTreeSet<String>,
}

fn entry(
    look: &FoldInput<'_>,
    sighting: &Sighting,
    earlier: &BTreeMap<&Digest, &ImageId>,
    at: Timestamp,
) -> Entry {
    let digest = named::digest(sighting).ok();
    let before = digest.as_ref().and_then(|digest| earlier.get(digest).copied());
    let (since, last_seen, units) = match sighting.used {
        Use::Running { since } => (since.unwrap_or(at), at, 0),
        Use::Reported { at, units } => (at, at, units),
        Use::Referenced => (at, at, 0),
    };
    let container = Some(sighting.container.clone()).filter(|_| !sighting.used.is_report());
    Entry {
        place: sighting.place.clone(),
        workload: sighting.workload.clone(),
        runs: !sighting.used.is_reference(),
        asked: sighting.image.clone(),
        resolution: resolve(look.hierarchy, look.catalog, sighting, before),
        digest,
        containers: container.into_iter().collect(),
        architectures: sighting.architecture.iter().cloned().collect(),
        units,
        since,
        last_seen,
        reported: sighting.used.is_report(),
    }
}

impl Folded {
    fn read(&mut self, read: &PlaceRead) {
        let id = read.place.id();
        let before = self.inventory.places.get(&id);
        let was_unread = before.is_some_and(|place| place.unread.is_some());
        match &read.unread {
            Some(because) if !was_unread => {
                self.changes.insert(Change::Unread { place: id.clone(), because: because.clone() });
            }
            None if was_unread => {
                self.changes.insert(Change::ReadAgain { place: id.clone() });
            }
            _ => {}
        }
        let last = before.and_then(|place| place.read_at);
        let state = PlaceState {
            place: read.place.clone(),
            tried_at: read.at,
            read_at: if read.unread.is_none() { Some(read.at) } else { last },
            unread: read.unread.clone(),
        };
        self.inventory.places.insert(id, state);
    }

    fn add(&mut self, before: &Inventory, seen: BTreeMap<EntryKey, Seen>) {
        for (key, Seen { mut entry, units }) in seen {
            entry.units = entry.units.max(u32::try_from(units.len()).unwrap_or(u32::MAX));
            if let Some(last) = before.entries.get(&key) {
                entry.since = entry.since.min(last.since);
                entry.resolution = entry.resolution.after(&last.resolution);
                // Where the rest was not read, what was not seen may still be there.
                if self.inventory.unread_because(&key.place).is_some() {
                    entry.units = entry.units.max(last.units);
                    entry.containers.extend(last.containers.iter().cloned());
                    if entry.architectures.is_empty() || last.architectures.is_empty() {
                        entry.architectures.clear();
                    } else {
                        entry.architectures.extend(last.architectures.iter().cloned());
                    }
                }
            } else {
                self.changes.insert(Change::Appeared {
                    place: key.place.clone(),
                    workload: entry.workload.clone(),
                    asked: entry.asked.clone(),
                    digest: entry.digest.clone(),
                    resolution: entry.resolution.clone(),
                });
            }
            self.inventory.entries.insert(key, entry);
        }
    }

    /// Ends what was not seen in the places that were read to their end, unless a container that did not say what it runs
    /// stands where it stood.
    fn end_unseen(
        &mut self,
        survey: &Survey,
        seen: &BTreeSet<EntryKey>,
        blind: &BTreeSet<(String, &str, &str)>,
    ) {
        let whole = survey.places.iter().filter(|read| read.unread.is_none());
        let whole: BTreeSet<String> = whole.map(|read| read.place.id()).collect();
        let unseen: Vec<EntryKey> = self
            .inventory
            .entries
            .iter()
            .filter(|(key, entry)| {
                whole.contains(&key.place) && !seen.contains(*key) && !is_blind(blind, entry)
            })
            .map(|(key, _)| key.clone())
            .collect();
        for key in unseen {
            self.end(key);
        }
    }

    /// Ends the clusters that the list of clusters no longer has: it was read since the survey began, and nobody has looked
    /// at them since.
    fn end_clusters(&mut self, look: &FoldInput<'_>) {
        let listed = |place: &Place| {
            let list = place.list().and_then(|list| self.inventory.places.get(&list.id()));
            list.is_some_and(|list| list.unread.is_none() && list.read_at.is_some_and(|at| at >= look.began))
        };
        let gone: Vec<String> = self
            .inventory
            .places
            .iter()
            .filter(|(_, state)| state.tried_at < look.began && listed(&state.place))
            .map(|(id, _)| id.clone())
            .collect();
        for id in gone {
            self.inventory.places.remove(&id);
            let there: Vec<EntryKey> =
                self.inventory.entries.keys().filter(|key| key.place == id).cloned().collect();
            for key in there {
                self.end(key);
            }
            self.changes.insert(Change::PlaceGone { place: id.clone() });
            self.gone.insert(id);
        }
    }

    fn end(&mut self, key: EntryKey) {
        let Some(entry) = self.inventory.entries.remove(&key) else { return };
        self.changes.insert(Change::Disappeared {
            place: key.place.clone(),
            workload: entry.workload.clone(),
            asked: entry.asked.clone(),
            digest: entry.digest.clone(),
            last_seen: entry.last_seen,
        });
        self.ended.insert(key, entry);
    }
}

impl Inventory {
    /// Forgets the versions that nothing runs or refers to any more.
    fn forget_versions(&mut self) {
        let known: BTreeSet<_> = self.entries.values().filter_map(Entry::known).collect();
        self.versions.retain(|key, _| known.contains(key));
    }
}
