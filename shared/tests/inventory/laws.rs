//! Laws of the inventory, on random surveys.

use patchwave::finding::Severity;
use patchwave::inventory::{Catalog, ConsumerKind, Folded, Inventory, Place, PlaceRead, Sighting};
use proptest::prelude::*;

use super::fixture::*;

/// Version 10 has a finding, 20 another, 30 none and is current.
fn versions() -> Catalog<'static> {
    let scan = |name: &str| complete(at(1, 1), &[finding(name, Severity::High)]);
    let (a, b) = (version(10, at(1, 0), &scan("CVE-2026-1")), version(20, at(1, 2), &scan("CVE-2026-2")));
    let c = version(30, at(1, 3), &complete(at(1, 4), &[]));
    catalog(&[("apps/checkout", &c, &[&a, &b])])
}

fn places() -> [Place; 3] {
    ["a", "b", "c"].map(|name| cluster(ConsumerKind::Ecs, name))
}

/// Which places were read on a day, and what was seen there: place, workload, unit and version.
#[derive(Debug, Clone)]
struct Day {
    whole: [bool; 3],
    seen: Vec<(usize, u8, u8, u8)>,
}

fn day() -> impl Strategy<Value = Day> {
    let seen = prop::collection::vec((0..3_usize, 0..3_u8, 0..2_u8, 0..5_u8), 0..8);
    (any::<[bool; 3]>(), seen).prop_map(|(whole, seen)| Day { whole, seen })
}

fn sightings(day: &Day) -> Vec<Sighting> {
    let places = places();
    let one = |(place, workload, unit, what): &(usize, u8, u8, u8)| {
        let place = &places[*place];
        let resolved = match what {
            0..3 => Some(digest(10 * (what + 1)).to_string()),
            3 => Some(amd64(10).to_string()),
            _ => None,
        };
        let workload = format!("w{workload}");
        Sighting { unit: format!("u{unit}"), ..sighting(place, &workload, "apps/checkout:main-1", resolved) }
    };
    day.seen.iter().map(one).collect()
}

fn reads(day: &Day, n: u32) -> Vec<PlaceRead> {
    let one =
        |(place, whole): (Place, bool)| if whole { read(&place, at(n, 0)) } else { unread(&place, at(n, 0)) };
    places().into_iter().zip(day.whole).map(one).collect()
}

fn then(before: &Inventory, day: &Day, n: u32) -> Folded {
    survey(before, &versions(), &reads(day, n), &sightings(day), at(n, 0))
}

fn after(days: &[Day]) -> Inventory {
    days.iter().zip(2..).fold(Inventory::default(), |known, (day, n)| then(&known, day, n).inventory)
}

proptest! {
    #![proptest_config(crate::remembering())]

    #[test]
    fn a_day_on_which_nothing_could_be_read_changes_nothing(days in prop::collection::vec(day(), 1..5)) {
        let known = after(&days);
        let nothing_read = Day { whole: [false; 3], seen: Vec::new() };
        let then = then(&known, &nothing_read, 20);
        prop_assert_eq!(&then.inventory.entries, &known.entries);
        prop_assert_eq!(&then.inventory.exposures, &known.exposures);
        prop_assert!(then.ended.is_empty() && then.gone.is_empty());
    }

    #[test]
    fn an_unread_place_loses_no_entry_and_ends_no_exposure(days in prop::collection::vec(day(), 1..5), mut last in day(), unread_place in 0..3_usize) {
        let known = after(&days);
        last.whole[unread_place] = false;
        let then = then(&known, &last, 20);
        let id = places()[unread_place].id();
        for (key, entry) in known.entries.iter().filter(|(key, _)| key.place == id) {
            prop_assert!(then.inventory.entries.contains_key(key), "{:?} is lost", key);
            let Some((image, version)) = entry.known() else { continue };
            for (finding, exposure) in known.exposures.get(&image).into_iter().flat_map(|exposures| &exposures.running) {
                if exposure.versions.contains(&version) && known.versions[&(image.clone(), version.clone())].findings.contains_key(finding) {
                    let runs = then.inventory.exposures[&image].running.get(finding);
                    prop_assert!(runs.is_some_and(|runs| runs.since == exposure.since), "{} stopped", finding);
                }
            }
        }
    }

    #[test]
    fn the_order_of_what_was_seen_does_not_matter(days in prop::collection::vec(day(), 1..4), last in day(), by in 0..8_usize) {
        let known = after(&days);
        let mut seen = sightings(&last);
        let mut places = reads(&last, 20);
        let straight = survey(&known, &versions(), &places, &seen, at(20, 0));
        let turn = by % seen.len().max(1);
        seen.rotate_left(turn);
        seen.reverse();
        places.reverse();
        prop_assert_eq!(survey(&known, &versions(), &places, &seen, at(20, 0)), straight);
    }

    /// A message may be delivered twice, and a write may be retried.
    #[test]
    fn the_same_survey_twice_changes_nothing_the_second_time(days in prop::collection::vec(day(), 1..5), last in day()) {
        let first = then(&after(&days), &last, 20);
        let second = then(&first.inventory, &last, 20);
        prop_assert_eq!(&second.inventory, &first.inventory);
        prop_assert!(second.changes.is_empty(), "{:?}", second.changes);
    }

    #[test]
    fn exposures_and_entries_agree(days in prop::collection::vec(day(), 1..6)) {
        let known = after(&days);
        for entry in known.entries.values().filter(|entry| entry.runs) {
            let Some(key) = entry.known() else { continue };
            for (finding, open) in &known.versions[&key].findings {
                prop_assert!(!open.counts || known.exposures[&key.0].running.contains_key(finding));
            }
        }
        for exposures in known.exposures.values() {
            for exposure in exposures.running.values() {
                let runs = |version| known.entries.values().any(|entry| entry.resolution.version() == Some(version));
                prop_assert!(exposure.versions.iter().any(runs));
            }
            prop_assert!(exposures.stopped.iter().all(|stopped| stopped.since <= stopped.vulnerable_until));
        }
    }
}
