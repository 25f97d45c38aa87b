//! The world as an unlucky invocation sees it: calls are refused, answers get lost, the clock is wrong, and the
//! invocation itself may end or stand still between any two calls.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::{pending, poll_fn};
use std::task::Poll;

use patchwave::facts::Deployments;
use patchwave::facts::{Execution, PipelineFacts, Slots, Version};
use patchwave::finding::Scan;
use patchwave::hierarchy::{Hierarchy, Image};
use patchwave::image::{Digest, ImageId, Repository};
use patchwave::notice::Notice;
use patchwave::plan::Start;
use patchwave::policy::{Limits, Mode};
use patchwave::record::{Claim, Record};
use patchwave::time::{Span, Timestamp};
use patchwave_converge::{Fault, FaultKind, ManifestAt, NotClaimed, NotSaved, NotStarted, Records, World};

use crate::faults::{Faults, Service, Trouble};
use crate::invariants::Beginning;
use crate::world::SimulatedWorld;

/// What is going to happen to one invocation.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Script {
    /// How far its clock is wrong, in seconds.
    skew: i8,
    /// Before which of its calls that change something it ends.
    ends_before: Option<u32>,
    /// After which.
    ends_after: Option<u32>,
    /// Before which it stands still, while others run.
    stands_before: Option<u32>,
}

/// How many calls that change something a script looks ahead.
const CALLS: u32 = 8;

impl Script {
    /// Draws what happens to the next invocation.
    pub(crate) fn draw(world: &SimulatedWorld, may_stand: bool) -> Self {
        let mut state = world.state.borrow_mut();
        let (now, faults) = (world.clock.get(), &mut state.faults);
        let mut script = Self::default();
        if faults.strikes(Trouble::ClockSkewed, now) {
            script.skew = i8::try_from(faults.between(0, 10)).map_or(0, |drawn| drawn - 5);
        }
        let call = |faults: &mut Faults, trouble| {
            faults.would_strike(trouble, now).then(|| faults.between(1, CALLS))
        };
        script.ends_before = call(faults, Trouble::CrashedBefore);
        script.ends_after = call(faults, Trouble::CrashedAfter);
        if may_stand {
            script.stands_before = call(faults, Trouble::Interleaved);
        }
        script
    }
}

/// The world of one invocation.
pub(crate) struct Faulty<'w> {
    world: &'w SimulatedWorld,
    /// The edition that was deployed when it began.
    hierarchy: &'w Hierarchy,
    script: Script,
    ceiling: Mode,
    changes: Cell<u32>,
    stands: Cell<bool>,
    /// The versions that it saw.
    seen: RefCell<BTreeMap<ImageId, Digest>>,
}

impl<'w> Faulty<'w> {
    pub(crate) fn new(world: &'w SimulatedWorld, script: Script, ceiling: Mode) -> Self {
        Self {
            world,
            hierarchy: world.hierarchy(),
            script,
            ceiling,
            changes: Cell::new(0),
            stands: Cell::new(false),
            seen: RefCell::new(BTreeMap::new()),
        }
    }

    /// Returns the hierarchy that the invocation read.
    pub(crate) fn hierarchy(&self) -> &'w Hierarchy {
        self.hierarchy
    }

    /// Remembers an event, as a conditional write does; tells whether it is new.
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

    /// Tells, once, whether the invocation stands still rather than having ended.
    pub(crate) fn takes_a_rest(&self) -> bool {
        self.stands.take()
    }

    /// What may happen before a call that changes something: the invocation ends, or stands still.
    async fn before_change(&self, service: Service) -> Result<(), Fault> {
        let change = self.changes.get() + 1;
        self.changes.set(change);
        if self.script.stands_before == Some(change) {
            self.note(Trouble::Interleaved);
            self.stands.set(true);
            let mut is_first = true;
            poll_fn(|_| if std::mem::take(&mut is_first) { Poll::Pending } else { Poll::Ready(()) }).await;
        }
        if self.script.ends_before == Some(change) {
            self.note(Trouble::CrashedBefore);
            pending::<()>().await;
        }
        self.before(service)
    }

    fn note(&self, trouble: Trouble) {
        self.world.state.borrow_mut().faults.note(trouble);
    }

    /// What may happen before any call.
    fn before(&self, service: Service) -> Result<(), Fault> {
        let mut state = self.world.state.borrow_mut();
        let now = self.world.clock.get();
        if state.faults.is_out(service, now) {
            return Err(fault(service, FaultKind::Unavailable, "no answer"));
        }
        if state.faults.strikes(Trouble::Throttled, now) {
            return Err(fault(service, FaultKind::Throttled, "rate exceeded"));
        }
        Ok(())
    }

    /// What may happen after a call that changed something.
    async fn after(&self, service: Service) -> Result<(), Fault> {
        if self.script.ends_after == Some(self.changes.get()) {
            self.note(Trouble::CrashedAfter);
            pending::<()>().await;
        }
        let now = self.world.clock.get();
        if self.world.state.borrow_mut().faults.strikes(Trouble::AnswerLost, now) {
            return Err(fault(service, FaultKind::Unavailable, "the answer was lost"));
        }
        Ok(())
    }
}

fn fault(service: Service, kind: FaultKind, message: &str) -> Fault {
    Fault { operation: format!("ask {service:?}").to_lowercase(), kind, message: message.to_owned() }
}

impl World for Faulty<'_> {
    fn now(&self) -> Timestamp {
        let now = self.world.now();
        let by = Span::seconds(u32::from(self.script.skew.unsigned_abs()));
        if self.script.skew < 0 { by.before(now) } else { by.after(now) }
    }

    async fn unsettled(&self) -> Result<BTreeSet<ImageId>, Fault> {
        self.before(Service::Ledger)?;
        self.world.unsettled().await
    }

    async fn records(&self, images: &BTreeSet<ImageId>) -> Result<Records, Fault> {
        self.before(Service::Ledger)?;
        self.world.records(images).await
    }

    /// It only puts what waits in another order, so that a pass without it is as good a history.
    async fn deployments(&self, images: &BTreeSet<ImageId>) -> Result<BTreeMap<ImageId, Deployments>, Fault> {
        self.world.deployments(images).await
    }

    async fn slots(&self, now: Timestamp) -> Result<Slots, Fault> {
        self.before(Service::Ledger)?;
        self.world.slots(now).await
    }

    async fn currents(&self, images: &[&Image]) -> BTreeMap<ImageId, Result<Option<Version>, Fault>> {
        let mut answers = BTreeMap::new();
        if let Err(fault) = self.before(Service::Registry) {
            return images.iter().map(|image| (image.id.clone(), Err(fault.clone()))).collect();
        }
        for (id, answer) in self.world.currents(images).await {
            if let Ok(Some(version)) = &answer {
                self.seen.borrow_mut().insert(id.clone(), version.digest.clone());
            }
            answers.insert(id, answer);
        }
        answers
    }

    async fn versions(
        &self,
        wanted: &BTreeSet<ManifestAt>,
    ) -> BTreeMap<ManifestAt, Result<Option<Version>, Fault>> {
        match self.before(Service::Registry) {
            Ok(()) => self.world.versions(wanted).await,
            Err(fault) => wanted.iter().map(|at| (at.clone(), Err(fault.clone()))).collect(),
        }
    }

    async fn history(
        &self,
        repositories: &BTreeSet<Repository>,
    ) -> BTreeMap<Repository, Result<Vec<Version>, Fault>> {
        match self.before(Service::Registry) {
            Ok(()) => self.world.history(repositories).await,
            Err(fault) => repositories.iter().map(|name| (name.clone(), Err(fault.clone()))).collect(),
        }
    }

    async fn scans(&self, wanted: &BTreeSet<ManifestAt>) -> BTreeMap<ManifestAt, Scan> {
        match self.before(Service::Scanner) {
            Ok(()) => self.world.scans(wanted).await,
            Err(fault) => wanted.iter().map(|at| (at.clone(), Scan::Failed(fault.to_string()))).collect(),
        }
    }

    async fn pipelines(&self, starts: &[&Start]) -> BTreeMap<ImageId, PipelineFacts> {
        match self.before(Service::Pipelines) {
            Ok(()) => self.world.pipelines(starts).await,
            Err(fault) => {
                let unknown = || PipelineFacts::Unknown(fault.to_string());
                starts.iter().map(|start| (start.image.clone(), unknown())).collect()
            }
        }
    }

    async fn execution(&self, claim: &Claim) -> Execution {
        match self.before(Service::Pipelines) {
            Ok(()) => self.world.execution(claim).await,
            Err(fault) => Execution::Unknown(fault.to_string()),
        }
    }

    async fn save(&self, image: &ImageId, record: &Record) -> Result<(), NotSaved> {
        self.before_change(Service::Ledger).await?;
        let saved = self.world.save(image, record).await;
        self.after(Service::Ledger).await?;
        saved
    }

    async fn claim(
        &self,
        image: &ImageId,
        record: &Record,
        limits: Limits,
        now: Timestamp,
    ) -> Result<(), NotClaimed> {
        self.before_change(Service::Ledger).await?;
        let claimed = self.world.claim(image, record, limits, now).await;
        self.after(Service::Ledger).await?;
        claimed
    }

    async fn free(&self, image: &ImageId, fence: u64) -> Result<(), NotSaved> {
        self.before_change(Service::Ledger).await?;
        let freed = self.world.free(image, fence).await;
        self.after(Service::Ledger).await?;
        freed
    }

    async fn start(&self, start: &Start) -> Result<String, NotStarted> {
        self.before_change(Service::Pipelines).await.map_err(|fault| match fault.kind {
            FaultKind::Unavailable => NotStarted::Unclear(fault),
            _ => NotStarted::Refused(fault),
        })?;
        {
            let now = self.world.now();
            let mut state = self.world.state.borrow_mut();
            if state.pipelines.replayed(start).is_none() {
                let seen = self.seen.borrow().clone();
                let day = self.now();
                let limits = self.world.highest_limits();
                let beginning = Beginning { start, seen, ceiling: self.ceiling, limits, day, now };
                state.witness_start(self.hierarchy, &beginning);
            }
        }
        let started = self.world.start(start).await;
        self.after(Service::Pipelines).await.map_err(NotStarted::Unclear)?;
        started
    }

    fn has_listener(&self) -> bool {
        self.world.has_listener()
    }

    async fn notify(&self, notices: &[Notice]) -> Vec<Result<(), Fault>> {
        let all = |fault: &Fault| vec![Err(fault.clone()); notices.len()];
        if let Err(fault) = self.before_change(Service::Bus).await {
            return all(&fault);
        }
        let told = self.world.notify(notices).await;
        match self.after(Service::Bus).await {
            Ok(()) => told,
            Err(fault) => all(&fault),
        }
    }

    async fn recheck(&self, at: Timestamp) -> Result<(), Fault> {
        self.before_change(Service::Schedules).await?;
        self.world.recheck(at).await?;
        self.after(Service::Schedules).await
    }

    async fn request_scan(&self, repository: &Repository, manifest: &Digest) -> Result<bool, Fault> {
        self.before(Service::Scanner)?;
        self.world.request_scan(repository, manifest).await
    }
}
