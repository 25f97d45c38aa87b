//! What the simulated world can do and Patchwave does not survive yet.

use serde::Serialize;

/// Something that Patchwave does not survive yet. The world leaves it out, or the checker passes
/// over it, and a run counts how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum NotYet {
    /// A person puts the version before back while Patchwave does not know yet that its build
    /// succeeded. Patchwave replaces that version.
    RollBackBeforeSuccessIsSeen,
    /// CodePipeline remembers the token of a build that failed hours ago. Attempts of a goal are
    /// counted from 1 again after another goal, so a new start has the token of that build.
    TokenOfEarlierAttempt,
    /// A person pushes after a build of Patchwave, before Patchwave knows that the build
    /// succeeded. Patchwave records the person's version as its own.
    PersonsPushIsSuccess,
    /// A build runs on other parents than those that Patchwave claimed. Patchwave records those
    /// that it claimed.
    RecordedParents,
    /// The repository of an image cannot be read for ever, and its build succeeds. Patchwave says
    /// for ever that the build runs.
    SuccessOfUnreadImage,
    /// The record of an image cannot be read for ever. The image keeps its slot.
    SlotOfUnreadRecord,
}

/// What is left out today. Whoever changes Patchwave so that it survives one of these removes it
/// here.
const LEFT_OUT: &[NotYet] = &[NotYet::SuccessOfUnreadImage, NotYet::SlotOfUnreadRecord];

impl NotYet {
    pub(crate) fn is_left_out(self) -> bool {
        LEFT_OUT.contains(&self)
    }
}
