//! Keep tags: reads what they are decided from, and sets and removes them. People do so with
//! `patchwave tags keep`. The inventory function does so after a sweep, if the deployment lets it.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::stream::{self, StreamExt};
use patchwave::hierarchy::Hierarchy;
use patchwave::image::Repository;
use patchwave::inventory::Answer;
use patchwave::lifecycle::{Listing, keeps_tags};
use patchwave::table::{Item, Key};
use patchwave::tags::{KeepInput, KeepMemory, KeepPlan, keep_plan};
use patchwave::time::{Span, Timestamp};
use patchwave_converge::{Fault, World};
use tracing::info;

use crate::dynamodb::Ledger;
use crate::ecr::care::Expect;
use crate::fault::invalid;
use crate::registries::Registries;
use crate::world::AwsWorld;

/// ECR takes ten `PutImage` a second and registry.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html>
const BETWEEN: Duration = Duration::from_millis(110);
/// How many deployments of an environment before what runs stay for a roll-back.
const DEPLOYMENTS: usize = 3;
/// Repositories that are read at once.
const AT_ONCE: usize = 8;
/// Most tags that one sweep sets and removes. The next one goes on.
const MOST: usize = 1_000;
/// How long before the end of the invocation no further repository is begun.
const RESERVE: Span = Span::minutes(2);

/// Whoever sets and removes keep tags.
#[derive(Clone, Copy)]
pub(crate) struct Keeper<'k> {
    registries: &'k Registries,
    ledger: &'k Ledger,
    /// How long to wait after each tag.
    between: Duration,
}

impl<'k> Keeper<'k> {
    pub(crate) fn new(registries: &'k Registries, ledger: &'k Ledger) -> Self {
        Self { registries, ledger, between: BETWEEN }
    }

    #[cfg(test)]
    pub(crate) fn at_once(self) -> Self {
        Self { between: Duration::ZERO, ..self }
    }

    /// Reads what is remembered of a repository's keep tags.
    pub(crate) async fn memory(&self, repository: &Repository) -> Result<KeepMemory, Fault> {
        Ok(self.ledger.state(Key::keep_tags(repository)).await?.unwrap_or_default())
    }

    /// Sets and removes keep tags, and then remembers them. Tags are set before others are removed.
    pub(crate) async fn keep(&self, repository: &Repository, plan: &KeepPlan) -> Result<(), Fault> {
        let images = &self.registries.of(repository).await?.images;
        for (tag, digest) in &plan.set {
            images.tag(repository, digest, tag, Expect::Nobody).await?;
            tokio::time::sleep(self.between).await;
        }
        for removal in &plan.remove {
            if let Some(instead) = &removal.instead {
                images.tag(repository, &removal.digest, instead, Expect::Nobody).await?;
                tokio::time::sleep(self.between).await;
            }
            images.untag(repository, &removal.digest, &removal.tag).await?;
        }
        self.remember(repository, &plan.memory).await
    }

    /// Remembers keep tags.
    pub(crate) async fn remember(&self, repository: &Repository, memory: &KeepMemory) -> Result<(), Fault> {
        let state = serde_json::to_string(memory)
            .map_err(|error| invalid("write what keep tags there are", error.to_string()))?;
        self.ledger.write(&[Item { key: Key::keep_tags(repository), state, expires_at: None }]).await
    }

    async fn read(&self, repository: &Repository) -> Result<(Listing, KeepMemory), Fault> {
        let listing = self.registries.of(repository).await?.images.listing(repository).await?;
        Ok((listing, self.memory(repository).await?))
    }
}

/// Sets and removes the keep tags of every repository whose registry says `keepTags: true`, by the
/// inventory of a sweep that has ended. What cannot be read or written is left, and named. Nothing
/// is removed while a place was not read.
pub(crate) async fn after_sweep(
    keeper: Keeper<'_>,
    hierarchy: &Hierarchy,
    inventory: &Answer,
    (now, until): (Timestamp, Option<Timestamp>),
    clock: impl Fn() -> Timestamp,
) -> Vec<Fault> {
    let is_over = || until.is_some_and(|until| clock() >= RESERVE.before(until));
    let repositories: BTreeSet<&Repository> = hierarchy.images().map(|image| &image.repository).collect();
    let kept = repositories.into_iter().filter(|repository| keeps_tags(hierarchy, repository));
    let reads = kept.map(|repository| async move { (repository, keeper.read(repository).await) });
    let mut reads = stream::iter(reads).buffered(AT_ONCE);
    let (mut faults, mut set, mut removed) = (Vec::new(), 0, 0);
    while let Some((repository, read)) = reads.next().await {
        if set + removed >= MOST || is_over() {
            break;
        }
        let done = async {
            let (listing, memory) = read?;
            let input =
                KeepInput { listing: &listing, inventory, memory: &memory, deployments: DEPLOYMENTS, now };
            let plan = bounded(keep_plan(input), MOST - set - removed);
            if !plan.set.is_empty() || !plan.remove.is_empty() {
                keeper.keep(repository, &plan).await?;
            } else if plan.memory != memory {
                keeper.remember(repository, &plan.memory).await?;
            }
            Ok::<_, Fault>((plan.set.len(), plan.remove.len()))
        };
        match done.await {
            Ok((more, fewer)) => (set, removed) = (set + more, removed + fewer),
            Err(fault) => faults.push(fault),
        }
    }
    info!(target: "patchwave", set, removed, failed = faults.len(), "kept tags");
    faults
}

/// Leaves out what is more than a number of writes. What is removed can wait, and so goes last.
fn bounded(mut plan: KeepPlan, most: usize) -> KeepPlan {
    if let Some(first) = plan.set.keys().nth(most).cloned() {
        plan.set.split_off(&first);
    }
    plan.remove.truncate(most - plan.set.len());
    plan
}

impl AwsWorld {
    /// Returns who sets and removes keep tags in this world.
    pub(crate) fn keeper(&self) -> Keeper<'_> {
        Keeper::new(self.registries(), self.ledger())
    }

    /// Sets and removes keep tags after a sweep that has ended.
    pub(crate) async fn keep_tags(
        &self,
        hierarchy: &Hierarchy,
        inventory: &Answer,
        until: Option<Timestamp>,
    ) -> Vec<Fault> {
        after_sweep(self.keeper(), hierarchy, inventory, (self.now(), until), || self.now()).await
    }
}
