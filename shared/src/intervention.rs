//! What a person decides about one image. Patchwave writes it into the image's record, and the next
//! pass acts on it.

use serde::{Deserialize, Serialize};

use crate::facts::{Current, ImageFacts, Version};
use crate::hierarchy::Image;
use crate::image::Digest;
use crate::record::{AcceptedRevision, Approval, ApprovedVersion, Decided, Record, Request};

/// A person's decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Intervention {
    /// Approve that a rebuild replaces the current version, if policy asks for approval. Also
    /// accept the commit that this version names.
    Approve,
    /// Rebuild it, even without another reason.
    Rebuild,
    /// End quarantine, back-off and freeze, and accept the version that a person put back as the
    /// one that counts. Also accept the commit that the current version names.
    Release,
    /// Rebuild it no more until a person releases it.
    Freeze,
}

/// A decision that cannot be recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot approve: the version that would be replaced is not known: {0}")]
pub struct NotDecided(String);

impl Intervention {
    /// Returns `record` with the decision in it. The next tick looks at the image.
    ///
    /// # Errors
    ///
    /// An approval needs the current version, so it fails if that is not known.
    pub fn write(self, image: &Image, facts: &ImageFacts, decided: Decided) -> Result<Record, NotDecided> {
        let ImageFacts { current, record, .. } = facts;
        // The next tick looks at it, and reads again what could not be read.
        let mut record = Record { recheck_at: Some(decided.at), unread_since: None, ..record.clone() };
        if matches!(self, Self::Approve | Self::Release)
            && let Some(accepted) = accepted(image, facts, &decided)
        {
            record.accepted_revision = Some(accepted);
        }
        match self {
            Self::Approve => {
                let replaces = match current {
                    Current::Version(digest) => Some(digest.clone()),
                    Current::Absent => None,
                    Current::NoRepository(registry) => {
                        return Err(NotDecided(format!("{registry} has no such repository")));
                    }
                    Current::Unread(why) => return Err(NotDecided(why.to_string())),
                };
                record.approval = Some(Approval { replaces, decided });
            }
            Self::Rebuild => {
                // One request is one build. A second request while the first waits changes nothing.
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
                    // An earlier version replaced Patchwave's. From now on the earlier one counts.
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

/// Returns `record` with the approval that a version is promoted to an environment. It replaces an
/// earlier one for that environment.
pub fn approve_promotion(record: &Record, environment: &str, version: Digest, decided: Decided) -> Record {
    let mut record = record.clone();
    record.promotions.insert(environment.to_owned(), ApprovedVersion { version, decided });
    record
}

/// The commit of the current version, if the pipeline is pinned to it and is not known to have
/// built it. CodePipeline forgets executions after a year, so only a person can say that it did.
fn accepted(image: &Image, facts: &ImageFacts, decided: &Decided) -> Option<AcceptedRevision> {
    image.pipeline.as_ref().filter(|pipeline| !pipeline.sources.is_empty())?;
    let commit = facts.current_version().and_then(Version::commit)?;
    let is_known = facts.record.revision.as_deref() == Some(commit);
    (!is_known).then(|| AcceptedRevision { revision: commit.to_owned(), decided: decided.clone() })
}
