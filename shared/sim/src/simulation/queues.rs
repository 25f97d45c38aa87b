//! The functions' queues: they collect events into batches and deliver failed batches again.

use std::collections::BTreeMap;
use std::rc::Rc;

use patchwave::hierarchy::Hierarchy;
use patchwave::image::ImageId;
use patchwave::time::Span;
use patchwave::trigger::{self, Event, ScheduleKind, Trigger};
use patchwave_converge::Report;

use super::{Broken, Simulation, Watch};
use crate::baselines::Handler;
use crate::events::Delivery;
use crate::observation::{Function, Observation};
use crate::requests::{is_handed_on, lines};
use crate::state::{Batch, Scheduled, State};

/// How long a queue collects events before it invokes its function: a second for this many images,
/// because a pass observes all unsettled images. The lower bound is the template's, the upper one
/// Lambda's.
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html>
const IMAGES_PER_SECOND: usize = 50;
const SHORTEST_WINDOW: usize = 20;
const LONGEST_WINDOW: usize = 300;

/// The template's own windows and largest batch. They apply where requests are counted.
const SCANS_WINDOW: Span = Span::seconds(30);
const CHANGES_WINDOW: Span = Span::seconds(20);
const LARGEST_BATCH: usize = 500;

/// How often a queue delivers a batch at most, and how long it waits before it does so again.
const MOST_ATTEMPTS: u32 = 3;
const REDELIVERED_AFTER: Span = Span::minutes(16);

/// The events that wait for their functions.
#[derive(Debug, Default)]
pub(super) struct Queues {
    waiting: BTreeMap<Function, Batch>,
    pub(super) delivered: u64,
    pub(super) invocations: u64,
    /// Whether an invocation is paused while others run. At most one is.
    pub(super) has_paused: bool,
}

impl Simulation {
    /// Puts an event in the queue of its function, which the queue invokes when its window ends.
    pub(super) fn deliver(&mut self, delivery: Delivery, watch: &mut Watch<'_>) -> Result<(), Broken> {
        let Delivery { trigger, number, json } = delivery;
        if self.is_counted() && !is_handed_on(&trigger) {
            return Ok(());
        }
        let to = target(&trigger);
        self.queues.delivered += 1;
        if let Some(event) = json {
            parses_to(&event, to, &trigger)?;
            watch(self, &Observation::Delivered { at: self.now(), to, event });
        }
        let queue = self.queues.waiting.entry(to).or_default();
        queue.push((number, trigger));
        if queue.len() == 1 {
            self.schedule_after(self.window(to), Scheduled::Invocation(to));
        }
        Ok(())
    }

    /// Returns whether rules, windows and batches are the template's.
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

    pub(super) fn batching_window(&self) -> Span {
        let seconds = (self.hierarchy().len() / IMAGES_PER_SECOND).clamp(SHORTEST_WINDOW, LONGEST_WINDOW);
        Span::seconds(u32::try_from(seconds).unwrap_or(u32::MAX))
    }

    /// Invokes a function with everything that waits in its queue.
    pub(super) fn invoke_with_queue(
        &mut self,
        function: Function,
        watch: &mut Watch<'_>,
    ) -> Result<(), Broken> {
        let waiting = self.queues.waiting.remove(&function).unwrap_or_default();
        let largest = if self.is_counted() { LARGEST_BATCH } else { usize::MAX };
        for batch in waiting.chunks(largest) {
            self.invoke(function, batch, 1, watch)?;
        }
        Ok(())
    }

    /// Invokes a function with a batch. The queue delivers the batch again, three times at most,
    /// if the function did not do all of it.
    pub(super) fn invoke(
        &mut self,
        function: Function,
        batch: &[(u64, Trigger)],
        attempt: u32,
        watch: &mut Watch<'_>,
    ) -> Result<(), Broken> {
        let images_before = self.world.state.borrow().requests.currents.items;
        let (looked_at, world) = (self.now(), Rc::clone(&self.world));
        let hierarchy = world.hierarchy();
        let report = self.run_pass(batch, watch)?;
        if report.as_ref().is_none_or(|report| !report.is_whole) && attempt < MOST_ATTEMPTS {
            let again = Scheduled::Redelivery(function, batch.to_vec(), attempt + 1);
            self.schedule_after(REDELIVERED_AFTER, again);
        }
        self.count(function, batch.len(), images_before, report.as_ref());
        let Some(report) = report else { return Ok(()) };
        self.world.state.borrow_mut().looked(&report, looked_at);
        self.check_report(hierarchy, batch, &report);
        watch(self, &Observation::Passed { at: self.now(), function, report: Box::new(report) });
        Ok(())
    }

    fn check_report(&mut self, hierarchy: &Hierarchy, batch: &[(u64, Trigger)], report: &Report) {
        let has = |wanted: Trigger| batch.iter().any(|(_, trigger)| *trigger == wanted);
        if has(Trigger::Tick) || has(Trigger::Sweep) {
            self.clock.is_moving = self.is_moving(report);
        }
        let now = self.now();
        let mut state = self.world.state.borrow_mut();
        state.checker.passed(report, now);
        state.check_proofs(hierarchy, report, now);
        state.check_refused_registries(hierarchy, report, now);
        // Ticks go on with a sweep that was cut off.
        let is_one_report = self.pages == u32::MAX;
        if has(Trigger::Sweep) && is_one_report && self.handler == Handler::Patchwave {
            let State { checker, pipelines, .. } = &mut *state;
            checker.swept(hierarchy, report, pipelines, now);
        }
    }

    /// Returns whether anything is about to change. What can never be read is not.
    fn is_moving(&self, report: &Report) -> bool {
        let (state, hierarchy) = (self.world.state.borrow(), self.world.hierarchy());
        let is_lost = |id: &ImageId| hierarchy.image(id).is_ok_and(|image| state.is_lost(image));
        !report.started.is_empty()
            || report.held.iter().any(|held| held.hold.is_moving() && !is_lost(&held.image))
    }

    fn count(&self, function: Function, messages: usize, images_before: u64, report: Option<&Report>) {
        let requests = &mut self.world.state.borrow_mut().requests;
        let images = requests.currents.items - images_before;
        let invoked = requests.of(function);
        invoked.invocations += 1;
        invoked.messages += messages as u64;
        invoked.images += images;
        invoked.log_lines += report.map_or(0, lines) as u64;
    }
}

/// Checks that Patchwave parses an event into the trigger that the simulator meant.
fn parses_to(event: &serde_json::Value, to: Function, trigger: &Trigger) -> Result<(), Broken> {
    let schedule = if to == Function::Inventory { ScheduleKind::Sweep } else { ScheduleKind::Tick };
    if trigger::parse(event, schedule).map_err(Broken::Event)? == Event::Trigger(trigger.clone()) {
        Ok(())
    } else {
        Err(Broken::Misread(event.to_string()))
    }
}

/// The event rules of the deployment: which function an event goes to.
fn target(trigger: &Trigger) -> Function {
    match trigger {
        Trigger::Scanned { .. } => Function::ScanComplete,
        Trigger::RepositoryChanged { .. } | Trigger::Execution { .. } | Trigger::Tick => {
            Function::RebuildFanout
        }
        Trigger::Sweep => Function::Inventory,
    }
}
