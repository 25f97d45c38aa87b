//! Says whether anything that a policy would act on is in use.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::consumers::Consumers;
use super::images::{Listing, RepositoryImage};
use super::in_use::{InUse, by, uses};
use super::judge::{Going, Reading, judge};
use super::policy::LifecyclePolicy;
use crate::image::{Digest, Tag};
use crate::inventory::{Answer, Row};
use crate::time::Timestamp;

/// Whether a policy would act on anything that is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Safety {
    Safe,
    InUse,
    Unknown,
}

/// An image that a policy would act on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Goes {
    pub digest: Digest,
    pub tags: BTreeSet<Tag>,
    pub pushed_at: Timestamp,
    #[serde(flatten)]
    pub going: Going,
    pub in_use: BTreeSet<InUse>,
}

/// What a policy would do, and whether any of that is in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outlook {
    pub verdict: Safety,
    /// Every image that the policy would act on.
    pub going: Vec<Goes>,
    /// What is not known about what runs.
    pub unknown: Vec<String>,
    /// What else to know: where AWS is silent, and how roll-backs were found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// How many images in use would also go if ECR counts the manifests that an index lists. AWS
    /// does not say, and the one public preview did not count them.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub in_use_if_counted: usize,
}

/// Says what a policy would do to a repository at `now`, and which of those images are in use.
///
/// The inventory also knows the index of a platform manifest that runs. The registry does not say
/// what an index lists. `roll_backs` is how many earlier pushes a roll-back of what runs may start.
pub fn outlook(
    policy: &LifecyclePolicy,
    listing: &Listing,
    inventory: Option<&Answer>,
    roll_backs: usize,
    now: Timestamp,
) -> Outlook {
    let consumers = inventory.map(|answer| Consumers::new(answer, now));
    outlook_of(policy, listing, consumers.as_ref(), roll_backs, now)
}

/// As [`outlook`], with an inventory that serves many repositories.
pub(super) fn outlook_of(
    policy: &LifecyclePolicy,
    listing: &Listing,
    consumers: Option<&Consumers<'_>>,
    roll_backs: usize,
    now: Timestamp,
) -> Outlook {
    let mut listing = listing.clone();
    let rows_of = |listing: &Listing| consumers.map_or_else(Vec::new, |consumers| consumers.of(listing));
    for row in rows_of(&listing) {
        if let (Some(index), Some(child)) = (row.entry.resolution.version(), &row.entry.digest) {
            listing.note(index, child);
        }
    }
    // What was noted may be listed by its index alone, and other rows name it too.
    let rows = rows_of(&listing);
    let going = judge(policy, &listing.images, Reading::WithoutParts, now);
    let mut unknown = match consumers {
        Some(consumers) => consumers.doubts.clone(),
        None if going.is_empty() => Vec::new(),
        None => vec!["what runs is not known; pass it with --running".to_owned()],
    };
    let open = rows.iter().filter(|row| listing.leaves_open(row));
    unknown.extend(open.map(|row| {
        let (by, asked) = (by(row), &row.entry.asked);
        format!("{by} uses {asked}, and it is not known which version")
    }));
    let ran = consumers.map_or_else(Vec::new, |consumers| consumers.ran(&listing));
    let uses = uses(&listing, &rows, &ran, roll_backs);
    let mut notes = Vec::new();
    let otherwise = judge(policy, &listing.images, Reading::WithParts, now);
    let (difference, in_use_if_counted) = difference(&going, &otherwise, &uses);
    notes.extend(difference);
    let runs =
        |row: &&Row| row.entry.runs && listing.named(row).iter().any(|d| listing.images.contains_key(*d));
    if rows.iter().any(runs) {
        notes.push(how_roll_backs_are_found(roll_backs));
    }
    let goes = |(digest, going): (Digest, Going)| {
        let RepositoryImage { tags, pushed_at, .. } = listing.images.get(&digest)?.clone();
        let in_use = uses.get(&digest).cloned().unwrap_or_default();
        Some(Goes { digest, tags, pushed_at, going, in_use })
    };
    let going: Vec<Goes> = going.into_iter().filter_map(goes).collect();
    let verdict = if going.iter().any(|goes| !goes.in_use.is_empty()) {
        Safety::InUse
    } else if unknown.is_empty() {
        Safety::Safe
    } else {
        Safety::Unknown
    };
    Outlook { verdict, going, unknown, notes, in_use_if_counted }
}

/// Says what would also go if ECR counts the manifests of indexes.
fn difference(
    going: &BTreeMap<Digest, Going>,
    otherwise: &BTreeMap<Digest, Going>,
    uses: &BTreeMap<Digest, BTreeSet<InUse>>,
) -> (Option<String>, usize) {
    let more: Vec<&Digest> = otherwise.keys().filter(|digest| !going.contains_key(*digest)).collect();
    let in_use = more.iter().filter(|digest| uses.contains_key(**digest)).count();
    let of_them = if in_use > 0 { format!(", {in_use} of them in use") } else { String::new() };
    let note = (!more.is_empty()).then(|| {
        format!(
            "AWS does not say whether a rule counts the manifests that an index lists. One public preview did not. \
             If yours does, {} more would be deleted{of_them}. `patchwave lifecycle preview` asks ECR",
            more.len()
        )
    });
    (note, in_use)
}

fn how_roll_backs_are_found(depth: usize) -> String {
    let pushes = if depth == 1 { "the last push".to_owned() } else { format!("the last {depth} pushes") };
    format!(
        "a roll-back is taken to start {pushes} before what runs, or one of the last three versions that ran before; \
         what ran before Patchwave surveyed it is not known"
    )
}
