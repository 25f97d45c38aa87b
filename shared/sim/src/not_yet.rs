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
}

/// What is left out today. Whoever changes Patchwave so that it survives one of these removes it
/// here.
const LEFT_OUT: &[NotYet] = &[NotYet::RollBackBeforeSuccessIsSeen];

impl NotYet {
    pub(crate) fn is_left_out(self) -> bool {
        LEFT_OUT.contains(&self)
    }
}
