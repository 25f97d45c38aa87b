//! Policy from the file to its tiers to its images: the nearest key counts.

use serde_saphyr::{Location, Spanned};

use super::Tier;
use super::draft::{Draft, place, read_family};
use super::error::{Problem, Report};
use super::file::{
    DeadlinesKeys, FleetKeys, HasPolicy as _, LastDay, PatienceKeys, PolicyKeys, Rare, SuppressKeys,
    TierKeys, TiersKeys,
};
use super::warning::Advice;
use super::written::{ShortOr, Written, at_least_one};
use crate::image::{TagFamily, glob};
use crate::policy::{Deadlines, Limits, Patience, Policy, Suppression};
use crate::time::Span;

/// The policies of the file and its tiers, and the limits of the fleet.
#[derive(Debug)]
pub(super) struct Fleet {
    pub(super) limits: Limits,
    everywhere: Policy,
    base: Inherited,
    platform: Inherited,
    application: Inherited,
}

/// What the images of a tier inherit.
#[derive(Debug, Clone, Default)]
pub(super) struct Inherited {
    pub(super) policy: Policy,
    /// The pipeline's name, with `{repository}` for the repository's.
    pub(super) pipeline: Option<(Location, String)>,
    pub(super) family: Option<(Location, TagFamily)>,
    pub(super) owner: Option<(Location, String)>,
}

impl Fleet {
    pub(super) fn new(keys: &mut FleetKeys, tiers: TiersKeys, report: &mut Report<'_>) -> Self {
        let everywhere = inherit(&Policy::default(), keys.policy_keys(), report);
        let above = Inherited { policy: everywhere.clone(), ..Inherited::default() };
        let mut of_tier = |tier: Option<TierKeys>| above.with(PolicyKeys::default(), tier, report);
        let (base, platform) = (of_tier(tiers.base), of_tier(tiers.platform));
        let application = of_tier(tiers.application);
        Self { limits: limits(keys, report), everywhere, base, platform, application }
    }

    /// Returns what the images of a part inherit: the main file's tiers, with what the part
    /// changes.
    pub(super) fn of_part(
        &self,
        policy: &mut impl FnMut() -> PolicyKeys,
        tiers: TiersKeys,
        report: &mut Report<'_>,
    ) -> Self {
        Self {
            limits: self.limits,
            everywhere: self.everywhere.clone(),
            base: self.base.with(policy(), tiers.base, report),
            platform: self.platform.with(policy(), tiers.platform, report),
            application: self.application.with(policy(), tiers.application, report),
        }
    }

    /// Returns what the images of `tier` inherit.
    pub(super) fn of(&self, tier: Tier) -> &Inherited {
        match tier {
            Tier::Base => &self.base,
            Tier::Platform => &self.platform,
            Tier::Application => &self.application,
        }
    }

    /// Returns the policy of an image of `tier` with the keys of its own.
    pub(super) fn policy(&self, tier: Tier, keys: PolicyKeys, report: &mut Report<'_>) -> Policy {
        inherit(&self.of(tier).policy, keys, report)
    }
}

impl Inherited {
    fn with(&self, policy: PolicyKeys, tier: Option<TierKeys>, report: &mut Report<'_>) -> Self {
        let mut keys = tier.unwrap_or_default();
        let policy = inherit(&self.policy, policy, report);
        let policy = inherit(&policy, keys.policy_keys(), report);
        let pipeline = keys.pipeline.and_then(|pipeline| place(pipeline, report));
        let family = keys.tag_pattern.and_then(|family| read_family(family, report));
        let owner = keys.owner.and_then(|owner| place(owner, report));
        Self {
            policy,
            pipeline: pipeline.or_else(|| self.pipeline.clone()),
            family: family.or_else(|| self.family.clone()),
            owner: owner.or_else(|| self.owner.clone()),
        }
    }
}

fn limits(keys: &FleetKeys, report: &mut Report<'_>) -> Limits {
    let mut read = |key, written: Option<&Spanned<u32>>, default| {
        written.map_or(default, |written| at_least_one(key, written, report))
    };
    let default = Limits::default();
    Limits {
        max_concurrent_builds: read(
            "maxConcurrentBuilds",
            keys.max_concurrent_builds.as_ref(),
            default.max_concurrent_builds,
        ),
        max_starts_per_day: read(
            "maxStartsPerDay",
            keys.max_starts_per_day.as_ref(),
            default.max_starts_per_day,
        ),
    }
}

fn inherit(inherited: &Policy, keys: PolicyKeys, report: &mut Report<'_>) -> Policy {
    let mut policy = inherited.clone();
    set(&mut policy.mode, keys.mode, report);
    set(&mut policy.rebuild_at, keys.rebuild_at, report);
    set(&mut policy.unknown_fix, keys.unknown_fix, report);
    set(&mut policy.max_age, keys.max_age, report);
    set_patience(&mut policy.quiet_period, keys.quiet_period, report);
    set_patience(&mut policy.proof_wait, keys.proof_wait, report);
    set(&mut policy.scan_max_age, keys.scan_max_age, report);
    set(&mut policy.max_wait, keys.max_wait, report);
    set(&mut policy.max_build_time, keys.max_build_time, report);
    set_deadlines(&mut policy.deadlines, keys.deadlines, report);
    set(&mut policy.upstream_silence, keys.upstream_silence, report);
    set(&mut policy.rebuild, keys.rebuild, report);
    set(&mut policy.promotion, keys.promotion, report);
    policy
}

/// Replaces an inherited value by a written one.
fn set<T, U: From<T>>(target: &mut U, written: Rare<Written<T>>, report: &mut Report<'_>) {
    if let Some(value) = written.and_then(|written| written.read(report)) {
        *target = value.into();
    }
}

fn set_patience(target: &mut Patience, written: Rare<ShortOr<Span, PatienceKeys>>, report: &mut Report<'_>) {
    match written.map(|written| *written) {
        None => {}
        Some(ShortOr::Short(span)) => {
            if let Some(span) = span.read(report) {
                *target = Patience::always(span);
            }
        }
        Some(ShortOr::Long(keys)) => {
            set(&mut target.critical, keys.critical, report);
            set(&mut target.default, keys.default, report);
        }
    }
}

fn set_deadlines(target: &mut Deadlines, written: Rare<DeadlinesKeys>, report: &mut Report<'_>) {
    let Some(keys) = written else { return };
    set(&mut target.critical, keys.critical, report);
    set(&mut target.high, keys.high, report);
    set(&mut target.medium, keys.medium, report);
}

/// A suppression as it is written: it names its images by glob.
#[derive(Debug)]
pub(super) struct Suppress {
    at: Location,
    globs: Vec<String>,
    suppression: Suppression,
}

impl Suppress {
    pub(super) fn read(keys: Spanned<SuppressKeys>, report: &mut Report<'_>) -> Option<Self> {
        let SuppressKeys { vulnerability, images, until, reason } = keys.value;
        let vulnerability = text("vulnerability", vulnerability, report);
        let reason = text("reason", reason, report);
        let globs = images.into_iter().filter_map(|glob| glob.read(report)).collect();
        let LastDay(until) = until.read(report)?;
        let (at, vulnerability) = (keys.referenced, vulnerability?);
        report.warn(at, Advice::SuppressionEnded { vulnerability: vulnerability.clone(), until });
        let suppression = Suppression { vulnerability, until, reason: reason? };
        Some(Self { at, globs, suppression })
    }

    /// Adds the suppression to the policy of each image that it lists.
    pub(super) fn apply(&self, drafts: &mut [Draft], complete: bool, report: &mut Report<'_>) {
        let file = report.file();
        let mut listed = drafts
            .iter_mut()
            .filter(|draft| (file == 0 || draft.file == file) && self.lists(draft))
            .peekable();
        // The image may be one that could not be read.
        if listed.peek().is_none() && complete {
            report.add(self.at, Problem::SuppressesNothing(self.suppression.vulnerability.clone()));
        }
        listed.for_each(|draft| draft.policy.suppress.push(self.suppression.clone()));
    }

    fn lists(&self, draft: &Draft) -> bool {
        let names = [draft.id.as_str(), draft.repository.as_str()];
        self.globs.iter().any(|pattern| names.iter().any(|name| glob(pattern, name)))
    }
}

fn text(key: &'static str, written: Written<String>, report: &mut Report<'_>) -> Option<String> {
    let at = written.at;
    let text = written.read(report)?;
    if text.trim().is_empty() {
        report.add(at, Problem::Empty(key));
        return None;
    }
    Some(text)
}
