//! The kinds of faults, and how often each is injected.

/// A kind of fault, or a person's action, or something unusual in the hierarchy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum InjectedFault {
    /// EventBridge loses an event.
    EventDropped,
    /// EventBridge delivers an event twice.
    EventDuplicated,
    /// EventBridge delivers an event minutes to hours late.
    EventDelayed,
    /// EventBridge delivers an event after later ones.
    EventReordered,
    /// EventBridge delivers no event in the whole scenario.
    NoEvents,
    /// An invocation ends before a call.
    CrashedBefore,
    /// An invocation ends after a call and does not see the answer.
    CrashedAfter,
    /// An invocation pauses before a call while others run.
    Interleaved,
    /// The clock of an invocation is wrong by seconds.
    ClockSkewed,
    /// A service refuses a call because there are too many.
    Throttled,
    /// A service refuses to read one item of a call because there are too many calls.
    ReadThrottled,
    /// A service refuses to read one item of a call, because a permission is missing.
    ReadDenied,
    /// The answer about one item of a call makes no sense.
    ReadInvalid,
    /// A service does not answer about one item of a call.
    ReadUnavailable,
    /// A service does what a call asks for, and its answer is lost.
    AnswerLost,
    /// A service does not answer for minutes to hours.
    Outage,
    /// CodePipeline refuses a start for now: it conflicts with another, or too many run.
    StartConflicts,
    /// CodePipeline refuses a start until a person changes something.
    StartRefused,
    BuildFailed,
    /// A build does not end for days, until a person stops it.
    BuildHung,
    /// A build has pushed its version, and its execution waits for an approval.
    ApprovalHung,
    /// An execution is not found for seconds after its start.
    ExecutionNotVisible,
    /// A person stops a build.
    BuildStopped,
    /// A later execution supersedes a build.
    BuildSuperseded,
    /// A build succeeds and installs the packages that the image had.
    FixesNothing,
    /// A scan completes hours late.
    ScanLate,
    ScanFailed,
    /// The scan window ends, and the findings disappear.
    ScanExpired,
    /// A rule of the account suppresses a finding, which the scan goes on listing.
    FindingSuppressed,
    /// The scanner does not scan a manifest again when a vulnerability becomes known.
    NotRescanned,
    /// The index of the schedule does not show what was written a moment ago.
    IndexLags,
    /// A person pushes a version with all fixes.
    PushedFixed,
    /// A person pushes a version with old packages.
    PushedVulnerable,
    /// A person pushes a version that is built on earlier versions of its parents.
    PushedOnOldParent,
    /// A person pushes a version that does not name its commit.
    PushedWithoutRevision,
    /// A person's commit runs the pipeline of an image.
    Committed,
    /// A person starts the pipeline of an image by hand.
    StartedByHand,
    /// A person moves the tags back to the version before.
    RolledBack,
    /// A person moves the tags to an earlier or later version.
    Retagged,
    /// A person approves a rebuild that policy leaves to people.
    Approved,
    /// A person requests a rebuild.
    Requested,
    /// A person freezes an image.
    Frozen,
    /// A person releases an image.
    Released,
    /// A person edits the policies of the hierarchy, or reverts the edit.
    PolicyEdited,
    /// A person edits the images of the hierarchy, or reverts the edit.
    HierarchyEdited,
    /// A person saves a hierarchy file that cannot be used, and corrects it later.
    HierarchyBroken,
    /// A person deploys Patchwave so that it only observes, or so that it may start builds again.
    CeilingMoved,
    /// A person pushes several times in minutes, and a multi-arch tag moves each time.
    TagMovedAgain,
    /// A signature or a cache is pushed beside a version.
    ArtefactPushed,
    /// A person promotes a version to an environment.
    Promoted,
    /// A newer execution of a pipeline supersedes Patchwave's.
    Overtaken,
    /// Newer executions of a pipeline supersede older ones.
    Superseding,
    /// Executions of a pipeline run side by side.
    Parallel,
    /// A build writes no annotation about its base.
    Unannotated,
    /// A pipeline takes no variables.
    WithoutVariables,
    /// Policy only observes an image.
    Observed,
    /// Policy leaves an image to people: approval, next commit or never.
    LeftToPeople,
    /// One registry of several refuses all reads for hours, and the others answer.
    RegistryRefused,
}

impl InjectedFault {
    /// Every kind.
    pub const ALL: [Self; 58] = [
        Self::EventDropped,
        Self::EventDuplicated,
        Self::EventDelayed,
        Self::EventReordered,
        Self::NoEvents,
        Self::CrashedBefore,
        Self::CrashedAfter,
        Self::Interleaved,
        Self::ClockSkewed,
        Self::Throttled,
        Self::ReadThrottled,
        Self::ReadDenied,
        Self::ReadInvalid,
        Self::ReadUnavailable,
        Self::AnswerLost,
        Self::Outage,
        Self::StartConflicts,
        Self::StartRefused,
        Self::BuildFailed,
        Self::BuildHung,
        Self::ApprovalHung,
        Self::ExecutionNotVisible,
        Self::BuildStopped,
        Self::BuildSuperseded,
        Self::FixesNothing,
        Self::ScanLate,
        Self::ScanFailed,
        Self::ScanExpired,
        Self::FindingSuppressed,
        Self::NotRescanned,
        Self::IndexLags,
        Self::PushedFixed,
        Self::PushedVulnerable,
        Self::PushedOnOldParent,
        Self::PushedWithoutRevision,
        Self::Committed,
        Self::StartedByHand,
        Self::RolledBack,
        Self::Retagged,
        Self::Approved,
        Self::Requested,
        Self::Frozen,
        Self::Released,
        Self::PolicyEdited,
        Self::HierarchyEdited,
        Self::HierarchyBroken,
        Self::CeilingMoved,
        Self::TagMovedAgain,
        Self::ArtefactPushed,
        Self::Promoted,
        Self::Overtaken,
        Self::Superseding,
        Self::Parallel,
        Self::Unannotated,
        Self::WithoutVariables,
        Self::Observed,
        Self::LeftToPeople,
        Self::RegistryRefused,
    ];

    /// Of a thousand opportunities, how many become a fault at [`Level::Many`](super::Level::Many).
    pub(super) fn rate(self) -> u32 {
        match self {
            Self::EventDropped | Self::NotRescanned => 150,
            Self::EventDuplicated | Self::EventDelayed | Self::IndexLags => 100,
            Self::EventReordered | Self::ClockSkewed | Self::ExecutionNotVisible => 200,
            Self::CrashedBefore | Self::CrashedAfter => 250,
            Self::Interleaved => 300,
            Self::RegistryRefused => 4,
            Self::Throttled => 8,
            Self::ReadDenied => 12,
            Self::AnswerLost => 20,
            Self::BuildFailed => 120,
            Self::BuildHung | Self::ScanExpired => 25,
            Self::StartConflicts | Self::StartRefused | Self::ApprovalHung => 40,
            Self::BuildStopped | Self::BuildSuperseded => 30,
            Self::FixesNothing | Self::ScanFailed | Self::FindingSuppressed => 60,
            Self::ScanLate => 80,
            // The others are scheduled, or part of the hierarchy.
            _ => 0,
        }
    }
}
