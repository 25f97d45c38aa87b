//! Does what a plan says, in the order that loses nothing if it is cut off between any two calls.
//!
//! First the records that enter the index of the unsettled, then the starts, then the records that leave it: whatever is
//! interrupted is found again by the next tick. A start is claimed with its whole request before it is made, and
//! confirmed after.

use std::collections::{BTreeMap, BTreeSet};

use patchwave::facts::Facts;
use patchwave::hierarchy::Hierarchy;
use patchwave::image::ImageId;
use patchwave::notice::Notice;
use patchwave::plan::{Hold, Limit, Plan, Start};
use patchwave::record::{Attempt, Claim, Failures, Record};
use patchwave::time::{Span, Timestamp};

use crate::report::{Failure, Held, Report, Started};
use crate::world::{Fault, FaultKind, NotClaimed, NotSaved, NotStarted, World};

/// How long a claim belongs to its owner alone: longer than Lambda's longest timeout, 15 minutes, and clock skew.
pub const LEASE: Span = Span::minutes(16);

/// Applies `plan`, made from `facts`, and reports.
pub(crate) async fn apply<W: World>(
    world: &W,
    hierarchy: &Hierarchy,
    facts: &Facts,
    plan: Plan,
    owner: &str,
) -> Report {
    let Plan {
        starts,
        holds,
        reasons,
        due: _,
        proofs,
        unknown,
        scans,
        mut records,
        freed,
        notices,
        look_again,
    } = plan;
    let mut pass =
        Pass { world, hierarchy, owner, now: facts.observed_at, report: Report::default(), is_whole: true };
    for (image, why) in &facts.unreadable {
        pass.report.errors.push(Failure { image: Some(image.clone()), message: why.clone() });
    }
    let starting: Vec<(Start, Record)> = starts
        .into_iter()
        .map(|start| {
            let record =
                records.remove(&start.image).or_else(|| Some(facts.images.get(&start.image)?.record.clone()));
            (start, record.unwrap_or_default())
        })
        .collect();
    let (entering, leaving): (BTreeMap<_, _>, BTreeMap<_, _>) =
        records.into_iter().partition(|(_, record)| record.unsettled);

    let entered = pass.save_all(&entering).await;
    for image in freed.iter().filter(|image| starting.iter().all(|(start, _)| start.image != **image)) {
        // Whoever starts keeps its slot for the new claim.
        let read = facts.images.get(image).map_or(0, |image| image.record.fence);
        pass.free(image, read + u64::from(entered.contains(image))).await;
    }
    for (start, record) in starting {
        pass.start(start, record).await;
    }
    if pass.is_whole {
        pass.save_all(&leaving).await;
    }
    for scan in scans {
        match world.request_scan(&scan.repository, &scan.digest).await {
            Ok(true) => pass.report.scans_requested.push(scan),
            Ok(false) => {}
            Err(fault) => pass.fail(Some(&scan.image), &fault),
        }
    }
    pass.tell(notices).await;
    // If this fails the tick looks, a little later.
    if let Some(at) = look_again
        && let Err(fault) = world.wake(at).await
    {
        pass.fail(None, &fault);
    }

    let mut report = pass.report;
    report.is_whole = pass.is_whole;
    let held = holds.into_iter().map(|(image, hold)| {
        let reasons = reasons.get(&image).cloned().unwrap_or_default();
        Held::new(image, hold, reasons)
    });
    report.held.extend(held);
    report.held.sort_by(|a, b| a.image.cmp(&b.image));
    report.proofs = proofs;
    report.unknown = unknown.into_iter().collect();
    report
}

struct Pass<'p, W> {
    world: &'p W,
    hierarchy: &'p Hierarchy,
    owner: &'p str,
    now: Timestamp,
    report: Report,
    /// Whether everything so far was written: if not, nothing may leave the index of the unsettled.
    is_whole: bool,
}

impl<W: World> Pass<'_, W> {
    fn fail(&mut self, image: Option<&ImageId>, error: &dyn std::error::Error) {
        self.report.errors.push(Failure { image: image.cloned(), message: error.to_string() });
    }

    /// Writes the records and returns whose were written.
    async fn save_all(&mut self, records: &BTreeMap<ImageId, Record>) -> BTreeSet<ImageId> {
        let mut saved = BTreeSet::new();
        for (image, record) in records {
            if self.save(image, record).await {
                saved.insert(image.clone());
            }
        }
        saved
    }

    async fn save(&mut self, image: &ImageId, record: &Record) -> bool {
        let saved = self.world.save(image, record).await;
        self.is_written(image, saved)
    }

    fn is_written(&mut self, image: &ImageId, written: Result<(), NotSaved>) -> bool {
        match written {
            Ok(()) => return true,
            // Whoever was faster planned with newer facts; what this plan meant to write is found by the next.
            Err(NotSaved::Conflict) => {}
            Err(error) => self.fail(Some(image), &error),
        }
        self.is_whole = false;
        false
    }

    async fn free(&mut self, image: &ImageId, fence: u64) {
        let freed = self.world.free(image, fence).await;
        self.is_written(image, freed);
    }

    async fn start(&mut self, start: Start, record: Record) {
        let claim = Claim {
            owner: self.owner.to_owned(),
            claimed_at: self.now,
            lease_until: LEASE.after(self.now),
            start: start.clone(),
            execution: None,
        };
        let attempt = Attempt { key: start.key.clone(), number: start.attempt };
        let claimed =
            Record { claim: Some(claim), last_attempt: Some(attempt), waiting_since: None, ..record.clone() };
        match self.world.claim(&start.image, &claimed, self.hierarchy.limits(), self.now).await {
            Ok(()) => self.make(start, Record { fence: claimed.fence + 1, ..claimed }).await,
            Err(NotClaimed::AtLimit(limit)) => {
                self.save(&start.image, &record).await;
                self.hold(&start, Hold::AtLimit { limit });
            }
            Err(NotClaimed::Conflict) => {
                self.is_whole = false;
                self.hold(&start, Hold::Unresolved { because: "another invocation acts on it".into() });
            }
            Err(error) => {
                self.fail(Some(&start.image), &error);
                // The claim may have been written and its answer lost: then this conflicts, and the claim is found.
                self.save(&start.image, &record).await;
                self.hold(&start, Hold::Unresolved { because: "the claim could not be written".into() });
            }
        }
    }

    /// Makes the claimed start, and confirms it.
    async fn make(&mut self, start: Start, mut record: Record) {
        match self.world.start(&start).await {
            Ok(execution) => {
                if let Some(claim) = &mut record.claim {
                    claim.execution = Some(execution.clone());
                }
                // If this fails the build runs all the same: whoever looks at the claim next finds its execution.
                if let Err(error @ NotSaved::Fault(_)) = self.world.save(&start.image, &record).await {
                    self.fail(Some(&start.image), &error);
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
                self.fail(Some(&start.image), &error);
                self.hold(&start, Hold::Unresolved { because: "the start was not answered".into() });
            }
            Err(NotStarted::Refused(refused)) => {
                self.fail(Some(&start.image), &refused);
                self.give_up(&start, record, &refused).await;
            }
        }
    }

    /// Certainly nothing was started: the claim ends. A refusal counts as a failure, unless it only means later.
    async fn give_up(&mut self, start: &Start, mut record: Record, refused: &Fault) {
        let later = refused.kind == FaultKind::Throttled;
        let failures =
            Failures::after(record.failures.take(), &start.inputs, !later, refused.to_string(), self.now);
        let hold = if later {
            Hold::AtLimit { limit: Limit::Pipeline }
        } else {
            Hold::BackOff { failures: failures.count, until: self.now, because: failures.because.clone() }
        };
        record.claim = None;
        record.failures = Some(failures);
        if self.save(&start.image, &record).await {
            self.free(&start.image, record.fence + 1).await;
        }
        self.hold(start, hold);
    }

    /// Sends what stands unsent in the ledger, and marks it there. What is cut off in between is sent again.
    async fn tell(&mut self, notices: Vec<Notice>) {
        if notices.is_empty() {
            return;
        }
        let images = notices.iter().map(|notice| notice.image.clone()).collect();
        let mut stored = match self.world.records(&images).await {
            Ok(stored) => stored.read,
            Err(fault) => return self.fail(None, &fault),
        };
        let stands = |notice: &Notice| {
            let told = stored.get(&notice.image).and_then(|record| record.told.get(&notice.root_cause));
            told.is_some_and(|told| told.revision == notice.revision && !told.sent)
        };
        let notices: Vec<Notice> = notices.into_iter().filter(stands).collect();
        let answers = self.world.tell(&notices).await;
        let mut sent = BTreeSet::new();
        for (notice, answer) in notices.into_iter().zip(answers) {
            match answer {
                Ok(()) => {
                    let record = stored.get_mut(&notice.image);
                    if let Some(told) = record.and_then(|record| record.told.get_mut(&notice.root_cause)) {
                        told.sent = true;
                    }
                    sent.insert(notice.image.clone());
                    self.report.told.push(notice);
                }
                Err(fault) => self.fail(Some(&notice.image), &fault),
            }
        }
        for image in &sent {
            let Some(record) = stored.get(image) else { continue };
            if let Err(error @ NotSaved::Fault(_)) = self.world.save(image, record).await {
                self.fail(Some(image), &error);
            }
        }
    }

    fn hold(&mut self, start: &Start, hold: Hold) {
        self.report.held.push(Held::new(start.image.clone(), hold, start.reasons.clone()));
    }
}
