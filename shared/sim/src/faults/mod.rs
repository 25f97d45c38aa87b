//! The faults of a world, and when each is injected.
//!
//! Every fault comes from the seed. A world draws in the order in which things happen, and that
//! order is the same each time.

mod kind;
mod reads;
mod registries;

use std::collections::BTreeMap;

use patchwave::finding::Scan;
use patchwave::time::{Span, Timestamp};
use patchwave_converge::FaultKind;

pub use kind::InjectedFault;
pub(crate) use reads::Read;

use crate::draw::{Draws, Seed};
use crate::pipelines::BuildResult;
use reads::Refusals;

/// Why CodePipeline refuses a start: how Patchwave must understand the error, and its name.
/// <https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_StartPipelineExecution.html>
pub(crate) type Refusal = (FaultKind, &'static str);

const CONFLICTS: [Refusal; 3] = [
    (FaultKind::Throttled, "ConflictException"),
    (FaultKind::Throttled, "ConcurrentPipelineExecutionsLimitExceededException"),
    (FaultKind::Throttled, "ThrottlingException"),
];

const REFUSALS: [Refusal; 3] = [
    (FaultKind::Invalid, "ValidationException"),
    (FaultKind::Invalid, "PipelineNotFoundException"),
    (FaultKind::Denied, "AccessDeniedException"),
];

/// How many builds draw how they end although the trouble is over. A world ends nevertheless.
const LATE_BUILDS: u32 = 12;

/// How many faults a world has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// No faults.
    None,
    /// A third as many faults as `Many`.
    Some,
    /// So many faults that almost nothing works the first time.
    Many,
    /// No event is ever delivered, and there is no other fault: ticks and sweeps must suffice.
    NoEvents,
}

impl Level {
    /// Returns whether there are faults apart from lost events.
    pub(crate) fn has_faults(self) -> bool {
        matches!(self, Self::Some | Self::Many)
    }
}

/// A part of AWS that may not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    Registry,
    Scanner,
    Pipelines,
    Ledger,
    Bus,
    Schedules,
}

const SERVICES: [Service; 6] = [
    Service::Registry,
    Service::Scanner,
    Service::Pipelines,
    Service::Ledger,
    Service::Bus,
    Service::Schedules,
];

/// When a service does not answer.
#[derive(Debug, Clone)]
struct Outage {
    service: Service,
    begins: Timestamp,
    ends: Timestamp,
}

/// The faults of one world.
#[derive(Debug, Clone)]
pub(crate) struct FaultPlan {
    level: Level,
    draws: Draws,
    /// After this no fault is injected, except into builds.
    until: Timestamp,
    /// So many builds still draw how they end after `until`. Most builds begin when the trouble is
    /// over.
    builds_left: u32,
    drops_all_events: bool,
    outages: Vec<Outage>,
    refusals: Refusals,
    pub(crate) injected: BTreeMap<InjectedFault, u64>,
}

impl FaultPlan {
    /// Returns a plan without faults.
    pub(crate) fn none() -> Self {
        Self {
            level: Level::None,
            draws: Seed(0).draws("faults", ""),
            until: Timestamp::MIN,
            builds_left: 0,
            drops_all_events: false,
            outages: Vec::new(),
            refusals: Refusals::default(),
            injected: BTreeMap::new(),
        }
    }

    /// Draws the faults between `from` and `until`.
    pub(crate) fn new(level: Level, seed: Seed, from: Timestamp, until: Timestamp) -> Self {
        if level.has_faults() {
            return Self::drawn(level, seed, from, until);
        }
        let drops_all_events = level == Level::NoEvents;
        let mut plan = Self { level, drops_all_events, until: Timestamp::MAX, ..Self::none() };
        plan.note_times(InjectedFault::NoEvents, drops_all_events.into());
        plan
    }

    fn drawn(level: Level, seed: Seed, from: Timestamp, until: Timestamp) -> Self {
        let mut plan =
            Self { level, draws: seed.draws("faults", ""), until, builds_left: LATE_BUILDS, ..Self::none() };
        for _ in 0..plan.draws.between(0, 3) {
            let outage = plan.draw_outage(from);
            plan.outages.push(outage);
        }
        plan.drops_all_events = plan.draws.percent(8);
        plan.note_times(InjectedFault::NoEvents, plan.drops_all_events.into());
        plan
    }

    fn draw_outage(&mut self, from: Timestamp) -> Outage {
        let whole = Span::between(from, self.until);
        let begins = Span::minutes(self.draws.between(0, whole.as_seconds() / 60)).after(from);
        let longest = Span::hours(5).min(whole.share(1, 2));
        let ends = self.draws.span(Span::minutes(5), longest).after(begins).min(self.until);
        let service = self.draws.pick(&SERVICES).copied().unwrap_or(Service::Ledger);
        Outage { service, begins, ends }
    }

    /// Returns whether this world has faults apart from lost events.
    pub(crate) fn has_faults(&self) -> bool {
        self.level.has_faults()
    }

    /// Returns whether there were faults and none is injected any more.
    pub(crate) fn are_over(&self, now: Timestamp) -> bool {
        self.has_faults() && now >= self.until
    }

    /// Counts one fault that was injected.
    pub(crate) fn note(&mut self, fault: InjectedFault) {
        self.note_times(fault, 1);
    }

    pub(crate) fn note_times(&mut self, fault: InjectedFault, times: u64) {
        if times > 0 {
            *self.injected.entry(fault).or_default() += times;
        }
    }

    /// Draws whether to inject a fault now, and counts it if so.
    pub(crate) fn injects(&mut self, fault: InjectedFault, now: Timestamp) -> bool {
        let injects = self.would_inject(fault, now);
        if injects {
            self.note(fault);
        }
        injects
    }

    /// Draws whether to inject a fault now. The caller counts it when it happens.
    pub(crate) fn would_inject(&mut self, fault: InjectedFault, now: Timestamp) -> bool {
        now < self.until && self.draws_fault(fault)
    }

    fn draws_fault(&mut self, fault: InjectedFault) -> bool {
        let rate = match self.level {
            Level::None | Level::NoEvents => return false,
            Level::Some => fault.rate() / 3,
            Level::Many => fault.rate(),
        };
        self.draws.between(1, 1_000) <= rate
    }

    /// Draws a fault of a build that begins now, and counts it.
    fn injects_in_build(&mut self, fault: InjectedFault) -> bool {
        let injects = self.draws_fault(fault);
        self.note_times(fault, injects.into());
        injects
    }

    /// Returns whether a build that begins now draws how it ends.
    fn draws_build(&mut self, now: Timestamp) -> bool {
        let is_late = now >= self.until;
        let draws = !is_late || self.builds_left > 0;
        self.builds_left -= u32::from(is_late && draws);
        draws
    }

    pub(crate) fn between(&mut self, low: u32, high: u32) -> u32 {
        self.draws.between(low, high)
    }

    pub(crate) fn span(&mut self, low: Span, high: Span) -> Span {
        self.draws.span(low, high)
    }

    pub(crate) fn percent(&mut self, chance: u32) -> bool {
        self.draws.percent(chance)
    }

    pub(crate) fn pick<'t, T>(&mut self, things: &'t [T]) -> Option<&'t T> {
        self.draws.pick(things)
    }

    /// Returns how late each copy of an event arrives. There is no copy if the event is lost.
    pub(crate) fn deliveries(&mut self, now: Timestamp) -> Vec<Span> {
        let is_lost = self.drops_all_events && now < self.until;
        if is_lost || self.injects(InjectedFault::EventDropped, now) {
            return Vec::new();
        }
        let mut late = Span::ZERO;
        if self.injects(InjectedFault::EventDelayed, now) {
            late = self.span(Span::minutes(5), Span::hours(3));
        } else if self.injects(InjectedFault::EventReordered, now) {
            late = self.span(Span::seconds(5), Span::seconds(120));
        }
        let mut copies = vec![late];
        if self.injects(InjectedFault::EventDuplicated, now) {
            copies.push(self.span(Span::ZERO, Span::hours(1)));
        }
        copies
    }

    /// Draws why CodePipeline refuses a start, if it does.
    pub(crate) fn refusal_of_start(&mut self, now: Timestamp) -> Option<Refusal> {
        if !self.draws_build(now) {
            None
        } else if self.injects_in_build(InjectedFault::StartConflicts) {
            self.pick(&CONFLICTS).copied()
        } else if self.injects_in_build(InjectedFault::StartRefused) {
            self.pick(&REFUSALS).copied()
        } else {
            None
        }
    }

    /// Draws how a build that begins now will end.
    pub(crate) fn build_result(&mut self, now: Timestamp) -> BuildResult {
        if !self.draws_build(now) {
            BuildResult::Succeeds
        } else if self.injects_in_build(InjectedFault::BuildFailed) {
            BuildResult::Fails
        } else if self.injects_in_build(InjectedFault::BuildHung) {
            BuildResult::Hangs(self.span(Span::hours(20), Span::days(3)))
        } else if self.injects_in_build(InjectedFault::ApprovalHung) {
            BuildResult::AwaitsApproval(self.span(Span::hours(1), Span::days(3)))
        } else if self.injects_in_build(InjectedFault::BuildStopped) {
            BuildResult::Stopped
        } else if self.injects_in_build(InjectedFault::BuildSuperseded) {
            BuildResult::Superseded
        } else if self.injects_in_build(InjectedFault::FixesNothing) {
            BuildResult::FixesNothing
        } else {
            BuildResult::Succeeds
        }
    }

    /// Draws for how long an execution that begins now is not found.
    pub(crate) fn invisible_for(&mut self, now: Timestamp) -> Span {
        if self.injects(InjectedFault::ExecutionNotVisible, now) {
            self.span(Span::seconds(1), Span::seconds(30))
        } else {
            Span::ZERO
        }
    }

    pub(crate) fn scan_delay(&mut self, usual: Span, now: Timestamp) -> Span {
        let is_late = self.injects(InjectedFault::ScanLate, now);
        if is_late { self.span(Span::hours(1), Span::hours(12)) } else { usual }
    }

    /// Returns what replaces the result of a scan, if a fault does.
    pub(crate) fn scan_result(&mut self, now: Timestamp) -> Option<Scan> {
        if self.injects(InjectedFault::ScanFailed, now) {
            Some(Scan::Failed("ScanTimeout".to_owned()))
        } else {
            self.injects(InjectedFault::ScanExpired, now).then_some(Scan::Expired)
        }
    }

    /// Returns whether a service does not answer now.
    pub(crate) fn is_out(&mut self, service: Service, now: Timestamp) -> bool {
        let is_out = self
            .outages
            .iter()
            .any(|outage| outage.service == service && (outage.begins..outage.ends).contains(&now));
        if is_out {
            self.note(InjectedFault::Outage);
        }
        is_out
    }
}
