//! What the simulated world can do and Patchwave does not survive yet.

use serde::Serialize;

/// Something that Patchwave does not survive yet. The world leaves it out, or the checker passes
/// over it, and a run counts how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum NotYet {
    /// The record of an image cannot be read for ever. The image keeps its slot: a record that
    /// nobody can read has no fence to write with. The report's errors name it.
    SlotOfUnreadRecord,
    /// The pipeline does not report what it pushed, and a person's push cannot be told from the
    /// build's. It comes before the execution's end, or the build pushed nothing new, or a person
    /// started a pipeline that takes no build key.
    PushBesideUnreportedBuild,
    /// A person pushes while a build runs, and moves the tags back to that version after the
    /// build's own push. Patchwave records the person's version as its own.
    MovedBackToPersonsPush,
    /// A parent's tags are moved again and again while a build runs whose pipeline takes no base.
    /// Patchwave records the parent that it claimed.
    ParentMovedBack,
    /// The ceiling of the deployment is raised. Ticks leave what was observed before to the sweep.
    ObservedUntilTheSweep,
}

/// What is left out today. Whoever changes Patchwave so that it survives one of these removes it
/// here.
const LEFT_OUT: &[NotYet] = &[
    NotYet::SlotOfUnreadRecord,
    NotYet::PushBesideUnreportedBuild,
    NotYet::MovedBackToPersonsPush,
    NotYet::ParentMovedBack,
    NotYet::ObservedUntilTheSweep,
];

impl NotYet {
    pub(crate) fn is_left_out(self) -> bool {
        LEFT_OUT.contains(&self)
    }
}
