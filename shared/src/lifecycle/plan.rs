//! Plans the policies of repositories: what each is to say, what would go, and what is refused.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::consumers::Consumers;
use super::hash::hash_of;
use super::images::{Listing, StorageClass};
use super::intent::{Intent, environments, make_for};
use super::outlook::{Outlook, Safety, outlook_of};
use super::policy::{Action, LifecyclePolicy};
use super::preview::Previewed;
use crate::hierarchy::Hierarchy;
use crate::image::{Digest, Repository, Tag};
use crate::inventory::Answer;
use crate::time::Timestamp;

/// The format of plans and previews.
pub const PLAN_FORMAT: u32 = 1;
/// What a gigabyte costs a month, in ten-thousandths of a USD.
/// <https://aws.amazon.com/ecr/pricing/>
const PRICE: u64 = 1_000;
const GIGABYTE: u64 = 1_000_000_000;

/// What is known of one repository.
#[derive(Debug, Clone)]
pub struct KnownRepository {
    pub listing: Listing,
    /// The text of its policy; nothing if it has none.
    pub stored: Option<String>,
    /// The accounts and Regions that ECR replicates it to. A deletion may delete there too.
    pub replicas: BTreeSet<(String, String)>,
}

/// The policies of repositories, and what they would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyPlan {
    pub format: u32,
    pub at: Timestamp,
    pub policies: Vec<PlannedPolicy>,
}

/// The policy that a repository is to have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedPolicy {
    pub repository: Repository,
    /// The text of the policy; nothing if none could be made.
    pub text: Option<String>,
    /// The hash of that text.
    pub hash: Option<String>,
    /// The text that ECR stored when this was planned.
    pub stored: Option<String>,
    pub going: Vec<Leaving>,
    pub before: Amount,
    pub after: Amount,
    pub notes: Vec<String>,
    /// Why it may not be applied.
    pub refused: Vec<String>,
    /// What ECR's own preview of that text said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<Previewed>,
}

/// An image that a planned policy acts on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Leaving {
    pub digest: Digest,
    pub tags: BTreeSet<Tag>,
    pub pushed_at: Timestamp,
    pub rule: u32,
    pub action: Action,
}

/// How much a repository stores.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Amount {
    pub images: u64,
    /// Layers that images share are counted in each: what ECR bills is at most this.
    pub bytes: u64,
    /// The findings of the scans, each in each image.
    pub findings: u64,
    /// Ten-thousandths of a USD a month.
    pub price: u64,
}

impl Amount {
    fn of<'a>(images: impl Iterator<Item = &'a super::RepositoryImage>) -> Self {
        let mut amount = Self::default();
        for image in images.filter(|image| image.storage == StorageClass::Standard) {
            amount.images += 1;
            amount.bytes = amount.bytes.saturating_add(image.bytes);
            amount.findings += image.findings.unwrap_or(0);
        }
        amount.price = amount.bytes.saturating_mul(PRICE) / GIGABYTE;
        amount
    }

    /// Returns the sum of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            images: self.images + other.images,
            bytes: self.bytes.saturating_add(other.bytes),
            findings: self.findings + other.findings,
            price: self.price + other.price,
        }
    }
}

/// What policies are planned from, beside the repositories.
#[derive(Debug, Clone, Copy)]
pub struct PlanInput<'p> {
    pub hierarchy: &'p Hierarchy,
    pub intent: &'p Intent,
    pub inventory: Option<&'p Answer>,
    /// How many earlier pushes a roll-back of what runs may start.
    pub roll_backs: usize,
    pub now: Timestamp,
}

/// Plans the policies of repositories. One that could not be read has the error in its place.
pub fn plan_policies(
    input: PlanInput<'_>,
    repositories: &BTreeMap<Repository, Result<KnownRepository, String>>,
) -> PolicyPlan {
    let common = Common::new(input);
    let policies = repositories.iter().map(|(repository, known)| match known {
        Ok(known) => plan_one(&common, repository, known),
        Err(because) => PlannedPolicy {
            refused: vec![format!("it was not read: {because}")],
            ..PlannedPolicy::without_text(repository, None, Amount::default())
        },
    });
    PolicyPlan { format: PLAN_FORMAT, at: input.now, policies: policies.collect() }
}

/// What the plans of all repositories need, made once.
struct Common<'p> {
    input: PlanInput<'p>,
    consumers: Option<Consumers<'p>>,
    environments: Vec<String>,
}

impl<'p> Common<'p> {
    fn new(input: PlanInput<'p>) -> Self {
        let consumers = input.inventory.map(|answer| Consumers::new(answer, input.now));
        Self { input, consumers, environments: environments(input.hierarchy) }
    }
}

impl PlannedPolicy {
    fn without_text(repository: &Repository, stored: Option<String>, before: Amount) -> Self {
        Self {
            repository: repository.clone(),
            text: None,
            hash: None,
            stored,
            going: Vec::new(),
            before,
            after: before,
            notes: Vec::new(),
            refused: Vec::new(),
            preview: None,
        }
    }

    /// Returns the digests that it acts on.
    pub fn digests(&self) -> BTreeSet<&Digest> {
        self.going.iter().map(|leaving| &leaving.digest).collect()
    }
}

fn plan_one(common: &Common<'_>, repository: &Repository, known: &KnownRepository) -> PlannedPolicy {
    let Common { input, consumers, environments } = common;
    let keep_tags = keeps_tags(input.hierarchy, repository);
    let before = Amount::of(known.listing.images.values());
    let empty = PlannedPolicy::without_text(repository, known.stored.clone(), before);
    let made = match make_for(input.hierarchy, (repository, keep_tags), input.intent, environments) {
        Ok(made) => made,
        Err(because) => return PlannedPolicy { refused: vec![because], ..empty },
    };
    let foreseen = foresee(&made.policy, known, consumers.as_ref(), *input);
    let gone: BTreeSet<&Digest> = foreseen.going.iter().map(|goes| &goes.digest).collect();
    let stay = known.listing.images.iter().filter(|(digest, _)| !gone.contains(*digest));
    let after = Amount::of(stay.map(|(_, image)| image));
    let mut refused = refusals(&foreseen, keep_tags);
    refused.extend(unsurveyed(known, input.inventory));
    let mut notes = made.notes;
    notes.extend(foreseen.notes.iter().cloned());
    if !known.replicas.is_empty() {
        notes.push("what goes here may also go in the registries that ECR replicates it to".to_owned());
    }
    PlannedPolicy {
        hash: Some(hash_of(&made.text)),
        text: Some(made.text),
        going: foreseen.going.iter().map(Leaving::from).collect(),
        after,
        notes,
        refused,
        ..empty
    }
}

/// Says what a policy would do to a repository now.
pub(super) fn foresee(
    policy: &LifecyclePolicy,
    known: &KnownRepository,
    consumers: Option<&Consumers<'_>>,
    input: PlanInput<'_>,
) -> Outlook {
    outlook_of(policy, &known.listing, consumers, input.roll_backs, input.now)
}

/// Returns why a policy with this outlook may not be applied.
pub(super) fn refusals(foreseen: &Outlook, keep_tags: bool) -> Vec<String> {
    let in_use = foreseen.going.iter().filter(|goes| !goes.in_use.is_empty()).map(|goes| {
        let uses: Vec<&str> = goes.in_use.iter().take(3).map(|used| used.by.as_str()).collect();
        let help =
            if keep_tags { "run `patchwave tags keep`" } else { "set `keepTags: true` for its registry" };
        format!("{} is in use by {}; {help}", goes.digest.short(), uses.join(", "))
    });
    let mut refused: Vec<String> = in_use.collect();
    if foreseen.verdict == Safety::Unknown {
        refused.extend(foreseen.unknown.iter().cloned());
    }
    refused
}

/// Returns the replicas in whose account and Region no survey read anything.
pub(super) fn unsurveyed(known: &KnownRepository, inventory: Option<&Answer>) -> Vec<String> {
    let places = || inventory.into_iter().flat_map(|answer| &answer.places);
    let is_read = |account: &str, region: &str| {
        places().any(|row| row.place.account == account && row.place.region == region)
    };
    let unread = known.replicas.iter().filter(|(account, region)| !is_read(account, region));
    unread
        .map(|(account, region)| format!("ECR replicates it to {account}/{region}, which was not surveyed"))
        .collect()
}

/// Returns whether the registry of a repository says `keepTags: true`.
pub fn keeps_tags(hierarchy: &Hierarchy, repository: &Repository) -> bool {
    let (host, _) = hierarchy.address(repository);
    hierarchy.registries().iter().any(|registry| registry.host == host && registry.keep_tags)
}

impl From<&super::Goes> for Leaving {
    fn from(goes: &super::Goes) -> Self {
        Self {
            digest: goes.digest.clone(),
            tags: goes.tags.clone(),
            pushed_at: goes.pushed_at,
            rule: goes.going.rule,
            action: goes.going.action,
        }
    }
}
