//! What Patchwave records about an image: one small item for each, protected by a fence.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::finding::{FindingKey, Fix};
use crate::image::{Digest, ImageId};
use crate::notice::{Notified, RootCause};
use crate::plan::{BuildKey, Reason, Start, ToProve};
use crate::predicted::Predicted;
use crate::time::{Span, Timestamp};

/// The record of one image. The default is the record of an image that was never written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Record {
    /// Rises with every write. A write succeeds only if the fence is still the one that the writer
    /// read. So a writer never overwrites what it has not read.
    pub fence: u64,
    /// When a tick looks at the image again. Nothing if it is settled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recheck_at: Option<Timestamp>,
    /// Its place in the queue of those that wait for a free slot and for nothing else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<Ready>,
    /// Since when its children have had a reason to wait for it. When that ends, they are looked
    /// at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moving_since: Option<Timestamp>,
    /// Which of its children passes have not looked at since it settled or changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rolling: Option<Rolling>,
    /// Images below wait for a scan of it that is newer than this. When it is there, they are
    /// looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub awaited_after: Option<Timestamp>,
    /// Images whose scans list findings that this image answers for: a few for each finding. A pass
    /// that decides about this image observes them too.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub carriers: BTreeSet<ImageId>,
    /// The current version at the last observation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<Digest>,
    /// Since when the image has waited with a reason to rebuild it. Later reasons of its parents do
    /// not prolong this wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_since: Option<Timestamp>,
    /// Since when a finding here has waited for the scan of an ancestor. This is not the wait for a
    /// start, because such a scan may never complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scan_awaited_since: Option<Timestamp>,
    /// Since when something that a decision about it needs could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread_since: Option<Timestamp>,
    /// The last commit of the line that an execution of its pipeline reported as its source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// A person's decision that a commit is the line's, although no execution reported it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted_revision: Option<AcceptedRevision>,
    /// Since when the mode of the image is `enforce`. What was overdue by then is spread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enforced_since: Option<Timestamp>,
    /// When each finding that counts was first seen here.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub seen: BTreeMap<FindingKey, Timestamp>,
    /// The start that is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
    /// The number of the last start. It rises with every start, whatever its goal: a start with the
    /// token of an earlier one would get that one's execution.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub last_attempt: u32,
    /// The execution that the last claim ended with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_execution: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failures: Option<Failures>,
    /// The last build that succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub success: Option<Success>,
    /// The proof that waits for a scan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof: Option<PendingProof>,
    /// Builds that were made for a finding and did not fix it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ineffective: BTreeMap<FindingKey, Ineffective>,
    /// The tries for findings without a known fix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tries: Option<Tries>,
    /// The notices about it that were sent, or are about to be sent.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub notified: BTreeMap<RootCause, Notified>,
    /// What was predicted when its last rebuild for findings started that others follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predicted: Option<Predicted>,
    /// A person's request to rebuild it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<Request>,
    /// A person's approval to replace its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// The versions that a person approved to be promoted, the last one for each environment.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub promotions: BTreeMap<String, ApprovedVersion>,
    /// A person's decision to freeze it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frozen: Option<Decided>,
}

/// A place in the queue of those that wait for a free slot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ready {
    /// The owner, if the owner has a limit of its own. Each such owner has a queue of its own, so
    /// that no owner at its limit delays others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// When the rebuild is due: the earliest goes first.
    pub due: Timestamp,
    /// How many minutes the build takes, with the longest chain of builds below. Among those that
    /// are due in the same hour the longest goes first.
    pub chain: u32,
}

impl Ready {
    /// Returns what queues are sorted by: the hour in which the rebuild is due, and then the
    /// longest chain.
    #[must_use]
    pub fn rank(&self) -> (Timestamp, Reverse<u32>) {
        let into_hour =
            Span::seconds(u32::try_from(self.due.as_second().rem_euclid(3_600)).unwrap_or_default());
        let second = Timestamp::from_second(self.due.as_second()).unwrap_or(self.due);
        (into_hour.before(second), Reverse(self.chain))
    }
}

/// A walk over the children of an image, page by page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rolling {
    /// When the image settled or changed. Its children have waited since then.
    pub since: Timestamp,
    /// The last child, in the order of ids, that was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<ImageId>,
}

/// A start that an invocation makes or has made. An image has at most one claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// The invocation that took it.
    pub owner: String,
    pub claimed_at: Timestamp,
    /// Until when only the owner may act on it. After that any invocation may resolve it.
    pub lease_until: Timestamp,
    /// The whole start, so that an invocation that resolves the claim need not plan it again.
    pub start: Start,
    /// The execution, once confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution: Option<String>,
    /// The execution of the claim before. Attempts share their build key and may follow each other
    /// within seconds, but an execution belongs to one claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
}

/// Failures in a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failures {
    pub count: u32,
    /// When Patchwave saw the last one.
    pub last: Timestamp,
    /// A hash of what the build was made from. After a change of the inputs the count begins again.
    pub inputs: String,
    pub ended: Ended,
    /// How many of the last ones in a row a limit of the pipeline or of its account ended.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub limited: u32,
    /// Why the last execution ended, for people.
    #[serde(default)]
    pub because: String,
}

/// How an execution, or a start that was refused, ended without success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Ended {
    /// It counts as a failure.
    Failed,
    /// A person stopped it, or another execution superseded it. Patchwave only pauses.
    Stopped,
    /// The pipeline, or the account that builds, took no more now. Patchwave only pauses.
    AtLimit,
}

/// A build that succeeded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Success {
    pub key: BuildKey,
    /// When Patchwave saw the success.
    pub at: Timestamp,
    /// The version that was current then. If the build pushed nothing new, that is the replaced
    /// one.
    pub version: Digest,
    /// When the build was claimed. On a line that follows the newest commit, a version that was
    /// pushed later is a release, even if the build pushed after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_at: Option<Timestamp>,
    /// When that version was pushed. If an earlier version replaces it, a person put that one back.
    pub pushed_at: Timestamp,
    /// The parents' versions that it was built on.
    pub parents: BTreeMap<ImageId, Digest>,
    /// What the upstream tags named when it was claimed, or what a cache still served then.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub upstreams: BTreeMap<ImageId, Digest>,
    /// When its earliest reason became true. The reasons of its children inherit that time.
    pub since: Timestamp,
    /// Whether it was made for age alone. Then its children wait for their own maximum age.
    pub for_age: bool,
    /// Whether it was made for findings, and its proof is that none was fixed. Then it does not
    /// rebuild its children.
    #[serde(default)]
    pub fixed_nothing: bool,
    /// The findings that it was made for, and that its proof shows to be fixed. A scan of an image
    /// below may list one of them later than the version was scanned: the version does not have it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub fixed: BTreeSet<FindingKey>,
    /// How many builds in a row, up to this one, changed nothing.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub fruitless: u32,
    /// The versions that this build, and the builds just before it, replaced without a fix: for
    /// age, or without effect. A child that was built on one of them gains nothing from a rebuild.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub no_better_than: BTreeSet<Digest>,
    /// The version that a person put back in place of this one and then released the image to
    /// follow. The success stays in the record, so that the next build has another key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub followed: Option<Digest>,
}

/// A proof that waits for a scan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PendingProof {
    /// The version to judge.
    pub version: Digest,
    /// Until when Patchwave waits for the scan.
    pub until: Timestamp,
    /// The findings to judge.
    pub to_prove: BTreeSet<ToProve>,
    /// The findings that the build was made for, but for those in `retried`.
    pub causes: BTreeSet<FindingKey>,
    /// The findings that the build was a try for, on the schedule of `unknownFix: retry`. If a try
    /// fixes none, no quarantine counts it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub retried: BTreeSet<FindingKey>,
    /// A hash of what the build was made from, for the quarantine.
    pub inputs: String,
}

/// Builds that did not fix the finding that they were made for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ineffective {
    /// How many, on the same inputs.
    pub builds: u32,
    /// A hash of what they were made from. A changed parent ends the quarantine.
    pub inputs: String,
    /// What was known about the fix. A newly published fix ends the quarantine.
    pub fix: Fix,
}

/// The tries for findings whose fix the scanner does not name. All of an image share them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tries {
    /// When the last one started. Before the first one, since when there is something to try.
    pub last: Timestamp,
    /// How many were made in a row.
    pub count: u32,
}

/// A person's request to rebuild.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    pub id: String,
    pub by: String,
    pub at: Timestamp,
}

/// Who decided, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decided {
    pub by: String,
    pub at: Timestamp,
}

/// A commit that a person accepted as the source of the line. A version of another commit ends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AcceptedRevision {
    /// A full commit id.
    pub revision: String,
    #[serde(flatten)]
    pub decided: Decided,
}

/// An approval to replace one version. Findings that appear later do not end it, but a new version
/// does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// The version that may be replaced; nothing if the image has no version yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Digest>,
    #[serde(flatten)]
    pub decided: Decided,
}

/// An approval to promote one version. It is no approval to promote another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApprovedVersion {
    pub version: Digest,
    #[serde(flatten)]
    pub decided: Decided,
}

impl Record {
    /// Returns whether a tick at `now` looks at the image.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.recheck_at.is_some_and(|at| at <= now)
    }

    /// Returns whether the image is in the schedule: some pass looks at it before the next sweep,
    /// without any event.
    pub fn is_scheduled(&self) -> bool {
        self.recheck_at.is_some() || self.ready.is_some()
    }
}

impl PendingProof {
    /// Returns whether other images wait for it.
    pub fn is_awaited(&self) -> bool {
        !self.causes.is_empty() || !self.retried.is_empty()
    }
}

impl Failures {
    /// Returns the failures after one more execution ended without success. Only failures count,
    /// and other inputs begin a new count.
    pub fn after(before: Option<Self>, inputs: &str, ended: Ended, because: String, now: Timestamp) -> Self {
        let limited = match (&before, ended) {
            (before, Ended::AtLimit) => before.as_ref().map_or(0, |row| row.limited).saturating_add(1),
            (_, Ended::Failed | Ended::Stopped) => 0,
        };
        let before = before.filter(|row| row.inputs == inputs).map_or(0, |row| row.count);
        let count = before + u32::from(ended == Ended::Failed);
        Self { count, last: now, inputs: inputs.to_owned(), ended, limited, because }
    }

    /// Returns until when Patchwave makes no start after a limit ended the last one: 10, 20, 40,
    /// then 80 minutes. A queue that is full for hours is not asked at every tick.
    pub fn paused_until(&self) -> Option<Timestamp> {
        let pause = Span::minutes(10 << self.limited.saturating_sub(1).min(3));
        (self.ended == Ended::AtLimit).then(|| pause.after(self.last))
    }
}

impl Claim {
    /// Returns whether the execution of the claim's start is known.
    pub fn is_confirmed(&self) -> bool {
        self.execution.is_some()
    }

    /// Returns whether an execution may be the one that this claim started.
    pub fn may_own(&self, execution: &str) -> bool {
        self.previous.as_deref() != Some(execution)
    }

    /// Returns whether a version's annotation names this start. A build knows its key. One that
    /// reads its execution's token may write that instead.
    pub fn has_key(&self, annotated: Option<&str>) -> bool {
        annotated.is_some_and(|key| key == self.start.key.as_str() || key == self.start.token())
    }

    /// Returns whether the build is made for age alone.
    pub fn for_age(&self) -> bool {
        self.start.reasons.iter().all(|reason| matches!(reason, Reason::Expired { .. }))
    }
}
