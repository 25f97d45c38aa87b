//! What must be true of each start.

use std::collections::BTreeMap;

use patchwave::hierarchy::{Hierarchy, Image};
use patchwave::image::{Digest, ImageId};
use patchwave::plan::Start;
use patchwave::policy::{Limits, Mode, Rebuild};
use patchwave::record::Record;
use patchwave::time::Timestamp;
use patchwave_converge::LEASE;

use crate::not_yet::NotYet;
use crate::pipelines::{self, Execution};
use crate::state::State;

/// A start that is about to be made, and what its invocation knows.
pub(crate) struct StartCheck<'c> {
    pub(crate) start: &'c Start,
    /// The current versions that the invocation saw.
    pub(crate) seen: BTreeMap<ImageId, Digest>,
    pub(crate) ceiling: Mode,
    /// The highest limits of all editions of the hierarchy. A claim is made under the limits of its
    /// time, and its start may follow others that a later edition allows.
    pub(crate) limits: Limits,
    /// The time by the invocation's clock, which decides what day it is.
    pub(crate) day: Timestamp,
    pub(crate) now: Timestamp,
}

impl State {
    /// Checks a claim that was just written. A decision of a person that is older than the claim is
    /// in the record that it was planned from, or the claim conflicts.
    pub(crate) fn check_claim(&mut self, image: &ImageId, record: &Record, now: Timestamp) {
        if self.truth.frozen.contains(image) {
            self.checker.violation(now, format!("{image} is claimed although it is frozen"));
        }
        if let Some(claim) = &record.claim {
            self.truth.claimed(image, claim.claimed_at);
        }
        let replaces = record.claim.as_ref().and_then(|claim| claim.start.replaces.as_ref());
        let is_put_back = replaces.is_some() && replaces == self.truth.put_back.get(image);
        let success = record.success.as_ref().map(|success| &success.version);
        let is_taken_for_ours =
            is_put_back && success == replaces && self.truth.leaves_out(NotYet::MovedBackToPersonsPush);
        if is_put_back && !is_taken_for_ours {
            let violation = format!("{image} is claimed although a person put its version back");
            self.checker.violation(now, violation);
        }
    }

    /// Checks a start that is about to be made.
    pub(crate) fn check_start(&mut self, hierarchy: &Hierarchy, check: &StartCheck<'_>) {
        let Ok(image) = hierarchy.image(&check.start.image) else { return };
        let mut violations = self.forbidden(image, check);
        violations.extend(self.over_limit(hierarchy, check));
        violations.extend(self.over_owners_limit(hierarchy, image, check));
        violations.extend(self.stale_parents(hierarchy, check));
        violations.extend(self.overtakes(check));
        violations.extend(self.without_purpose(hierarchy, image, check));
        let already = self.pipelines.in_progress().find(|execution| execution.start.image == image.id);
        if let Some(already) = already {
            violations.push(format!("{} runs already, since {}", image.id, already.started_at));
            self.checker.duplicates += 1;
        }
        for violation in violations {
            self.checker.violation(check.now, violation);
        }
    }

    /// Finds starts in observe mode, and where policy leaves them to people.
    fn forbidden(&self, image: &Image, check: &StartCheck<'_>) -> Vec<String> {
        let mut violations = Vec::new();
        if image.policy.mode.min(check.ceiling) == Mode::Observe {
            violations.push(format!("{} is started in observe mode", image.id));
        }
        let record = self.ledger.record(&image.id);
        let approval = record.and_then(|record| record.approval.as_ref());
        match image.policy.rebuild {
            Rebuild::Auto => {}
            Rebuild::Approval if approval.is_some_and(|a| a.replaces == check.start.replaces) => {}
            other => violations.push(format!("{} is started although policy says {other:?}", image.id)),
        }
        violations
    }

    fn over_limit(&mut self, hierarchy: &Hierarchy, check: &StartCheck<'_>) -> Vec<String> {
        let StartCheck { start, limits, .. } = check;
        let mut violations = Vec::new();
        let others = self.pipelines.in_progress();
        let others = others.filter(|execution| self.holds_slot(hierarchy, execution, check.now)).count();
        if others >= limits.max_concurrent_builds as usize && self.is_claimed(start) {
            violations.push(format!("{} starts beside {others} others", start.image));
        }
        let day: String = check.day.to_string().chars().take(10).collect();
        let today = self.checker.starts_by_day.entry(day).or_default();
        *today += 1;
        // One that would miss a deadline tomorrow is counted, and not held.
        if *today > limits.max_starts_per_day && !start.keeps_deadline {
            violations.push(format!("{} is start {today} of its day", start.image));
        }
        violations
    }

    /// Returns whether the start's claim still stands. An invocation that was frozen between claim
    /// and start cannot know that it does not.
    fn is_claimed(&self, start: &Start) -> bool {
        let claim = self.ledger.record(&start.image).and_then(|record| record.claim.as_ref());
        claim.is_some_and(|claim| claim.start.key == start.key)
    }

    /// Finds builds of the same owner that leave no room for the start. Two passes at once do not
    /// see each other's, and the ledger does not count by owner.
    fn over_owners_limit(
        &self,
        hierarchy: &Hierarchy,
        image: &Image,
        check: &StartCheck<'_>,
    ) -> Option<String> {
        let owner = image.owner.as_ref()?;
        let most = owner.max_concurrent_builds? as usize;
        let is_theirs = |execution: &&Execution| {
            let theirs = hierarchy.image(&execution.start.image).ok().and_then(|image| image.owner.as_ref());
            theirs == Some(owner)
                && LEASE.after(execution.started_at) <= check.now
                && self.holds_slot(hierarchy, execution, check.now)
        };
        let others = self.pipelines.in_progress().filter(is_theirs).count();
        (others >= most).then(|| format!("{} starts beside {others} others of {}", image.id, owner.name))
    }

    /// Finds an execution of another that the start would supersede. Patchwave may not see one that
    /// began after it read the pipeline.
    fn overtakes(&self, check: &StartCheck<'_>) -> Option<String> {
        let pipeline = &check.start.pipeline;
        let since = self.pipelines.foreign_since(pipeline)?;
        let was_seen = LEASE.after(since) <= check.now;
        let mode = pipelines::Mode::of(self.seed, pipeline, self.faults.has_faults());
        (mode == pipelines::Mode::Superseding && was_seen)
            .then(|| format!("{} supersedes an execution that runs since {since}", check.start.image))
    }

    /// An execution takes its slot with the claim, which may be older than the start by a lease. It
    /// gives the slot back with the next push, of Patchwave or a person, or after the longest build
    /// time.
    fn holds_slot(&self, hierarchy: &Hierarchy, execution: &Execution, now: Timestamp) -> bool {
        let Ok(image) = hierarchy.image(&execution.start.image) else { return false };
        let claimed_at = LEASE.before(execution.started_at);
        let pushed = self.registry.current(&image.repository, &image.line);
        image.policy.max_build_time.after(claimed_at) > now
            && pushed.is_none_or(|pushed| pushed.version.pushed_at <= claimed_at)
    }

    /// Finds parents that the invocation knew not to be the current ones. A parent that changed
    /// after the invocation read it is allowed.
    fn stale_parents(&self, hierarchy: &Hierarchy, check: &StartCheck<'_>) -> Vec<String> {
        let stale = |(parent, named): (&ImageId, &Digest)| {
            let image = hierarchy.image(parent).ok()?;
            let current = &self.registry.current(&image.repository, &image.line)?.version.digest;
            (named != current && check.seen.get(parent) != Some(named))
                .then(|| format!("{} is built on an old {parent}", check.start.image))
        };
        check.start.parents.iter().filter_map(stale).collect()
    }
}
