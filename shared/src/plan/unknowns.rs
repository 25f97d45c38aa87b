//! Names everything that is not known, whether or not a decision waits for it: unknown is never
//! clean.

use std::collections::{BTreeMap, BTreeSet};

use super::attribution::Attributions;
use super::built_on::contradicted_base;
use super::context::Context;
use super::unread::{unread_base, unread_parent};
use super::{Unknown, make_start, pipeline, upstream};
use crate::facts::Manifest;
use crate::finding::{Finding, Fix, Unclear};
use crate::hierarchy::Image;
use crate::image::{ImageId, Platform};
use crate::record::Record;
use crate::time::Timestamp;

/// Returns what is not known of every image. `records` are those that the plan writes.
pub(super) fn unknowns(
    context: &Context<'_>,
    attributions: &Attributions<'_>,
    records: &BTreeMap<ImageId, Record>,
) -> BTreeSet<Unknown> {
    let unreadable = context.facts.unreadable.keys().filter_map(|id| context.hierarchy.image(id).ok());
    let mut unknowns: BTreeSet<Unknown> =
        unreadable.filter_map(|image| Some(about(image, None, context.unknown(&image.id)?))).collect();
    for image in context.decided() {
        let record = records.get(&image.id).unwrap_or_else(|| context.record(&image.id));
        let since = record.unread_since;
        unknowns.extend(unread(context, attributions, image, since));
        unknowns.extend(scans(context, image, since));
        unknowns.extend(contradictions(context, image));
        unknowns.extend(upstream::unknowns(context, image));
    }
    unknowns.extend(scanned_once(context));
    unknowns
}

/// Names the images whose scans were made once and are too old, together: one setting of the
/// registry is the cause.
fn scanned_once(context: &Context<'_>) -> Option<Unknown> {
    let is_old =
        |manifest: &&Manifest| manifest.scan.completed_at().is_some() && !manifest.scan.shows_absence();
    let mut old = context.images().filter_map(|image| {
        let version = context.current(&image.id)?;
        Some((image, version.platforms.values().find(is_old)?.scan.unknown_because()?))
    });
    let (first, because) = old.next()?;
    let others = match old.count() {
        0 => String::new(),
        1 => ", like another image".to_owned(),
        others => format!(", like {others} other images"),
    };
    Some(about(first, None, format!("{because}{others}: switch to continuous scanning")))
}

fn about(image: &Image, platform: Option<&Platform>, because: String) -> Unknown {
    Unknown { image: image.id.clone(), platform: platform.cloned(), because, since: None }
}

/// The image's version, its execution, its pipeline, and what it was built on.
fn unread(
    context: &Context<'_>,
    attributions: &Attributions<'_>,
    image: &Image,
    since: Option<Timestamp>,
) -> Vec<Unknown> {
    let nothing = BTreeSet::new();
    let unscanned = attributions.of.get(&image.id).map_or(&nothing, |attribution| &attribution.unscanned);
    let execution = context.unread_execution(&image.id).map(|unread| format!("its execution: {unread}"));
    let above = unread_base(context, image).into_iter().chain(unread_parent(context, unscanned));
    let pipeline = pipeline::unread(context, image).map(|unread| format!("its pipeline: {unread}"));
    let texts = context.unknown(&image.id).into_iter().chain(execution).chain(pipeline);
    texts
        .chain(above.map(|unread| unread.because))
        .map(|because| Unknown { since, ..about(image, None, because) })
        .collect()
}

/// What the scans of the current version do not say, for each platform.
fn scans(context: &Context<'_>, image: &Image, unread_since: Option<Timestamp>) -> Vec<Unknown> {
    let mut unknowns = Vec::new();
    for (platform, manifest) in context.current(&image.id).iter().flat_map(|version| &version.platforms) {
        let is_complete = manifest.scan.completed_at().is_some();
        if let Some(because) = manifest.scan.unknown_because().filter(|_| !is_complete) {
            let since = manifest.scan.unread().and(unread_since);
            unknowns.push(Unknown { since, ..about(image, Some(platform), because) });
        }
        // A person suppressed or Inspector closed a finding: its proof names it, if it has one.
        let unrated = manifest.scan.unclear().filter(|(_, unclear)| matches!(unclear, Unclear::Severity(_)));
        unknowns
            .extend(unrated.map(|(key, unclear)| about(image, Some(platform), format!("{key}: {unclear}"))));
        let named = manifest.scan.findings().iter().filter_map(unrated_and_serious);
        unknowns.extend(named.map(|because| about(image, Some(platform), because)));
    }
    let not_followed = make_start::not_followed(context, image);
    if not_followed > 0 {
        let because = format!(
            "{not_followed} of its findings are not followed to their proof: its record has room for the worst only"
        );
        unknowns.push(about(image, None, because));
    }
    unknowns
}

/// Names a finding that no policy counts because it is not rated, although it may be serious.
fn unrated_and_serious(finding: &Finding) -> Option<String> {
    if !finding.is_unrated_and_serious() {
        return None;
    }
    let key = &finding.key;
    match &finding.fix {
        _ if finding.exploited => {
            Some(format!("{key}: an exploit is known, and the scanner has not rated it"))
        }
        Fix::Version(version) => Some(format!("{key}: {version} fixes it, and the scanner has not rated it")),
        Fix::NotPublished | Fix::Unknown => None,
    }
}

fn contradictions(context: &Context<'_>, image: &Image) -> Option<Unknown> {
    let claimed = contradicted_base(context, image)?;
    let because = format!("its annotation says that it is built on {claimed}, and its layers say otherwise");
    Some(about(image, None, because))
}
