//! The faults of one invocation.

use crate::faults::{FaultPlan, InjectedFault};
use crate::world::SimulatedWorld;

/// Faults of an invocation concern one of its first calls that change something.
const CALLS: u32 = 8;

/// The faults of one invocation. Calls are counted from 1, and only those that change
/// something.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct InvocationFaults {
    /// How far its clock is wrong, in seconds.
    pub(super) skew: i8,
    pub(super) crashes_before: Option<u32>,
    pub(super) crashes_after: Option<u32>,
    /// Before which call it pauses while others run.
    pub(super) pauses_before: Option<u32>,
}

impl InvocationFaults {
    /// Draws the faults of the next invocation.
    pub(crate) fn draw(world: &SimulatedWorld, may_pause: bool) -> Self {
        let mut state = world.state.borrow_mut();
        let (now, plan) = (world.clock.get(), &mut state.faults);
        let mut faults = Self::default();
        if plan.injects(InjectedFault::ClockSkewed, now) {
            faults.skew = i8::try_from(plan.between(0, 10)).map_or(0, |drawn| drawn - 5);
        }
        let call =
            |plan: &mut FaultPlan, fault| plan.would_inject(fault, now).then(|| plan.between(1, CALLS));
        faults.crashes_before = call(plan, InjectedFault::CrashedBefore);
        faults.crashes_after = call(plan, InjectedFault::CrashedAfter);
        if may_pause {
            faults.pauses_before = call(plan, InjectedFault::Interleaved);
        }
        faults
    }
}
