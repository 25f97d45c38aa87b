//! What was read of one place so far.

use patchwave::inventory::{ConsumerKind, Place, PlaceRead, Sighting, Use};
use patchwave::time::Timestamp;
use patchwave_converge::Fault;

use super::pace::Missed;

/// Most reasons to report of one place. A person who needs more can read the place directly.
const MOST_REASONS: usize = 3;

/// A place that is being read.
#[derive(Debug)]
pub(super) struct Reading {
    place: Place,
    sightings: Vec<Sighting>,
    missed: Vec<String>,
    gone: bool,
    /// Whether the invocation ended before the place was read.
    pub(super) interrupted: bool,
}

impl Reading {
    pub(super) fn new(place: Place) -> Self {
        Self { place, sightings: Vec::new(), missed: Vec::new(), gone: false, interrupted: false }
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

    pub(super) fn sightings(&mut self) -> &mut Vec<Sighting> {
        &mut self.sightings
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
            used: Use::Referenced,
        };
        self.sightings.push(sighting);
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
        if self.missed.len() < MOST_REASONS && !self.missed.contains(&reason) {
            self.missed.push(reason);
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
        }
        let unread = (!self.missed.is_empty()).then(|| self.missed.join("; "));
        (PlaceRead { place: self.place, at, unread }, self.sightings)
    }
}
