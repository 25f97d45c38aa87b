//! The driver: lets time pass, hands events to the functions, and lets each do what it does in AWS.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use patchwave::facts::Facts;
use patchwave::hierarchy::Hierarchy;
use patchwave::image::ImageId;
use patchwave::policy::Mode;
use patchwave::time::{Span, Timestamp};
use patchwave::trigger::{self, Event, InvalidEvent, ScheduleKind, Trigger};
use patchwave_converge::{Fault, PassSettings, Report, World, converge, intervene, observe};

use crate::clusters::Workload;
use crate::draw::Seed;
use crate::events::Letter;
use crate::faults::{Faults, Trouble};
use crate::faulty::{Faulty, Script};
use crate::founding::found;
use crate::hostile::{Outcome, Planted};
use crate::incident::{self, Incident};
use crate::moment::{Build, Function, Moment};
use crate::outsiders::Deed;
use crate::packages::Vulnerability;
use crate::pipelines::usual_duration;
use crate::requests::{Requests, is_handed_on, lines};
use crate::rivals::{Handler, handle};
use crate::silence::bound;
use crate::state::{Batch, Happening};
use crate::world::SimulatedWorld;

/// When every simulation begins: some working day, early.
const BEGINNING: i64 = 1_795_161_600;

/// How often the rule of `rebuild-fanout` ticks.
const TICK: Span = Span::minutes(15);

/// How rarely it ticks at last where nothing goes wrong any more and nothing changes. A tick may be lost, so that a rare one
/// is no easier to bear than an exact one; and a build that hangs for three days is waited for in a few.
const RAREST_TICK: Span = Span::hours(12);

/// How often the rule of `inventory` sweeps.
const SWEEP: Span = Span::days(1);

/// How long a queue collects events before it invokes its function: a second for this many images, because a pass looks at
/// all that is unsettled; within these bounds, the lower being the template's and the upper Lambda's.
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html>
const IMAGES_PER_SECOND: usize = 50;
const SHORTEST_WINDOW: usize = 20;
const LONGEST_WINDOW: usize = 300;

/// The template's own windows, and the largest batch: where requests are counted, they are those of the template.
const SCANS_WINDOW: Span = Span::seconds(30);
const CHANGES_WINDOW: Span = Span::seconds(20);
const LARGEST_BATCH: usize = 500;

/// How often a queue hands a batch to its function at most, and how long it waits in between.
const RECEIVED_AT_MOST: u32 = 3;
const REDELIVERED_AFTER: Span = Span::minutes(16);

/// In one hostile world of so many all events are written and read as JSON, to see that they mean what the others take them
/// for.
const WRITTEN_IN: u64 = 64;

/// The longest that an invocation stands still: Lambda ends it then.
const LONGEST_REST: Span = Span::minutes(14);

/// Why a simulation could not go on. Each is a defect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broken {
    /// An event of the simulated AWS cannot be read.
    Event(InvalidEvent),
    /// An event of the simulated AWS is read as something else than it was written for.
    Misread(String),
    /// A pass over the world failed.
    Pass(Fault),
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Event(invalid) => invalid.fmt(f),
            Self::Misread(event) => write!(f, "read as something else than it was written for: {event}"),
            Self::Pass(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for Broken {}

/// A world, and Patchwave's functions at work in it.
#[derive(Debug)]
pub struct Simulation {
    world: Rc<SimulatedWorld>,
    handler: Handler,
    queues: BTreeMap<Function, Batch>,
    invocations: u64,
    delivered: u64,
    /// Whether an invocation stands still while others run: one at a time.
    stands: bool,
    /// Whether the last tick found anything that is about to change.
    moving: bool,
    /// How long after this tick the next one comes.
    pace: Span,
    /// Whether ticks come ever more rarely while nothing changes.
    is_calm: bool,
    /// How much had changed at the last tick.
    changes: u64,
    /// The shapes that ledger and world took, and how much had changed at the last.
    shapes: (Vec<u64>, u64),
}

impl Simulation {
    /// Founds a world for `hierarchy` in which everything was built once and runs. The same seed gives the same world.
    pub fn new(hierarchy: Hierarchy, seed: u64) -> Self {
        let now = Timestamp::from_second(BEGINNING).unwrap_or_default();
        let state = found(&hierarchy, Seed(seed), now);
        let (editions, edition) = (vec![hierarchy], Cell::new(0));
        let world = SimulatedWorld { editions, edition, clock: Cell::new(now), state: RefCell::new(state) };
        Self {
            world: Rc::new(world),
            handler: Handler::Patchwave,
            queues: BTreeMap::new(),
            invocations: 0,
            delivered: 0,
            stands: false,
            moving: true,
            pace: TICK,
            is_calm: false,
            changes: 0,
            shapes: (Vec::new(), 0),
        }
    }

    /// Lets what Patchwave asks for be weighed, and events reach it as the template lets them.
    pub(crate) fn counted(self) -> Self {
        let mut state = self.world.state.borrow_mut();
        state.ledger.weights = Some(BTreeMap::new());
        // Nobody reads them.
        state.envelope.is_writing = false;
        drop(state);
        self
    }

    /// Lets something happen at a time.
    pub(crate) fn plan(&self, at: Timestamp, happening: Happening) {
        self.world.state.borrow_mut().plan(at, happening);
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

    /// Returns how long an image's builds usually take: what its pipeline's history says.
    pub fn usual_build_time(&self, image: &ImageId) -> Span {
        usual_duration(self.world.state.borrow().seed, image)
    }

    /// Observes all images, as the functions do.
    pub fn facts(&self) -> Result<Facts, Broken> {
        let all: BTreeSet<ImageId> = self.hierarchy().images().map(|image| image.id.clone()).collect();
        pollster::block_on(observe(&*self.world, self.hierarchy(), &all)).map_err(Broken::Pass)
    }

    /// Lets a critical vulnerability become known now where it reaches most images. Nothing if no image
    /// installs a package.
    pub fn strike(&mut self) -> Option<Incident> {
        let now = self.now();
        let incident = incident::choose(self.hierarchy(), self.world.state.borrow().seed, now)?;
        let image = self.hierarchy().image(&incident.image).ok()?;
        let mut state = self.world.state.borrow_mut();
        let first = state.registry.current(&image.repository, &image.line).and_then(|current| {
            Some((image.repository.clone(), current.version.platforms.values().next()?.digest.clone()))
        });
        state.publish(incident.vulnerability.clone(), first.as_ref(), now);
        drop(state);
        self.moving = true;
        Some(incident)
    }

    /// Lets everything happen that happens before `end`.
    pub fn run_until(
        &mut self,
        end: Timestamp,
        watch: &mut dyn FnMut(&Simulation, &Moment),
    ) -> Result<(), Broken> {
        while self.next_at().is_some_and(|at| at < end) {
            self.step(watch)?;
        }
        self.world.clock.set(end);
        Ok(())
    }

    /// Lets everything happen until nothing but the schedules is left and they find nothing to do, for `longest` at
    /// most. Tells whether it became quiet.
    pub fn run_until_quiet(
        &mut self,
        longest: Span,
        watch: &mut dyn FnMut(&Simulation, &Moment),
    ) -> Result<bool, Broken> {
        let end = longest.after(self.now());
        while self.is_busy() {
            if self.next_at().is_none_or(|at| at > end) {
                return Ok(false);
            }
            self.step(watch)?;
        }
        Ok(true)
    }

    /// Lets the next thing happen.
    pub fn step(&mut self, watch: &mut dyn FnMut(&Simulation, &Moment)) -> Result<(), Broken> {
        let Some(((at, _), happening)) = self.world.state.borrow_mut().agenda.pop_first() else {
            return Ok(());
        };
        self.world.clock.set(at);
        match happening {
            Happening::Delivery(letter) => self.deliver(letter, watch)?,
            Happening::Invocation(function) => {
                let batch = self.queues.remove(&function).unwrap_or_default();
                let most = if self.is_counted() { LARGEST_BATCH } else { usize::MAX };
                for batch in batch.chunks(most) {
                    self.invoke(function, batch, 1, watch)?;
                }
            }
            Happening::Redelivery(function, batch, time) => {
                self.invoke(function, &batch, time, watch)?;
            }
            Happening::Wake => {
                let mut state = self.world.state.borrow_mut();
                state.wakes.remove(&at);
                state.requests.looks += 1;
                drop(state);
                self.hand_over_tick(watch)?;
            }
            Happening::Tick => self.tick(watch)?,
            Happening::Sweep => self.sweep(watch)?,
            Happening::Deed(deed) if deed.what == Trouble::PolicyEdited => self.edit_policy(),
            Happening::Deed(deed) if deed.decision().is_some() => self.decide(&deed),
            other => self.world.state.borrow_mut().happen(self.world.hierarchy(), other, at),
        }
        self.remember_shape();
        let news = std::mem::take(&mut self.world.state.borrow_mut().news);
        for moment in &news {
            watch(self, moment);
        }
        Ok(())
    }

    fn remember_shape(&mut self) {
        let state = self.world.state.borrow();
        // Nobody counts the states of a peaceful world.
        if state.faults.may_strike() && self.shapes.1 != state.changes() {
            self.shapes.1 = state.changes();
            self.shapes.0.push(state.shape(self.world.hierarchy()));
        }
    }

    /// Returns the shapes that ledger and world took.
    pub(crate) fn shapes(&self) -> &[u64] {
        &self.shapes.0
    }

    fn next_at(&self) -> Option<Timestamp> {
        self.world.state.borrow().agenda.keys().next().map(|(at, _)| *at)
    }

    /// Tells whether anything is about to happen beside what the schedules ask for.
    pub(crate) fn is_busy(&self) -> bool {
        self.moving || self.world.state.borrow().agenda.values().any(|happening| !happening.is_recurring())
    }

    fn tick(&mut self, watch: &mut dyn FnMut(&Simulation, &Moment)) -> Result<(), Broken> {
        let changes = self.world.state.borrow().changes();
        let is_idle = self.is_calm && changes == self.changes;
        self.pace = if is_idle { self.pace.plus(self.pace).min(RAREST_TICK) } else { TICK };
        self.changes = changes;
        self.again(self.pace, Happening::Tick);
        self.world.state.borrow_mut().requests.ticks += 1;
        self.hand_over_tick(watch)
    }

    fn hand_over_tick(&mut self, watch: &mut dyn FnMut(&Simulation, &Moment)) -> Result<(), Broken> {
        let letter = self.world.state.borrow_mut().envelope.scheduled(Trigger::Tick, self.now());
        self.deliver(letter, watch)
    }

    fn sweep(&mut self, watch: &mut dyn FnMut(&Simulation, &Moment)) -> Result<(), Broken> {
        self.again(SWEEP, Happening::Sweep);
        self.sweep_now(watch)
    }

    /// Sweeps beside the schedule.
    pub(crate) fn sweep_now(&mut self, watch: &mut dyn FnMut(&Simulation, &Moment)) -> Result<(), Broken> {
        let letter = self.world.state.borrow_mut().envelope.scheduled(Trigger::Sweep, self.now());
        self.deliver(letter, watch)
    }

    fn again(&self, after: Span, happening: Happening) {
        let mut state = self.world.state.borrow_mut();
        state.plan(after.after(self.now()), happening);
    }

    /// Puts an event in its function's queue, which invokes the function a moment later.
    fn deliver(&mut self, letter: Letter, watch: &mut dyn FnMut(&Simulation, &Moment)) -> Result<(), Broken> {
        let Letter { trigger, number, json } = letter;
        if self.is_counted() && !is_handed_on(&trigger) {
            return Ok(());
        }
        let to = target(&trigger);
        self.delivered += 1;
        if let Some(event) = json {
            let schedule = if to == Function::Inventory { ScheduleKind::Sweep } else { ScheduleKind::Tick };
            if trigger::parse(&event, schedule).map_err(Broken::Event)? != Event::Trigger(trigger.clone()) {
                return Err(Broken::Misread(event.to_string()));
            }
            watch(self, &Moment::Delivered { at: self.now(), to, event });
        }
        let queue = self.queues.entry(to).or_default();
        queue.push((number, trigger));
        if queue.len() == 1 {
            let at = self.window(to).after(self.now());
            self.world.state.borrow_mut().plan(at, Happening::Invocation(to));
        }
        Ok(())
    }

    /// Tells whether rules, windows and batches are the template's.
    fn is_counted(&self) -> bool {
        self.world.state.borrow().ledger.weights.is_some()
    }

    fn window(&self, of: Function) -> Span {
        match of {
            _ if !self.is_counted() => self.batching_window(),
            Function::ScanComplete => SCANS_WINDOW,
            Function::RebuildFanout => CHANGES_WINDOW,
            Function::Inventory => Span::ZERO,
        }
    }

    fn batching_window(&self) -> Span {
        let seconds = (self.hierarchy().len() / IMAGES_PER_SECOND).clamp(SHORTEST_WINDOW, LONGEST_WINDOW);
        Span::seconds(u32::try_from(seconds).unwrap_or(u32::MAX))
    }

    /// Invokes a function with a batch. What it could not do whole, its queue hands to it again, three times at most.
    fn invoke(
        &mut self,
        function: Function,
        batch: &[(u64, Trigger)],
        time: u32,
        watch: &mut dyn FnMut(&Simulation, &Moment),
    ) -> Result<(), Broken> {
        let before = self.world.state.borrow().requests.currents.items;
        let report = match self.pass(batch, watch)? {
            Some(Ok(report)) => Some(report),
            Some(Err(fault)) if !self.world.state.borrow().faults.may_strike() => {
                return Err(Broken::Pass(fault));
            }
            Some(Err(_)) | None => None,
        };
        if report.as_ref().is_none_or(|report| !report.is_whole) && time < RECEIVED_AT_MOST {
            let again = Happening::Redelivery(function, batch.to_vec(), time + 1);
            self.again(REDELIVERED_AFTER, again);
        }
        self.count(function, batch.len(), before, report.as_ref());
        let Some(report) = report else { return Ok(()) };
        if batch.iter().any(|(_, trigger)| matches!(trigger, Trigger::Tick | Trigger::Sweep)) {
            self.moving = is_moving(&report);
        }
        let mut state = self.world.state.borrow_mut();
        state.witness.passed(&report, self.world.clock.get());
        if batch.iter().any(|(_, trigger)| *trigger == Trigger::Sweep) && self.handler == Handler::Patchwave {
            state.witness.swept(self.world.hierarchy(), &report, self.world.clock.get());
        }
        drop(state);
        watch(self, &Moment::Passed { at: self.now(), function, report: Box::new(report) });
        Ok(())
    }

    /// Counts an invocation. `before` is how many images had been looked at.
    fn count(&self, function: Function, messages: usize, before: u64, report: Option<&Report>) {
        let requests = &mut self.world.state.borrow_mut().requests;
        let looked_at = requests.currents.items - before;
        let invoked = requests.of(function);
        invoked.invocations += 1;
        invoked.messages += messages as u64;
        invoked.images += looked_at;
        invoked.log_lines += report.map_or(0, lines) as u64;
    }

    /// Makes one pass; nothing if the invocation ends in the middle of it.
    fn pass(
        &mut self,
        batch: &[(u64, Trigger)],
        watch: &mut dyn FnMut(&Simulation, &Moment),
    ) -> Result<Option<Result<Report, Fault>>, Broken> {
        self.invocations += 1;
        let settings =
            PassSettings { mode: Mode::Enforce, owner: format!("invocation-{}", self.invocations) };
        let world = Rc::clone(&self.world);
        let faulty = Faulty::new(&world, Script::draw(&world, !self.stands), settings.mode);
        let triggers: Vec<Trigger> = batch.iter().map(|(_, trigger)| trigger.clone()).collect();
        let handler = self.handler;
        let mut pass = pin!(async {
            if handler == Handler::Patchwave {
                return converge(&faulty, faulty.hierarchy(), &triggers, &settings).await;
            }
            handle(&faulty, handler, batch).await?;
            Ok(Report { is_whole: true, ..Report::default() })
        });
        let mut context = Context::from_waker(Waker::noop());
        loop {
            if let Poll::Ready(result) = pass.as_mut().poll(&mut context) {
                return Ok(Some(result));
            }
            if !faulty.takes_a_rest() {
                return Ok(None);
            }
            self.stands = true;
            let rest = self.world.state.borrow_mut().faults.span(Span::ZERO, LONGEST_REST);
            let end = rest.after(self.now());
            while self.next_at().is_some_and(|at| at < end) {
                self.step(watch)?;
            }
            self.world.clock.set(end);
            self.stands = false;
        }
    }

    /// From now on nothing goes wrong, and nobody needs to look every quarter of an hour.
    pub(crate) fn calm_down(&mut self) {
        self.is_calm = true;
    }

    /// Somebody deploys the other edition of the hierarchy. Who is in the middle of a pass does not see it.
    fn edit_policy(&self) {
        let edition = &self.world.edition;
        edition.set((edition.get() + 1) % self.world.editions.len());
        let mut state = self.world.state.borrow_mut();
        state.faults.note(Trouble::PolicyEdited);
        state
            .witness
            .tell(self.world.clock.get(), || format!("somebody: edition {} of the hierarchy", edition.get()));
    }

    /// Somebody uses a verb of the command line. Only Patchwave has a ledger to write it in.
    fn decide(&self, deed: &Deed) {
        let Some(intervention) = deed.decision().filter(|_| self.handler == Handler::Patchwave) else {
            return;
        };
        let decided = intervene(&*self.world, self.hierarchy(), &deed.image, intervention, "somebody");
        let decided = pollster::block_on(decided);
        let mut state = self.world.state.borrow_mut();
        state.faults.note(deed.what);
        state.witness.tell(self.world.clock.get(), || {
            format!("somebody: {intervention:?} {}, {decided:?}", deed.image)
        });
    }

    /// Who handles the events, and the hierarchy as somebody is going to edit it.
    pub(crate) fn with(mut self, handler: Handler, edited: Hierarchy) -> Self {
        self.handler = handler;
        if let Some(world) = Rc::get_mut(&mut self.world) {
            world.editions.push(edited);
        }
        self
    }

    /// Makes the world a hostile one between two moments.
    pub(crate) fn trouble(
        &mut self,
        faults: Faults,
        planted: Option<Planted>,
        tell: bool,
        begins: Timestamp,
        ends: Timestamp,
    ) {
        let mut state = self.world.state.borrow_mut();
        state.faults = faults;
        state.witness.is_telling = tell;
        state.envelope.is_writing = tell || state.seed.0.is_multiple_of(WRITTEN_IN);
        state.ledger.is_fenceless = planted == Some(Planted::NoFences);
        if state.faults.may_strike() {
            state.plan_deeds(self.world.hierarchy(), begins, ends);
        }
    }

    pub(crate) fn plan_vulnerability(&mut self, vulnerability: Vulnerability) {
        let at = vulnerability.known_from;
        self.world.state.borrow_mut().plan(at, Happening::Published(Box::new(vulnerability)));
    }

    pub(crate) fn accuse(&mut self, violation: &str) {
        let now = self.now();
        self.world.state.borrow_mut().witness.accuse(now, violation.to_owned());
    }

    pub(crate) fn witness_end(&mut self, report: &Report) -> Result<(), Broken> {
        let (facts, now) = (self.facts()?, self.now());
        self.world.state.borrow_mut().witness_end(self.world.hierarchy(), &facts, report, now);
        Ok(())
    }

    /// Accuses the world of a silence that was too long: of builds that ended after the bound.
    pub(crate) fn witness_silence(&mut self, builds: &[Build], swept: Timestamp) {
        let in_vain = self.world.state.borrow().witness.waited_in_vain.is_some_and(|at| at >= swept);
        let bound = bound(self.hierarchy(), builds, swept, TICK, self.batching_window(), in_vain);
        for late in builds.iter().filter(|build| build.finished_at > bound) {
            self.accuse(&format!("{} was built at {}, after {bound}", late.image, late.finished_at));
        }
    }

    /// Counts what somebody who keeps no ledger forgot.
    pub(crate) fn count_losses(&mut self) {
        let (hierarchy, now) = (self.world.hierarchy(), self.now());
        let mut state = self.world.state.borrow_mut();
        let lost: u64 = hierarchy.images().map(|image| state.curable(hierarchy, image, now)).sum();
        state.witness.lost += lost;
    }

    pub(crate) fn outcome(&self, seed: u64, passes: u64, yaml: &str) -> Outcome {
        let state = self.world.state.borrow();
        let witness = &state.witness;
        let hierarchy = yaml.lines().map(str::to_owned);
        Outcome {
            seed,
            passes,
            events: self.delivered,
            builds: witness.builds,
            lost: witness.lost,
            duplicates: witness.duplicates,
            faults: state.faults.fired.clone(),
            violations: witness.violations.clone(),
            story: if witness.is_telling {
                hierarchy.chain(witness.story.iter().cloned()).collect()
            } else {
                Vec::new()
            },
        }
    }
}

/// The rules of the deployment: which function an event goes to.
fn target(trigger: &Trigger) -> Function {
    match trigger {
        Trigger::Scanned { .. } => Function::ScanComplete,
        Trigger::RepositoryChanged { .. } | Trigger::Execution { .. } | Trigger::Tick => {
            Function::RebuildFanout
        }
        Trigger::Sweep => Function::Inventory,
    }
}

fn is_moving(report: &Report) -> bool {
    !report.started.is_empty() || report.held.iter().any(|held| held.hold.is_moving())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::organisation::ORGANISATION;

    #[test]
    fn whoever_starts_a_build_asks_for_a_look_at_its_end() {
        let hierarchy = Hierarchy::parse("organisation.yaml", ORGANISATION);
        let mut simulation = Simulation::new(hierarchy.map_err(|errors| errors.to_string()).unwrap(), 1);
        simulation.run_until(Span::hours(1).after(simulation.now()), &mut |_, _| ()).unwrap();
        simulation.strike().unwrap();
        let mut starts = 0;
        let mut watch = |simulation: &Simulation, moment: &Moment| {
            let Moment::Passed { at, report, .. } = moment else { return };
            if report.started.is_empty() {
                return;
            }
            starts += 1;
            let first = simulation.world.state.borrow().wakes.first().copied();
            assert!(first.is_some_and(|wake| wake <= Span::minutes(3).after(*at)), "{at}: {first:?}");
        };
        assert!(simulation.run_until_quiet(Span::days(3), &mut watch).unwrap());
        assert!(starts > 1, "{starts}");
    }
}
