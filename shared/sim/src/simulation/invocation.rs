//! One invocation of a function: it may crash, fail, or be paused while others run.

use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use patchwave::time::{Span, Timestamp};
use patchwave::trigger::Trigger;
use patchwave_converge::{Budget, PassSettings, Report, converge, sweep};

use super::{Broken, Simulation, Watch};
use crate::baselines::{Handler, handle};
use crate::faulty_world::{FaultyWorld, InvocationFaults};

/// The longest pause of an invocation: Lambda ends it then.
const LONGEST_PAUSE: Span = Span::minutes(14);

impl Simulation {
    /// Runs one pass. Returns nothing if the invocation crashes or fails in the middle of it.
    pub(super) fn run_pass(
        &mut self,
        batch: &[(u64, Trigger)],
        watch: &mut Watch<'_>,
    ) -> Result<Option<Report>, Broken> {
        self.queues.invocations += 1;
        if self.lacks_hierarchy() {
            return Ok(None);
        }
        let owner = format!("invocation-{}", self.queues.invocations);
        let settings = PassSettings {
            mode: self.world.state.borrow().truth.ceiling,
            owner,
            budget: Budget { images: self.images, pages: self.pages, ..Budget::default() },
        };
        let world = Rc::clone(&self.world);
        let plan = InvocationFaults::draw(&world, !self.queues.has_paused);
        let faulty = FaultyWorld::new(&world, plan, settings.mode);
        let triggers: Vec<Trigger> = batch.iter().map(|(_, trigger)| trigger.clone()).collect();
        let handler = self.handler;
        // What a survey costs is counted elsewhere.
        let is_counted = world.state.borrow().ledger.weights.is_some();
        let surveys = triggers.contains(&Trigger::Sweep) && !is_counted;
        let mut pass = pin!(async {
            if handler == Handler::Patchwave && surveys {
                let swept = sweep(&faulty, faulty.hierarchy(), &triggers, &settings).await?;
                return Ok(swept.report);
            }
            if handler == Handler::Patchwave {
                return converge(&faulty, faulty.hierarchy(), &triggers, &settings).await;
            }
            handle(&faulty, handler, batch).await?;
            Ok(Report { is_whole: true, ..Report::default() })
        });
        let mut context = Context::from_waker(Waker::noop());
        loop {
            match pass.as_mut().poll(&mut context) {
                Poll::Ready(Ok(report)) => return Ok(Some(report)),
                Poll::Ready(Err(_)) if self.world.state.borrow().faults.has_faults() => return Ok(None),
                Poll::Ready(Err(fault)) => return Err(Broken::Pass(fault)),
                Poll::Pending if faulty.take_pause() => self.run_others(watch)?,
                Poll::Pending => return Ok(None),
            }
        }
    }

    /// Returns whether the hierarchy file cannot be used and this invocation can read no earlier
    /// edition either. Half of them can.
    fn lacks_hierarchy(&self) -> bool {
        let mut state = self.world.state.borrow_mut();
        state.truth.broken_until.is_some_and(|until| self.now() < until) && state.faults.percent(50)
    }

    /// Lets everything else go on while one invocation is paused.
    fn run_others(&mut self, watch: &mut Watch<'_>) -> Result<(), Broken> {
        self.queues.has_paused = true;
        let end = self.end_of_pause();
        self.run_until(end, watch)?;
        self.queues.has_paused = false;
        Ok(())
    }

    fn end_of_pause(&self) -> Timestamp {
        let pause = self.world.state.borrow_mut().faults.span(Span::ZERO, LONGEST_PAUSE);
        pause.after(self.now())
    }
}
