//! The moments of a build at which people act.

use std::collections::BTreeMap;

use patchwave::image::ImageId;
use patchwave::time::{Span, Timestamp};

use super::PersonAction;
use crate::state::{Scheduled, State};

/// A moment of a build at which a person acts on its image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Moment {
    /// Patchwave has read the image and is about to claim its build.
    BeforeClaim,
    /// Patchwave has claimed the build and is about to start it.
    BeforeStart,
    /// The execution runs and has pushed nothing.
    BeforePush,
    /// The execution has pushed its version, and Patchwave does not know that yet.
    BeforeSuccessIsSeen,
    /// The scan that proves the build is being made.
    DuringProof,
}

impl Moment {
    pub(super) const ALL: [Self; 5] = [
        Self::BeforeClaim,
        Self::BeforeStart,
        Self::BeforePush,
        Self::BeforeSuccessIsSeen,
        Self::DuringProof,
    ];
}

/// What people are going to do at moments of a build. The next build takes one action of each
/// moment.
pub(crate) type Anchored = BTreeMap<Moment, Vec<PersonAction>>;

impl State {
    /// Returns what a person does to `image` at this moment of its build.
    pub(crate) fn action_at(&mut self, moment: Moment, image: &ImageId) -> Option<PersonAction> {
        let action = self.anchored.get_mut(&moment)?.pop()?;
        Some(PersonAction { image: image.clone(), ..action })
    }

    /// Schedules what a person does to `image` within `latest` from now.
    pub(crate) fn act_within(&mut self, moment: Moment, image: &ImageId, latest: Span, now: Timestamp) {
        if let Some(action) = self.action_at(moment, image) {
            let at = self.faults.span(Span::seconds(1), latest).after(now);
            self.schedule(at, Scheduled::PersonAction(action));
        }
    }
}
