//! Does what a plan says, in the order that loses nothing if it is cut off between any two calls.
//!
//! Records that are in the schedule are written first, parents before children, then the starts are
//! made, then the records that leave the schedule are written, and last those of parents whose
//! children are walked over. So a tick finds whatever was interrupted. A start is claimed with its
//! whole request before it is made, and confirmed after.

use std::collections::{BTreeMap, BTreeSet};

use patchwave::facts::Facts;
use patchwave::hierarchy::{Direction, Hierarchy, Image};
use patchwave::image::ImageId;
use patchwave::notice::{Notice, NoticeState};
use patchwave::plan::{AwaitedScan, Hold, Limit, Plan, Reason, Start, TICK};
use patchwave::record::{Claim, Ended, Failures, Record, Rolling};
use patchwave::time::{Span, Timestamp};

use crate::report::{FailureKind, Held, PredictionOver, Report, Started};
use crate::scope::with_ancestors;
use crate::world::{Fault, FaultKind, NotClaimed, NotSaved, NotStarted, ScanRequest, World};

/// How long a claim belongs to its owner alone: longer than Lambda's longest timeout, 15 minutes,
/// and clock skew.
pub const LEASE: Span = Span::minutes(16);

/// What a page did, and what it left to do.
pub(crate) struct Applied {
    pub(crate) report: Report,
    /// Images whose records were not written because others wrote theirs first: to look at again.
    pub(crate) left: BTreeSet<ImageId>,
    /// Images whose children are still to be looked at.
    pub(crate) rolling: BTreeMap<ImageId, Rolling>,
    /// Images about which something was written, or was to be.
    pub(crate) touched: BTreeSet<ImageId>,
    pub(crate) recheck_at: Option<Timestamp>,
}

/// Applies `plan`, made from `facts`, and reports.
pub(crate) async fn apply<W: World>(
    world: &W,
    hierarchy: &Hierarchy,
    facts: &Facts,
    mut plan: Plan,
    owner: &str,
) -> Applied {
    let touched = touched(&plan);
    let returned = std::mem::take(&mut plan.returned);
    let urgent = plan.due.iter().filter(|(_, due)| due.is_urgent()).map(|(image, _)| image.clone()).collect();
    let mut pass = Pass {
        world,
        hierarchy,
        facts,
        owner,
        returned,
        urgent,
        report: Report::default(),
        is_whole: true,
        left: BTreeSet::new(),
        rolling: BTreeMap::new(),
    };
    pass.report_unreadable_records();
    let starts = with_their_records(&mut plan, facts);
    let Phases { entering, leaving, walked } = phases(hierarchy, facts, plan.records);

    let entered = pass.save_all(entering).await;
    pass.free_slots(&plan.freed, &starts, &entered).await;
    pass.start_all(starts).await;
    pass.save_if_whole(leaving).await;
    pass.save_if_whole(walked).await;
    pass.request_scans(plan.scans).await;
    pass.notify(plan.notices).await;

    pass.report_holds(plan.holds, &plan.reasons);
    pass.report.proofs = plan.proofs;
    pass.report.unknown = plan.unknown.into_iter().collect();
    let report = Report { is_whole: pass.is_whole, ..pass.report };
    Applied { report, left: pass.left, rolling: pass.rolling, touched, recheck_at: plan.recheck_at }
}

/// Returns the images about which a plan writes anything.
fn touched(plan: &Plan) -> BTreeSet<ImageId> {
    let started = plan.starts.iter().map(|start| &start.image);
    let noticed = plan.notices.iter().filter_map(|notice| notice.image.as_ref());
    started.chain(noticed).chain(plan.records.keys()).chain(&plan.freed).cloned().collect()
}

/// Takes each start out of the plan together with the record that its claim is written into.
fn with_their_records(plan: &mut Plan, facts: &Facts) -> Vec<(Start, Record)> {
    let mut with_record = |start: Start| {
        let read = || Some(facts.images.get(&start.image)?.record.clone());
        let record = plan.records.remove(&start.image).or_else(read).unwrap_or_default();
        (start, record)
    };
    std::mem::take(&mut plan.starts).into_iter().map(&mut with_record).collect()
}

/// Records in the order in which they are written: parents before children. The images of one wave
/// are not built on each other.
type Ordered = Vec<Vec<(ImageId, Record)>>;

/// The records of a plan, by when they are written.
#[derive(Default)]
struct Phases {
    /// Those that are in the schedule once written, and those that name more carriers: a carrier
    /// that waits for its owner must be named there first.
    entering: Ordered,
    /// Those that leave the schedule.
    leaving: Ordered,
    /// Those of images whose children were looked at: they may go on only when the children's
    /// records are written.
    walked: Ordered,
}

fn phases(hierarchy: &Hierarchy, facts: &Facts, mut records: BTreeMap<ImageId, Record>) -> Phases {
    let mut phases = Phases::default();
    // With all ancestors, a wave has no image that is built on another one of it.
    for wave in hierarchy.select(&with_ancestors(hierarchy, records.keys())).waves() {
        for phase in [&mut phases.entering, &mut phases.leaving, &mut phases.walked] {
            phase.push(Vec::new());
        }
        for image in wave {
            let Some((id, record)) = records.remove_entry(&image.id) else { continue };
            let before = facts.images.get(&id).map(|image| &image.record.carriers);
            let names_more = before.is_some_and(|before| !record.carriers.is_subset(before));
            let phase = if facts.rolled.contains_key(&id) {
                &mut phases.walked
            } else if record.is_scheduled() || names_more {
                &mut phases.entering
            } else {
                &mut phases.leaving
            };
            if let Some(of_wave) = phase.last_mut() {
                of_wave.push((id, record));
            }
        }
    }
    phases
}

struct Pass<'p, W> {
    world: &'p W,
    hierarchy: &'p Hierarchy,
    facts: &'p Facts,
    owner: &'p str,
    /// The images whose claim a limit ended.
    returned: BTreeSet<ImageId>,
    /// The images whose starts may take what is kept for urgent ones.
    urgent: BTreeSet<ImageId>,
    report: Report,
    /// Whether every write so far succeeded. If not, no record may leave the schedule.
    is_whole: bool,
    left: BTreeSet<ImageId>,
    rolling: BTreeMap<ImageId, Rolling>,
}

impl<W: World> Pass<'_, W> {
    fn now(&self) -> Timestamp {
        self.facts.observed_at
    }

    fn report_unreadable_records(&mut self) {
        for (image, why) in &self.facts.unreadable {
            self.report.unreadable(image, why);
        }
    }

    /// Frees the slots of builds that ended. An image that starts again keeps its slot for the new
    /// claim.
    async fn free_slots(
        &mut self,
        freed: &BTreeSet<ImageId>,
        starts: &[(Start, Record)],
        entered: &BTreeSet<ImageId>,
    ) {
        let is_started = |image: &ImageId| starts.iter().any(|(start, _)| start.image == *image);
        let left = freed.iter().filter(|image| !is_started(image) && !self.returned.contains(*image));
        for image in &left.cloned().collect::<Vec<_>>() {
            let named = self.facts.images.get(image).map(|image| &image.record);
            let departed = self.facts.departed.get(image).map(|departed| &departed.record);
            let read = named.or(departed).map_or(0, |record| record.fence);
            self.free(image, read + u64::from(entered.contains(image))).await;
        }
    }

    async fn start_all(&mut self, starts: Vec<(Start, Record)>) {
        for (start, record) in starts {
            self.start(start, record).await;
        }
    }

    async fn request_scans(&mut self, scans: BTreeSet<AwaitedScan>) {
        for scan in scans {
            match self.world.request_scan(&scan.repository, &scan.digest).await {
                Ok(ScanRequest::Begun) => self.report.scans_requested.push(scan),
                Ok(ScanRequest::Refused) => {}
                Ok(ScanRequest::AtLimit) => break,
                Err(fault) => self.fail(FailureKind::Scan, Some(&scan.image), &fault),
            }
        }
    }

    fn report_holds(&mut self, holds: BTreeMap<ImageId, Hold>, reasons: &BTreeMap<ImageId, Vec<Reason>>) {
        let held = holds.into_iter().map(|(image, hold)| {
            let reasons = reasons.get(&image).cloned().unwrap_or_default();
            Held::new(image, hold, reasons)
        });
        self.report.held.extend(held);
        self.report.held.sort_by(|a, b| a.image.cmp(&b.image));
    }

    fn fail(&mut self, kind: FailureKind, image: Option<&ImageId>, error: &dyn std::error::Error) {
        self.report.failed(kind, image, error);
    }

    /// Writes the records and returns whose were written. After a lost race, what is built on that
    /// image was planned on old facts: it is left for the next page.
    async fn save_all(&mut self, records: Ordered) -> BTreeSet<ImageId> {
        let mut saved = BTreeSet::new();
        for wave in records {
            let (follows, free): (Vec<_>, Vec<_>) =
                wave.into_iter().partition(|(image, _)| self.follows_a_lost_race(image));
            self.left.extend(follows.into_iter().map(|(image, _)| image));
            let (ended, wave): (Vec<_>, Vec<_>) =
                free.into_iter().partition(|(image, _)| self.returned.contains(image));
            for (image, record) in ended {
                if self.save(&image, &record).await {
                    saved.insert(image);
                }
            }
            let answers = self.world.save_all(&wave).await;
            for ((image, record), answer) in wave.into_iter().zip(answers) {
                if self.is_saved(&image, &record, answer) {
                    saved.insert(image);
                }
            }
        }
        saved
    }

    async fn save_if_whole(&mut self, records: Ordered) {
        if self.is_whole {
            self.save_all(records).await;
        } else {
            self.left.extend(records.into_iter().flatten().map(|(image, _)| image));
        }
    }

    fn follows_a_lost_race(&self, image: &ImageId) -> bool {
        let is_left = |ancestor: &Image| self.left.contains(&ancestor.id);
        let above = self.hierarchy.query([image], Direction::Ancestors);
        !self.left.is_empty() && above.is_ok_and(|above| !above.all(|ancestor| !is_left(ancestor)))
    }

    async fn save(&mut self, image: &ImageId, record: &Record) -> bool {
        let claim = self.facts.images.get(image).and_then(|facts| facts.record.claim.as_ref());
        let saved = match claim.filter(|_| self.returned.contains(image)) {
            Some(claim) => {
                let because = record.failures.as_ref().map_or("", |failures| failures.because.as_str());
                self.world.withdraw(image, record, claim, because).await
            }
            None => self.world.save(image, record).await,
        };
        self.is_saved(image, record, saved)
    }

    fn is_saved(&mut self, image: &ImageId, record: &Record, saved: Result<(), NotSaved>) -> bool {
        if saved.is_ok()
            && let Some(rolling) = &record.rolling
        {
            self.rolling.insert(image.clone(), rolling.clone());
        }
        let is_saved = self.is_written(image, saved);
        if is_saved {
            self.report.predictions.extend(self.over(image, record));
        }
        is_saved
    }

    /// Returns the prediction of an image, if its record says for the first time what happened.
    fn over(&self, image: &ImageId, record: &Record) -> Option<PredictionOver> {
        let is_over = |record: &Record| record.predicted.as_ref().is_some_and(|it| it.happened.is_some());
        let is_new = is_over(record) && !is_over(&self.facts.images.get(image)?.record);
        let predicted = record.predicted.clone().filter(|_| is_new)?;
        Some(PredictionOver { image: image.clone(), predicted })
    }

    fn is_written(&mut self, image: &ImageId, written: Result<(), NotSaved>) -> bool {
        match written {
            Ok(()) => return true,
            // Whoever was faster planned with newer facts.
            Err(NotSaved::Conflict) => self.lost_race(image),
            Err(error) => {
                self.fail(FailureKind::Write, Some(image), &error);
                self.is_whole = false;
            }
        }
        false
    }

    fn lost_race(&mut self, image: &ImageId) {
        self.report.raced.insert(image.clone());
        self.left.insert(image.clone());
        self.is_whole = false;
    }

    async fn free(&mut self, image: &ImageId, fence: u64) {
        let freed = self.world.free(image, fence).await;
        self.is_written(image, freed);
    }

    async fn start(&mut self, start: Start, record: Record) {
        let claim = Claim {
            owner: self.owner.to_owned(),
            claimed_at: self.now(),
            lease_until: LEASE.after(self.now()),
            start: start.clone(),
            execution: None,
            previous: record.last_execution.clone(),
        };
        if self.follows_a_lost_race(&start.image) {
            self.left.insert(start.image.clone());
            return self
                .hold(&start, Hold::Unresolved { because: "another invocation acts on its parent".into() });
        }
        let claimed = Record {
            claim: Some(claim),
            last_attempt: start.attempt,
            waiting_since: None,
            ready: None,
            recheck_at: record.recheck_at.or(Some(LEASE.after(self.now()))),
            ..record.clone()
        };
        let is_urgent = self.urgent.contains(&start.image);
        let limits = start.limits(self.hierarchy.limits().of_start(is_urgent));
        match self.world.claim(&start.image, &claimed, limits, self.now()).await {
            Ok(()) => {
                let waiting_since = record.waiting_since;
                if let Some(rolling) = &claimed.rolling {
                    self.rolling.insert(start.image.clone(), rolling.clone());
                }
                self.make(start, Record { fence: claimed.fence + 1, ..claimed }, waiting_since).await;
            }
            Err(NotClaimed::AtLimit(limit)) => {
                self.save(&start.image, &record).await;
                // Another pass took what was left, so nobody knows what ends it.
                self.hold(&start, Hold::AtLimit { limit, until: TICK.after(self.now()) });
            }
            Err(NotClaimed::Conflict) => {
                self.lost_race(&start.image);
                self.hold(&start, Hold::Unresolved { because: "another invocation acts on it".into() });
            }
            Err(error) => {
                self.fail(FailureKind::Write, Some(&start.image), &error);
                // The claim may have been written and its answer lost: then this conflicts, and the
                // claim is found.
                self.save(&start.image, &record).await;
                self.hold(&start, Hold::Unresolved { because: "the claim could not be written".into() });
            }
        }
    }

    /// Makes the claimed start, and confirms it.
    async fn make(&mut self, start: Start, mut record: Record, waiting_since: Option<Timestamp>) {
        match self.world.start(&start).await {
            Ok(execution) => {
                if let Some(claim) = &mut record.claim {
                    claim.execution = Some(execution.clone());
                }
                // If this fails the build runs all the same: whoever looks at the claim next finds
                // its execution.
                if let Err(error @ NotSaved::Fault(_)) = self.world.save(&start.image, &record).await {
                    self.fail(FailureKind::Write, Some(&start.image), &error);
                }
                self.report.started.push(Started {
                    image: start.image,
                    pipeline: start.pipeline,
                    execution_id: execution,
                    build_key: start.key,
                    reasons: start.reasons,
                });
            }
            Err(error @ NotStarted::Unclear(_)) => {
                self.fail(FailureKind::Start, Some(&start.image), &error);
                self.hold(&start, Hold::Unresolved { because: "the start was not answered".into() });
            }
            Err(NotStarted::Refused(refused)) => {
                self.fail(FailureKind::Start, Some(&start.image), &refused);
                // It still waits: children that wait for it must see how long.
                self.give_up(&start, Record { waiting_since, ..record }, &refused).await;
            }
        }
    }

    /// Nothing was started, so the claim ends. A refusal counts as a failure, unless CodePipeline
    /// asks to try later.
    async fn give_up(&mut self, start: &Start, mut record: Record, refused: &Fault) {
        let Some(claim) = record.claim.take() else { return };
        let later = refused.kind == FaultKind::Throttled;
        let ended = if later { Ended::AtLimit } else { Ended::Failed };
        let failures =
            Failures::after(record.failures.take(), &start.inputs, ended, refused.to_string(), self.now());
        let hold = match failures.paused_until() {
            Some(until) => Hold::AtLimit { limit: Limit::Pipeline, until },
            None => Hold::BackOff {
                failures: failures.count,
                until: self.now(),
                because: failures.because.clone(),
            },
        };
        record.failures = Some(failures);
        let because = refused.to_string();
        let withdrawn = self.world.withdraw(&start.image, &record, &claim, &because).await;
        self.is_written(&start.image, withdrawn);
        self.hold(start, hold);
    }

    /// Sends the notices that are unsent in the ledger, and marks them there. If the pass is cut
    /// off in between, the next one sends them again.
    async fn notify(&mut self, notices: Vec<Notice>) {
        if notices.is_empty() {
            return;
        }
        let images = notices.iter().filter_map(|notice| notice.image.clone()).collect();
        let mut stored = match self.world.records(&images).await {
            Ok(stored) => stored.read,
            Err(fault) => return self.fail(FailureKind::Read, None, &fault),
        };
        // Another pass may have written another notice with the same revision.
        let stands = |notice: &Notice| {
            let record = notice.image.as_ref().and_then(|image| stored.get(image));
            let notified = record.and_then(|record| record.notified.get(&notice.root_cause));
            notified.is_some_and(|notified| {
                let is_same = notified.asked == notice.asked
                    && notified.closed == (notice.state == NoticeState::Closed);
                is_same && notified.revision == notice.revision && !notified.sent
            })
        };
        let notices: Vec<Notice> = notices.into_iter().filter(stands).collect();
        let answers = self.world.notify(&notices).await;
        let mut sent = BTreeSet::new();
        for (notice, answer) in notices.into_iter().zip(answers) {
            let Some(image) = notice.image.clone() else { continue };
            match answer {
                Ok(()) => {
                    if let Some(record) = stored.get_mut(&image) {
                        if let Some(notified) = record.notified.get_mut(&notice.root_cause) {
                            notified.sent = true;
                        }
                        if record.ready.is_some() && record.rolling.is_none() {
                            // It goes back to its place in the queue.
                            record.recheck_at = None;
                        }
                    }
                    sent.insert(image);
                    self.report.notified.push(notice);
                }
                Err(fault) => self.fail(FailureKind::Notice, Some(&image), &fault),
            }
        }
        for image in &sent {
            let Some(record) = stored.get(image) else { continue };
            if let Err(error @ NotSaved::Fault(_)) = self.world.save(image, record).await {
                self.fail(FailureKind::Write, Some(image), &error);
            }
        }
    }

    fn hold(&mut self, start: &Start, hold: Hold) {
        self.report.held.push(Held::new(start.image.clone(), hold, start.reasons.clone()));
    }
}
