//! Whose finding is it?
//!
//! Two questions, one parent at a time, upwards from the image that carries the finding. Was it introduced by the version
//! of the parent that this one *was built on*? Does the parent's *current* version still carry it? Introduced above and
//! still carried: the parent's own scan, or the layers, say so, and the walk goes on there. Introduced above and gone:
//! the image is only stale. Nobody knows: the parent must be scanned first.

use super::built_on::{BuiltOn, built_on};
use super::context::Context;
use crate::facts::Version;
use crate::finding::{Finding, FindingKey, PackageKind};
use crate::hierarchy::{Edge, Image, ParentKind};
use crate::time::Timestamp;

/// The answer for one finding of one image.
pub(super) enum Origin<'a> {
    /// The reason belongs to this image: the highest carrier that has a pipeline, or the image itself.
    Introduced(&'a Image),
    /// This carrier was built on a version of its parent that had the finding, and the parent's current one has it not:
    /// a rebuild on the new parent brings the fix.
    Stale(&'a Image),
    /// Whether this parent still carries it is not known before it is scanned.
    Unscanned {
        parent: &'a Image,
        /// The image to try if the scan does not come.
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

/// Walks from `image`, which carries `finding` since `appeared`, up to where the finding comes from.
pub(super) fn origin<'a>(
    context: &Context<'a>,
    image: &'a Image,
    finding: &Finding,
    appeared: Timestamp,
) -> Origin<'a> {
    let mut carrier = image;
    let mut owner = image;
    loop {
        match step(context, carrier, finding, appeared) {
            Step::Own => return Origin::Introduced(owner),
            Step::Stale => return Origin::Stale(carrier),
            Step::Unscanned(parent) => return Origin::Unscanned { parent, owner },
            Step::Above(parent) => {
                carrier = parent;
                if parent.pipeline.is_some() {
                    owner = parent;
                }
            }
        }
    }
}

fn step<'a>(context: &Context<'a>, carrier: &'a Image, finding: &Finding, appeared: Timestamp) -> Step<'a> {
    let steps: Vec<Step<'a>> = context
        .hierarchy
        .parents(&carrier.id)
        .map(|parent| through(context, carrier, parent, finding, appeared))
        .collect();
    let rank = |step: &Step<'_>| match step {
        Step::Above(_) => 0,
        Step::Stale => 1,
        Step::Unscanned(_) => 2,
        Step::Own => 3,
    };
    steps.into_iter().min_by_key(rank).unwrap_or(Step::Own)
}

/// What one parent has to do with the finding.
fn through<'a>(
    context: &Context<'a>,
    carrier: &'a Image,
    parent: Edge<'a>,
    finding: &Finding,
    appeared: Timestamp,
) -> Step<'a> {
    let Some(now) = context.current(&parent.image.id) else {
        // Without a version there is nothing to inherit; a version that is not known may hold anything.
        return if context.unknown(&parent.image.id).is_some() {
            Step::Unscanned(parent.image)
        } else {
            Step::Own
        };
    };
    let Some(built_on) = built_on(context, carrier, parent) else { return Step::Own };
    if introduced(&built_on, parent.kind, finding, appeared) == Some(false) {
        return Step::Own;
    }
    match carried(now, parent.kind, finding, appeared) {
        Some(true) => Step::Above(parent.image),
        // Known to come from above, and gone there.
        Some(false) if !built_on.is_current && built_on.version.is_some() => Step::Stale,
        Some(false) => Step::Own,
        None => Step::Unscanned(parent.image),
    }
}

/// Whether the version that the carrier was built on brought the finding; nothing if that is not known.
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

/// Whether `version` carries the finding; nothing if no layer says so and no scan is younger than the finding.
fn carried(version: &Version, kind: ParentKind, finding: &Finding, appeared: Timestamp) -> Option<bool> {
    // The same layer is the same package; another layer may hold the same package again.
    if has_layer(version, kind, finding) == Some(true) || lists(version, &finding.key) {
        return Some(true);
    }
    // Files copied from another stage bring no package database of the operating system with them.
    if kind == ParentKind::CopyFrom && finding.kind == PackageKind::Os {
        return Some(false);
    }
    is_scanned_since(version, appeared).then_some(false)
}

/// Whether the layer that holds the package is one of `version`'s, where the scanner names it and layers are inherited.
fn has_layer(version: &Version, kind: ParentKind, finding: &Finding) -> Option<bool> {
    let layer = finding.layer.as_ref().filter(|_| kind == ParentKind::From)?;
    Some(version.platforms.values().any(|manifest| manifest.layers.contains(layer)))
}

/// Whether all of `version` was scanned after the finding appeared: an older scan could not know it.
fn is_scanned_since(version: &Version, appeared: Timestamp) -> bool {
    !version.platforms.is_empty()
        && version
            .platforms
            .values()
            .all(|manifest| manifest.scan.completed_at().is_some_and(|at| at >= appeared))
}

fn lists(version: &Version, key: &FindingKey) -> bool {
    version.finding(key).is_some()
}
