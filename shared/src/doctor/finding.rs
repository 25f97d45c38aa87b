//! What is wrong, or was not checked.

use serde::{Deserialize, Serialize};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Level {
    /// Something does not work.
    Broken,
    /// Something works worse than it could, or will break.
    Warning,
    /// Something could not be looked at.
    NotChecked,
}

/// Something that is wrong, or was not checked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    pub level: Level,
    /// What it is about: an image, a repository, a pipeline, a setting.
    pub about: String,
    /// What breaks.
    pub breaks: String,
    /// The command, the setting or the line of the template that mends it.
    pub mend: String,
}

impl Finding {
    pub(super) fn new(
        level: Level,
        about: impl Into<String>,
        breaks: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self { level, about: about.into(), breaks: breaks.into(), mend: mend.into() }
    }

    /// Something that could not be read.
    pub(super) fn not_checked(about: impl Into<String>, because: &str) -> Self {
        let mend = "allow the call, or run this with a role that may make it";
        Self::new(Level::NotChecked, about, format!("it was not checked: {because}"), mend)
    }
}
