//! Finds the image that a finding belongs to.
//!
//! The search goes up from the image that carries the finding, one parent at a time. It asks two
//! questions about each parent:
//!
//! 1. Did the version of the parent that this image *was built on* introduce the finding?
//! 2. Does the parent's *current* version still carry it? The parent's own scan or its layers
//!    answer that.
//!
//! If the first answer is no, the finding is the image's own. Otherwise the second answer decides.
//! If it is yes, the search goes on at the parent. If it is no, and the old version of the parent
//! is known, the image is only stale. If it is not known, the parent must be scanned first.

use std::collections::{BTreeMap, BTreeSet};

use super::built_on::{BuiltOn, built_on};
use super::context::Context;
use crate::facts::Version;
use crate::finding::{Finding, FindingKey, PackageKind};
use crate::hierarchy::{Edge, Image, ParentKind};
use crate::image::ImageId;
use crate::time::Timestamp;
use crate::unread::Unread;

/// The answer for one finding of one image.
pub(super) enum Origin<'a> {
    /// The reason belongs to this image: the highest carrier that has a pipeline, or the image
    /// itself.
    Introduced(&'a Image),
    /// This carrier was built on a version of its parent that had the finding. The parent's current
    /// version does not have it, so a rebuild brings the fix.
    Stale(&'a Image),
    /// It is not known whether this parent still carries the finding: it must be scanned first.
    Unscanned {
        parent: &'a Image,
        /// The image to rebuild if that scan does not complete in time.
        owner: &'a Image,
    },
}

/// What one step upwards found.
enum Step<'a> {
    Own,
    Above(&'a Image),
    Stale,
    Unscanned(&'a Image),
}

/// What is known of one parent of an image, whatever the finding is.
struct Above<'a> {
    edge: Edge<'a>,
    /// Its current version.
    now: Option<&'a Version>,
    /// Whether that version is not known.
    is_unknown: bool,
    /// The findings that Patchwave fixed with that version, by proof.
    fixed: BTreeSet<FindingKey>,
    /// Which version of it the image was built on.
    built_on: Result<Option<BuiltOn<'a>>, &'a Unread>,
}

/// The parents of each image that a search came to, looked up once for all findings.
#[derive(Default)]
pub(super) struct Parents<'a>(BTreeMap<&'a ImageId, Vec<Above<'a>>>);

impl<'a> Parents<'a> {
    fn of(&mut self, context: &Context<'a>, image: &'a Image) -> &[Above<'a>] {
        self.0.entry(&image.id).or_insert_with(|| {
            let above = |edge: Edge<'a>| {
                let now = context.current(&edge.image.id);
                let is_unknown = now.is_none() && context.unknown(&edge.image.id).is_some();
                let success = context.record(&edge.image.id).success.as_ref();
                let success = success.filter(|success| now.is_some_and(|now| now.digest == success.version));
                let fixed = success.map(|success| success.fixed.clone()).unwrap_or_default();
                Above { edge, now, is_unknown, fixed, built_on: built_on(context, image, edge) }
            };
            context.hierarchy.parents(&image.id).map(above).collect()
        })
    }
}

/// Finds where `finding`, which `image` carries since `appeared`, comes from.
pub(super) fn origin<'a>(
    context: &Context<'a>,
    parents: &mut Parents<'a>,
    image: &'a Image,
    finding: &'a Finding,
    appeared: Timestamp,
) -> Origin<'a> {
    let mut carrier = image;
    let mut owner = image;
    let mut finding = finding;
    loop {
        match step(parents.of(context, carrier), finding, appeared) {
            Step::Own => return Origin::Introduced(owner),
            Step::Stale => return Origin::Stale(carrier),
            Step::Unscanned(parent) => return Origin::Unscanned { parent, owner },
            Step::Above(parent) => {
                carrier = parent;
                // The layer that this image's scan names may be one of an earlier version of the
                // parent. Only its own scan says in which layer the parent has the package now.
                let own = context.current(&parent.id).and_then(|now| now.finding(&finding.key));
                finding = own.unwrap_or(finding);
                if parent.pipeline.is_some() {
                    owner = parent;
                }
            }
        }
    }
}

fn step<'a>(parents: &[Above<'a>], finding: &Finding, appeared: Timestamp) -> Step<'a> {
    let rank = |step: &Step<'_>| match step {
        Step::Above(_) => 0,
        Step::Stale => 1,
        Step::Unscanned(_) => 2,
        Step::Own => 3,
    };
    let steps = parents.iter().map(|parent| through(parent, finding, appeared));
    steps.min_by_key(rank).unwrap_or(Step::Own)
}

/// Answers both questions for one parent.
fn through<'a>(above: &Above<'a>, finding: &Finding, appeared: Timestamp) -> Step<'a> {
    let parent = above.edge;
    let Some(now) = above.now else {
        // A parent without a version passes on nothing. A version that is not known may contain any
        // finding.
        return if above.is_unknown { Step::Unscanned(parent.image) } else { Step::Own };
    };
    let built_on = match &above.built_on {
        Ok(Some(built_on)) => built_on,
        Ok(None) => return Step::Own,
        // The parent still counts as carrier if its current version lists the finding.
        Err(_) => {
            return match still_carried(above, now, finding, appeared) {
                Some(true) => Step::Above(parent.image),
                _ => Step::Unscanned(parent.image),
            };
        }
    };
    if introduced(built_on, parent.kind, finding, appeared) == Some(false) {
        return Step::Own;
    }
    match still_carried(above, now, finding, appeared) {
        Some(true) => Step::Above(parent.image),
        // The finding came from the parent, and the parent no longer has it.
        Some(false) if !built_on.is_current && built_on.version.is_some() => Step::Stale,
        Some(false) => Step::Own,
        None => Step::Unscanned(parent.image),
    }
}

/// Whether the parent's current version carries the finding. Returns nothing if that is not known.
///
/// Basic scanning scans a version once a day, so its scan is often older than the finding of an
/// image below. If Patchwave proved that this version fixed the finding, the scanner knew it then.
fn still_carried(above: &Above<'_>, now: &Version, finding: &Finding, appeared: Timestamp) -> Option<bool> {
    let is_fixed = || above.fixed.contains(&finding.key);
    carried(now, above.edge.kind, finding, appeared).or_else(|| is_fixed().then_some(false))
}

/// Whether the version that the carrier was built on introduced the finding. Returns nothing if
/// that is not known.
fn introduced(
    built_on: &BuiltOn<'_>,
    kind: ParentKind,
    finding: &Finding,
    appeared: Timestamp,
) -> Option<bool> {
    let version = built_on.version?;
    match has_layer(version, kind, finding) {
        Some(inherited) => Some(inherited),
        None => carried(version, kind, finding, appeared),
    }
}

/// Whether `version` carries the finding. Returns nothing if no layer shows it and no scan is newer
/// than the finding.
fn carried(version: &Version, kind: ParentKind, finding: &Finding, appeared: Timestamp) -> Option<bool> {
    // The same layer has the same package. Another layer may contain the package again.
    if has_layer(version, kind, finding) == Some(true) || version.lists(&finding.key) {
        return Some(true);
    }
    // Files that are copied from another stage contain no package database of the operating system.
    if kind == ParentKind::CopyFrom && finding.kind == PackageKind::Os {
        return Some(false);
    }
    let is_unclear = version.platforms.values().any(|m| m.scan.is_unclear(&finding.key));
    (is_scanned_since(version, appeared) && !is_unclear).then_some(false)
}

/// Whether `version` has the layer that contains the package. Returns nothing if the scanner does
/// not name the layer, or if the child does not inherit layers.
fn has_layer(version: &Version, kind: ParentKind, finding: &Finding) -> Option<bool> {
    let layer = finding.layer.as_ref().filter(|_| kind == ParentKind::From)?;
    Some(version.platforms.values().any(|manifest| manifest.layers.contains(layer)))
}

/// Whether all of `version` was scanned after the finding appeared: an older scan cannot list it.
fn is_scanned_since(version: &Version, appeared: Timestamp) -> bool {
    !version.platforms.is_empty()
        && version
            .platforms
            .values()
            .all(|manifest| manifest.scan.completed_at().is_some_and(|at| at >= appeared))
}
