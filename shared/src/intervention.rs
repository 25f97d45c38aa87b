//! What a person decides about one image. It is written into the image's record, and the next pass acts on it.

use serde::{Deserialize, Serialize};

use crate::facts::Current;
use crate::record::{Approval, Decided, Record, Request};

/// A person's decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Intervention {
    /// Let the current version be replaced, where policy asks for approval.
    Approve,
    /// Rebuild it whether or not there is another reason.
    Rebuild,
    /// End quarantine, back-off and freeze, and follow what was rolled back as if it had been pushed.
    Release,
    /// Leave it alone until it is released.
    Freeze,
}

/// A decision that cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot approve: the version that would be replaced is not known: {0}")]
pub struct NotDecided(String);

impl Intervention {
    /// Returns `record` with the decision in it. The tick looks at the image from then on.
    ///
    /// # Errors
    ///
    /// An approval of a version that nobody knows is none.
    pub fn write(self, record: &Record, current: &Current, decided: Decided) -> Result<Record, NotDecided> {
        let mut record = Record { unsettled: true, ..record.clone() };
        match self {
            Self::Approve => {
                let replaces = match current {
                    Current::Version(digest) => Some(digest.clone()),
                    Current::Absent => None,
                    Current::Unknown(why) => return Err(NotDecided(why.clone())),
                };
                record.approval = Some(Approval { replaces, decided });
            }
            Self::Rebuild => {
                // One request is one build: asking again while it waits changes nothing.
                record.request.get_or_insert(Request {
                    id: format!("{}-{}", decided.by, decided.at),
                    by: decided.by,
                    at: decided.at,
                });
            }
            Self::Release => {
                record.ineffective.clear();
                record.failures = None;
                record.frozen = None;
                if let Some(success) = &mut record.success {
                    success.fixed_nothing = false;
                    // Ours was replaced by an earlier one: from now on that one counts.
                    success.followed = match current {
                        Current::Version(digest) if *digest != success.version => Some(digest.clone()),
                        _ => None,
                    };
                }
            }
            Self::Freeze => record.frozen = Some(decided),
        }
        Ok(record)
    }
}
