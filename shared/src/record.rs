//! What Patchwave writes down about an image: one small item each, fenced by its version.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::finding::{FindingKey, Fix};
use crate::image::{Digest, ImageId};
use crate::notice::{Notified, RootCause};
use crate::plan::{BuildKey, Reason, Start, ToProve};
use crate::time::Timestamp;

/// The record of one image. The default is the record of an image that was never written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Record {
    /// Rises with every write; a write names the fence it read, so that nobody overwrites what they have not seen.
    pub fence: u64,
    /// Whether the tick must look at the image.
    pub unsettled: bool,
    /// The current version when last observed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<Digest>,
    /// Since when it has had a reason and was not started: later reasons of its parents do not prolong this wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_since: Option<Timestamp>,
    /// Since when a finding here has waited for the scan of an ancestor. Apart from the wait for a start, for such a scan
    /// may never come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scan_awaited_since: Option<Timestamp>,
    /// Since when it has been enforced: what was overdue by then is spread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enforced_since: Option<Timestamp>,
    /// When each finding that counts was first seen here.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub seen: BTreeMap<FindingKey, Timestamp>,
    /// The start that is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
    /// The last start's key and attempt: the attempt rises when the same intent is started again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_attempt: Option<Attempt>,
    /// Failures in a row on the same inputs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failures: Option<Failures>,
    /// The last success.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub success: Option<Success>,
    /// The proof that is still to come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof: Option<PendingProof>,
    /// Builds that were meant to fix a finding and did not.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ineffective: BTreeMap<FindingKey, Ineffective>,
    /// What people were told of it, or are about to be.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub notified: BTreeMap<RootCause, Notified>,
    /// A person's request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<Request>,
    /// A person's approval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// A person's wish to leave it alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frozen: Option<Decided>,
}

/// A start that somebody is making or has made. One an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// The invocation that took it.
    pub owner: String,
    pub claimed_at: Timestamp,
    /// Until when only the owner may act on it; after this anybody resolves it.
    pub lease_until: Timestamp,
    /// The whole start, so that whoever resolves the claim need not plan it again.
    pub start: Start,
    /// The execution, once confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution: Option<String>,
}

/// A start of an intent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    pub key: BuildKey,
    /// Which start of it, from 1.
    pub number: u32,
}

/// Failures in a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failures {
    pub count: u32,
    /// When the last one was seen.
    pub last: Timestamp,
    /// What was built from: other inputs start a new row.
    pub inputs: String,
    /// Whether the last end was a failure; stopped and superseded executions only pause.
    pub failed: bool,
    /// How the last one ended, for people.
    #[serde(default)]
    pub because: String,
}

/// A build that succeeded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Success {
    pub key: BuildKey,
    /// When the success was seen.
    pub at: Timestamp,
    /// The version that was current then; the replaced one if the build pushed nothing new.
    pub version: Digest,
    /// When that version was pushed: an earlier one in its place was put back by a person.
    pub pushed_at: Timestamp,
    /// What it was built on, by parent.
    pub parents: BTreeMap<ImageId, Digest>,
    /// When its earliest reason became true: the children's reasons inherit it.
    pub since: Timestamp,
    /// Whether it was for age alone: its children then wait for their own deadlines.
    pub for_age: bool,
    /// Whether it was for findings and its proof said that none was fixed: the fix does not roll on.
    #[serde(default)]
    pub fixed_nothing: bool,
    /// The versions that this one and those just before it replaced without bringing anything, for age or in vain: only a
    /// child that was built on one of them has nothing to gain.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub no_better_than: BTreeSet<Digest>,
    /// The version that was put back in place of this one, once a person released the image to follow it. The success stays:
    /// what is built next is another intent than what built this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub followed: Option<Digest>,
}

/// A proof that is still to come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PendingProof {
    /// The version that is to be judged.
    pub version: Digest,
    /// Until when it is awaited.
    pub until: Timestamp,
    /// The findings to judge.
    pub to_prove: BTreeSet<ToProve>,
    /// Those among them that the build was for; empty if it was not for findings, and then nothing waits for the proof.
    pub causes: BTreeSet<FindingKey>,
    /// What the build was made from, for the quarantine.
    pub inputs: String,
}

/// Builds that did not fix what they were for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ineffective {
    /// How many, on the same inputs.
    pub builds: u32,
    /// What they were made from: a changed parent ends the quarantine.
    pub inputs: String,
    /// What was known of the fix: a newly published one ends the quarantine.
    pub fix: Fix,
}

/// A person's request to rebuild.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// The request's id.
    pub id: String,
    pub by: String,
    pub at: Timestamp,
}

/// Who decided, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decided {
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// An approval. It is bound to the version that is replaced: causes that appear later do not end it, a new version does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// The version that may be replaced; nothing if there is none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Digest>,
    /// Who approved.
    #[serde(flatten)]
    pub decided: Decided,
}

impl Failures {
    /// Returns the row with one more end in it. Other inputs start a new row; only failures count.
    pub fn after(before: Option<Self>, inputs: &str, failed: bool, because: String, now: Timestamp) -> Self {
        let before = before.filter(|row| row.inputs == inputs).map_or(0, |row| row.count);
        Self { count: before + u32::from(failed), last: now, inputs: inputs.to_owned(), failed, because }
    }
}

impl Claim {
    /// Tells whether the claim's start is known to have been made.
    pub fn is_confirmed(&self) -> bool {
        self.execution.is_some()
    }

    /// Tells whether the build was for age alone.
    pub fn for_age(&self) -> bool {
        self.start.reasons.iter().all(|reason| matches!(reason, Reason::Expired { .. }))
    }
}
