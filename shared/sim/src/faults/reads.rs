//! Reads that a service refuses for one item, although it answers for the others.

use std::collections::BTreeMap;

use patchwave::time::{Span, Timestamp};
use patchwave_converge::FaultKind;

use super::{FaultPlan, InjectedFault};
use crate::not_yet::NotYet;

/// What Patchwave reads. One may be refused while another of the same service is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Read {
    /// The record of an image.
    Record,
    /// Everything in a registry, by its host.
    Registry,
    /// The current version of an image, by its repository.
    Current,
    /// Any other version, by its repository.
    Version,
    /// The versions of a repository.
    History,
    /// The scan of a manifest.
    Scan,
    /// The declaration of a pipeline.
    Pipeline,
    /// An execution, by its pipeline.
    Execution,
}

/// A read that is refused for a while.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refusal {
    pub(super) fault: InjectedFault,
    pub(super) since: Timestamp,
    pub(super) until: Timestamp,
}

/// All reads that are or were refused.
#[derive(Debug, Clone, Default)]
pub(crate) struct Refusals(pub(super) BTreeMap<(Read, String), Refusal>);

const KINDS: [InjectedFault; 4] = [
    InjectedFault::ReadThrottled,
    InjectedFault::ReadDenied,
    InjectedFault::ReadInvalid,
    InjectedFault::ReadUnavailable,
];

impl FaultPlan {
    /// Returns why a read is refused, if it is: since an earlier refusal, or by a new draw.
    pub(crate) fn refuses(&mut self, read: Read, item: &str, now: Timestamp) -> Option<FaultKind> {
        if !self.has_faults() {
            return None;
        }
        if let Some(refusal) = self.lasting(read, item, now) {
            return Some(kind(refusal.fault));
        }
        if !self.would_inject(InjectedFault::ReadDenied, now) {
            return None;
        }
        let fault = self.pick(&KINDS).copied().unwrap_or(InjectedFault::ReadDenied);
        let until = self.end_of_refusal(read, now);
        self.note(fault);
        self.refusals.0.insert((read, item.to_owned()), Refusal { fault, since: now, until });
        Some(kind(fault))
    }

    /// Returns whether a read is refused because of an earlier refusal.
    pub(crate) fn is_refused(&self, read: Read, item: &str, now: Timestamp) -> bool {
        self.lasting(read, item, now).is_some()
    }

    pub(super) fn lasting(&self, read: Read, item: &str, now: Timestamp) -> Option<&Refusal> {
        // Most worlds refuse nothing for long.
        let refusal = self.refusals.0.get(&(read, item.to_owned()))?;
        (now < refusal.until).then_some(refusal)
    }

    fn may_last(read: Read) -> bool {
        match read {
            // Nobody could ever know how the execution ended, or what its build pushed.
            Read::Execution | Read::Registry => false,
            Read::Record => !NotYet::SlotOfUnreadRecord.is_left_out(),
            Read::Current | Read::Version | Read::History | Read::Scan | Read::Pipeline => true,
        }
    }

    /// Most refusals last for seconds, some for hours, and a few until a person acts, days later or
    /// never.
    fn end_of_refusal(&mut self, read: Read, now: Timestamp) -> Timestamp {
        match self.between(1, 100) {
            1..=60 => self.span(Span::ZERO, Span::minutes(1)).after(now),
            61..=90 => self.span(Span::hours(1), Span::hours(12)).after(now),
            91..=98 => self.span(Span::hours(12), Span::days(2)).after(now),
            _ if Self::may_last(read) => Timestamp::MAX,
            _ => Span::days(2).after(now),
        }
    }
}

pub(super) fn kind(fault: InjectedFault) -> FaultKind {
    match fault {
        InjectedFault::ReadThrottled => FaultKind::Throttled,
        InjectedFault::ReadInvalid => FaultKind::Invalid,
        InjectedFault::ReadUnavailable => FaultKind::Unavailable,
        _ => FaultKind::Denied,
    }
}
