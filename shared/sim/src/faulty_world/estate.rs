//! Where workloads run, as the survey of one invocation sees it while faults are injected.

use std::collections::{BTreeMap, BTreeSet};

use patchwave::hierarchy::Hierarchy;
use patchwave::image::{ImageId, Repository};
use patchwave::inventory::{
    ConsumerKind, Covered, Folded, Inventory, Place, PlaceRead, Scanner, Scanning, SeenInUse, Sighting,
    Survey, Use, UseIs, Windows,
};
use patchwave::notice::OwnersNotified;
use patchwave::time::{Span, Timestamp};
use patchwave::trigger::Trigger;
use patchwave_converge::{Cursor, Estate, Fault, FaultKind, Left, ManifestAt, Surveyed, World};

use super::{FaultyWorld, fault};
use crate::clusters::Workload;
use crate::faults::{InjectedFault, Service};
use crate::state::Scheduled;
use crate::world::SimulatedWorld;

/// What is stored of what runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stored {
    pub(crate) inventory: Inventory,
    /// A survey that was cut off: when it began, and what is left of it.
    unfinished: Option<(Timestamp, Cursor)>,
    /// Whether a survey began and has not ended.
    pub(crate) is_begun: bool,
    /// Whether no survey is possible.
    pub(crate) is_denied: bool,
}

impl Estate for FaultyWorld<'_> {
    async fn ended_badly(&self) -> Result<bool, Fault> {
        self.before(Service::Ledger)?;
        Ok(self.world.state.borrow().stored.is_begun)
    }

    /// A place may not answer, or the time may be over before it is read.
    async fn survey(&self, _: &Hierarchy, _: Option<Timestamp>) -> Result<Surveyed, Fault> {
        self.before_change(Service::Ledger).await?;
        if self.world.state.borrow().stored.is_denied {
            return Err(fault(Service::Ledger, FaultKind::Denied, "the mark may not be written"));
        }
        self.world.state.borrow_mut().stored.is_begun = true;
        let unfinished = self.world.state.borrow().stored.unfinished.clone();
        let began = unfinished.as_ref().map_or_else(|| self.now(), |(began, _)| *began);
        let resumed = unfinished.map(|(_, cursor)| cursor);
        let places = self.world.places();
        let mut left: Vec<Left> = match &resumed {
            Some(cursor) => cursor.left.clone(),
            None => places.iter().map(|place| Left { interrupted: false, place: place.clone() }).collect(),
        };
        let mut survey = Survey::default();
        while let Some(Left { place, .. }) = left.first() {
            if !survey.places.is_empty() && self.is_cut_off() {
                break;
            }
            let unread = self.before(Service::Pipelines).err().map(|fault| fault.to_string());
            if unread.is_none() {
                survey.sightings.extend(self.world.sightings(place));
            }
            survey.places.push(PlaceRead {
                place: place.clone(),
                at: self.now(),
                unread,
                not_inspected: BTreeSet::new(),
            });
            left.remove(0);
        }
        Ok(Surveyed { survey, began, resumed, left: (!left.is_empty()).then_some(Cursor { left }) })
    }

    async fn inventory(&self, _: &BTreeSet<ImageId>) -> Result<Inventory, Fault> {
        self.before(Service::Ledger)?;
        Ok(self.world.state.borrow().stored.inventory.clone())
    }

    async fn keep_inventory(&self, _: &Inventory, folded: &Folded, _: Timestamp) -> Result<(), Fault> {
        self.before_change(Service::Ledger).await?;
        self.world.state.borrow_mut().stored.inventory = folded.inventory.clone();
        self.after(Service::Ledger).await
    }

    async fn keep_notified(&self, notified: &OwnersNotified) -> Result<(), Fault> {
        self.before_change(Service::Ledger).await?;
        self.world.state.borrow_mut().stored.inventory.notified.extend(notified.clone());
        self.after(Service::Ledger).await
    }

    async fn keep_survey(&self, surveyed: &Surveyed) -> Result<(), Fault> {
        self.before_change(Service::Ledger).await?;
        let stored = &mut self.world.state.borrow_mut().stored;
        stored.unfinished = surveyed.left.clone().map(|left| (surveyed.began, left));
        stored.is_begun = false;
        Ok(())
    }

    async fn continue_survey(&self) -> Result<(), Fault> {
        self.before_change(Service::Schedules).await?;
        let state = &mut *self.world.state.borrow_mut();
        let now = self.world.clock.get();
        let sweep = state.event_writer.scheduled(Trigger::Sweep, now);
        state.schedule(Span::minutes(1).after(now), Scheduled::Delivery(sweep));
        Ok(())
    }

    /// The scanner here scans again by itself, as Inspector does.
    async fn scanning(&self) -> Result<Scanning, Fault> {
        self.before(Service::Registry)?;
        Ok(Scanning { scanner: Scanner::Enhanced, rules: Vec::new() })
    }

    /// Inspector answers nothing about clusters here.
    async fn seen_in_use(
        &self,
        _: &BTreeSet<ManifestAt>,
    ) -> BTreeMap<ManifestAt, Result<Vec<SeenInUse>, Fault>> {
        BTreeMap::new()
    }

    async fn windows(&self) -> Result<Windows, Fault> {
        self.before(Service::Scanner)?;
        Ok(Windows { after_push: None, after_use: None, use_is: UseIs::Running })
    }

    async fn covered(&self, _: &BTreeSet<Repository>) -> Result<Vec<Covered>, Fault> {
        Ok(Vec::new())
    }
}

impl FaultyWorld<'_> {
    /// One survey in some is cut off, as by the end of its time.
    fn is_cut_off(&self) -> bool {
        let now = self.world.clock.get();
        self.world.state.borrow_mut().faults.would_inject(InjectedFault::Interleaved, now)
    }
}

impl SimulatedWorld {
    /// Returns the clusters in which workloads run.
    fn places(&self) -> BTreeSet<Place> {
        self.state.borrow().workloads.values().map(place).collect()
    }

    /// Returns what runs in a cluster: one task of each workload.
    fn sightings(&self, of: &Place) -> Vec<Sighting> {
        let state = self.state.borrow();
        let there = state.workloads.values().filter(|workload| place(workload) == *of);
        let sighting = |workload: &Workload| {
            let image = self.editions.iter().find_map(|edition| edition.image(&workload.image).ok())?;
            let (registry, name) = self.hierarchy().address(&image.repository);
            Some(Sighting {
                place: of.clone(),
                workload: workload.name.clone(),
                unit: format!("{}-1", workload.name),
                container: "main".to_owned(),
                image: format!("{registry}/{name}@{}", workload.digest),
                resolved: Some(workload.digest.to_string()),
                architecture: None,
                os: None,
                used: Use::Running { since: Some(workload.since) },
            })
        };
        there.filter_map(sighting).collect()
    }

    /// Returns how the inventory differs from what runs, after a survey that read everything.
    pub(crate) fn differences_of_inventory(&self) -> Vec<String> {
        let (state, mut differences) = (self.state.borrow(), Vec::new());
        let entries = &state.stored.inventory.entries;
        for workload in state.workloads.values() {
            let of_workload = || entries.values().filter(|entry| entry.workload == workload.name);
            let is_it = of_workload().all(|entry| entry.digest.as_ref() == Some(&workload.digest));
            if of_workload().count() != 1 || !is_it {
                differences
                    .push(format!("{} runs {}, and the inventory does not", workload.name, workload.digest));
            }
            let is_known = |entry: &patchwave::inventory::Entry| entry.resolution.version().is_some();
            let is_named = self
                .hierarchy()
                .image(&workload.image)
                .is_ok_and(|image| state.registry.version(&image.repository, &workload.digest).is_some());
            if is_named && !of_workload().all(is_known) {
                let found: Vec<_> = of_workload().map(|entry| &entry.resolution).collect();
                differences
                    .push(format!("the inventory does not know what {} runs: {found:?}", workload.name));
            }
        }
        differences
    }
}

fn place(workload: &Workload) -> Place {
    Place {
        account: "111122223333".to_owned(),
        region: "us-east-1".to_owned(),
        kind: ConsumerKind::Ecs,
        cluster: Some(workload.cluster.clone()),
        environment: Some("prod".to_owned()),
    }
}
