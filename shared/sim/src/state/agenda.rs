//! What is going to happen, in order of time.

use std::collections::BTreeMap;

use patchwave::image::{Digest, ImageId};
use patchwave::time::Timestamp;
use patchwave::trigger::Trigger;
use patchwave_converge::ManifestAt;

use crate::events::Delivery;
use crate::observation::Function;
use crate::packages::Vulnerability;
use crate::people::PersonAction;

/// Triggers, each with the number of its event.
pub(crate) type Batch = Vec<(u64, Trigger)>;

/// Something that is going to happen.
#[derive(Debug, Clone)]
pub(crate) enum Scheduled {
    /// EventBridge delivers an event to its target.
    Delivery(Delivery),
    ExecutionEnds(String),
    /// An execution that Patchwave did not start ends.
    ForeignExecutionEnds(String),
    /// The scanner scans a manifest.
    Scan(ManifestAt),
    /// The deployment of a workload begins.
    Deployment(String),
    /// The last task of a workload's old version stops.
    LastTaskStops(String, Digest),
    /// A queue invokes its function.
    Invocation(Function),
    /// A queue delivers a batch again. The number counts its deliveries.
    Redelivery(Function, Batch, u32),
    PersonAction(PersonAction),
    /// The image's pipeline has built a person's commit.
    Commit(ImageId),
    /// A vulnerability becomes known.
    Published(Box<Vulnerability>),
    /// The fix of a vulnerability is published, so the scanner scans everything again.
    Rescan,
    /// An extra tick that Patchwave asked for.
    Recheck,
    Tick,
    Sweep,
}

/// What is going to happen. Two things at one time happen in the order in which they were added.
#[derive(Debug, Clone, Default)]
pub(crate) struct Agenda {
    entries: BTreeMap<(Timestamp, u64), Scheduled>,
    added: u64,
}

impl Agenda {
    pub(crate) fn add(&mut self, at: Timestamp, scheduled: Scheduled) {
        self.added += 1;
        self.entries.insert((at, self.added), scheduled);
    }

    /// Removes and returns what happens next.
    pub(crate) fn pop(&mut self) -> Option<(Timestamp, Scheduled)> {
        self.entries.pop_first().map(|((at, _), scheduled)| (at, scheduled))
    }

    pub(crate) fn next_at(&self) -> Option<Timestamp> {
        self.entries.keys().next().map(|(at, _)| *at)
    }

    /// Returns how many entries were ever added.
    pub(crate) fn added(&self) -> u64 {
        self.added
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Scheduled> {
        self.entries.values()
    }

    /// Returns whether anything is going to happen apart from the two schedules.
    pub(crate) fn has_more_than_schedules(&self) -> bool {
        self.entries().any(|scheduled| !matches!(scheduled, Scheduled::Tick | Scheduled::Sweep))
    }
}
