//! Decides whether a planned policy may be written now.

use std::fmt;

use super::consumers::Consumers;
use super::doubts::OUTDATED;
use super::hash::{hash_of, is_same};
use super::outlook::Safety;
use super::plan::{KnownRepository, PlanInput, PlannedPolicy, foresee, unsurveyed};
use super::policy::LifecyclePolicy;
use crate::time::Span;

/// What is to be done about one repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The stored policy says what was planned.
    Already,
    /// Write this text.
    Write(String),
}

/// Why a policy is not written, and no other after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// The plan refuses it.
    Refused(Vec<String>),
    NotPreviewed,
    /// The text is not the one that was previewed.
    AnotherText,
    OldPreview(Span),
    /// ECR's preview and Patchwave's computation differ for so many images.
    Disagreement(usize),
    /// The stored policy is another one than when it was planned.
    ChangedMeanwhile,
    /// Something is not known about what runs.
    Unread(Vec<String>),
    InUse(Vec<String>),
    /// More images would go than were previewed.
    MoreGoing(usize),
    /// A call was refused, or not answered.
    Failed(String),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(because) => write!(f, "the plan refuses it: {}", because.join("; ")),
            Self::NotPreviewed => f.write_str("it was not previewed; run `patchwave lifecycle preview`"),
            Self::AnotherText => f.write_str("its text is not the one that was previewed; preview it again"),
            Self::OldPreview(age) => {
                write!(f, "it was previewed {} ago; plan and preview it again", age.in_words())
            }
            Self::Disagreement(images) => {
                write!(f, "ECR's preview and Patchwave do not agree about {images} images")
            }
            Self::ChangedMeanwhile => {
                f.write_str("the stored policy is not the one that was planned against; plan it again")
            }
            Self::Unread(because) => write!(f, "it is not known what runs: {}", because.join("; ")),
            Self::InUse(images) => write!(f, "it would act on what is in use: {}", images.join("; ")),
            Self::MoreGoing(more) => {
                write!(
                    f,
                    "{more} more images would be deleted than were previewed; plan and preview it again"
                )
            }
            Self::Failed(because) => f.write_str(because),
        }
    }
}

/// Decides whether a planned policy may be written, given the repository and the inventory as they
/// are now.
///
/// # Errors
///
/// The first reason why not. A caller that works on several repositories ends there.
pub fn may_write(
    planned: &PlannedPolicy,
    known: &KnownRepository,
    input: PlanInput<'_>,
) -> Result<Step, Stop> {
    let Some(text) = &planned.text else { return Err(Stop::Refused(planned.refused.clone())) };
    if is_same(known.stored.as_deref(), Some(text)) {
        return Ok(Step::Already);
    }
    if !planned.refused.is_empty() {
        return Err(Stop::Refused(planned.refused.clone()));
    }
    let preview = planned.preview.as_ref().ok_or(Stop::NotPreviewed)?;
    if preview.hash != hash_of(text) {
        return Err(Stop::AnotherText);
    }
    let age = Span::between(preview.at, input.now);
    if age > OUTDATED {
        return Err(Stop::OldPreview(age));
    }
    if !preview.differences.is_empty() {
        return Err(Stop::Disagreement(preview.differences.len()));
    }
    if !is_same(known.stored.as_deref(), planned.stored.as_deref()) {
        return Err(Stop::ChangedMeanwhile);
    }
    let consumers = input.inventory.map(|answer| Consumers::new(answer, input.now));
    let mut doubts = consumers
        .as_ref()
        .map_or_else(|| vec!["there is no inventory".to_owned()], |consumers| consumers.doubts.clone());
    doubts.extend(unsurveyed(known, input.inventory));
    if !doubts.is_empty() {
        return Err(Stop::Unread(doubts));
    }
    let policy = LifecyclePolicy::parse(text).map_err(|errors| Stop::Failed(errors.to_string()))?;
    let foreseen = foresee(&policy, known, consumers.as_ref(), input);
    let in_use = foreseen.going.iter().filter(|goes| !goes.in_use.is_empty());
    let in_use: Vec<String> = in_use.map(|goes| goes.digest.to_string()).collect();
    if !in_use.is_empty() {
        return Err(Stop::InUse(in_use));
    }
    if foreseen.verdict == Safety::Unknown {
        return Err(Stop::Unread(foreseen.unknown));
    }
    let planned_digests = planned.digests();
    let is_new = |goes: &&super::Goes| {
        !preview.going.contains(&goes.digest) && !planned_digests.contains(&goes.digest)
    };
    match foreseen.going.iter().filter(is_new).count() {
        0 => Ok(Step::Write(text.clone())),
        more => Err(Stop::MoreGoing(more)),
    }
}

/// What is to be done to put the old policy of a repository back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undo {
    /// The old policy is stored already.
    Already,
    /// Write this text.
    Write(String),
    /// There was no policy: delete the one that is stored.
    Delete,
}

/// A write in the audit trail.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyChange {
    pub repository: crate::image::Repository,
    pub at: crate::time::Timestamp,
    /// Who decided it.
    pub by: String,
    /// The text before; nothing if there was no policy.
    pub old: Option<String>,
    /// The text after; nothing if the policy was deleted.
    pub new: Option<String>,
}

/// Decides how the last write is undone.
///
/// # Errors
///
/// The stored policy is not the one that was written.
pub fn undo(last: &PolicyChange, stored: Option<&str>) -> Result<Undo, Stop> {
    if is_same(stored, last.old.as_deref()) {
        return Ok(Undo::Already);
    }
    if !is_same(stored, last.new.as_deref()) {
        return Err(Stop::ChangedMeanwhile);
    }
    Ok(last.old.clone().map_or(Undo::Delete, Undo::Write))
}
