//! The driver: advances virtual time and lets each scheduled thing happen.
//!
//! [`clock`] runs the two schedules, [`queues`] collects events into batches, [`invocation`] runs
//! Patchwave's functions, and [`verdict`] checks the world at the end of a scenario.

mod broken;
mod clock;
mod invocation;
mod queues;
#[cfg(test)]
mod sweeps;
mod verdict;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use patchwave::facts::Facts;
use patchwave::hierarchy::{Hierarchy, Image};
use patchwave::image::ImageId;
use patchwave::time::{Span, Timestamp};
use patchwave_converge::{Budget, Detail, World, observe};

pub use broken::Broken;

use crate::baselines::Handler;
use crate::bootstrap::{bootstrap, give_past};
use crate::clusters::Workload;
use crate::draw::Seed;
use crate::faults::{FaultPlan, InjectedFault};
use crate::incident::{self, Incident};
use crate::observation::Observation;
use crate::outcome::PlantedDefect;
use crate::packages::Vulnerability;
use crate::pipelines::usual_duration;
use crate::requests::Requests;
use crate::state::Scheduled;
use crate::state_fingerprint::Fingerprints;
use crate::upstream::Registries;
use crate::world::SimulatedWorld;
use clock::TickClock;
use queues::Queues;

/// When every simulation starts: a working day, early in the morning.
const START: i64 = 1_795_161_600;

/// In one world with faults of so many, every event is written as JSON and parsed again. The test
/// then covers the parser; in all other worlds it would only cost time.
const WRITTEN_IN: u64 = 64;

/// A function that sees everything that happens in a simulation.
pub(crate) type Watch<'w> = dyn FnMut(&Simulation, &Observation) + 'w;

/// A simulated world and Patchwave's functions in it.
#[derive(Debug)]
pub struct Simulation {
    world: Rc<SimulatedWorld>,
    handler: Handler,
    queues: Queues,
    clock: TickClock,
    fingerprints: Fingerprints,
    /// Most images that one page names.
    images: usize,
    /// Most pages of one pass.
    pages: u32,
    /// How many incidents were published.
    incidents: u32,
}

impl Simulation {
    /// Creates a world for `hierarchy` in which every image was built once and applications run.
    /// The same seed gives the same world.
    pub fn new(hierarchy: Hierarchy, seed: u64) -> Self {
        let now = Timestamp::from_second(START).unwrap_or_default();
        let state = bootstrap(&hierarchy, Seed(seed), now);
        let (editions, edition) = (vec![hierarchy], Cell::new(0));
        let world = SimulatedWorld { editions, edition, clock: Cell::new(now), state: RefCell::new(state) };
        Self {
            world: Rc::new(world),
            handler: Handler::Patchwave,
            queues: Queues::default(),
            clock: TickClock::new(),
            fingerprints: Fingerprints::default(),
            images: Budget::default().images,
            pages: Budget::default().pages,
            incidents: 0,
        }
    }

    /// Connects the world to these upstream registries.
    pub(crate) fn set_upstreams(&self, registries: Registries) {
        self.world.state.borrow_mut().upstreams = registries;
    }

    /// Looks into the upstream registries.
    pub(crate) fn with_upstreams<T>(&self, read: impl FnOnce(&Registries) -> T) -> T {
        read(&self.world.state.borrow().upstreams)
    }

    /// Sets how many images one page names at most.
    pub(crate) fn with_page_size(self, images: usize) -> Self {
        Self { images, ..self }
    }

    /// Sets how many pages one pass makes at most.
    pub(crate) fn with_pages(self, pages: u32) -> Self {
        Self { pages, ..self }
    }

    /// Counts what Patchwave asks of AWS. Event rules, batching windows and batch sizes are then
    /// those of the template.
    pub(crate) fn counted(self) -> Self {
        let mut state = self.world.state.borrow_mut();
        state.ledger.weights = Some(BTreeMap::new());
        // The JSON of the events is not needed.
        state.event_writer.is_writing = false;
        drop(state);
        self
    }

    /// Sets who handles the events, and the editions of the hierarchy that people may deploy: one
    /// with other policies, and one with other images.
    pub(crate) fn with(mut self, handler: Handler, editions: [Hierarchy; 2]) -> Self {
        self.handler = handler;
        if let Some(world) = Rc::get_mut(&mut self.world) {
            world.editions.extend(editions);
        }
        self
    }

    /// Injects the faults of `faults`, and people's actions between `begins` and `ends`.
    pub(crate) fn inject_faults(
        &mut self,
        faults: FaultPlan,
        planted: Option<PlantedDefect>,
        with_log: bool,
        (begins, ends): (Timestamp, Timestamp),
    ) {
        let mut state = self.world.state.borrow_mut();
        state.faults = faults;
        state.checker.is_logging = with_log;
        state.event_writer.is_writing = with_log || state.seed.0.is_multiple_of(WRITTEN_IN);
        state.ledger.is_fenceless = planted == Some(PlantedDefect::NoFences);
        if state.faults.has_faults() {
            give_past(&mut state, self.world.hierarchy());
            state.schedule_person_actions(self.world.hierarchy(), begins, ends);
        }
    }

    /// Lets something happen at a time.
    pub(crate) fn schedule(&self, at: Timestamp, scheduled: Scheduled) {
        self.world.state.borrow_mut().schedule(at, scheduled);
    }

    pub(crate) fn schedule_vulnerability(&self, vulnerability: Vulnerability) {
        self.schedule(vulnerability.known_from, Scheduled::Published(Box::new(vulnerability)));
    }

    /// Publishes a critical vulnerability now, in the image that most others are built on. Returns
    /// nothing if no image installs a package.
    pub fn publish_incident(&mut self) -> Option<Incident> {
        let now = self.now();
        let incident =
            incident::choose(self.hierarchy(), self.world.state.borrow().seed, self.incidents, now)?;
        self.incidents += 1;
        let image = self.hierarchy().image(&incident.image).ok()?;
        let mut state = self.world.state.borrow_mut();
        let first = state.registry.current(&image.repository, &image.line).and_then(|current| {
            Some((image.repository.clone(), current.version.platforms.values().next()?.digest.clone()))
        });
        state.publish(incident.vulnerability.clone(), first.as_ref(), now);
        drop(state);
        self.clock.is_moving = true;
        Some(incident)
    }

    /// From now on so many of a hundred images that are built on an image get the content that they
    /// had.
    pub(crate) fn keep_unchanged(&self, percent: u32) {
        self.world.state.borrow_mut().unchanged = percent;
    }

    /// A person pushes a new version of an image of the hierarchy.
    pub(crate) fn push_by_hand(&mut self, image: &Image) {
        let (hierarchy, now) = (self.world.hierarchy(), self.now());
        let mut state = self.world.state.borrow_mut();
        let parents = state.current_parents(hierarchy, image);
        state.push_by_hand(hierarchy, image, parents, InjectedFault::PushedFixed, now);
        drop(state);
        self.clock.is_moving = true;
    }

    /// Advances to `end`: everything that is scheduled before it happens.
    pub fn run_until(&mut self, end: Timestamp, watch: &mut Watch<'_>) -> Result<(), Broken> {
        while self.next_at().is_some_and(|at| at < end) {
            self.step(watch)?;
        }
        self.world.clock.set(end);
        Ok(())
    }

    /// Advances until only the schedules are left and a tick finds nothing to do, for `longest` at
    /// most. Returns whether the world became quiet.
    pub fn run_until_quiet(&mut self, longest: Span, watch: &mut Watch<'_>) -> Result<bool, Broken> {
        let end = longest.after(self.now());
        while self.is_busy() {
            if self.next_at().is_none_or(|at| at > end) {
                return Ok(false);
            }
            self.step(watch)?;
        }
        Ok(true)
    }

    /// Lets the next scheduled thing happen.
    pub fn step(&mut self, watch: &mut Watch<'_>) -> Result<(), Broken> {
        let Some((at, scheduled)) = self.world.state.borrow_mut().agenda.pop() else { return Ok(()) };
        self.world.clock.set(at);
        self.dispatch(scheduled, at, watch)?;
        self.fingerprints.record(&self.world.state.borrow(), self.world.hierarchy());
        let observations = std::mem::take(&mut self.world.state.borrow_mut().observations);
        for observation in &observations {
            watch(self, observation);
        }
        Ok(())
    }

    fn dispatch(&mut self, scheduled: Scheduled, at: Timestamp, watch: &mut Watch<'_>) -> Result<(), Broken> {
        match scheduled {
            Scheduled::Delivery(delivery) => self.deliver(delivery, watch),
            Scheduled::Invocation(function) => self.invoke_with_queue(function, watch),
            Scheduled::Redelivery(function, batch, attempt) => self.invoke(function, &batch, attempt, watch),
            Scheduled::Recheck => self.recheck(at, watch),
            Scheduled::Tick => self.tick(watch),
            Scheduled::Sweep => self.sweep(watch),
            Scheduled::PersonAction(action) => {
                // Only Patchwave has a ledger to write a decision in.
                if self.handler == Handler::Patchwave || action.intervention().is_none() {
                    self.world.act(&action);
                }
                Ok(())
            }
            other => {
                let hierarchy = self.world.hierarchy_of(&other);
                self.world.state.borrow_mut().apply(hierarchy, other, at);
                Ok(())
            }
        }
    }

    fn next_at(&self) -> Option<Timestamp> {
        self.world.state.borrow().agenda.next_at()
    }

    /// Returns whether anything is about to happen apart from the schedules.
    pub(crate) fn is_busy(&self) -> bool {
        self.clock.is_moving || self.world.state.borrow().agenda.has_more_than_schedules()
    }

    /// Returns the fingerprints of the states that ledger and world were in.
    pub(crate) fn into_fingerprints(self) -> Vec<u64> {
        self.fingerprints.into_seen()
    }

    /// Returns what Patchwave asked for so far.
    pub(crate) fn requests(&self) -> Requests {
        let state = self.world.state.borrow();
        Requests { record_bytes: state.ledger.bytes(), ..state.requests }
    }

    /// Returns the hierarchy.
    pub fn hierarchy(&self) -> &Hierarchy {
        self.world.hierarchy()
    }

    /// Returns the world as Patchwave sees it.
    pub fn into_world(self) -> Rc<SimulatedWorld> {
        self.world
    }

    /// Returns the virtual time.
    pub fn now(&self) -> Timestamp {
        self.world.now()
    }

    /// Returns all workloads, by name.
    pub fn workloads(&self) -> Vec<Workload> {
        self.world.state.borrow().workloads.values().cloned().collect()
    }

    /// Returns how long an image's builds usually take.
    pub fn usual_build_time(&self, image: &ImageId) -> Span {
        usual_duration(self.world.state.borrow().seed, image)
    }

    /// Observes all images, as the functions do.
    pub fn facts(&self) -> Result<Facts, Broken> {
        let all: BTreeSet<ImageId> = self.hierarchy().images().map(|image| image.id.clone()).collect();
        pollster::block_on(observe(&*self.world, self.hierarchy(), &all, Detail::Whole)).map_err(Broken::Pass)
    }
}
