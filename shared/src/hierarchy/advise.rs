//! The warnings about a valid file as a whole.

use serde_saphyr::Location;

use super::Line;
use super::draft::Draft;
use super::error::Report;
use super::warning::Advice;
use crate::image::{Order, Tag, TagPattern};
use crate::policy::{Mode, Rebuild};

/// Adds the warnings about all images together. `mode_at` is where the file's own policy has its
/// `mode`.
pub(super) fn advise(drafts: &[Draft], mode_at: Location, has_inventory: bool, report: &mut Report<'_>) {
    if !drafts.is_empty() && drafts.iter().all(|draft| draft.policy.mode == Mode::Observe) {
        report.warn(mode_at, Advice::EverythingObserves);
    }
    if !has_inventory {
        report.warn(Location::UNKNOWN, Advice::NoInventory);
    }
    for draft in drafts {
        report.enter(draft.file);
        if draft.pinned {
            report.warn(draft.id_at, Advice::Pinned(draft.id.clone()));
        }
        if let Line::Stable(tags) = &draft.line {
            let further = tags.iter().zip(&draft.line_at).skip(1);
            for (tag, at) in
                further.filter(|(tag, _)| names_architecture(tag) && !names_architecture(&tags[0]))
            {
                report.warn(*at, Advice::TagOfArchitecture(tag.clone()));
            }
        }
        if let Line::Newest(family) = &draft.line
            && family.order == Order::Pushed
            && names_releases(&family.pattern)
        {
            let at = draft.line_at.first().copied().unwrap_or(draft.id_at);
            report.warn(at, Advice::PushOrderOfReleases(family.pattern.clone()));
        }
        if draft.pipeline.is_none() && draft.policy.rebuild != Rebuild::Never {
            report.warn(draft.id_at, Advice::NoPipeline(draft.id.clone()));
        }
    }
}

/// How people write an architecture into a tag.
const ARCHITECTURES: [&str; 12] = [
    "amd64", "x86_64", "arm64", "arm64v8", "aarch64", "arm32v5", "arm32v6", "arm32v7", "armhf", "ppc64le",
    "s390x", "riscv64",
];

fn names_architecture(tag: &Tag) -> bool {
    tag.as_str().split(['-', '.']).any(|word| ARCHITECTURES.contains(&word))
}

/// Returns whether a pattern is how people name releases of any number: `v*`, `release-*`.
fn names_releases(pattern: &TagPattern) -> bool {
    let Some(prefix) = pattern.as_str().strip_suffix('*') else { return false };
    let word = prefix.trim_end_matches(['-', '.', '_']).rsplit(['-', '.', '_', '/']).next();
    word.is_some_and(|word| ["v", "rel", "release", "version"].contains(&word.to_lowercase().as_str()))
}
