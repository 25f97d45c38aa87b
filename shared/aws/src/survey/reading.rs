//! What was read of one place so far.

use std::collections::BTreeSet;
use std::sync::Arc;

use patchwave::inventory::{ConsumerKind, Place, PlaceRead, Sighting, Use};
use patchwave::time::Timestamp;
use patchwave_converge::{Fault, FaultKind};

use super::budget::{Budget, MOST_OF_A_PLACE, bounded};
use super::pace::Missed;

/// Most reasons to report of one place. A person who needs more can read the place directly.
const MOST_REASONS: usize = 3;
/// Most kinds of objects to name that are not read.
const MOST_KINDS: usize = 50;

/// A place that is being read.
#[derive(Debug)]
pub(super) struct Reading {
    place: Place,
    sightings: Vec<Sighting>,
    missed: Vec<String>,
    not_inspected: BTreeSet<String>,
    budget: Arc<Budget>,
    gone: bool,
    /// Whether the invocation ended before the place was read.
    pub(super) interrupted: bool,
}

impl Reading {
    pub(super) fn new(place: Place, budget: Arc<Budget>) -> Self {
        Self {
            place,
            sightings: Vec::new(),
            missed: Vec::new(),
            not_inspected: BTreeSet::new(),
            budget,
            gone: false,
            interrupted: false,
        }
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Returns the cluster's name; empty where there is none.
    pub(super) fn cluster(&self) -> &str {
        self.place.cluster.as_deref().unwrap_or_default()
    }

    /// Returns the same place, narrowed to one of its clusters.
    pub(super) fn cluster_place(&self, kind: ConsumerKind, name: &str) -> Place {
        Place { kind, cluster: Some(name.to_owned()), ..self.place.clone() }
    }

    pub(super) fn sightings(&mut self) -> &mut [Sighting] {
        &mut self.sightings
    }

    /// Notes what was seen, as far as there is room. Long texts are cut.
    pub(super) fn note(&mut self, sighting: Sighting) {
        if self.is_full() {
            return;
        }
        if self.budget.note() {
            self.sightings.push(Sighting {
                workload: bounded(sighting.workload),
                unit: bounded(sighting.unit),
                container: bounded(sighting.container),
                image: bounded(sighting.image),
                resolved: sighting.resolved.map(bounded),
                architecture: sighting.architecture.map(bounded),
                os: sighting.os.map(bounded),
                ..sighting
            });
        } else {
            self.interrupted = true;
        }
    }

    /// Returns whether there is no room for more. Then the place is not read completely.
    pub(super) fn is_full(&mut self) -> bool {
        if self.sightings.len() >= MOST_OF_A_PLACE {
            self.unread(format!("it has more than {MOST_OF_A_PLACE} containers"));
            return true;
        }
        self.interrupted
    }

    /// Forgets what was noted after the first `length` sightings.
    pub(super) fn back_to(&mut self, length: usize) {
        self.sightings.truncate(length);
    }

    /// Notes a reference to an image.
    pub(super) fn refers(&mut self, workload: &str, container: &str, image: &str, resolved: Option<&str>) {
        let sighting = Sighting {
            place: self.place.clone(),
            workload: workload.to_owned(),
            unit: String::new(),
            container: container.to_owned(),
            image: image.to_owned(),
            resolved: resolved.map(str::to_owned),
            architecture: None,
            os: None,
            used: Use::Referenced,
        };
        self.note(sighting);
    }

    /// Notes that something was not read.
    pub(super) fn miss(&mut self, missed: Missed) {
        match missed {
            Missed::Interrupted => self.interrupted = true,
            Missed::Gone => self.gone = true,
            Missed::Failed(Fault { operation, message, .. })
            | Missed::Silent(Fault { operation, message, .. }) => {
                self.unread(format!("cannot {operation}: {message}"));
            }
        }
    }

    /// Notes why something was not read.
    pub(super) fn unread(&mut self, reason: String) {
        let reason = bounded(reason);
        if self.missed.len() < MOST_REASONS && !self.missed.contains(&reason) {
            self.missed.push(reason);
        }
    }

    /// Notes a kind of objects that is not read, or that may not be listed. The place itself is
    /// read.
    pub(super) fn not_inspected(&mut self, kind: &str) {
        if self.not_inspected.len() < MOST_KINDS {
            self.not_inspected.insert(bounded(kind.to_owned()));
        }
    }

    /// Notes that objects of a kind were not read. A kind that may not be listed, or that the
    /// cluster does not serve, leaves the rest of the place as it is.
    pub(super) fn miss_kind(&mut self, kind: &str, missed: Missed) {
        let is_absent = |fault: &Fault| fault.kind == FaultKind::Denied || fault.message.starts_with("404 ");
        match missed {
            Missed::Failed(fault) if is_absent(&fault) => self.not_inspected(kind),
            missed => self.miss(missed),
        }
    }

    /// Adds what may be the cause, if anything was missed.
    pub(super) fn explain(&mut self, cause: &str) {
        if !self.missed.is_empty() {
            self.missed.push(cause.to_owned());
        }
    }

    /// Ends the reading. A place that was deleted is known to be empty.
    pub(super) fn finish(mut self, at: Timestamp) -> (PlaceRead, Vec<Sighting>) {
        if self.gone {
            self.missed.clear();
            self.sightings.clear();
            self.not_inspected.clear();
        }
        let unread = (!self.missed.is_empty()).then(|| self.missed.join("; "));
        (PlaceRead { place: self.place, at, unread, not_inspected: self.not_inspected }, self.sightings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_with_more_containers_than_fit_is_unread() {
        let (account, region) = ("111122223333".to_owned(), "us-east-1".to_owned());
        let place = Place { account, region, kind: ConsumerKind::Eks, cluster: None, environment: None };
        let mut reading = Reading::new(place, Arc::default());
        for n in 0..=MOST_OF_A_PLACE {
            reading.refers(&n.to_string(), "app", "r/app:1", None);
        }
        let (read, sightings) = reading.finish("2026-01-01T12:00:00Z".parse().unwrap());
        assert_eq!(sightings.len(), MOST_OF_A_PLACE);
        assert_eq!(read.unread.as_deref(), Some("it has more than 100000 containers"));
    }
}
