//! Collects the findings that count and assigns each to the image whose rebuild can fix it.

use std::collections::{BTreeMap, BTreeSet};

use super::context::Context;
use super::due::{Deadline, Due};
use super::limits::MOST_INEFFECTIVE;
use super::origin::{Origin, Parents, origin};
use super::{AwaitedScan, Cause, Goal, upstream};
use crate::facts::Version;
use crate::finding::{Coverage, Finding, FindingKey, Fix, PackageKind, Scan, Severity};
use crate::hierarchy::Image;
use crate::image::ImageId;
use crate::policy::UnknownFix;
use crate::record::Ineffective;
use crate::time::Timestamp;

/// How many rebuilds Patchwave tries for one finding before it quarantines the finding: one, and
/// one retry.
const TRIES: u32 = 2;

/// What the findings mean for one image.
#[derive(Default)]
pub(super) struct Attribution<'a> {
    /// Findings that a rebuild of this image can help.
    pub(super) causes: BTreeSet<Cause>,
    /// Findings of this image that only a commit or a published fix can help, with what they need.
    pub(super) unfixable: BTreeMap<FindingKey, String>,
    /// Findings that rebuilds did not fix.
    pub(super) quarantined: BTreeSet<FindingKey>,
    /// Findings that would count without a suppression, each with the end of its suppression.
    pub(super) suppressed: BTreeMap<FindingKey, Timestamp>,
    /// Ancestors that must be rebuilt first.
    pub(super) above: BTreeSet<&'a ImageId>,
    /// Whether a parent has already fixed a finding that counts here or below. A rebuild brings
    /// that fix.
    pub(super) is_stale: bool,
    /// The upstream tags whose new content fixes a finding that counts here.
    pub(super) fixed_by: BTreeSet<ImageId>,
    /// Ancestors that must be scanned first.
    pub(super) unscanned: BTreeSet<&'a ImageId>,
    /// Whether this image waited for an ancestor's scan that did not complete in time. The record
    /// keeps that, or the wait would begin again.
    pub(super) scan_is_overdue: bool,
    /// Findings that an ancestor may have whose scan does not come, and what they wait for. No
    /// notice asks for them: every image below would send one.
    pub(super) unscannable: BTreeMap<FindingKey, String>,
    /// The highest severity among the findings that count here.
    pub(super) severity: Option<Severity>,
    /// When the most urgent finding that a rebuild can help is due.
    pub(super) due: Option<Due>,
    /// By when a rebuild keeps the deadlines of the findings that it can help, tries apart. They
    /// count from when the image was first enforced, if that is later.
    pub(super) keep_by: Option<Timestamp>,
    /// When each finding that counts here appeared.
    pub(super) seen: BTreeMap<FindingKey, Timestamp>,
    /// Whether an image below waits for a scan of this one.
    pub(super) is_awaited: bool,
    /// Other images in scope whose scans list a finding that this image answers for.
    pub(super) carriers: BTreeMap<FindingKey, BTreeSet<&'a ImageId>>,
}

/// The attribution of every image, and the scans that it waits for.
#[derive(Default)]
pub(super) struct Attributions<'a> {
    pub(super) of: BTreeMap<&'a ImageId, Attribution<'a>>,
    pub(super) scans: BTreeSet<AwaitedScan>,
    in_vain: BTreeMap<&'a ImageId, InVain>,
}

/// One finding that counts on the image that carries it.
struct Counted<'a> {
    carrier: &'a Image,
    /// As one of the platforms lists it.
    finding: &'a Finding,
    /// What the scan of that platform covers.
    coverage: Coverage,
    /// The highest severity on any platform.
    severity: Severity,
    /// Whether the scan of any platform lists an exploit.
    exploited: bool,
    appeared: Timestamp,
}

/// Finds the image that each finding belongs to, for every finding that counts on an image in
/// scope.
pub(super) fn attribution<'a>(context: &Context<'a>) -> Attributions<'a> {
    let mut attributions = Attributions { in_vain: in_vain(context), ..Attributions::default() };
    // Images that wait for the same parent's scan of the same finding. If that scan does not
    // complete in time, one of them tries a rebuild.
    let mut parents = Parents::default();
    let mut waiting: BTreeMap<(&'a ImageId, FindingKey), Vec<(&'a Image, Counted<'a>)>> = BTreeMap::new();
    for carrier in context.images() {
        for counted in counted(context, carrier, &mut attributions) {
            match origin(context, &mut parents, carrier, counted.finding, counted.appeared) {
                Origin::Introduced(owner) => assign(context, &mut attributions, owner, &counted),
                Origin::Stale(stale) => {
                    note_due(context, &mut attributions, &counted);
                    note_keep_by(context, &mut attributions, &counted);
                    note_carrier(&mut attributions, &stale.id, &counted);
                    attributions.of.entry(&stale.id).or_default().is_stale = true;
                    if stale.id != carrier.id {
                        attributions.of.entry(&carrier.id).or_default().above.insert(&stale.id);
                    }
                }
                Origin::Unscanned { parent, owner } => {
                    await_scan(context, &mut attributions, parent, counted.appeared);
                    waiting
                        .entry((&parent.id, counted.finding.key.clone()))
                        .or_default()
                        .push((owner, counted));
                }
            }
        }
    }
    for ((parent, _), waiters) in waiting {
        let tries = waiters.iter().map(|(owner, _)| *owner).min_by_key(|owner| &owner.id);
        for (owner, counted) in &waiters {
            note_carrier(&mut attributions, parent, counted);
            note_carrier(&mut attributions, &owner.id, counted);
        }
        for (owner, counted) in &waiters {
            let is_overdue = waited_enough(context, parent, owner, counted);
            if is_overdue && is_retried(owner, counted.finding, counted.coverage) {
                // Its tries would never end, and it may be the parent's.
                let of_owner = attributions.of.entry(&owner.id).or_default();
                of_owner.unscannable.insert(
                    counted.finding.key.clone(),
                    format!(
                        "scan {parent}: it may have this finding too, and the scanner does not name a fix"
                    ),
                );
                attributions.of.entry(&counted.carrier.id).or_default().scan_is_overdue = true;
            } else if is_overdue && tries.is_some_and(|tries| tries.id == owner.id) {
                assign(context, &mut attributions, owner, counted);
                attributions.of.entry(&counted.carrier.id).or_default().scan_is_overdue = true;
            } else {
                attributions.of.entry(&counted.carrier.id).or_default().unscanned.insert(parent);
                attributions.of.entry(parent).or_default().is_awaited = true;
            }
        }
    }
    attributions
}

/// Returns the findings that count on `carrier`, each with where it comes from.
pub(super) fn origins<'a>(context: &Context<'a>, carrier: &'a Image) -> Vec<(&'a FindingKey, Origin<'a>)> {
    let mut parents = Parents::default();
    let counted = counted(context, carrier, &mut Attributions::default());
    let with_origin = |counted: Counted<'a>| {
        let of = origin(context, &mut parents, carrier, counted.finding, counted.appeared);
        (&counted.finding.key, of)
    };
    counted.into_iter().map(with_origin).collect()
}

/// Returns the findings that count on `carrier` and belong to an ancestor, each with that ancestor.
pub(super) fn inherited<'a>(context: &Context<'a>, carrier: &'a Image) -> BTreeMap<FindingKey, ImageId> {
    let owned = origins(context, carrier).into_iter().filter_map(|(key, origin)| {
        let of = match origin {
            Origin::Introduced(of) | Origin::Stale(of) | Origin::Unscanned { parent: of, .. } => of,
        };
        (of.id != carrier.id).then(|| (key.clone(), of.id.clone()))
    });
    owned.collect()
}

/// Returns the findings that count on `carrier`, and adds the suppressed ones to its attribution.
fn counted<'a>(
    context: &Context<'a>,
    carrier: &'a Image,
    attributions: &mut Attributions<'a>,
) -> Vec<Counted<'a>> {
    let Some(version) = context.current(&carrier.id) else { return Vec::new() };
    let mut merged: BTreeMap<&FindingKey, Counted<'a>> = BTreeMap::new();
    for manifest in version.platforms.values() {
        let Scan::Complete { completed_at: scanned, coverage, .. } = &manifest.scan else { continue };
        for finding in manifest.scan.findings().iter().filter(|f| f.severity >= carrier.policy.rebuild_at) {
            let appeared = context.appeared(&carrier.id, finding, *scanned);
            merged
                .entry(&finding.key)
                .and_modify(|counted| {
                    counted.appeared = counted.appeared.min(appeared);
                    counted.exploited |= finding.exploited;
                    counted.severity = counted.severity.max(finding.severity);
                })
                .or_insert_with(|| Counted {
                    carrier,
                    finding,
                    coverage: *coverage,
                    severity: finding.severity,
                    exploited: finding.exploited,
                    appeared,
                });
        }
    }
    let attribution = attributions.of.entry(&carrier.id).or_default();
    let mut counting = Vec::new();
    for counted in merged.into_values() {
        if let Some(until) = carrier.policy.suppressed_until(&counted.finding.key, context.now) {
            attribution.suppressed.insert(counted.finding.key.clone(), until);
            continue;
        }
        attribution.severity = attribution.severity.max(Some(counted.severity));
        attribution.seen.insert(counted.finding.key.clone(), counted.appeared);
        counting.push(counted);
    }
    counting
}

/// Only a finding that a rebuild can help is due: one that needs a commit makes no build more
/// urgent.
fn note_due<'a>(context: &Context<'a>, attributions: &mut Attributions<'a>, counted: &Counted<'a>) {
    let (at, in_production) = due(context, counted);
    let attribution = attributions.of.entry(&counted.carrier.id).or_default();
    if attribution.due.as_ref().is_none_or(|earlier| at < earlier.at) {
        let Counted { carrier, severity, exploited, .. } = *counted;
        let finding = counted.finding.key.clone();
        let because = if exploited {
            Deadline::Exploited { finding }
        } else {
            let within = carrier.policy.deadlines.for_severity(severity);
            Deadline::Severity { finding, severity, within, in_production }
        };
        attribution.due = Some(Due { at, because, needed_by: None });
    }
}

fn note_keep_by<'a>(context: &Context<'a>, attributions: &mut Attributions<'a>, counted: &Counted<'a>) {
    let appeared = counted.appeared.max(context.enforced_since(&counted.carrier.id));
    let (at, _) = due(context, &Counted { appeared, ..*counted });
    let keep_by = &mut attributions.of.entry(&counted.carrier.id).or_default().keep_by;
    *keep_by = Some(keep_by.map_or(at, |earlier| earlier.min(at)));
}

/// When the finding is due, and whether its carrier runs in production.
fn due(context: &Context<'_>, counted: &Counted<'_>) -> (Timestamp, bool) {
    let Counted { carrier, severity, exploited, appeared, .. } = *counted;
    let deadline = carrier.policy.deadlines.for_severity(severity);
    match context.facts.deployments.get(&carrier.id) {
        // A finding with a known exploit is due at once.
        _ if exploited => (appeared, false),
        // An image in production gets half the time. So it starts before an image that does not
        // run, unless that one's finding is much older.
        Some(deployments) if deployments.in_production() => (deadline.share(1, 2).after(appeared), true),
        _ => (deadline.after(appeared), false),
    }
}

/// Whether the scan of `parent` is overdue. One that cannot be read never is: it may say anything.
fn waited_enough(context: &Context<'_>, parent: &ImageId, owner: &Image, counted: &Counted<'_>) -> bool {
    if context.unread_content(parent).next().is_some() {
        return false;
    }
    let since = [&owner.id, &counted.carrier.id]
        .into_iter()
        .filter_map(|id| context.record(id).scan_awaited_since)
        .min();
    let wait = owner.policy.proof_wait.for_severity(counted.severity);
    since.is_some_and(|since| wait.after(since) <= context.now)
}

fn await_scan<'a>(
    context: &Context<'a>,
    attributions: &mut Attributions<'a>,
    parent: &'a Image,
    appeared: Timestamp,
) {
    let Some(version) = context.current(&parent.id) else { return };
    let stale =
        version.platforms.iter().filter(|(_, m)| m.scan.completed_at().is_none_or(|at| at < appeared));
    // Patchwave requests no scan that ECR would refuse, or it would repeat the request at each push
    // of a child.
    let askable = stale.filter(|(_, manifest)| manifest.scan.can_be_repeated(context.now));
    attributions.scans.extend(askable.map(|(platform, manifest)| AwaitedScan {
        image: parent.id.clone(),
        repository: parent.repository.clone(),
        platform: platform.clone(),
        digest: manifest.digest.clone(),
    }));
}

/// Assigns the finding to its owner. If the carrier is another image, it waits for the owner.
fn assign<'a>(
    context: &Context<'a>,
    attributions: &mut Attributions<'a>,
    owner: &'a Image,
    counted: &Counted<'a>,
) {
    note_carrier(attributions, &owner.id, counted);
    // The owner's own scan describes its package best: the carrier may have another version of it.
    let own = context.current(&owner.id).and_then(|version| listed(version, &counted.finding.key));
    let (finding, coverage) = own.unwrap_or((counted.finding, counted.coverage));
    if owner.id != counted.carrier.id {
        attributions.of.entry(&counted.carrier.id).or_default().above.insert(&owner.id);
    }
    let tries = tried(attributions, context, owner, finding);
    let fixed_by = upstream::fixed_by(context, owner, &finding.key, counted.appeared);
    let is_try = fixed_by.is_none() && is_retried(owner, finding, coverage);
    let attribution = attributions.of.entry(&owner.id).or_default();
    let goal = match help(owner, finding, coverage, tries) {
        // Upstream has a fix, whatever the scan of this image says.
        Help::Rebuild(Goal::Retry(_)) | Help::None(_) if fixed_by.is_some() => {
            Goal::Try(finding.key.vulnerability.to_string())
        }
        Help::Rebuild(goal) => goal,
        Help::None(because) => {
            attribution.unfixable.insert(finding.key.clone(), because.to_owned());
            return;
        }
        Help::Quarantined => {
            attribution.quarantined.insert(finding.key.clone());
            return;
        }
    };
    let cause = Cause {
        goal,
        finding: finding.key.clone(),
        severity: finding.severity.max(counted.severity),
        exploited: finding.exploited || counted.exploited,
        since: counted.appeared,
    };
    // Many carriers may pass on the same finding. They make one cause, with the highest severity
    // and the earliest time among them.
    let merged = match same_cause(&attribution.causes, &cause) {
        None => cause,
        Some(same) => {
            attribution.causes.remove(&same);
            Cause {
                severity: same.severity.max(cause.severity),
                exploited: same.exploited || cause.exploited,
                since: same.since.min(cause.since),
                ..cause
            }
        }
    };
    attribution.causes.insert(merged);
    attribution.fixed_by.extend(fixed_by);
    // A finding that a try did not fix is no more urgent than one that appears then.
    if !is_try {
        note_keep_by(context, attributions, counted);
    }
    let last = context.record(&owner.id).tries.filter(|_| is_try);
    let appeared = last.map_or(counted.appeared, |tries| counted.appeared.max(tries.last));
    note_due(context, attributions, &Counted { appeared, ..*counted });
}

/// Returns the cause of the same finding and goal.
fn same_cause(causes: &BTreeSet<Cause>, cause: &Cause) -> Option<Cause> {
    let first =
        Cause { severity: Severity::Unrated, exploited: false, since: Timestamp::MIN, ..cause.clone() };
    let next = causes.range(first..).next();
    next.filter(|next| next.finding == cause.finding && next.goal == cause.goal).cloned()
}

/// Notes that `owner` answers for a finding of another image.
fn note_carrier<'a>(attributions: &mut Attributions<'a>, owner: &'a ImageId, counted: &Counted<'a>) {
    if *owner == counted.carrier.id {
        return;
    }
    let of_owner = attributions.of.entry(owner).or_default();
    of_owner.carriers.entry(counted.finding.key.clone()).or_default().insert(&counted.carrier.id);
}

enum Help {
    Rebuild(Goal),
    None(&'static str),
    Quarantined,
}

/// Decides whether a rebuild can fix the finding.
fn help(owner: &Image, finding: &Finding, coverage: Coverage, tries: u32) -> Help {
    let goal = match (finding.kind, &finding.fix) {
        (PackageKind::Language, _) => {
            return Help::None(
                "update the package in the image's source: it is pinned there, so a rebuild installs the same version",
            );
        }
        (PackageKind::Os, Fix::NotPublished) => {
            return Help::None("wait for a fixed version: none is published yet");
        }
        (PackageKind::Os, Fix::Version(version)) => Goal::Version(version.clone()),
        (PackageKind::Os, Fix::Unknown) => match owner.policy.for_unknown_fix(coverage) {
            UnknownFix::Retry => return Help::Rebuild(Goal::Retry(finding.key.vulnerability.to_string())),
            UnknownFix::TryOnce if tries >= 1 => return Help::Quarantined,
            UnknownFix::TryOnce => Goal::Try(finding.key.vulnerability.to_string()),
            UnknownFix::TryWithNextRebuild => {
                return Help::None(
                    "nothing to do: the next rebuild may fix it; the scanner does not name a fixed version",
                );
            }
            UnknownFix::Hold => {
                return Help::None(
                    "run patchwave rebuild for this image: the scanner does not name a fixed version",
                );
            }
        },
    };
    if tries >= TRIES { Help::Quarantined } else { Help::Rebuild(goal) }
}

/// Returns the finding as a platform of `version` lists it, and what that platform's scan covers.
fn listed<'a>(version: &'a Version, key: &FindingKey) -> Option<(&'a Finding, Coverage)> {
    version.platforms.values().find_map(|manifest| match &manifest.scan {
        Scan::Complete { findings, coverage, .. } => findings.get(key).map(|finding| (finding, *coverage)),
        _ => None,
    })
}

/// Whether Patchwave tries rebuilds for the finding on a schedule.
fn is_retried(owner: &Image, finding: &Finding, coverage: Coverage) -> bool {
    matches!(help(owner, finding, coverage, 0), Help::Rebuild(Goal::Retry(_)))
}

/// Returns how many builds from the present inputs were made for this finding and did not fix it.
fn tried(attributions: &Attributions<'_>, context: &Context<'_>, owner: &Image, finding: &Finding) -> u32 {
    let Some(in_vain) = attributions.in_vain.get(&owner.id) else { return 0 };
    if in_vain.given_up >= MOST_INEFFECTIVE {
        return TRIES;
    }
    let entry = context.record(&owner.id).ineffective.get(&finding.key);
    entry
        .filter(|entry| entry.inputs == in_vain.inputs && entry.fix == finding.fix)
        .map_or(0, |entry| entry.builds)
}

/// What builds of one image did not fix, as far as it is the same for all its findings.
struct InVain {
    /// The present inputs.
    inputs: String,
    /// How many findings were tried as often as Patchwave tries from these inputs.
    given_up: usize,
}

/// Returns it for each image that has any.
fn in_vain<'a>(context: &Context<'a>) -> BTreeMap<&'a ImageId, InVain> {
    let of = |image: &'a Image| {
        let ineffective = &context.record(&image.id).ineffective;
        let inputs = (!ineffective.is_empty()).then(|| context.inputs(image))?;
        let is_given_up = |entry: &&Ineffective| entry.inputs == inputs && entry.builds >= TRIES;
        let given_up = ineffective.values().filter(is_given_up).count();
        Some((&image.id, InVain { inputs, given_up }))
    };
    context.images().filter_map(of).collect()
}
