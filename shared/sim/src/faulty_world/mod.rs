//! The world as one invocation sees it while faults are injected.
//!
//! Services refuse calls, answers are lost and the clock is wrong. The invocation itself may crash
//! or pause before a call.

mod adapter;
mod estate;
mod invocation;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{pending, poll_fn};
use std::task::Poll;

use patchwave::hierarchy::Hierarchy;
use patchwave::image::{Digest, ImageId, Repository};
use patchwave::plan::Start;
use patchwave::policy::Mode;
use patchwave::record::{Record, Success};
use patchwave_converge::{Fault, FaultKind, NotStarted, World};

pub(crate) use estate::Stored;
pub(crate) use invocation::InvocationFaults;

use crate::checker::StartCheck;
use crate::faults::{InjectedFault, Read, Service};
use crate::people::Moment;
use crate::world::SimulatedWorld;

/// The world of one invocation.
pub(crate) struct FaultyWorld<'w> {
    world: &'w SimulatedWorld,
    /// The edition that was deployed when the invocation began.
    hierarchy: &'w Hierarchy,
    faults: InvocationFaults,
    ceiling: Mode,
    /// Counts the calls that change something.
    changes: Cell<u32>,
    is_paused: Cell<bool>,
    /// The current versions that the invocation saw.
    seen: RefCell<BTreeMap<ImageId, Digest>>,
}

impl<'w> FaultyWorld<'w> {
    pub(crate) fn new(world: &'w SimulatedWorld, faults: InvocationFaults, ceiling: Mode) -> Self {
        Self {
            world,
            hierarchy: world.hierarchy(),
            faults,
            ceiling,
            changes: Cell::new(0),
            is_paused: Cell::new(false),
            seen: RefCell::new(BTreeMap::new()),
        }
    }

    /// Returns the hierarchy that the invocation read.
    pub(crate) fn hierarchy(&self) -> &'w Hierarchy {
        self.hierarchy
    }

    /// Remembers an event, as a conditional write does. Returns whether it is new.
    pub(crate) async fn remember(&self, number: u64) -> Result<bool, Fault> {
        self.before_change(Service::Ledger).await?;
        let is_new = self.world.state.borrow_mut().remembered.insert(number);
        self.after(Service::Ledger).await?;
        Ok(is_new)
    }

    /// Returns how many executions there ever were.
    pub(crate) fn executions(&self) -> u32 {
        self.world.state.borrow().pipelines.count()
    }

    /// Returns whether the invocation is pending because it pauses. If not, it has crashed. The
    /// answer is `true` once for each pause.
    pub(crate) fn take_pause(&self) -> bool {
        self.is_paused.take()
    }

    /// Before a call that changes something, the invocation may pause or crash.
    async fn before_change(&self, service: Service) -> Result<(), Fault> {
        let change = self.changes.get() + 1;
        self.changes.set(change);
        if self.faults.pauses_before == Some(change) {
            self.pause().await;
        }
        if self.faults.crashes_before == Some(change) {
            self.note(InjectedFault::CrashedBefore);
            pending::<()>().await;
        }
        self.before(service)
    }

    async fn pause(&self) {
        self.note(InjectedFault::Interleaved);
        self.is_paused.set(true);
        let mut is_first = true;
        poll_fn(|_| if std::mem::take(&mut is_first) { Poll::Pending } else { Poll::Ready(()) }).await;
    }

    /// A person acts on an image, or on one of its parents, while the invocation is between two
    /// calls.
    fn act_at(&self, moment: Moment, image: &ImageId) {
        let parent = self.hierarchy.parents(image).next().map(|edge| &edge.image.id);
        let parent = parent.filter(|_| self.world.state.borrow_mut().faults.percent(40));
        let action = self.world.state.borrow_mut().action_at(moment, parent.unwrap_or(image));
        if let Some(action) = action {
            self.world.act(&action);
        }
    }

    fn note(&self, fault: InjectedFault) {
        self.world.state.borrow_mut().faults.note(fault);
    }

    /// Before any call, the service may be out or throttle.
    fn before(&self, service: Service) -> Result<(), Fault> {
        let mut state = self.world.state.borrow_mut();
        let now = self.world.clock.get();
        if state.faults.is_out(service, now) {
            return Err(fault(service, FaultKind::Unavailable, "no answer"));
        }
        if state.faults.injects(InjectedFault::Throttled, now) {
            return Err(fault(service, FaultKind::Throttled, "rate exceeded"));
        }
        Ok(())
    }

    /// Leaves out entries that the index does not show yet: it is eventually consistent.
    fn as_the_index_shows(&self, mut images: Vec<ImageId>) -> Vec<ImageId> {
        let now = self.world.clock.get();
        images.retain(|_| !self.world.state.borrow_mut().faults.injects(InjectedFault::IndexLags, now));
        images
    }

    /// One item of a call may be refused, although the service answers for the others.
    fn item(&self, service: Service, read: Read, item: &str) -> Result<(), Fault> {
        let now = self.world.clock.get();
        match self.world.state.borrow_mut().faults.refuses(read, item, now) {
            Some(kind) => Err(fault(service, kind, &format!("the {read:?} of {item} is refused"))),
            None => Ok(()),
        }
    }

    /// The registry of a repository may refuse all reads, although others answer.
    fn registry(&self, repository: &Repository) -> Result<(), Fault> {
        let now = self.world.clock.get();
        match self.world.state.borrow_mut().faults.registry_refuses(repository, now) {
            Some(kind) => {
                Err(fault(Service::Registry, kind, &format!("the registry of {repository} refuses")))
            }
            None => Ok(()),
        }
    }

    /// After a call that changed something, the invocation may crash or the answer may be lost.
    async fn after(&self, service: Service) -> Result<(), Fault> {
        if self.faults.crashes_after == Some(self.changes.get()) {
            self.note(InjectedFault::CrashedAfter);
            pending::<()>().await;
        }
        let now = self.world.clock.get();
        if self.world.state.borrow_mut().faults.injects(InjectedFault::AnswerLost, now) {
            return Err(fault(service, FaultKind::Unavailable, "the answer was lost"));
        }
        Ok(())
    }

    fn recorded_success(&self, image: &ImageId) -> Option<Success> {
        self.world.state.borrow().ledger.record(image)?.success.clone()
    }

    fn check_saved(&self, image: &ImageId, before: Option<&Success>, record: &Record, is_saved: bool) {
        if is_saved {
            let state = &mut *self.world.state.borrow_mut();
            state.check_saved(self.hierarchy, image, before, record, self.world.now());
        }
    }

    async fn try_start(&self, start: &Start) -> Result<String, NotStarted> {
        self.before_change(Service::Pipelines).await.map_err(|fault| match fault.kind {
            FaultKind::Unavailable => NotStarted::Unclear(fault),
            _ => NotStarted::Refused(fault),
        })?;
        if let Some(refused) = self.refuse(start) {
            return Err(NotStarted::Refused(refused));
        }
        self.check_start(start);
        let started = self.world.start(start).await;
        self.after(Service::Pipelines).await.map_err(NotStarted::Unclear)?;
        started
    }

    /// CodePipeline may refuse a start, unless its token repeats an earlier one.
    fn refuse(&self, start: &Start) -> Option<Fault> {
        let state = &mut *self.world.state.borrow_mut();
        if state.pipelines.replayed(start).is_some() {
            return None;
        }
        let (kind, error) = state.faults.refusal_of_start(self.world.now())?;
        Some(fault(Service::Pipelines, kind, error))
    }

    /// Checks a start before it is made, unless its token repeats an earlier one.
    fn check_start(&self, start: &Start) {
        let mut state = self.world.state.borrow_mut();
        if state.pipelines.replayed(start).is_some() {
            return state.check_replay(start, self.world.now());
        }
        let check = StartCheck {
            start,
            seen: self.seen.borrow().clone(),
            ceiling: self.ceiling,
            limits: self.world.highest_limits(),
            day: self.now(),
            now: self.world.now(),
        };
        state.check_start(self.hierarchy, &check);
    }
}

fn fault(service: Service, kind: FaultKind, message: &str) -> Fault {
    Fault { operation: format!("ask {service:?}").to_lowercase(), kind, message: message.to_owned() }
}
