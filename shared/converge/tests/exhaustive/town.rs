//! The town: ledger, registry and pipelines of the diamond as a value that is cheap to copy and to compare.

use std::rc::Rc;

use patchwave::record::Record;

use crate::diamond::{Diamond, FOUND, IMAGES, id, place, time};

/// What a worker asks of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    Unsettled,
    Records(Images),
    Slots,
    Currents(Images),
    /// The execution of this claim.
    Execution(u32),
    /// This image's record.
    Save(u8, u32),
    Claim(u8, u32),
    /// This image's slot, if its record has this fence.
    Free(u8, u64),
    Start(u32),
}

impl Ask {
    /// Whether the world is not the same afterwards.
    pub(crate) fn is_effect(self) -> bool {
        matches!(self, Self::Save(..) | Self::Claim(..) | Self::Free(..) | Self::Start(_))
    }

    /// Whether the worker goes on without the answer. What ends the pass before it wrote anything is no different from
    /// an event that was never delivered.
    pub(crate) fn is_survivable(self) -> bool {
        self.is_effect() || matches!(self, Self::Currents(_) | Self::Execution(_))
    }
}

/// What the world answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Answer {
    Unsettled(Images),
    Records([Option<u32>; 4]),
    Slots(Images),
    Currents([u32; 4]),
    NotFound,
    Found {
        run: u8,
        is_over: bool,
    },
    Done,
    Conflict,
    AtLimit,
    Started(u8),
    /// There was no answer.
    Lost,
}

/// Images, one bit each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Images(pub(crate) u8);

impl Images {
    pub(crate) fn has(self, image: u8) -> bool {
        self.0 & (1 << image) != 0
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = u8> {
        (0..4).filter(move |image| self.has(*image))
    }

    pub(crate) fn with(self, image: u8) -> Self {
        Self(self.0 | 1 << image)
    }
}

impl FromIterator<u8> for Images {
    fn from_iter<I: IntoIterator<Item = u8>>(images: I) -> Self {
        images.into_iter().fold(Self::default(), Self::with)
    }
}

/// One pipeline execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Run {
    pub(crate) image: u8,
    nth: u8,
    start: u32,
    started_at: i64,
    pub(crate) is_over: bool,
}

impl Run {
    fn id(self) -> u8 {
        10 * self.image + self.nth
    }
}

/// A town in which one promise of the world or of the code is broken, to see that the search would tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Defect {
    None,
    /// The ledger lets anybody overwrite anything.
    NoFence,
    /// The pipelines find no execution again.
    NeverFound,
    /// A claim can be abandoned as soon as it is taken.
    NoLease,
    /// The index of the unsettled is always empty.
    NoIndex,
    /// Builds that ended keep their slots.
    SlotsKept,
    /// Every build succeeds from the cache.
    CachedBuilds,
}

/// Everything outside the workers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Town {
    pub(crate) now: i64,
    records: [Option<u32>; 4],
    running: Images,
    current: [u32; 4],
    pub(crate) runs: Vec<Run>,
}

/// A broken invariant, in words.
pub(crate) type Violation = String;

impl Town {
    /// Every image built on the vulnerable base, which was scanned again a moment ago; nothing was ever recorded.
    pub(crate) fn found(diamond: &Diamond) -> Self {
        let long_ago = |image: u8| time(FOUND - 86_400 + 60 * i64::from(image));
        let push = |image, base: Option<u32>| {
            let base = base.map(|base| diamond.versions.get(base).version.digest.clone());
            diamond.versions.push(image, base.as_ref(), long_ago(image), false)
        };
        let b = push(0, None);
        let (p1, p2) = (push(1, Some(b)), push(2, Some(b)));
        let current = [b, p1, p2, push(3, Some(p1))];
        Self { now: FOUND + 60, records: [None; 4], running: Images(0), current, runs: Vec::new() }
    }

    /// Answers a worker; an error is a broken invariant.
    pub(crate) fn perform(&mut self, diamond: &Diamond, ask: Ask) -> Result<Answer, Violation> {
        Ok(match ask {
            Ask::Unsettled => Answer::Unsettled(self.unsettled(diamond)),
            Ask::Records(images) => {
                let mut records = self.records;
                for image in (0..4).filter(|image| !images.has(*image)) {
                    records[usize::from(image)] = None;
                }
                Answer::Records(records)
            }
            Ask::Slots => Answer::Slots(self.running),
            Ask::Currents(images) => {
                let mut current = self.current;
                for image in (0..4).filter(|image| !images.has(*image)) {
                    current[usize::from(image)] = u32::MAX;
                }
                Answer::Currents(current)
            }
            Ask::Execution(claim) => self.execution(diamond, claim),
            Ask::Save(image, record) => self.write(diamond, image, record),
            Ask::Claim(image, record) => self.claim(diamond, image, record),
            Ask::Free(image, fence) => self.free(diamond, image, fence),
            Ask::Start(start) => self.start(diamond, start)?,
        })
    }

    /// Whether the answer is the same whenever it is given, and nothing changes by it: fences only rise, so that a write
    /// that came too late stays too late, and a build that is over stays over.
    pub(crate) fn is_settled(&self, diamond: &Diamond, ask: Ask) -> bool {
        if diamond.defect != Defect::None {
            return false;
        }
        let is_late = |image: u8, read: u64| self.fence(diamond, image) != read;
        match ask {
            Ask::Save(image, record) | Ask::Claim(image, record) => {
                is_late(image, diamond.records.get(record).fence)
            }
            Ask::Free(image, fence) => is_late(image, fence),
            Ask::Execution(claim) => {
                matches!(self.execution(diamond, claim), Answer::Found { is_over: true, .. })
            }
            _ => false,
        }
    }

    pub(crate) fn unsettled(&self, diamond: &Diamond) -> Images {
        if diamond.defect == Defect::NoIndex {
            return Images::default();
        }
        (0..4).filter(|image| self.record(diamond, *image).is_some_and(|record| record.unsettled)).collect()
    }

    fn record(&self, diamond: &Diamond, image: u8) -> Option<Rc<Record>> {
        self.records[usize::from(image)].map(|number| diamond.records.get(number))
    }

    fn execution(&self, diamond: &Diamond, claim: u32) -> Answer {
        let claim = diamond.claims.get(claim);
        let is_of = |run: &Run| {
            if let Some(id) = &claim.execution {
                return *id == format!("run-{}", run.id());
            }
            let start = diamond.starts.get(run.start);
            start.key == claim.start.key && time(run.started_at) >= claim.claimed_at
        };
        match self.runs.iter().find(|run| is_of(run)) {
            Some(run) if diamond.defect != Defect::NeverFound => {
                Answer::Found { run: run.id(), is_over: run.is_over }
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

    /// A record as it is once it is stored.
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
        let others = self.running.iter().filter(|other| *other != image).count();
        if others >= diamond.hierarchy.limits().max_concurrent_builds as usize {
            return Answer::AtLimit;
        }
        let answer = self.write(diamond, image, record);
        if answer == Answer::Done {
            self.running = self.running.with(image);
        }
        answer
    }

    fn free(&mut self, diamond: &Diamond, image: u8, fence: u64) -> Answer {
        if fence != self.fence(diamond, image) && diamond.defect != Defect::NoFence {
            return Answer::Conflict;
        }
        if diamond.defect != Defect::SlotsKept {
            self.running = self.running.iter().filter(|held| *held != image).collect();
        }
        Answer::Done
    }

    fn fence(&self, diamond: &Diamond, image: u8) -> u64 {
        self.record(diamond, image).map_or(0, |record| record.fence)
    }

    /// Starts a build, whatever the token says: how long CodePipeline remembers one is not published.
    fn start(&mut self, diamond: &Diamond, number: u32) -> Result<Answer, Violation> {
        let start = diamond.starts.get(number);
        let image = place(&start.image);
        if self.runs.iter().any(|run| run.image == image && !run.is_over) {
            return Err(format!("two builds of {} run at once", start.image));
        }
        for (parent, digest) in &start.parents {
            let parent = place(parent);
            if diamond.versions.get(self.current[usize::from(parent)]).version.digest != *digest {
                return Err(format!("{} is built on a stale {}", start.image, id(parent)));
            }
            if self.runs.iter().any(|run| run.image == parent && !run.is_over) {
                return Err(format!("{} is built while {} is", start.image, id(parent)));
            }
        }
        let nth = self.runs.iter().filter(|run| run.image == image).count();
        let nth = u8::try_from(nth).unwrap();
        let run = Run { image, nth, start: number, started_at: self.now, is_over: false };
        self.runs.push(run);
        // In an order that does not tell which of two images was started first.
        self.runs.sort_by_key(|run| run.id());
        Ok(Answer::Started(run.id()))
    }

    /// Ends a build: its version is pushed and current. The clock stands still but for leases that pass: a state is then
    /// the same whatever ended first. The registry's own clock is a second ahead.
    pub(crate) fn end(&mut self, diamond: &Diamond, run: u8) -> Result<(), Violation> {
        let ended = &mut self.runs[usize::from(run)];
        ended.is_over = true;
        let image = ended.image;
        let start = diamond.starts.get(ended.start);
        let from = match image {
            0 => None,
            3 => start.parents.get(&id(1)),
            _ => start.parents.get(&id(0)),
        };
        let is_new_base = start.no_cache && diamond.defect != Defect::CachedBuilds;
        self.current[usize::from(image)] =
            diamond.versions.push(image, from, time(self.now + 1), is_new_base);
        let builds = self.runs.iter().filter(|run| run.image == image && run.is_over).count();
        if builds > 1 {
            return Err(format!("{} was built {builds} times", id(image)));
        }
        Ok(())
    }

    /// What must hold in every state.
    pub(crate) fn check(&self) -> Result<(), Violation> {
        for run in self.runs.iter().filter(|run| !run.is_over) {
            if !self.running.has(run.image) {
                return Err(format!("{} is being built and has no slot", id(run.image)));
            }
        }
        Ok(())
    }

    pub(crate) fn is_quiet(&self, diamond: &Diamond) -> bool {
        self.runs.iter().all(|run| run.is_over) && self.unsettled(diamond) == Images::default()
    }

    /// What must hold when nothing is left to do.
    pub(crate) fn check_converged(&self, diamond: &Diamond) -> Result<(), Violation> {
        for (image, name) in (0..4).zip(IMAGES) {
            let builds = self.runs.iter().filter(|run| run.image == image).count();
            if builds != 1 {
                return Err(format!("in the end {name} was built {builds} times"));
            }
            if diamond.versions.get(self.current[usize::from(image)]).is_vulnerable {
                return Err(format!("in the end {name} is vulnerable"));
            }
            if self.record(diamond, image).is_none_or(|record| record.claim.is_some()) {
                return Err(format!("in the end {name} is claimed"));
            }
        }
        if self.running != Images::default() {
            return Err(format!(
                "in the end {:?} hold slots",
                self.running.iter().map(id).collect::<Vec<_>>()
            ));
        }
        Ok(())
    }

    /// Whether a claim waits for its lease to pass: nothing else in this town waits for time.
    pub(crate) fn has_unconfirmed_claim(&self, diamond: &Diamond) -> bool {
        (0..4).any(|image| {
            let record = self.record(diamond, image);
            record
                .and_then(|record| record.claim.clone())
                .is_some_and(|claim| !claim.is_confirmed() && claim.lease_until > time(self.now))
        })
    }
}
