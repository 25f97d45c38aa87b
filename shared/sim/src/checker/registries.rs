//! What a pass says about the images of a registry that refuses all reads.

use patchwave::hierarchy::Hierarchy;
use patchwave::image::ImageId;
use patchwave::plan::{Hold, Verdict};
use patchwave::time::{Span, Timestamp};
use patchwave_converge::Report;

use crate::state::State;

/// A pass that ends so long after a refusal began did not read before it: no invocation is paused
/// so long, and none keeps a page so long.
const LONGER_THAN_A_PASS: Span = Span::hours(1);

impl State {
    /// Checks that nothing clean is said about what cannot be read: no image of the registry is
    /// called fresh or starts, and no finding on it is called fixed.
    pub(crate) fn check_refused_registries(
        &mut self,
        hierarchy: &Hierarchy,
        report: &Report,
        now: Timestamp,
    ) {
        let is_refused = |id: &ImageId| {
            let image = hierarchy.image(id).ok()?;
            let since = self.faults.registry_refused_since(&image.repository, now)?;
            (LONGER_THAN_A_PASS.after(since) < now).then_some(())
        };
        let fresh = report.held.iter().filter(|held| held.hold == Hold::Fresh).map(|held| &held.image);
        let fixed = report.proofs.iter().filter(|proof| proof.verdict == Verdict::Fixed);
        let started = report.started.iter().map(|started| &started.image);
        let clean: Vec<&ImageId> = fresh
            .chain(fixed.map(|proof| &proof.image))
            .chain(started)
            .filter(|id| is_refused(id).is_some())
            .collect();
        for image in clean {
            let violation = format!("{image} is decided about although its registry cannot be read");
            self.checker.violation(now, violation);
        }
    }
}
