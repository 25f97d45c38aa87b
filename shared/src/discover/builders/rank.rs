//! How strong evidence of a builder is.

/// How strong evidence is, the strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// The configuration of an action that publishes.
    Publishes,
    /// The environment, or the commands.
    Names,
    /// The only place to which the role may push.
    MayPush,
    /// Who pushed it, by `CloudTrail`.
    Pushed,
    /// The configuration of an action that scans.
    Scans,
    /// What the image says of its source.
    Source,
    /// When it was pushed.
    Time,
    /// One of several places to which the role may push.
    MayPushAmongOthers,
}

impl Rank {
    /// Returns whether this says only what may be. Then it counts for a pipeline and a repository
    /// that it names for nothing else.
    pub(super) const fn is_weak(self) -> bool {
        matches!(self, Self::Source | Self::Time)
    }
}

/// A pipeline that seems to push to a place, the strongest evidence first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Link {
    pub(super) rank: Rank,
    pub(super) pipeline: usize,
    pub(super) words: String,
}
