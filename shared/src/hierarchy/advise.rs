//! The warnings about a valid file as a whole.

use serde_saphyr::Location;

use super::draft::Draft;
use super::error::Report;
use super::warning::Advice;
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
        if draft.pipeline.is_none() && draft.policy.rebuild != Rebuild::Never {
            report.warn(draft.id_at, Advice::NoPipeline(draft.id.clone()));
        }
    }
}
