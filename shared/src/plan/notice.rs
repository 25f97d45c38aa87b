//! Decides which notices to send about each image, given those that were sent before.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::attribution::{Attribution, Attributions};
use super::context::Context;
use super::decide::{Decision, Decisions};
use super::{Cause, Hold, Reason};
use crate::facts::{Current, Execution};
use crate::finding::FindingKey;
use crate::hierarchy::{Direction, Image, Query};
use crate::image::ImageId;
use crate::notice::{Asked, MOST_FINDINGS, Notice, Notified, Now, RootCause};
use crate::record::Record;

/// After this many failures in a row Patchwave notifies the image's owner.
const FAILURES: u32 = 3;

/// Returns the notices that the image's record holds from now on.
///
/// Without a listener nothing changes. So a listener that is added later receives every open
/// notice.
pub(super) fn notified(
    context: &Context<'_>,
    attribution: Option<&Attribution<'_>>,
    decision: &Decision<'_>,
    next: &Record,
) -> BTreeMap<RootCause, Notified> {
    let record = context.record(&decision.image.id);
    if !context.facts.has_listener {
        return record.notified.clone();
    }
    let nothing = Attribution::default();
    let attribution = attribution.unwrap_or(&nothing);
    let is_over = happened(next) && !happened(record);
    [
        (RootCause::Vulnerable, vulnerable(context, attribution, decision)),
        (RootCause::Failing, failing(record, decision.image)),
        (RootCause::Undecided, undecided(context, decision.image)),
        (RootCause::Hanging, hanging(context, decision.image)),
        (RootCause::Pinned, pinned(context, decision)),
    ]
    .into_iter()
    .filter_map(|(cause, now)| Some((cause, Notified::after(record.notified.get(&cause), now)?)))
    .map(|(cause, notified)| {
        (cause, if is_over && cause == RootCause::Vulnerable { notified.again() } else { notified })
    })
    .collect()
}

/// Whether it is known what happened after the prediction.
fn happened(record: &Record) -> bool {
    record.predicted.as_ref().is_some_and(|predicted| predicted.happened.is_some())
}

/// Findings belong to the image that introduced them, however many carry them.
fn vulnerable(context: &Context<'_>, attribution: &Attribution<'_>, decision: &Decision<'_>) -> Now {
    let image = decision.image;
    let record = context.record(&image.id);
    let before = record.notified.get(&RootCause::Vulnerable).filter(|notified| !notified.closed);
    let asked = asked(&image.id, attribution, decision.hold.as_ref());
    if asked.needs.is_empty() {
        let is_judged = record.claim.is_none() && record.proof.is_none() && attribution.unscanned.is_empty();
        return if is_judged && is_clean(context, image) { Now::Gone } else { Now::Unclear };
    }
    let causes = attribution.causes.iter().map(|cause| cause.since);
    let since = causes.chain(attribution.seen.values().copied()).min().unwrap_or(context.now);
    match before {
        // An image below may count more findings, and the facts do not include all of these images.
        // So what the notice asked before remains.
        Some(before) if !sees_all_below(context, image) => Now::Present(asked.join(&before.asked), since),
        _ => Now::Present(asked, since),
    }
}

fn asked(image: &ImageId, attribution: &Attribution<'_>, hold: Option<&Hold>) -> Asked {
    let mut asked = Asked {
        exploited: attribution.causes.iter().any(|cause| cause.exploited),
        needs: attribution.unfixable.values().cloned().collect(),
        ..Asked::default()
    };
    if !attribution.causes.is_empty() {
        let by_patchwave = if attribution.causes.iter().all(Cause::is_retried) {
            "a published fix: the scanner does not name one, so Patchwave tries rebuilds"
        } else {
            "a rebuild by Patchwave"
        };
        asked
            .needs
            .insert(hold.and_then(|hold| needs_a_person(image, hold)).unwrap_or_else(|| by_patchwave.into()));
    }
    if !attribution.quarantined.is_empty() {
        asked.needs.insert("find out why the rebuild did not fix it".into());
    }
    if !asked.needs.is_empty() {
        asked.severity =
            attribution.causes.iter().map(|cause| cause.severity).max().max(attribution.severity);
    }
    asked
}

/// Returns what releases the hold, if only a person can release it.
fn needs_a_person(image: &ImageId, hold: &Hold) -> Option<String> {
    match hold {
        Hold::RolledBack
        | Hold::UnknownRevision
        | Hold::NoPipeline { .. }
        | Hold::Pinned { .. }
        | Hold::NotPromoted { .. }
        | Hold::NeedsApproval
        | Hold::NextCommit
        | Hold::Frozen
        | Hold::Observing => Some(hold.lifted_by(image)),
        _ => None,
    }
}

/// Whether completed scans of every platform prove that no finding is left that policy counts, here
/// or below.
pub(super) fn is_clean(context: &Context<'_>, image: &Image) -> bool {
    let Some(version) = context.current(&image.id) else { return false };
    if version.platforms.is_empty() || version.platforms.values().any(|m| !m.scan.shows_absence()) {
        return false;
    }
    let lists_nothing = || {
        let lowest = context.hierarchy.lowest_counted(&image.id);
        let findings = version.platforms.values().flat_map(|manifest| manifest.scan.findings());
        findings.map(|finding| finding.severity).max() < lowest
    };
    sees_all_below(context, image) || lists_nothing()
}

fn sees_all_below(context: &Context<'_>, image: &Image) -> bool {
    context.facts.images.len() == context.hierarchy.len()
        || below(context, image).is_some_and(|below| below.all(|image| context.facts_of(&image.id).is_some()))
}

/// Asks for the image and all images that are built on it.
fn below<'a>(context: &Context<'a>, image: &Image) -> Option<Query<'a>> {
    context.hierarchy.query([&image.id], Direction::Descendants).ok()
}

/// The root cause stays until a build succeeds or a person releases the image. A changed parent
/// alone does not repair the pipeline.
fn failing(record: &Record, image: &Image) -> Now {
    let Some(row) = &record.failures else { return Now::Gone };
    let is_open = record.notified.get(&RootCause::Failing).is_some_and(|notified| !notified.closed);
    if row.count < FAILURES && !is_open {
        return Now::Unclear;
    }
    let pipeline = image.pipeline.as_ref().map_or("", |pipeline| pipeline.name.as_str());
    let needs = [format!("repair the pipeline {pipeline}: its last builds failed")].into();
    Now::Present(Asked { needs, ..Asked::default() }, row.last)
}

/// The places that run an image do not agree on its deployed version, or none of them counts.
fn undecided(context: &Context<'_>, image: &Image) -> Now {
    match context.facts_of(&image.id).map(|facts| &facts.current) {
        Some(Current::Unread(unread)) if image.line.is_of_environment() && unread.needs_person => {
            let needs = [unread.because.clone()].into();
            Now::Present(Asked { needs, ..Asked::default() }, context.now)
        }
        Some(Current::Version(_)) => Now::Gone,
        _ => Now::Unclear,
    }
}

/// Only a commit moves an image whose source names its parents by digest.
fn pinned(context: &Context<'_>, decision: &Decision<'_>) -> Now {
    match &decision.hold {
        Some(hold @ Hold::Pinned { .. }) => {
            let needs = [hold.lifted_by(&decision.image.id)].into();
            let since = decision.reasons.iter().map(Reason::since).min().unwrap_or(context.now);
            Now::Present(Asked { needs, ..Asked::default() }, since)
        }
        Some(Hold::Fresh) => Now::Gone,
        _ => Now::Unclear,
    }
}

/// A build that hangs waits for a person, such as for an approval. No limit of time ends it.
fn hanging(context: &Context<'_>, image: &Image) -> Now {
    let Some(claim) = &context.record(&image.id).claim else { return Now::Gone };
    let since = image.policy.max_build_time.after(claim.claimed_at);
    if since > context.now {
        return Now::Unclear;
    }
    let pipeline = &claim.start.pipeline;
    let execution = match &claim.execution {
        Some(id) => format!("the execution {id} of the pipeline {pipeline}"),
        None => format!("the execution of the pipeline {pipeline} with the build key {}", claim.start.key),
    };
    let runs = match context.facts_of(&image.id).and_then(|facts| facts.execution.as_ref()) {
        Some(Execution::Found { details, .. }) => details.runs.as_deref(),
        _ => None,
    };
    let runs = runs.map(|runs| format!(": it {runs}")).unwrap_or_default();
    let need = format!("end {execution}{runs}");
    Now::Present(Asked { needs: [need].into(), ..Asked::default() }, since)
}

/// Returns the notices that are not sent yet.
pub(super) fn unsent(
    context: &Context<'_>,
    attributions: &Attributions<'_>,
    decisions: &Decisions<'_>,
    records: &BTreeMap<ImageId, Record>,
) -> Vec<Notice> {
    let mut notices = Vec::new();
    if !context.facts.has_listener {
        return notices;
    }
    for (id, decision) in decisions {
        let record = records.get(*id).unwrap_or_else(|| context.record(id));
        for (cause, notified) in record.notified.iter().filter(|(_, notified)| !notified.sent) {
            let predicted = record.predicted.clone().filter(|_| *cause == RootCause::Vulnerable);
            let notice = notice(context, decision.image, attributions.of.get(id), *cause, notified);
            notices.push(Notice { predicted, ..notice });
        }
    }
    notices
}

fn notice(
    context: &Context<'_>,
    image: &Image,
    attribution: Option<&Attribution<'_>>,
    root_cause: RootCause,
    notified: &Notified,
) -> Notice {
    let attribution = attribution.filter(|_| root_cause == RootCause::Vulnerable && !notified.closed);
    let findings = attribution.map(findings).unwrap_or_default();
    Notice {
        id: Notice::id(image.id.as_str(), root_cause, notified.since),
        revision: notified.revision,
        state: notified.state(),
        root_cause,
        image: Some(image.id.clone()),
        tier: Some(image.tier),
        owner: image.owner.as_ref().map(|owner| owner.name.clone()),
        notify: image.owner.as_ref().and_then(|owner| owner.notify.clone()),
        since: notified.since,
        asked: notified.asked.clone(),
        finding_count: findings.len(),
        findings: findings.into_iter().take(MOST_FINDINGS).cloned().collect(),
        predicted: None,
        affected_images: below(context, image).map_or(1, |below| below.resolve().len()),
    }
}

/// Returns the findings that were introduced here. Those that a rebuild can help come first, the
/// worst of them first.
fn findings<'b>(attribution: &'b Attribution<'_>) -> Vec<&'b FindingKey> {
    let mut causes: Vec<_> = attribution.causes.iter().collect();
    causes.sort_by_key(|cause| (Reverse(cause.exploited), Reverse(cause.severity), &cause.finding));
    let mut findings: Vec<&FindingKey> = causes.into_iter().map(|cause| &cause.finding).collect();
    findings.extend(attribution.quarantined.iter().chain(attribution.unfixable.keys()));
    findings.dedup();
    findings
}
