//! Does what a plan says, in the order that loses nothing if it is cut off between any two calls.
//!
//! First the records that enter the index of the unsettled, then the starts, then the records that leave it: whatever is
//! interrupted is found again by the next tick. A start is claimed with its whole request before it is made, and
//! confirmed after.

use std::collections::BTreeMap;

use patchwave::facts::Facts;
use patchwave::hierarchy::Hierarchy;
use patchwave::image::ImageId;
use patchwave::plan::{Hold, Plan, Start};
use patchwave::record::{Attempt, Claim, Failures, Record};
use patchwave::time::{Span, Timestamp};

use crate::report::{Failure, Held, Report, Started};
use crate::world::{NotClaimed, NotSaved, NotStarted, World};

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
    let Plan { starts, holds, reasons, proofs, unknown, scans, mut records, freed } = plan;
    let mut pass =
        Pass { world, hierarchy, owner, now: facts.observed_at, report: Report::default(), is_whole: true };
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

    let fences = freed.into_iter().filter_map(|id| Some((facts.images.get(&id)?.record.fence, id)));
    let mut fences: BTreeMap<ImageId, u64> = fences.map(|(fence, id)| (id, fence)).collect();
    for (image, record) in &entering {
        match (pass.save(image, record).await, fences.get_mut(image)) {
            (true, Some(fence)) => *fence += 1,
            // Whoever wrote it instead may have claimed it: its slot is theirs.
            (false, Some(_)) => drop(fences.remove(image)),
            (_, None) => {}
        }
    }
    pass.free(&fences).await;
    for (start, record) in starting {
        pass.start(start, record).await;
    }
    if pass.is_whole {
        for (image, record) in &leaving {
            pass.save(image, record).await;
        }
    }
    for scan in scans {
        match world.request_scan(&scan.repository, &scan.digest).await {
            Ok(true) => pass.report.scans_requested.push(scan),
            Ok(false) => {}
            Err(fault) => pass.fail(Some(&scan.image), &fault),
        }
    }

    let mut report = pass.report;
    report.is_whole = pass.is_whole;
    let held = holds.into_iter().map(|(image, hold)| Held {
        lifted_by: hold.lifted_by(),
        reasons: reasons.get(&image).cloned().unwrap_or_default(),
        image,
        hold,
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

    /// Tells whether the record is known to be written.
    async fn save(&mut self, image: &ImageId, record: &Record) -> bool {
        let saved = self.world.save(image, record).await;
        self.is_whole &= saved.is_ok();
        // A conflict is nobody's error: whoever was faster planned with newer facts, and what this plan meant to write is
        // found by the next.
        if let Err(error @ NotSaved::Fault(_)) = &saved {
            self.fail(Some(image), error);
        }
        saved.is_ok()
    }

    async fn free(&mut self, fences: &BTreeMap<ImageId, u64>) {
        if fences.is_empty() {
            return;
        }
        if let Err(fault) = self.world.free(fences).await {
            self.is_whole = false;
            self.fail(None, &fault);
        }
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
            Err(error @ NotStarted::Refused(_)) => {
                self.fail(Some(&start.image), &error);
                self.give_up(&start, record).await;
            }
        }
    }

    /// Certainly nothing was started: the claim ends, and the refusal counts as a failure.
    async fn give_up(&mut self, start: &Start, mut record: Record) {
        record.claim = None;
        let before = record.failures.take().filter(|failures| failures.inputs == start.inputs);
        let count = before.map_or(0, |failures| failures.count) + 1;
        record.failures =
            Some(Failures { count, last: self.now, inputs: start.inputs.clone(), failed: true });
        if self.save(&start.image, &record).await {
            self.free(&[(start.image.clone(), record.fence + 1)].into()).await;
        }
        self.hold(start, Hold::BackOff { failures: count, until: self.now });
    }

    fn hold(&mut self, start: &Start, hold: Hold) {
        self.report.held.push(Held {
            image: start.image.clone(),
            lifted_by: hold.lifted_by(),
            hold,
            reasons: start.reasons.clone(),
        });
    }
}
