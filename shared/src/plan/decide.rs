//! Decides for each image: it starts, or the first hold that applies holds it.

use std::collections::BTreeMap;

use super::attribution::{Attribution, Attributions};
use super::context::{Context, TICK};
use super::hold::FROM_UNKNOWN;
use super::pipeline;
use super::reasons::Reasons;
use super::retry;
use super::unread::{unread_base, unread_parent};
use super::{Awaited, Cause, Hold, Limit, Reason, upstream};
use crate::facts::{Current, Version};
use crate::finding::{Scan, Severity};
use crate::hierarchy::{Image, Line, Parent};
use crate::image::ImageId;
use crate::policy::Mode;
use crate::record::{Ended, Failures, PendingProof, Ready};
use crate::time::{Span, Timestamp};
use crate::upstream::Tracked;

/// The decision about one image.
pub(super) struct Decision<'a> {
    pub(super) image: &'a Image,
    pub(super) reasons: Vec<Reason>,
    /// Why it does not start; nothing if it does.
    pub(super) hold: Option<Hold>,
    /// Since when the image, or an ancestor whose change it will follow, has been about to change.
    /// Nothing if it is settled.
    pub(super) moving_since: Option<Timestamp>,
    /// Whether the image waits only for time, a build or a scan, so that a tick must look at it.
    pub(super) unsettled: bool,
    /// Its place in the queue, if it starts now or waits for nothing but a slot.
    pub(super) ready: Option<Ready>,
}

/// All decisions, as they are made: parents before children.
pub(super) type Decisions<'a> = BTreeMap<&'a ImageId, Decision<'a>>;

/// Decides about every image in scope, as if no limit existed.
pub(super) fn decide<'a>(
    context: &Context<'a>,
    attributions: &Attributions<'a>,
    mut reasons: BTreeMap<&'a ImageId, Reasons>,
) -> Decisions<'a> {
    let mut decisions = Decisions::new();
    let nothing = Attribution::default();
    for image in context.decided() {
        let attribution = attributions.of.get(&image.id).unwrap_or(&nothing);
        let reasons = reasons.remove(&image.id).unwrap_or_default();
        let decision =
            Candidate { context, image, attribution, reasons: &reasons, decisions: &decisions }.decide();
        decisions.insert(&image.id, Decision { reasons: reasons.active, ..decision });
    }
    decisions
}

/// One image, and all that its decision depends on.
struct Candidate<'c, 'a> {
    context: &'c Context<'a>,
    image: &'a Image,
    attribution: &'c Attribution<'a>,
    reasons: &'c Reasons,
    decisions: &'c Decisions<'a>,
}

impl<'a> Candidate<'_, 'a> {
    fn decide(&self) -> Decision<'a> {
        let hold = self.hold();
        Decision {
            image: self.image,
            reasons: Vec::new(),
            moving_since: self.moving_since(hold.as_ref()),
            unsettled: self.is_unsettled(hold.as_ref()),
            ready: None,
            hold,
        }
    }

    /// The first hold that applies, in the order of [`Hold`]; nothing if the image starts.
    fn hold(&self) -> Option<Hold> {
        let has_reason = !self.reasons.active.is_empty();
        self.in_flight()
            .or_else(|| self.no_repository())
            .or_else(|| self.unknown())
            .or_else(|| if has_reason { self.cannot_start() } else { self.hold_without_reason() })
            .or_else(|| self.waiting())
            .or_else(|| self.awaiting_proof())
            .or_else(|| self.not_promoted())
            .or_else(|| if has_reason { self.must_not_start_yet() } else { Some(Hold::Fresh) })
    }

    fn in_flight(&self) -> Option<Hold> {
        let claim = self.context.record(&self.image.id).claim.as_ref()?;
        let unread = self.context.unread_execution(&self.image.id);
        let is_owned = !claim.is_confirmed() && claim.lease_until > self.context.now;
        if is_owned || (claim.is_confirmed() && unread.is_none()) {
            return Some(Hold::InFlight {
                pipeline: claim.start.pipeline.clone(),
                execution: claim.execution.clone(),
                until: self.image.policy.max_build_time.after(claim.claimed_at),
            });
        }
        let because = unread.map_or_else(
            || format!("Patchwave has not searched for the execution with build key {} yet", claim.start.key),
            ToString::to_string,
        );
        Some(Hold::Unresolved { because })
    }

    fn no_repository(&self) -> Option<Hold> {
        match &self.context.facts_of(&self.image.id)?.current {
            Current::NoRepository(registry) => Some(Hold::NoRepository {
                repository: self.image.repository.clone(),
                registry: registry.clone(),
            }),
            _ => None,
        }
    }

    fn unknown(&self) -> Option<Hold> {
        if self.image.from == Parent::Unknown {
            return Some(Hold::Unknown { because: FROM_UNKNOWN.to_owned() });
        }
        let because = self.context.unknown(&self.image.id).or_else(|| {
            if self.reasons.active.is_empty() {
                return self.unread_above().or_else(|| self.unknown_scan());
            }
            let mut parents = self.context.hierarchy.parents(&self.image.id);
            parents
                .find_map(|parent| self.context.unknown(&parent.image.id))
                .or_else(|| pipeline::unread(self.context, self.image).map(ToString::to_string))
        })?;
        Some(Hold::Unknown { because })
    }

    /// Says what about the parents could not be read, if the image has no reasons.
    fn unread_above(&self) -> Option<String> {
        let unread = unread_parent(self.context, &self.attribution.unscanned);
        unread.or_else(|| unread_base(self.context, self.image)).map(|unread| unread.because)
    }

    /// Says why an image without reasons is not known to be clean.
    fn unknown_scan(&self) -> Option<String> {
        let attribution = self.attribution;
        // The hold `WaitingOn` or `AwaitingProof` explains these cases better.
        let known = !attribution.above.is_empty()
            || !attribution.unscanned.is_empty()
            || self.awaiting_proof().is_some();
        let Some(version) = self.context.current(&self.image.id) else {
            return Some("no version matches its tag pattern".into());
        };
        if version.platforms.is_empty() {
            return Some("its index lists no platform".into());
        }
        let unknown = version.platforms.iter().find_map(|(platform, manifest)| {
            Some(format!("{platform}: {}", manifest.scan.unknown_because()?))
        });
        unknown.filter(|_| !known)
    }

    /// Returns the hold if a build is impossible until a person changes something.
    fn cannot_start(&self) -> Option<Hold> {
        if self.is_rolled_back() {
            return Some(Hold::RolledBack);
        }
        if pipeline::lacks_revision(self.context, self.image) {
            return Some(Hold::UnknownRevision);
        }
        let unfit = pipeline::unfit(self.context, self.image);
        unfit.map(|because| Hold::NoPipeline { because }).or_else(|| self.pinned())
    }

    /// Holds the image if its source names its parents by digest: a rebuild brings the same again.
    /// A person's request is made all the same.
    fn pinned(&self) -> Option<Hold> {
        let is_requested =
            self.reasons.active.iter().any(|reason| matches!(reason, Reason::Requested { .. }));
        if !self.image.pinned || is_requested {
            return None;
        }
        let parents = self.context.hierarchy.parents(&self.image.id);
        let parents = parents.filter_map(|parent| {
            let id = &parent.image.id;
            Some((id.clone(), self.context.current(id)?.digest.clone()))
        });
        let upstream = upstream::current(self.context, self.image);
        Some(Hold::Pinned { parents: parents.chain(upstream).collect() })
    }

    /// Holds the image until people promote what was built for its environment. Meanwhile another
    /// build would be one more that nobody promoted.
    fn not_promoted(&self) -> Option<Hold> {
        let environment = self.image.line.environment()?.to_owned();
        let promoted = self.context.facts_of(&self.image.id)?.promoted.as_ref()?;
        let version = &self.context.current(&self.image.id)?.digest;
        (promoted != version).then(|| Hold::NotPromoted { environment, version: version.clone() })
    }

    /// Whether the current version was pushed before Patchwave's last one. A person then put it
    /// back.
    fn is_rolled_back(&self) -> bool {
        // Patchwave patches the commit that an environment has, even if it is an older one.
        if self.image.line.is_of_environment() {
            return false;
        }
        let Some(success) = &self.context.record(&self.image.id).success else { return false };
        let is_line_of_commits = matches!(self.image.line, Line::Newest(_));
        self.context.current(&self.image.id).is_some_and(|now| {
            let is_release =
                is_line_of_commits && success.claimed_at.is_some_and(|claimed_at| now.pushed_at > claimed_at);
            !is_release
                && now.digest != success.version
                && now.pushed_at < success.pushed_at
                && success.followed.as_ref() != Some(&now.digest)
        })
    }

    fn hold_without_reason(&self) -> Option<Hold> {
        let attribution = self.attribution;
        let cannot_help = || attribution.unfixable.iter().chain(&attribution.unscannable);
        if let Some((_, because)) = cannot_help().next() {
            let findings = cannot_help().map(|(finding, _)| finding.clone()).collect();
            return Some(Hold::CannotHelp { findings, because: because.clone() });
        }
        if let Some(until) = attribution.suppressed.values().min()
            && attribution.above.is_empty()
            && attribution.quarantined.is_empty()
        {
            return Some(Hold::Suppressed {
                findings: attribution.suppressed.keys().cloned().collect(),
                until: *until,
            });
        }
        (!attribution.quarantined.is_empty())
            .then(|| Hold::Quarantined { findings: attribution.quarantined.clone() })
    }

    fn waiting(&self) -> Option<Hold> {
        self.waiting_on_moving()
            .or_else(|| self.waiting_on_findings())
            .or_else(|| upstream::waiting_on_cache(self.context, self.image, &self.reasons.active))
    }

    /// Holds the image for a parent that is about to change for reasons older than the image's own
    /// wait, or for a parent that has no version.
    fn waiting_on_moving(&self) -> Option<Hold> {
        let since = self.waiting_since();
        let parent = self.context.hierarchy.parents(&self.image.id).find(|parent| {
            let id = &parent.image.id;
            let is_moving =
                self.decisions.get(id).and_then(|d| d.moving_since).is_some_and(|moving| moving <= since);
            // The parent may itself wait for the build that hangs.
            let builds = match self.decisions.get(id).and_then(|decision| decision.hold.as_ref()) {
                Some(Hold::WaitingOn { on, .. }) => on,
                _ => id,
            };
            (is_moving && !(self.is_hung(builds) && self.has_reason_besides(id)))
                || (!self.reasons.active.is_empty() && self.context.current(id).is_none())
        })?;
        Some(self.waiting_on(&parent.image.id))
    }

    /// Returns since when the image has waited. A child that no pass has reached yet, on the walk
    /// over the children of a settled parent, has waited since that settled. So a parent that
    /// changes every hour cannot make it wait again and again.
    fn waiting_since(&self) -> Timestamp {
        let parents = self.context.hierarchy.parents(&self.image.id);
        let walks = parents.filter_map(|parent| self.context.record(&parent.image.id).rolling.as_ref());
        let reached_from = || walks.map(|walk| walk.since).min();
        let waiting_since = self.context.record(&self.image.id).waiting_since;
        waiting_since.or_else(reached_from).unwrap_or(self.context.now)
    }

    /// Whether the build of a parent has run longer than `maxBuildTime`. Such a build may never
    /// end.
    fn is_hung(&self, parent: &ImageId) -> bool {
        let claimed_at = self.context.record(parent).claim.as_ref().map(|claim| claim.claimed_at);
        let longest = self.context.hierarchy.image(parent).map(|parent| parent.policy.max_build_time);
        claimed_at.zip(longest.ok()).is_some_and(|(at, longest)| longest.after(at) <= self.context.now)
    }

    /// Whether the image has a reason that the build of `parent` does not answer. Age alone can
    /// wait.
    fn has_reason_besides(&self, parent: &ImageId) -> bool {
        self.reasons.active.iter().any(|reason| match reason {
            Reason::Vulnerable { .. } | Reason::Requested { .. } => true,
            Reason::ParentChanged { parent: changed, .. } => changed != parent,
            Reason::NeverBuilt { .. } | Reason::Expired { .. } => false,
        })
    }

    /// Holds the image for an ancestor that introduced its findings. An image with reasons of its
    /// own does not wait for a parked ancestor.
    fn waiting_on_findings(&self) -> Option<Hold> {
        if !self.reasons.active.is_empty() {
            return None;
        }
        if let Some(parent) = self.attribution.unscanned.iter().next() {
            return Some(Hold::WaitingOn { on: (*parent).clone(), awaits: Awaited::Scan });
        }
        let on = self.attribution.above.iter().copied().chain(self.reasons.withheld.iter()).next()?;
        Some(self.waiting_on(on))
    }

    /// Names the ancestor at the top of the wait: the one whose own hold must end.
    fn waiting_on(&self, on: &ImageId) -> Hold {
        let awaits = match self.decisions.get(on).and_then(|decision| decision.hold.clone()) {
            Some(waiting @ Hold::WaitingOn { .. }) => return waiting,
            Some(hold) => Awaited::Hold(Box::new(hold)),
            None => Awaited::Start,
        };
        Hold::WaitingOn { on: on.clone(), awaits }
    }

    fn awaiting_proof(&self) -> Option<Hold> {
        let proof = self.context.record(&self.image.id).proof.as_ref()?;
        (proof.is_awaited() && proof.until > self.context.now)
            .then_some(Hold::AwaitingProof { until: proof.until })
    }

    /// Returns the hold if the image must wait for a time or a limit, or if policy forbids the
    /// start.
    fn must_not_start_yet(&self) -> Option<Hold> {
        let waits = self.quiet_period().or_else(|| self.back_off()).or_else(|| self.fruitless());
        if let Some(hold) = waits.or_else(|| self.next_try()) {
            return Some(hold);
        }
        let observing = self.context.mode(self.image) == Mode::Observe;
        self.context
            .left_to_people(self.image)
            .or_else(|| self.pipelines_limit())
            .or_else(|| observing.then_some(Hold::Observing))
    }

    fn quiet_period(&self) -> Option<Hold> {
        let context = self.context;
        let severity = self.attribution.severity.unwrap_or(Severity::Unrated);
        let policy = &self.image.policy;
        let longest =
            policy.max_wait.after(context.record(&self.image.id).waiting_since.unwrap_or(context.now));
        self.reasons.active.iter().find_map(|reason| {
            let Reason::ParentChanged { parent, .. } = reason else { return None };
            let quiet = policy.quiet_period.for_severity(severity);
            // What it fixes is due by the finding, and upstream is known to have pushed the fix.
            if self.attribution.fixed_by.contains(parent) {
                return None;
            }
            if let Some(content) = context.upstream(parent).and_then(Tracked::current) {
                let until = quiet.after(content.since).min(longest);
                return (until > context.now).then(|| Hold::QuietPeriod { parent: parent.clone(), until });
            }
            let now = context.current(parent)?;
            // A push by Patchwave is complete when its execution has succeeded.
            let ours =
                context.record(parent).success.as_ref().is_some_and(|success| success.version == now.digest);
            let until = quiet.after(now.pushed_at).min(longest);
            (!ours && until > context.now).then(|| Hold::QuietPeriod { parent: parent.clone(), until })
        })
    }

    /// Holds the image for 1, 2, 4 … 32 hours, from the second failure in a row on the same inputs.
    /// After a stopped build it waits for the quiet period.
    fn back_off(&self) -> Option<Hold> {
        let failures = self.context.record(&self.image.id).failures.as_ref()?;
        if failures.inputs != self.context.inputs(self.image) {
            return None;
        }
        let wait = match (failures.ended, failures.count) {
            (Ended::AtLimit, _) => return None,
            (Ended::Stopped, _) => self.image.policy.quiet_period.default,
            (Ended::Failed, 0 | 1) => Span::ZERO,
            (Ended::Failed, count) => Span::hours(1 << (count - 2).min(5)),
        };
        let until = wait.after(failures.last);
        (until > self.context.now).then(|| Hold::BackOff {
            failures: failures.count,
            until,
            because: failures.because.clone(),
        })
    }

    /// Holds the image for 1, 2, 4 … 32 hours, from the second build in a row that changed nothing:
    /// whoever pushes parents again and again takes no more of the day's starts than that. A
    /// critical finding and a person do not wait.
    fn fruitless(&self) -> Option<Hold> {
        let success = self.context.record(&self.image.id).success.as_ref()?;
        let is_awaited = self.attribution.severity == Some(Severity::Critical)
            || self.attribution.causes.iter().any(|cause| cause.exploited)
            || self.reasons.active.iter().any(|reason| matches!(reason, Reason::Requested { .. }));
        if success.fruitless < 2 || is_awaited {
            return None;
        }
        let until = Span::hours(1 << (success.fruitless - 2).min(5)).after(success.at);
        (until > self.context.now).then(|| Hold::BackOff {
            failures: 0,
            until,
            because: format!("its last {} builds succeeded and changed nothing", success.fruitless),
        })
    }

    /// Holds the image until its next try, if nothing else is a reason to build it.
    fn next_try(&self) -> Option<Hold> {
        let is_try = |reason: &Reason| match reason {
            Reason::Vulnerable { causes, .. } => causes.iter().all(Cause::is_retried),
            _ => false,
        };
        if !self.reasons.active.iter().all(is_try) {
            return None;
        }
        retry::waits_until(self.context, self.image, self.attribution).map(|until| Hold::NextTry { until })
    }

    /// Holds the image while its pipeline runs a release, or after the pipeline or the account that
    /// builds took no more.
    fn pipelines_limit(&self) -> Option<Hold> {
        let failures = self.context.record(&self.image.id).failures.as_ref();
        let paused = failures.and_then(Failures::paused_until).filter(|until| *until > self.context.now);
        // No event tells when a release ends that waits for its approval.
        let busy = pipeline::is_busy(self.context, self.image).then(|| TICK.after(self.context.now));
        paused.max(busy).map(|until| Hold::AtLimit { limit: Limit::Pipeline, until })
    }

    /// Returns since when children have had a reason to wait for this image.
    fn moving_since(&self, hold: Option<&Hold>) -> Option<Timestamp> {
        let record = self.context.record(&self.image.id);
        if let Some(claim) = &record.claim {
            return Some(claim.start.since);
        }
        if self.awaiting_proof().is_some() || self.awaits_unread_proof() {
            return record.success.as_ref().map(|success| success.since);
        }
        if !pipeline::can_start(self.context, self.image) {
            return None;
        }
        match hold {
            None | Some(Hold::QuietPeriod { .. }) => self.reasons.active.iter().map(Reason::since).min(),
            // A release may wait a week for its approval. Children wait for it no longer than
            // `maxWait`, which also limits quiet periods.
            Some(Hold::AtLimit { .. }) if !self.has_waited_long() => {
                self.reasons.active.iter().map(Reason::since).min()
            }
            Some(hold) => self.following_since(hold),
        }
    }

    /// Whether the scan that proves the last build could not be read. Children wait for it no
    /// longer than `maxWait`.
    fn awaits_unread_proof(&self) -> bool {
        let record = self.context.record(&self.image.id);
        let judges = record.proof.as_ref().is_some_and(PendingProof::is_awaited);
        let longest = record.success.as_ref().map(|success| self.image.policy.max_wait.after(success.at));
        judges
            && longest.is_some_and(|longest| longest > self.context.now)
            && self.context.unread(&self.image.id).next().is_some()
    }

    fn has_waited_long(&self) -> bool {
        let since = self.context.record(&self.image.id).waiting_since;
        since.is_some_and(|since| self.image.policy.max_wait.after(since) <= self.context.now)
    }

    /// An ancestor that moves makes this image move too, because this image follows it. So settling
    /// is transitive.
    fn following_since(&self, hold: &Hold) -> Option<Timestamp> {
        let parents = self.context.hierarchy.parents(&self.image.id);
        let above = parents.filter_map(|parent| self.decisions.get(&parent.image.id)?.moving_since).min();
        let awaits_scan =
            matches!(hold, Hold::WaitingOn { awaits: Awaited::Scan, .. } | Hold::Unknown { .. });
        let own = (awaits_scan && !self.scan_is_overdue())
            .then(|| self.attribution.seen.values().min().copied())
            .flatten();
        above.into_iter().chain(own).min()
    }

    /// Whether this image has waited for a parent's scan longer than `proofWait`, or longer than
    /// `maxWait` if that scan cannot be read. Its children then stop waiting.
    fn scan_is_overdue(&self) -> bool {
        if self.attribution.unscanned.is_empty() {
            return true;
        }
        let policy = &self.image.policy;
        let severity = self.attribution.severity.unwrap_or(Severity::Unrated);
        let longest = match unread_parent(self.context, &self.attribution.unscanned) {
            Some(_) => policy.max_wait,
            None => policy.proof_wait.for_severity(severity),
        };
        let since = self.context.record(&self.image.id).scan_awaited_since;
        since.is_some_and(|since| longest.after(since) <= self.context.now)
    }

    fn is_unsettled(&self, hold: Option<&Hold>) -> bool {
        let waits = !self.reasons.active.is_empty() || !self.attribution.above.is_empty();
        let judged_later = self.context.record(&self.image.id).proof.is_some();
        judged_later
            || match hold {
                None
                | Some(
                    Hold::BackOff { .. }
                    | Hold::WaitingOn { awaits: Awaited::Scan | Awaited::Cache { .. }, .. },
                ) => true,
                Some(Hold::WaitingOn { awaits: Awaited::Start, .. }) => waits,
                Some(Hold::WaitingOn { awaits: Awaited::Hold(hold), .. }) => {
                    waits && (hold.is_moving() || matches!(**hold, Hold::BackOff { .. }))
                }
                Some(Hold::Unknown { .. }) => self.may_become_known(),
                // The record keeps what could not be read unsettled.
                Some(Hold::Unresolved { .. }) if self.is_hung(&self.image.id) => false,
                Some(hold) => hold.is_moving(),
            }
    }

    /// Whether the next tick may find what is unknown now. A scan ends, but a scan that was never
    /// requested does not appear. The record keeps what could not be read unsettled.
    fn may_become_known(&self) -> bool {
        if self.image.from == Parent::Unknown {
            return false;
        }
        let pending =
            |version: &Version| version.platforms.values().any(|manifest| manifest.scan == Scan::Pending);
        (!self.reasons.active.is_empty() && pipeline::unread(self.context, self.image).is_none())
            || (self.context.unknown(&self.image.id).is_some()
                && self.context.unread(&self.image.id).next().is_none())
            || self.context.current(&self.image.id).is_some_and(pending)
    }
}
