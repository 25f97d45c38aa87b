//! What goes wrong, and how often.
//!
//! All chance of it comes from the seed: a world draws in the order in which things happen, which is the same each time.

use std::collections::BTreeMap;

use patchwave::finding::Scan;
use patchwave::time::{Span, Timestamp};

use crate::draw::{Draws, Seed};
use crate::pipelines::Fate;

/// How hostile a world is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Nothing goes wrong.
    None,
    /// Things go wrong as on a bad day.
    Some,
    /// Hardly anything works.
    Many,
    /// All works, and no event is ever delivered: the tick and the sweep must do it alone.
    Silence,
}

impl Level {
    /// Tells whether anything else goes wrong than that events are lost.
    pub(crate) fn is_hostile(self) -> bool {
        matches!(self, Self::Some | Self::Many)
    }
}

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Trouble {
    /// EventBridge loses an event.
    EventDropped,
    /// It delivers one twice.
    EventDuplicated,
    /// It delivers one much later.
    EventDelayed,
    /// It delivers one after some that happened later.
    EventReordered,
    /// It delivers nothing at all, in the whole history.
    Deaf,
    /// An invocation ends before a call.
    CrashedBefore,
    /// An invocation ends after a call whose answer it does not see.
    CrashedAfter,
    /// An invocation stands still between two calls while others run.
    Interleaved,
    /// An invocation's clock is wrong by seconds.
    ClockSkewed,
    /// A service refuses a call.
    Throttled,
    /// A service does what was asked, and its answer is lost.
    AnswerLost,
    /// A service does not answer for minutes to hours.
    Outage,
    /// A build fails.
    BuildFailed,
    /// A build does not end for days, until somebody stops it.
    BuildHung,
    /// Somebody stops a build.
    BuildStopped,
    /// A later execution overtakes a build.
    BuildSuperseded,
    /// A build succeeds and installs what the image had.
    FixesNothing,
    /// A scan comes hours late.
    ScanLate,
    /// A scan fails.
    ScanFailed,
    /// A scan's window ends, and its findings with it.
    ScanExpired,
    /// A manifest is not scanned again when something new is known.
    NotRescanned,
    /// A person pushes a version with all fixes.
    PushedFixed,
    /// A person pushes a version with old packages.
    PushedVulnerable,
    /// A person puts the version before back.
    RolledBack,
    /// A person puts the tags on some other version, earlier or later.
    Retagged,
    /// A person approves what policy leaves to people.
    Approved,
    /// A person asks for a rebuild.
    Requested,
    /// A person freezes an image.
    Frozen,
    /// A person releases an image.
    Released,
    /// Somebody edits the policies of the hierarchy, or takes that back.
    PolicyEdited,
    /// A multi-arch tag moves several times in minutes.
    TagMovedAgain,
    /// A build writes down no base.
    Unannotated,
    /// A pipeline takes no variables.
    WithoutVariables,
    /// An image is only observed.
    Observed,
    /// An image is left to people: approval, next commit or never.
    LeftToPeople,
}

impl Trouble {
    /// Every kind.
    pub const ALL: [Self; 35] = [
        Self::EventDropped,
        Self::EventDuplicated,
        Self::EventDelayed,
        Self::EventReordered,
        Self::Deaf,
        Self::CrashedBefore,
        Self::CrashedAfter,
        Self::Interleaved,
        Self::ClockSkewed,
        Self::Throttled,
        Self::AnswerLost,
        Self::Outage,
        Self::BuildFailed,
        Self::BuildHung,
        Self::BuildStopped,
        Self::BuildSuperseded,
        Self::FixesNothing,
        Self::ScanLate,
        Self::ScanFailed,
        Self::ScanExpired,
        Self::NotRescanned,
        Self::PushedFixed,
        Self::PushedVulnerable,
        Self::RolledBack,
        Self::Retagged,
        Self::Approved,
        Self::Requested,
        Self::Frozen,
        Self::Released,
        Self::PolicyEdited,
        Self::TagMovedAgain,
        Self::Unannotated,
        Self::WithoutVariables,
        Self::Observed,
        Self::LeftToPeople,
    ];

    /// How often it strikes where it could, in a thousand, where hardly anything works.
    fn rate(self) -> u32 {
        match self {
            Self::EventDropped | Self::NotRescanned => 150,
            Self::EventDuplicated | Self::EventDelayed => 100,
            Self::EventReordered | Self::ClockSkewed => 200,
            Self::CrashedBefore | Self::CrashedAfter => 250,
            Self::Interleaved => 300,
            Self::Throttled => 8,
            Self::AnswerLost => 20,
            Self::BuildFailed => 120,
            Self::BuildHung | Self::ScanExpired => 25,
            Self::BuildStopped | Self::BuildSuperseded => 30,
            Self::FixesNothing | Self::ScanFailed => 60,
            Self::ScanLate => 80,
            // These are planned, or stand in the hierarchy.
            _ => 0,
        }
    }
}

/// What does not answer.
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

/// All that goes wrong in one world.
#[derive(Debug, Clone)]
pub(crate) struct Faults {
    level: Level,
    draws: Draws,
    /// From when on nothing new goes wrong.
    until: Timestamp,
    is_deaf: bool,
    outages: Vec<(Service, Timestamp, Timestamp)>,
    pub(crate) fired: BTreeMap<Trouble, u64>,
}

impl Faults {
    /// A world in which nothing goes wrong.
    pub(crate) fn none() -> Self {
        Self {
            level: Level::None,
            draws: Seed(0).draws("faults", ""),
            until: Timestamp::MIN,
            is_deaf: false,
            outages: Vec::new(),
            fired: BTreeMap::new(),
        }
    }

    /// What goes wrong between `from` and `until`.
    pub(crate) fn new(level: Level, seed: Seed, from: Timestamp, until: Timestamp) -> Self {
        if !level.is_hostile() {
            let mut quiet =
                Self { level, is_deaf: level == Level::Silence, until: Timestamp::MAX, ..Self::none() };
            quiet.note_times(Trouble::Deaf, quiet.is_deaf.into());
            return quiet;
        }
        let mut faults = Self { level, draws: seed.draws("faults", ""), until, ..Self::none() };
        let minutes = Span::between(from, until).as_seconds() / 60;
        for _ in 0..faults.draws.between(0, 3) {
            let begins = Span::minutes(faults.draws.between(0, minutes)).after(from);
            let longest = Span::hours(5).min(Span::between(from, until).share(1, 2));
            let ends = faults.draws.span(Span::minutes(5), longest).after(begins).min(until);
            let service = faults.draws.pick(&SERVICES).copied().unwrap_or(Service::Ledger);
            faults.outages.push((service, begins, ends));
        }
        faults.is_deaf = faults.draws.percent(8);
        if faults.is_deaf {
            faults.note(Trouble::Deaf);
        }
        faults
    }

    /// Tells whether anything goes wrong in this world, ever.
    pub(crate) fn may_strike(&self) -> bool {
        self.level.is_hostile()
    }

    pub(crate) fn note(&mut self, trouble: Trouble) {
        *self.fired.entry(trouble).or_default() += 1;
    }

    pub(crate) fn note_times(&mut self, trouble: Trouble, times: u64) {
        if times > 0 {
            *self.fired.entry(trouble).or_default() += times;
        }
    }

    /// Draws whether a kind of fault strikes now.
    pub(crate) fn strikes(&mut self, trouble: Trouble, now: Timestamp) -> bool {
        let strikes = self.would_strike(trouble, now);
        if strikes {
            self.note(trouble);
        }
        strikes
    }

    /// Draws whether a kind of fault would strike now, if it came to that.
    pub(crate) fn would_strike(&mut self, trouble: Trouble, now: Timestamp) -> bool {
        let rate = match self.level {
            Level::None | Level::Silence => return false,
            Level::Some => trouble.rate() / 3,
            Level::Many => trouble.rate(),
        };
        now < self.until && self.draws.between(1, 1_000) <= rate
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

    /// When copies of an event arrive after the usual moment: none if it is lost.
    pub(crate) fn deliveries(&mut self, now: Timestamp) -> Vec<Span> {
        if (self.is_deaf && now < self.until) || self.strikes(Trouble::EventDropped, now) {
            return Vec::new();
        }
        let mut late = Span::ZERO;
        if self.strikes(Trouble::EventDelayed, now) {
            late = self.span(Span::minutes(5), Span::hours(3));
        } else if self.strikes(Trouble::EventReordered, now) {
            late = self.span(Span::seconds(5), Span::seconds(120));
        }
        let mut copies = vec![late];
        if self.strikes(Trouble::EventDuplicated, now) {
            copies.push(self.span(Span::ZERO, Span::hours(1)));
        }
        copies
    }

    /// How a build that begins now will end.
    pub(crate) fn fate(&mut self, now: Timestamp) -> Fate {
        if self.strikes(Trouble::BuildFailed, now) {
            Fate::Fails
        } else if self.strikes(Trouble::BuildHung, now) {
            Fate::Hangs(self.span(Span::hours(20), Span::days(3)))
        } else if self.strikes(Trouble::BuildStopped, now) {
            Fate::Stopped
        } else if self.strikes(Trouble::BuildSuperseded, now) {
            Fate::Superseded
        } else if self.strikes(Trouble::FixesNothing, now) {
            Fate::FixesNothing
        } else {
            Fate::Succeeds
        }
    }

    pub(crate) fn scan_delay(&mut self, usual: Span, now: Timestamp) -> Span {
        if self.strikes(Trouble::ScanLate, now) { self.span(Span::hours(1), Span::hours(12)) } else { usual }
    }

    /// What comes of a scan instead of a result; nothing if all goes well.
    pub(crate) fn scan_result(&mut self, now: Timestamp) -> Option<Scan> {
        if self.strikes(Trouble::ScanFailed, now) {
            Some(Scan::Failed("ScanTimeout".to_owned()))
        } else {
            self.strikes(Trouble::ScanExpired, now).then_some(Scan::Expired)
        }
    }

    /// Tells whether a service does not answer at all.
    pub(crate) fn is_out(&mut self, service: Service, now: Timestamp) -> bool {
        let is_out =
            self.outages.iter().any(|(which, from, to)| *which == service && *from <= now && now < *to);
        if is_out {
            self.note(Trouble::Outage);
        }
        is_out
    }
}
