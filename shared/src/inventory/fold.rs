//! Adds a survey to the inventory that was known before.
//!
//! Only a place that was read completely shows what is gone. Elsewhere, what was not seen stays as
//! it was, with its age: Patchwave concludes nothing from its absence.

use std::collections::{BTreeMap, BTreeSet};

use super::assess::assess;
use super::exposure;
use super::fold_input::FoldInput;
use super::folded::{Change, Folded};
use super::named::{self, NoDigest};
use super::ran;
use super::resolve::resolve;
use super::state::{Entry, EntryKey, Inventory, PlaceState};
use super::survey::{Place, PlaceRead, Sighting, Survey, Use};
use crate::image::{Digest, ImageId};
use crate::time::Timestamp;

/// Adds a survey to the inventory that was known before.
pub fn fold(before: &Inventory, input: &FoldInput<'_>) -> Folded {
    let mut folded = Folded { inventory: before.clone(), ..Folded::default() };
    for read in &input.survey.places {
        folded.read(read);
    }
    let mut seen = seen(before, input);
    add_reported(&mut seen, before, input);
    let without_digest = without_digest(input.survey);
    let here: BTreeSet<EntryKey> = seen.keys().cloned().collect();
    folded.add(before, seen);
    folded.end_unseen(input.survey, &here, &without_digest);
    if input.ended {
        folded.end_clusters(input);
    }
    ran::note(&mut folded);
    assess(&mut folded.inventory, input);
    exposure::update(&mut folded, before, input);
    folded.inventory.forget_versions();
    folded
}

/// Makes one entry of all sightings of a digest in one workload of a place.
fn seen(before: &Inventory, input: &FoldInput<'_>) -> BTreeMap<EntryKey, Seen> {
    let earlier = earlier(before);
    let read_at: BTreeMap<String, Timestamp> =
        input.survey.places.iter().map(|read| (read.place.id(), read.at)).collect();
    let surveyed = input.survey.sightings.iter().filter(|sighting| !sighting.used.is_report());
    let mut sightings: Vec<&Sighting> = surveyed.collect();
    sightings.sort();
    sightings.dedup();
    let mut seen: BTreeMap<EntryKey, Seen> = BTreeMap::new();
    for sighting in sightings {
        let at = read_at.get(&sighting.place.id()).copied().unwrap_or(input.now);
        let entry = entry(input, sighting, &earlier, at);
        let unit = sighting.unit.clone();
        match seen.entry(entry.key()) {
            std::collections::btree_map::Entry::Vacant(vacant) => {
                vacant.insert(Seen { entry, units: BTreeSet::from([unit]) });
            }
            std::collections::btree_map::Entry::Occupied(mut occupied) => {
                let Seen { entry: all, units } = occupied.get_mut();
                units.insert(unit);
                all.since = all.since.min(entry.since);
                all.started |= entry.started;
                all.containers.extend(entry.containers);
                join(&mut all.architectures, entry.architectures);
                join(&mut all.operating_systems, entry.operating_systems);
            }
        }
    }
    seen
}

/// Adds where another sighting runs. One of which that is not known may run anywhere, so nothing is
/// excluded then.
fn join(all: &mut BTreeSet<String>, of_sighting: BTreeSet<String>) {
    if all.is_empty() || of_sighting.is_empty() {
        all.clear();
    } else {
        all.extend(of_sighting);
    }
}

/// Adds what a scanner reports of places that could not be read. If a survey has seen an entry, the
/// report only shows that it still runs.
fn add_reported(seen: &mut BTreeMap<EntryKey, Seen>, before: &Inventory, input: &FoldInput<'_>) {
    let earlier = earlier(before);
    for sighting in input.survey.sightings.iter().filter(|sighting| sighting.used.is_report()) {
        let mut entry = entry(input, sighting, &earlier, input.now);
        let place = entry.place.id();
        // A newer reading of the place is better evidence than the report.
        let read_at = before.places.get(&place).and_then(|state| state.read_at);
        if read_at.is_some_and(|read| read >= entry.last_seen) {
            continue;
        }
        // The scanner names a platform manifest, but the entry is the version that the manifest is
        // part of.
        entry.digest = entry.resolution.version().cloned().or(entry.digest);
        entry.platform = None;
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

/// Returns the image that each digest was resolved to before.
fn earlier(before: &Inventory) -> BTreeMap<&Digest, &ImageId> {
    let known = before.entries.values();
    known.filter_map(|entry| Some((entry.digest.as_ref()?, entry.resolution.image()?))).collect()
}

/// Returns the running containers whose digest is not known, by place, workload and name.
fn without_digest(survey: &Survey) -> BTreeSet<(String, &str, &str)> {
    let has_no_digest = |sighting: &&Sighting| {
        let digest = named::digest(sighting);
        !sighting.used.is_reference() && digest.is_err_and(|because| because != NoDigest::Sidecar)
    };
    let name = |s| -> (String, &str, &str) {
        let s: &Sighting = s;
        (s.place.id(), s.workload.as_str(), s.container.as_str())
    };
    survey.sightings.iter().filter(has_no_digest).map(name).collect()
}

/// Returns whether a container of this entry's name runs there without a known digest: it may be
/// this entry.
fn may_still_run(without_digest: &BTreeSet<(String, &str, &str)>, entry: &Entry) -> bool {
    let place = entry.place.id();
    entry
        .containers
        .iter()
        .any(|name| without_digest.contains(&(place.clone(), entry.workload.as_str(), name.as_str())))
}

struct Seen {
    entry: Entry,
    units: BTreeSet<String>,
}

fn entry(
    input: &FoldInput<'_>,
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
    let started = match sighting.used {
        Use::Running { since } => since.is_some(),
        Use::Reported { .. } => true,
        Use::Referenced => false,
    };
    let resolution = resolve(input.hierarchy, input.catalog, sighting, before);
    let container = Some(sighting.container.clone()).filter(|_| !sighting.used.is_report());
    Entry {
        place: sighting.place.clone(),
        workload: sighting.workload.clone(),
        runs: !sighting.used.is_reference(),
        asked: sighting.image.clone(),
        platform: digest.as_ref().and_then(|digest| input.catalog.platform(resolution.version(), digest)),
        resolution,
        digest,
        containers: container.into_iter().collect(),
        architectures: sighting.architecture.iter().cloned().collect(),
        operating_systems: sighting.os.iter().cloned().collect(),
        units,
        since,
        last_seen,
        reported: sighting.used.is_report(),
        started,
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
            not_inspected: read.not_inspected.clone(),
        };
        self.inventory.places.insert(id, state);
    }

    fn add(&mut self, before: &Inventory, seen: BTreeMap<EntryKey, Seen>) {
        for (key, Seen { mut entry, units }) in seen {
            entry.units = entry.units.max(u32::try_from(units.len()).unwrap_or(u32::MAX));
            if let Some(last) = before.entries.get(&key) {
                entry.since = entry.since.min(last.since);
                entry.resolution = entry.resolution.after(&last.resolution);
                // If the place was not read completely, what was not seen may still be there.
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

    /// Ends what was not seen in the places that were read completely. An entry stays if a
    /// container of its name runs there without a known digest.
    fn end_unseen(
        &mut self,
        survey: &Survey,
        seen: &BTreeSet<EntryKey>,
        without_digest: &BTreeSet<(String, &str, &str)>,
    ) {
        let whole = survey.places.iter().filter(|read| read.unread.is_none());
        let whole: BTreeSet<String> = whole.map(|read| read.place.id()).collect();
        let unseen: Vec<EntryKey> = self
            .inventory
            .entries
            .iter()
            .filter(|(key, entry)| {
                whole.contains(&key.place) && !seen.contains(*key) && !may_still_run(without_digest, entry)
            })
            .map(|(key, _)| key.clone())
            .collect();
        for key in unseen {
            self.end(key);
        }
    }

    /// Ends the clusters that are no longer on their list. The list was read since the survey
    /// began, and nothing has tried to read those clusters since then.
    fn end_clusters(&mut self, input: &FoldInput<'_>) {
        let listed = |place: &Place| {
            let list = place.list().and_then(|list| self.inventory.places.get(&list.id()));
            list.is_some_and(|list| list.unread.is_none() && list.read_at.is_some_and(|at| at >= input.began))
        };
        let gone: Vec<String> = self
            .inventory
            .places
            .iter()
            .filter(|(_, state)| state.tried_at < input.began && listed(&state.place))
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
    /// Forgets the versions that no entry has any more, so that the inventory does not grow.
    fn forget_versions(&mut self) {
        let known: BTreeSet<_> = self.entries.values().filter_map(Entry::known).collect();
        self.versions.retain(|key, _| known.contains(key));
    }
}
