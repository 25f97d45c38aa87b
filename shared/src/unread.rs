//! A fact that could not be read.
//!
//! A fact is known, absent or unread. An unread fact is no evidence: it keeps its image unsettled,
//! and the report names it with what could not be read, why, and since when.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a fact could not be read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unread {
    /// What was read, and the error.
    pub because: String,
    /// Whether reading again can only help after a person acted: access was denied, or the answer
    /// makes no sense. Then Patchwave reads again at growing distances.
    #[serde(default)]
    pub needs_person: bool,
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.because)
    }
}

impl From<String> for Unread {
    fn from(because: String) -> Self {
        Self { because, needs_person: false }
    }
}

impl From<&str> for Unread {
    fn from(because: &str) -> Self {
        because.to_owned().into()
    }
}
