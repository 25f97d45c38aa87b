//! What is to be notified about each image, given what was notified before.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::Hold;
use super::attribution::{Attribution, Attributions};
use super::context::Context;
use super::decide::{Decision, Decisions};
use crate::finding::FindingKey;
use crate::hierarchy::{Direction, Image};
use crate::image::ImageId;
use crate::notice::{Asked, MOST_FINDINGS, Notice, NoticeState, Notified, RootCause};
use crate::record::Record;
use crate::time::Timestamp;

/// After how many failures in a row somebody is notified.
const FAILURES: u32 = 3;

/// Where a root cause stands now.
enum Now {
    /// It is there, since then.
    Present(Asked, Timestamp),
    /// It is proven to be gone.
    Gone,
    /// Not enough is known to say that it is gone.
    Unclear,
}

/// What the image's record says of its notices from now on. Without a listener nothing changes, so that one who comes later
/// is notified everything.
pub(super) fn notified(
    context: &Context<'_>,
    attribution: Option<&Attribution<'_>>,
    decision: &Decision<'_>,
) -> BTreeMap<RootCause, Notified> {
    let record = context.record(&decision.image.id);
    if !context.facts.has_listener {
        return record.notified.clone();
    }
    let nothing = Attribution::default();
    let attribution = attribution.unwrap_or(&nothing);
    [
        (RootCause::Vulnerable, vulnerable(context, attribution, decision)),
        (RootCause::Failing, failing(record, decision.image)),
    ]
    .into_iter()
    .filter_map(|(cause, now)| Some((cause, next(record.notified.get(&cause), now)?)))
    .collect()
}

fn next(before: Option<&Notified>, now: Now) -> Option<Notified> {
    let Some(before) = before else {
        let Now::Present(asked, since) = now else { return None };
        return Some(Notified { since, opened: 1, revision: 1, asked, closed: false, sent: false });
    };
    let revision = before.revision.saturating_add(1);
    let changed = |asked: Asked, closed: bool| Notified {
        since: before.since,
        opened: before.opened,
        revision,
        asked,
        closed,
        sent: false,
    };
    Some(match now {
        Now::Present(asked, since) if before.closed && before.sent => {
            Notified { since, opened: revision, revision, asked, closed: false, sent: false }
        }
        Now::Present(asked, _) if before.closed || before.asked != asked => changed(asked, false),
        Now::Gone if !before.closed => changed(before.asked.clone(), true),
        Now::Present(..) | Now::Gone | Now::Unclear => before.clone(),
    })
}

/// Findings belong to the image that introduced them, however many carry them.
fn vulnerable(context: &Context<'_>, attribution: &Attribution<'_>, decision: &Decision<'_>) -> Now {
    let image = decision.image;
    let record = context.record(&image.id);
    let before = record.notified.get(&RootCause::Vulnerable).filter(|notified| !notified.closed);
    let asked = asked(attribution, decision.hold.as_ref());
    if asked.needs.is_empty() {
        let is_judged = record.claim.is_none() && record.proof.is_none() && attribution.unscanned.is_empty();
        return if is_judged && is_clean(context, image) { Now::Gone } else { Now::Unclear };
    }
    let causes = attribution.causes.iter().map(|cause| cause.since);
    let since = causes.chain(attribution.seen.values().copied()).min().unwrap_or(context.now);
    match before {
        // Whoever below counts more is not in sight: what was asked on their behalf still stands.
        Some(before) if !sees_all_below(context, image) => Now::Present(asked.join(&before.asked), since),
        _ => Now::Present(asked, since),
    }
}

fn asked(attribution: &Attribution<'_>, hold: Option<&Hold>) -> Asked {
    let mut asked = Asked {
        exploited: attribution.causes.iter().any(|cause| cause.exploited),
        needs: attribution.unfixable.values().cloned().collect(),
        ..Asked::default()
    };
    if !attribution.causes.is_empty() {
        asked.needs.insert(hold.and_then(for_a_person).unwrap_or_else(|| "a rebuild by Patchwave".into()));
    }
    if !attribution.quarantined.is_empty() {
        asked.needs.insert("a look at the build: rebuilding did not fix it".into());
    }
    if !asked.needs.is_empty() {
        asked.severity =
            attribution.causes.iter().map(|cause| cause.severity).max().max(attribution.severity);
    }
    asked
}

/// What a hold waits for, if it waits for somebody.
fn for_a_person(hold: &Hold) -> Option<String> {
    match hold {
        Hold::RolledBack
        | Hold::UnknownRevision
        | Hold::NoPipeline { .. }
        | Hold::NeedsApproval
        | Hold::NextCommit
        | Hold::Frozen
        | Hold::Observing => Some(hold.lifted_by()),
        _ => None,
    }
}

/// Whether completed scans of every platform prove that nothing is left that anybody counts.
fn is_clean(context: &Context<'_>, image: &Image) -> bool {
    let Some(version) = context.current(&image.id) else { return false };
    if version.platforms.is_empty() || version.platforms.values().any(|m| m.scan.completed_at().is_none()) {
        return false;
    }
    let lists_nothing = || {
        let lowest = below(context, image).map(|image| image.policy.rebuild_at).min();
        let findings = version.platforms.values().flat_map(|manifest| manifest.scan.findings());
        findings.map(|finding| finding.severity).max() < lowest
    };
    sees_all_below(context, image) || lists_nothing()
}

fn sees_all_below(context: &Context<'_>, image: &Image) -> bool {
    context.facts.images.len() == context.hierarchy.len()
        || below(context, image).all(|image| context.facts_of(&image.id).is_some())
}

/// The image and all that are built on it.
fn below<'a>(context: &Context<'a>, image: &Image) -> impl ExactSizeIterator<Item = &'a Image> + use<'a> {
    let query = context.hierarchy.query([&image.id], Direction::Descendants);
    let images: Vec<&Image> = query.map(|query| query.resolve().iter().collect()).unwrap_or_default();
    images.into_iter()
}

/// Stays until a build succeeds or a person releases the image: a changed parent alone repairs nothing.
fn failing(record: &Record, image: &Image) -> Now {
    let Some(row) = &record.failures else { return Now::Gone };
    let is_told = record.notified.get(&RootCause::Failing).is_some_and(|notified| !notified.closed);
    if row.count < FAILURES && !is_told {
        return Now::Unclear;
    }
    let pipeline = image.pipeline.as_ref().map_or("", |pipeline| pipeline.name.as_str());
    let needs = [format!("a look at the pipeline {pipeline}: its last builds failed")].into();
    Now::Present(Asked { needs, ..Asked::default() }, row.last)
}

/// The notices that are still to be sent.
pub(super) fn unsent(
    context: &Context<'_>,
    attributions: &Attributions<'_>,
    decisions: &Decisions<'_>,
    records: &BTreeMap<ImageId, Record>,
) -> Vec<Notice> {
    let mut notices = Vec::new();
    for (id, decision) in decisions {
        let record = records.get(*id).unwrap_or_else(|| context.record(id));
        for (cause, notified) in record.notified.iter().filter(|(_, notified)| !notified.sent) {
            notices.push(notice(context, decision.image, attributions.of.get(id), *cause, notified));
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
        id: Notice::id(&image.id, root_cause, notified.since),
        revision: notified.revision,
        state: match notified {
            Notified { closed: true, .. } => NoticeState::Closed,
            Notified { opened, revision, .. } if opened == revision => NoticeState::Opened,
            Notified { .. } => NoticeState::Updated,
        },
        root_cause,
        image: image.id.clone(),
        tier: image.tier,
        owner: image.owner.as_ref().map(|owner| owner.name.clone()),
        notify: image.owner.as_ref().and_then(|owner| owner.notify.clone()),
        since: notified.since,
        asked: notified.asked.clone(),
        finding_count: findings.len(),
        findings: findings.into_iter().take(MOST_FINDINGS).cloned().collect(),
        affected_images: below(context, image).len(),
    }
}

/// The findings that were introduced here, those that a rebuild can help first, the worst first.
fn findings<'b>(attribution: &'b Attribution<'_>) -> Vec<&'b FindingKey> {
    let mut causes: Vec<_> = attribution.causes.iter().collect();
    causes.sort_by_key(|cause| (Reverse(cause.exploited), Reverse(cause.severity), &cause.finding));
    let mut findings: Vec<&FindingKey> = causes.into_iter().map(|cause| &cause.finding).collect();
    findings.extend(attribution.quarantined.iter().chain(attribution.unfixable.keys()));
    findings.dedup();
    findings
}
