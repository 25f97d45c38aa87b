//! The state of the model: ledger, registry and pipelines of the diamond, cheap to copy and
//! compare.

mod call;
mod checks;

use std::rc::Rc;

use patchwave::record::Record;

pub(crate) use call::{Answer, Call, Ended, Images};

use crate::diamond::{Diamond, FOUND, id, place, time};
use crate::search::LEASE_PASSES;

/// How long a build lasts that fails, and how much later a person pushes, in seconds. So another
/// attempt is claimed later than this one, and no two versions are pushed at once.
const A_MINUTE: i64 = 60;
/// The place of the base image.
const BASE: u8 = 0;

/// One pipeline execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Run {
    pub(crate) image: u8,
    nth: u8,
    start: u32,
    started_at: i64,
    ended: Option<Ended>,
}

impl Run {
    pub(crate) fn is_over(&self) -> bool {
        self.ended.is_some()
    }

    pub(crate) fn has_pushed(&self) -> bool {
        matches!(self.ended, Some(Ended::Pushed(_)))
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.ended == Some(Ended::Failed)
    }

    fn id(self) -> u8 {
        10 * self.image + self.nth
    }
}

/// A promise of the world or of the code that a test breaks, to prove that the search finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Defect {
    None,
    /// The ledger ignores fences.
    NoFence,
    /// No execution of a claim is ever found.
    NeverFound,
    /// The lease of a claim ends at once.
    NoLease,
    /// The schedule is always empty.
    NoIndex,
    /// A build that ended keeps its slot.
    SlotsKept,
    /// Every build succeeds from the cache.
    CachedBuilds,
}

/// Everything outside the workers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ModelState {
    pub(crate) now: i64,
    records: [Option<u32>; 4],
    held_by: Images,
    current: [u32; 4],
    pub(crate) runs: Vec<Run>,
    /// The versions of the base that a person pushed.
    by_hand: Vec<u32>,
    /// Whether the scan of the base's last version is to come.
    scan_is_late: bool,
}

/// A broken invariant, in words.
pub(crate) type Violation = String;

impl ModelState {
    /// Returns the first state: every image is built on the vulnerable base, whose new scan
    /// completed a minute ago, and the ledger is empty.
    pub(crate) fn first(diamond: &Diamond) -> Self {
        let long_ago = |image: u8| time(FOUND - 86_400 + 60 * i64::from(image));
        let push = |image, base: Option<u32>| {
            let base = base.map(|base| diamond.versions.get(base).version.digest.clone());
            diamond.versions.push(image, base.as_ref(), long_ago(image), false)
        };
        let b = push(0, None);
        let (p1, p2) = (push(1, Some(b)), push(2, Some(b)));
        let current = [b, p1, p2, push(3, Some(p1))];
        Self {
            now: FOUND + 60,
            records: [None; 4],
            held_by: Images(0),
            current,
            runs: Vec::new(),
            by_hand: Vec::new(),
            scan_is_late: false,
        }
    }

    /// Answers a call of a worker. An error is a broken invariant.
    pub(crate) fn perform(&mut self, diamond: &Diamond, call: Call) -> Result<Answer, Violation> {
        Ok(match call {
            Call::Due => Answer::Listed(self.due(diamond)),
            Call::Ready => Answer::Listed(self.ready(diamond)),
            Call::Records(images) => Answer::Records(of(images, self.records, None)),
            Call::Slots => Answer::Slots(self.held_by),
            Call::Currents(images) => Answer::Currents(of(images, self.current, u32::MAX)),
            Call::Scanned => Answer::Scanned(!self.scan_is_late),
            Call::History(image) => self.history(image),
            Call::Execution(claim) => self.execution(diamond, claim),
            Call::Save(image, record) => self.write(diamond, image, record),
            Call::Claim(image, record) => self.claim(diamond, image, record),
            Call::Free(image, fence) => self.free(diamond, image, fence),
            Call::Start(start) => self.start(diamond, start)?,
        })
    }

    /// Returns whether the answer is the same at any later time and changes nothing. Fences only
    /// rise, so a late write stays late; and a build that is over stays over.
    pub(crate) fn is_settled(&self, diamond: &Diamond, call: Call) -> bool {
        if diamond.defect != Defect::None {
            return false;
        }
        let is_late = |image: u8, read: u64| self.fence(diamond, image) != read;
        match call {
            Call::Save(image, record) | Call::Claim(image, record) => {
                is_late(image, diamond.records.get(record).fence)
            }
            Call::Free(image, fence) => is_late(image, fence),
            Call::Execution(claim) => {
                matches!(self.execution(diamond, claim), Answer::Found { ended: Some(_), .. })
            }
            _ => false,
        }
    }

    /// Returns the images that are in the schedule.
    pub(crate) fn scheduled(&self, diamond: &Diamond) -> Images {
        self.in_index(diamond, Record::is_scheduled)
    }

    fn due(&self, diamond: &Diamond) -> Images {
        if self.index_lags(diamond) {
            return Images::default();
        }
        self.in_index(diamond, |record| record.is_due(time(self.now)))
    }

    fn ready(&self, diamond: &Diamond) -> Images {
        if self.index_lags(diamond) {
            return Images::default();
        }
        self.in_index(diamond, |record| record.recheck_at.is_none() && record.ready.is_some())
    }

    /// Returns whether the index shows nothing now. It does so every other time that time passes.
    fn index_lags(&self, diamond: &Diamond) -> bool {
        diamond.setting.index_lags && (self.now - FOUND) / LEASE_PASSES % 2 == 1
    }

    fn in_index(&self, diamond: &Diamond, is_in: impl Fn(&Record) -> bool) -> Images {
        if diamond.defect == Defect::NoIndex {
            return Images::default();
        }
        (0..4).filter(|image| self.record(diamond, *image).is_some_and(|record| is_in(&record))).collect()
    }

    fn record(&self, diamond: &Diamond, image: u8) -> Option<Rc<Record>> {
        self.records[usize::from(image)].map(|number| diamond.records.get(number))
    }

    fn execution(&self, diamond: &Diamond, claim: u32) -> Answer {
        let claim = diamond.claims.get(claim);
        let is_of = |run: &Run| {
            let id = format!("run-{}", run.id());
            if claim.is_confirmed() {
                return claim.execution.as_ref() == Some(&id);
            }
            let start = diamond.starts.get(run.start);
            let has_key = start.key == claim.start.key && claim.may_own(&id);
            has_key && time(run.started_at) >= claim.claimed_at
        };
        match self.runs.iter().find(|run| is_of(run)) {
            Some(run) if diamond.defect != Defect::NeverFound => {
                Answer::Found { run: run.id(), ended: run.ended }
            }
            _ => Answer::NotFound,
        }
    }

    fn write(&mut self, diamond: &Diamond, image: u8, number: u32) -> Answer {
        let read = diamond.records.get(number).fence;
        if self.fence(diamond, image) != read && diamond.defect != Defect::NoFence {
            return Answer::Conflict;
        }
        let mut stored = diamond.stored.borrow_mut();
        let stored = stored.entry(number).or_insert_with(|| Self::stored(diamond, number));
        self.records[usize::from(image)] = Some(*stored);
        Answer::Done
    }

    /// Returns the number of a record as it is once it is stored.
    fn stored(diamond: &Diamond, number: u32) -> u32 {
        let mut record = Record::clone(&diamond.records.get(number));
        record.fence += 1;
        if diamond.defect == Defect::NoLease
            && let Some(claim) = &mut record.claim
        {
            claim.lease_until = claim.claimed_at;
        }
        diamond.records.number(&record)
    }

    fn claim(&mut self, diamond: &Diamond, image: u8, record: u32) -> Answer {
        if self.fence(diamond, image) != diamond.records.get(record).fence
            && diamond.defect != Defect::NoFence
        {
            return Answer::Conflict;
        }
        let others = self.held_by.iter().filter(|other| *other != image).count();
        if others >= diamond.hierarchy.limits().max_concurrent_builds as usize {
            return Answer::AtLimit;
        }
        let answer = self.write(diamond, image, record);
        if answer == Answer::Done {
            self.held_by = self.held_by.with(image);
        }
        answer
    }

    fn free(&mut self, diamond: &Diamond, image: u8, fence: u64) -> Answer {
        if fence != self.fence(diamond, image) && diamond.defect != Defect::NoFence {
            return Answer::Conflict;
        }
        if diamond.defect != Defect::SlotsKept {
            self.held_by = self.held_by.iter().filter(|held| *held != image).collect();
        }
        Answer::Done
    }

    fn fence(&self, diamond: &Diamond, image: u8) -> u64 {
        self.record(diamond, image).map_or(0, |record| record.fence)
    }

    /// Starts a build, even if its token is known: AWS does not publish how long CodePipeline
    /// remembers tokens.
    fn start(&mut self, diamond: &Diamond, number: u32) -> Result<Answer, Violation> {
        let start = diamond.starts.get(number);
        let image = place(&start.image);
        if self.runs.iter().any(|run| run.image == image && !run.is_over()) {
            return Err(format!("two builds of {} run at once", start.image));
        }
        for (parent, digest) in &start.parents {
            let parent = place(parent);
            let is_stale = diamond.versions.get(self.current[usize::from(parent)]).version.digest != *digest;
            // A person may push after the pass has read the base. Then the child is built again.
            let is_late = parent == BASE && !self.by_hand.is_empty();
            if is_stale && !is_late {
                return Err(format!("{} is built on a stale {}", start.image, id(parent)));
            }
            // Nor does a child wait for a parent's reason that is younger than its own wait.
            let is_built = self.runs.iter().any(|run| run.image == parent && !run.is_over());
            if is_built && self.by_hand.is_empty() {
                return Err(format!("{} is built while {} is", start.image, id(parent)));
            }
        }
        let nth = self.runs.iter().filter(|run| run.image == image).count();
        let nth = u8::try_from(nth).unwrap();
        let run = Run { image, nth, start: number, started_at: self.now, ended: None };
        self.runs.push(run);
        // A canonical order: which image was started first makes no difference.
        self.runs.sort_by_key(|run| run.id());
        Ok(Answer::Started(run.id()))
    }

    /// Ends a build: its version is pushed and becomes current. Only leases that pass move the
    /// clock, so the order in which builds end makes no difference. The registry's clock is a
    /// second ahead.
    pub(crate) fn end(&mut self, diamond: &Diamond, run: u8) -> Result<(), Violation> {
        let ended = self.runs[usize::from(run)];
        let image = ended.image;
        let start = diamond.starts.get(ended.start);
        let from = match image {
            0 => None,
            3 => start.parents.get(&id(1)),
            _ => start.parents.get(&id(0)),
        };
        let is_new_base = start.no_cache && diamond.defect != Defect::CachedBuilds;
        let pushed = diamond.versions.push(image, from, time(self.now + 1), is_new_base);
        self.current[usize::from(image)] = pushed;
        self.scan_is_late |= image == BASE && diamond.setting.scans_are_late;
        self.runs[usize::from(run)].ended = Some(Ended::Pushed(pushed));
        let builds = self.runs.iter().filter(|run| run.image == image && run.has_pushed()).count();
        if builds > 1 + self.by_hand.len() {
            return Err(format!("{} was built {builds} times", id(image)));
        }
        Ok(())
    }
}

impl ModelState {
    /// Ends a build without a version.
    pub(crate) fn fail(&mut self, run: u8) {
        self.runs[usize::from(run)].ended = Some(Ended::Failed);
        self.now += A_MINUTE;
    }

    /// A person pushes the base with the fix.
    pub(crate) fn push_by_hand(&mut self, diamond: &Diamond) {
        self.now += A_MINUTE;
        let pushed = diamond.versions.push(BASE, None, time(self.now + 1), true);
        self.current[usize::from(BASE)] = pushed;
        self.by_hand.push(pushed);
        self.scan_is_late |= diamond.setting.scans_are_late;
    }

    /// Returns whether the scan of the base's last version is to come.
    pub(crate) fn scan_is_late(&self) -> bool {
        self.scan_is_late
    }

    pub(crate) fn complete_scan(&mut self) {
        self.scan_is_late = false;
    }

    fn history(&self, image: u8) -> Answer {
        let pushed = self.runs.iter().filter(|run| run.image == image).filter_map(|run| match run.ended {
            Some(Ended::Pushed(pushed)) => Some(pushed),
            _ => None,
        });
        let by_hand = self.by_hand.iter().copied().filter(|_| image == BASE);
        let mut newest = [u32::MAX; 4];
        for (place, pushed) in newest.iter_mut().zip(pushed.chain(by_hand)) {
            *place = pushed;
        }
        Answer::History(newest)
    }
}

/// Keeps the values of these images, and hides the others.
fn of<T: Copy>(images: Images, mut values: [T; 4], hidden: T) -> [T; 4] {
    for image in (0..4).filter(|image| !images.has(*image)) {
        values[usize::from(image)] = hidden;
    }
    values
}
