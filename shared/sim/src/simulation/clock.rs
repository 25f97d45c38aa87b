//! The two schedules of the deployment, and the rechecks that Patchwave asks for.

use patchwave::policy::Mode;
use patchwave::time::{Span, Timestamp};
use patchwave::trigger::Trigger;

use super::{Broken, Simulation, Watch};
use crate::state::Scheduled;

/// How often the schedule of `rebuild-fanout` ticks.
pub(super) const TICK: Span = Span::minutes(15);

/// The longest time from tick to tick once no fault is injected any more and nothing changes.
/// Rare ticks make long waits cheap: a build may hang for three days. They hide no defect, because
/// a tick may be lost at any time.
const RAREST_TICK: Span = Span::hours(12);

/// How often the schedule of `inventory` sweeps.
const SWEEP: Span = Span::days(1);

/// When the next tick comes, and whether the last one found work.
#[derive(Debug)]
pub(super) struct TickClock {
    pace: Span,
    slows_down: bool,
    /// Whether the daily sweep is left out.
    pub(super) leaves_sweeps_out: bool,
    changes_at_last_tick: u64,
    /// Whether the last tick or sweep found anything that is about to change.
    pub(super) is_moving: bool,
}

impl TickClock {
    pub(super) fn new() -> Self {
        Self {
            pace: TICK,
            slows_down: false,
            leaves_sweeps_out: false,
            changes_at_last_tick: 0,
            is_moving: true,
        }
    }

    /// Returns how long after this tick the next one comes.
    fn next_pace(&mut self, changes: u64) -> Span {
        let is_idle = self.slows_down && changes == self.changes_at_last_tick;
        self.changes_at_last_tick = changes;
        self.pace = if is_idle { self.pace.plus(self.pace).min(RAREST_TICK) } else { TICK };
        self.pace
    }
}

impl Simulation {
    /// From now on no fault is injected and no pass is cut off, so ticks may become rare while
    /// nothing changes.
    pub(crate) fn stop_faults(&mut self) {
        let now = self.now();
        self.world.state.borrow_mut().truth.deploy(Mode::Enforce, now);
        self.clock.slows_down = true;
        self.pages = u32::MAX;
    }

    pub(super) fn tick(&mut self, watch: &mut Watch<'_>) -> Result<(), Broken> {
        let changes = self.world.state.borrow().changes();
        let pace = self.clock.next_pace(changes);
        self.schedule_after(pace, Scheduled::Tick);
        self.world.state.borrow_mut().requests.ticks += 1;
        self.deliver_scheduled(Trigger::Tick, watch)
    }

    pub(super) fn recheck(&mut self, at: Timestamp, watch: &mut Watch<'_>) -> Result<(), Broken> {
        let mut state = self.world.state.borrow_mut();
        state.rechecks.remove(&at);
        state.requests.rechecks += 1;
        drop(state);
        self.deliver_scheduled(Trigger::Tick, watch)
    }

    pub(super) fn sweep(&mut self, watch: &mut Watch<'_>) -> Result<(), Broken> {
        self.schedule_after(SWEEP, Scheduled::Sweep);
        if self.clock.leaves_sweeps_out {
            return Ok(());
        }
        self.sweep_now(watch)
    }

    /// Sweeps in addition to the schedule.
    pub(crate) fn sweep_now(&mut self, watch: &mut Watch<'_>) -> Result<(), Broken> {
        self.deliver_scheduled(Trigger::Sweep, watch)
    }

    fn deliver_scheduled(&mut self, trigger: Trigger, watch: &mut Watch<'_>) -> Result<(), Broken> {
        let delivery = self.world.state.borrow_mut().event_writer.scheduled(trigger, self.now());
        self.deliver(delivery, watch)
    }

    pub(super) fn schedule_after(&self, wait: Span, scheduled: Scheduled) {
        self.schedule(wait.after(self.now()), scheduled);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo_hierarchy::DEMO_HIERARCHY;
    use crate::observation::Observation;
    use patchwave::hierarchy::Hierarchy;
    use patchwave_converge::LEASE;

    #[test]
    fn a_build_whose_events_are_lost_is_looked_at_within_a_lease() {
        let hierarchy = Hierarchy::parse("demo_hierarchy.yaml", DEMO_HIERARCHY);
        let mut simulation = Simulation::new(hierarchy.map_err(|errors| errors.to_string()).unwrap(), 1);
        simulation.run_until(Span::hours(1).after(simulation.now()), &mut |_, _| ()).unwrap();
        simulation.publish_incident().unwrap();
        let mut starts = 0;
        let mut watch = |simulation: &Simulation, observation: &Observation| {
            let Observation::Passed { at, report, .. } = observation else { return };
            let state = simulation.world.state.borrow();
            for started in &report.started {
                starts += 1;
                let recheck_at = state.ledger.record(&started.image).and_then(|record| record.recheck_at);
                assert!(recheck_at.is_some_and(|recheck| recheck <= LEASE.after(*at)), "{recheck_at:?}");
            }
        };
        assert!(simulation.run_until_quiet(Span::days(3), &mut watch).unwrap());
        assert!(starts > 1, "{starts}");
    }
}
