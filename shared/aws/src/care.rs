//! The care of registries by people: lifecycle policies, keep tags and promotions. Every write is
//! in the audit trail of the table before it is made.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::stream::{self, StreamExt};
use patchwave::finding::{FindingKey, Scan};
use patchwave::hierarchy::{Hierarchy, Image, Stage};
use patchwave::image::{Digest, EcrRegistry, Repository, Tag};
use patchwave::inventory::{Answer, Question};
use patchwave::lifecycle::{Going, KnownRepository, Listing, PolicyChange};
use patchwave::table::{AUDIT_KEPT, Item, Key};
use patchwave::tags::{CopyPlan, KeepMemory, KeepPlan, KnownTags, Promote};
use patchwave::time::Timestamp;
use patchwave_converge::{Fault, NotIntervened, World, approve, record};
use serde::{Deserialize, Serialize};

pub use crate::ecr::care::Amount;
use crate::ecr::care::{End, Expect, Patience, Replication};
use crate::ecr::{Cache, Ecr};
use crate::fault::invalid;
use crate::installation::{Installation, NotDone};
use crate::keep::Keeper;
use crate::registries::{Connected, Registries};
use crate::settings::Source;
use crate::world::AwsWorld;

/// Repositories that are read at once.
const AT_ONCE: usize = 16;

/// The registries of an installation, and its table, in the hands of a person.
pub struct Care {
    hierarchy: Arc<Hierarchy>,
    registries: Registries,
    world: AwsWorld,
}

/// A promotion, as the audit trail keeps it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Promoted {
    at: Timestamp,
    by: String,
    digest: Digest,
    tag: Tag,
    replaced: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    copied_from: Option<Repository>,
}

/// A write of the audit trail that is about a policy, or about something else.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Change {
    Policy(PolicyChange),
    Other {},
}

impl Care {
    /// Opens the installation that the environment describes.
    ///
    /// # Errors
    ///
    /// The environment describes none, or the hierarchy cannot be read.
    pub async fn open(hierarchy: Option<Source>) -> Result<Self, NotDone> {
        let installation = Installation::with(hierarchy).await?;
        let (world, hierarchy) = installation.world().await?;
        let registries = Registries::new(installation.clients(), &hierarchy, &Cache::default());
        Ok(Self { hierarchy, registries, world })
    }

    /// Returns the hierarchy.
    pub fn hierarchy(&self) -> &Hierarchy {
        &self.hierarchy
    }

    /// Returns the time.
    pub fn now(&self) -> Timestamp {
        self.world.now()
    }

    /// Reads what runs, as the last sweeps wrote it.
    ///
    /// # Errors
    ///
    /// The table does not answer.
    pub async fn inventory(&self) -> Result<Answer, Fault> {
        let images = self.hierarchy.images().map(|image| image.id.clone()).collect();
        let inventory = self.world.ledger().inventory(&images).await?;
        Ok(inventory.answer(&self.hierarchy, &Question::default(), self.now()))
    }

    /// Reads these repositories, each by itself: what is not read has the reason in its place.
    pub async fn known(
        &self,
        repositories: &BTreeSet<Repository>,
    ) -> BTreeMap<Repository, Result<KnownRepository, String>> {
        // A registry has one configuration for all of its repositories.
        let mut configured: BTreeMap<Option<EcrRegistry>, Result<Replication, Fault>> = BTreeMap::new();
        for repository in repositories {
            if let Entry::Vacant(unread) = configured.entry(repository.split().0) {
                unread.insert(self.replication(repository).await);
            }
        }
        let configured = &configured;
        let reads = repositories.iter().map(|repository| async move {
            let read = async {
                let replication = configured.get(&repository.split().0).cloned();
                let replication =
                    replication.unwrap_or_else(|| Err(invalid("read", "its registry is not read")))?;
                self.known_of(repository, &replication).await
            };
            (repository.clone(), read.await.map_err(|fault| fault.to_string()))
        });
        stream::iter(reads).buffer_unordered(AT_ONCE).collect().await
    }

    /// Reads one repository.
    ///
    /// # Errors
    ///
    /// Any part of it could not be read.
    pub async fn known_one(&self, repository: &Repository) -> Result<KnownRepository, Fault> {
        self.known_of(repository, &self.replication(repository).await?).await
    }

    async fn known_of(
        &self,
        repository: &Repository,
        replication: &Replication,
    ) -> Result<KnownRepository, Fault> {
        let registry = self.registry(repository).await?;
        Ok(KnownRepository {
            listing: registry.images.listing(repository).await?,
            stored: registry.images.stored_policy(repository).await?,
            replicas: replication.replicas(repository),
        })
    }

    async fn replication(&self, repository: &Repository) -> Result<Replication, Fault> {
        self.registry(repository).await?.images.replication().await
    }

    /// Reads the tags of these repositories.
    pub async fn tags(
        &self,
        repositories: &BTreeSet<Repository>,
    ) -> BTreeMap<Repository, Result<KnownTags, String>> {
        let reads = repositories.iter().map(|repository| async move {
            (repository.clone(), self.tags_of(repository).await.map_err(|fault| fault.to_string()))
        });
        stream::iter(reads).buffer_unordered(AT_ONCE).collect().await
    }

    async fn tags_of(&self, repository: &Repository) -> Result<KnownTags, Fault> {
        let registry = self.registry(repository).await?;
        Ok(KnownTags {
            listing: registry.images.listing(repository).await?,
            mutability: registry.images.mutability(repository).await?,
        })
    }

    /// Lists the repositories of pull-through caches, as images have them.
    ///
    /// # Errors
    ///
    /// A registry does not answer.
    pub async fn caches(&self) -> Result<BTreeSet<Repository>, Fault> {
        let mut caches = BTreeSet::new();
        for declared in self.hierarchy.registries().iter().filter(|registry| !registry.caches.is_empty()) {
            let home = *self.hierarchy.registry() == declared.host;
            let sample = format!("{}/x", declared.host).parse::<Repository>().ok();
            let Some(sample) = sample else { continue };
            let registry = if home { self.registries.home() } else { self.registry(&sample).await? };
            for name in registry.images.repositories().await? {
                let name = if home { name } else { format!("{}/{name}", declared.host) };
                caches.extend(name.parse().ok().filter(|repository| {
                    patchwave::lifecycle::is_cache(self.hierarchy.registries(), repository)
                }));
            }
        }
        Ok(caches)
    }

    /// Lets ECR preview a policy.
    ///
    /// # Errors
    ///
    /// ECR refuses it, or does not finish it.
    pub async fn preview(
        &self,
        repository: &Repository,
        text: &str,
    ) -> Result<BTreeMap<Digest, Going>, Fault> {
        self.registry(repository).await?.images.preview(repository, text, Patience::default()).await
    }

    /// Writes or deletes a policy. The audit trail has the old text first.
    ///
    /// # Errors
    ///
    /// A call fails. If the audit trail cannot be written, nothing is.
    pub async fn change_policy(&self, change: &PolicyChange) -> Result<(), Fault> {
        self.record(Key::care(&change.repository, change.at, "policy"), change, change.at).await?;
        let registry = self.registry(&change.repository).await?;
        match &change.new {
            Some(text) => registry.images.put_policy(&change.repository, text).await,
            None => registry.images.delete_policy(&change.repository).await,
        }
    }

    /// Returns the last write of a repository's policy.
    ///
    /// # Errors
    ///
    /// The table does not answer.
    pub async fn last_change(&self, repository: &Repository) -> Result<Option<PolicyChange>, Fault> {
        let operation = format!("read what was changed in {repository}");
        let changes: Vec<Change> = self.world.ledger().trail(&operation, &Key::cared(repository)).await?;
        let policies = changes.into_iter().filter_map(|change| match change {
            Change::Policy(change) => Some(change),
            Change::Other {} => None,
        });
        Ok(policies.max_by_key(|change| change.at))
    }

    /// Reads what is remembered of a repository's keep tags.
    ///
    /// # Errors
    ///
    /// The table does not answer.
    pub async fn keep_memory(&self, repository: &Repository) -> Result<KeepMemory, Fault> {
        self.keeper().memory(repository).await
    }

    /// Sets and removes keep tags, and then remembers them. Tags are set before others are removed.
    ///
    /// # Errors
    ///
    /// The first call that fails ends it. What was done stays, and doing it again is harmless.
    pub async fn keep(&self, repository: &Repository, plan: &KeepPlan) -> Result<(), Fault> {
        self.keeper().keep(repository, plan).await
    }

    fn keeper(&self) -> Keeper<'_> {
        Keeper::new(&self.registries, self.world.ledger())
    }

    /// Reads all images of a repository.
    ///
    /// # Errors
    ///
    /// The registry does not answer.
    pub async fn listing(&self, repository: &Repository) -> Result<Listing, Fault> {
        self.registry(repository).await?.images.listing(repository).await
    }

    /// Reads all images of an environment's repository, as who copies there.
    ///
    /// # Errors
    ///
    /// The registry does not answer.
    pub async fn listing_at(&self, stage: &Stage) -> Result<Listing, Fault> {
        self.at(stage).await?.images.listing(&stage.repository).await
    }

    /// Returns whether a person approved a version for an environment, and the findings that it was
    /// built for and that no scan has judged yet.
    ///
    /// # Errors
    ///
    /// A record cannot be read.
    pub async fn decided(
        &self,
        image: &Image,
        (environment, digest): (&str, &Digest),
    ) -> Result<(bool, BTreeSet<FindingKey>), NotIntervened> {
        let approval = record(&self.world, &image.id).await?.promotions.remove(environment);
        let mut unproved = BTreeSet::new();
        for line in self.hierarchy.in_repository(&image.repository) {
            let proof = record(&self.world, &line.id).await?.proof;
            let waits = proof.filter(|proof| proof.version == *digest);
            unproved.extend(waits.into_iter().flat_map(|proof| proof.causes));
        }
        Ok((approval.is_some_and(|approved| approved.version == *digest), unproved))
    }

    /// Writes that a person approves a version for an environment.
    ///
    /// # Errors
    ///
    /// The record cannot be read or written.
    pub async fn approve(
        &self,
        image: &Image,
        promotion: (&str, &Digest),
        by: &str,
    ) -> Result<(), NotIntervened> {
        approve(&self.world, &image.id, promotion, by).await
    }

    /// Reads the scans of a version, by platform.
    ///
    /// # Errors
    ///
    /// The version cannot be read.
    pub async fn scans(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Vec<(String, Scan)>, Fault> {
        let wanted = BTreeSet::from([(repository.clone(), digest.clone())]);
        let version = self.world.versions(&wanted).await.into_values().next();
        let operation = format!("read {repository}@{digest}");
        let version =
            version.transpose()?.flatten().ok_or_else(|| invalid(operation, "the registry has none"))?;
        let manifests: BTreeSet<_> = version
            .platforms
            .values()
            .map(|manifest| (repository.clone(), manifest.digest.clone()))
            .collect();
        let mut scans = self.world.scans(&manifests).await;
        let mut found = Vec::new();
        for (platform, manifest) in &version.platforms {
            let key = (repository.clone(), manifest.digest.clone());
            found.push((platform.to_string(), scans.remove(&key).unwrap_or(Scan::Missing)));
        }
        Ok(found)
    }

    /// Returns whether the registry signed a version; nothing where it signs none.
    ///
    /// # Errors
    ///
    /// The registry does not answer.
    pub async fn signed(&self, repository: &Repository, digest: &Digest) -> Result<Option<bool>, Fault> {
        self.registry(repository).await?.images.signed(repository, digest).await
    }

    /// Copies a version if its environment has a repository of its own. Then gives it the tag of
    /// the environment, and before that a keep tag: it may be older than what a lifecycle rule
    /// keeps. The audit trail says so before.
    ///
    /// # Errors
    ///
    /// A call fails, or somebody moved the tag meanwhile. What was done stays, and doing it again
    /// goes on with the rest.
    pub async fn promote(
        &self,
        promote: &Promote,
        stage: &Stage,
        keep: Option<&Tag>,
        by: &str,
    ) -> Result<Amount, Fault> {
        let at = self.now();
        let promoted = Promoted {
            at,
            by: by.to_owned(),
            digest: promote.digest.clone(),
            tag: promote.tag.clone(),
            replaced: promote.replaces.clone(),
            copied_from: promote.copy.as_ref().map(|copy| copy.from.clone()),
        };
        self.record(Key::care(&promote.repository, at, "promotion"), &promoted, at).await?;
        let images = &self.at(stage).await?.images;
        let copied = match &promote.copy {
            Some(copy) => {
                let source = &self.registry(&copy.from).await?.images;
                copied(source, images, copy, &promote.repository).await?
            }
            None => Amount::default(),
        };
        if let Some(keep) = keep {
            images.tag(&promote.repository, &promote.digest, keep, Expect::Nobody).await?;
        }
        let expect = Expect::This(promote.replaces.as_ref());
        images.tag(&promote.repository, &promote.digest, &promote.tag, expect).await?;
        Ok(copied)
    }

    async fn at(&self, stage: &Stage) -> Result<Connected, Fault> {
        self.registries.of_stage(stage, self.hierarchy.registry()).await
    }

    async fn record<T: Serialize>(&self, key: Key, what: &T, at: Timestamp) -> Result<(), Fault> {
        let item = Item { key, state: json(what)?, expires_at: Some(AUDIT_KEPT.after(at)) };
        self.world.ledger().write(&[item]).await
    }

    async fn registry(&self, repository: &Repository) -> Result<&Connected, Fault> {
        self.registries.of(repository).await
    }
}

/// Copies what a plan names to a repository: the manifests, and then the tags of what is about
/// them.
async fn copied(from: &Ecr, to: &Ecr, copy: &CopyPlan, repository: &Repository) -> Result<Amount, Fault> {
    let target = End { registry: to, repository };
    let source = End { registry: from, repository: &copy.from };
    let amount = target.take(source, &copy.manifests).await?;
    for (tag, digest) in &copy.tags {
        to.tag(repository, digest, tag, Expect::Any).await?;
    }
    Ok(amount)
}

fn json<T: Serialize>(value: &T) -> Result<String, Fault> {
    serde_json::to_string(value).map_err(|error| invalid("write to the table", error.to_string()))
}

#[cfg(test)]
mod tests;
