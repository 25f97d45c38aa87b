//! Reads one registry: its repositories, everything that was pushed, and the documents of that.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ecr::Client;
use futures::stream::{self, StreamExt};
use patchwave::discover::{Document, Estate, Registry, Repository, Version};
use patchwave::image::{self, Digest, EcrRegistry};
use patchwave::unread::Unread;
use patchwave_converge::Fault;

use super::Watch;
use super::cache::Cache;
use crate::clients::Clients;
use crate::ecr::{self, Ecr};
use crate::fault::{fault, invalid};
use crate::pages;

/// Calls that are under way at once. ECR allows some thousand a second of each of these:
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html>. Sixteen calls of
/// 20 ms each are 800 a second, which leaves more than half to everybody else.
const AT_ONCE: usize = 16;
/// Most entries of a page of repositories.
const PAGE: i32 = 1_000;
/// A registry holds at most 100,000 repositories by default.
const MOST_PAGES: usize = 500;
/// The largest blob that is read, in bytes. Provenance of a large build has a few hundred
/// kilobytes.
const LARGEST: u64 = 8 * 1024 * 1024;
/// Digests that one call of `BatchGetImage` takes.
const BATCH: usize = 100;

/// Reads a registry.
pub(super) struct Reader<'r> {
    client: Client,
    ecr: Ecr,
    host: EcrRegistry,
    cache: &'r Cache,
    watch: &'r Watch<'r>,
}

impl<'r> Reader<'r> {
    pub(super) fn new(clients: &Clients, host: &EcrRegistry, cache: &'r Cache, watch: &'r Watch<'r>) -> Self {
        let client = clients.ecr(host);
        let ecr = Ecr::new(client.clone(), host, &ecr::Cache::default());
        Self { client, ecr, host: host.clone(), cache, watch }
    }

    pub(super) const fn host(&self) -> &EcrRegistry {
        &self.host
    }

    /// Returns the roles and users whose pulls do not count.
    pub(super) async fn exclusions(&self) -> Result<BTreeSet<String>, Fault> {
        let mut excluded = BTreeSet::new();
        let mut token = None;
        for _ in 0..MOST_PAGES {
            self.watch.call();
            let call = self.client.list_pull_time_update_exclusions().set_next_token(token.take());
            let page = call.send().await.map_err(|error| fault("list the pull-time exclusions", &error))?;
            excluded.extend(page.pull_time_update_exclusions().iter().cloned());
            token = page.next_token().map(str::to_owned);
            if token.is_none() {
                return Ok(excluded);
            }
        }
        Err(invalid("list the pull-time exclusions", "the list does not end"))
    }

    /// Reads everything into the estate.
    pub(super) async fn read(&self, estate: &mut Estate, metadata_only: bool) {
        let caches = self.caches().await.unwrap_or_else(|fault| {
            estate.unread.push(fault.into());
            BTreeMap::new()
        });
        let found = match self.repositories().await {
            Ok(found) => found,
            Err(fault) => {
                estate.unread.push(fault.into());
                Vec::new()
            }
        };
        let of = found.len();
        let reads = found.into_iter().map(|(name, arn)| self.repository(name, arn));
        let mut reads = stream::iter(reads).buffer_unordered(AT_ONCE);
        let mut repositories = Vec::new();
        while let Some((repository, unread)) = reads.next().await {
            estate.unread.extend(unread);
            repositories.push(repository);
            self.watch.show("repositories", repositories.len(), of);
        }
        repositories.sort_by(|a, b| a.name.cmp(&b.name));
        self.documents(&mut repositories, estate, metadata_only).await;
        estate.registries.push(Registry { host: self.host.clone(), caches, repositories });
    }

    async fn caches(&self) -> Result<BTreeMap<String, String>, Fault> {
        let rules = self.client.describe_pull_through_cache_rules().into_paginator().send();
        let operation = format!("list the pull-through caches of {}", self.host);
        let rules = pages::all(operation, rules, |page| {
            self.watch.call();
            page.pull_through_cache_rules.unwrap_or_default()
        });
        let rules = rules.await?;
        let named = rules.into_iter().filter_map(|rule| {
            let url = rule.upstream_registry_url?;
            Some((rule.ecr_repository_prefix?, url.trim_start_matches("https://").to_owned()))
        });
        Ok(named.collect())
    }

    async fn repositories(&self) -> Result<Vec<(image::Repository, Option<String>)>, Fault> {
        let operation = || format!("list the repositories of {}", self.host);
        let mut pages = self.client.describe_repositories().into_paginator().page_size(PAGE).send();
        let mut found = Vec::new();
        for _ in 0..MOST_PAGES {
            self.watch.call();
            let Some(page) = pages.next().await else { return Ok(found) };
            let page = page.map_err(|error| fault(operation(), &error))?;
            for repository in page.repositories() {
                let name = repository.repository_name().unwrap_or_default();
                let name = name.parse().map_err(|error| invalid(operation(), format!("{error}")))?;
                found.push((name, repository.repository_arn().map(str::to_owned)));
            }
            self.watch.show("repositories found", found.len(), found.len());
        }
        Err(invalid(operation(), "the list does not end"))
    }

    /// Lists what a repository holds, and its resource tags.
    async fn repository(&self, name: image::Repository, arn: Option<String>) -> (Repository, Option<Unread>) {
        let mut unlisted = None;
        let mut tags = BTreeMap::new();
        if let Some(arn) = arn {
            self.watch.call();
            match self.client.list_tags_for_resource().resource_arn(arn).send().await {
                Ok(answer) => {
                    let pairs =
                        answer.tags().iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned()));
                    tags.extend(pairs);
                }
                Err(error) => unlisted = Some(fault(format!("list the tags of {name}"), &error).into()),
            }
        }
        self.watch.call();
        let (versions, unread) = match self.ecr.pushes(&name).await {
            Ok(pushes) => (pushes, None),
            Err(fault) => (Vec::new(), Some(fault.into())),
        };
        let versions = versions.into_iter().map(|push| Version {
            digest: push.digest,
            tags: push.tags.into_iter().collect(),
            pushed_at: push.pushed_at,
        });
        (Repository { name, tags, versions: versions.collect(), unread }, unlisted)
    }

    /// Reads the documents of all versions: first those that are stored as images, level by level,
    /// and then the blobs that these name.
    async fn documents(&self, repositories: &mut [Repository], estate: &mut Estate, metadata_only: bool) {
        let of = repositories.len();
        let reads = repositories.iter().map(|repository| async move {
            let digests: BTreeSet<Digest> =
                repository.versions.iter().map(|version| version.digest.clone()).collect();
            (repository.name.clone(), self.images(&repository.name, digests).await)
        });
        let mut reads = stream::iter(reads).buffer_unordered(AT_ONCE);
        let mut blobs: BTreeMap<Digest, image::Repository> = BTreeMap::new();
        let mut unread: BTreeMap<image::Repository, Unread> = BTreeMap::new();
        let mut done = 0;
        while let Some((name, (documents, faults))) = reads.next().await {
            for (digest, document) in documents {
                if !metadata_only && document.names_blobs() {
                    let named = document.names(true).into_iter().cloned();
                    blobs.extend(named.map(|blob| (blob, name.clone())));
                }
                estate.documents.insert(digest, document);
            }
            if let Some(fault) = faults.into_iter().next() {
                unread.insert(name, fault.into());
            }
            done += 1;
            self.watch.show("repositories with manifests", done, of);
        }
        drop(reads);
        for repository in repositories {
            if repository.unread.is_none() {
                repository.unread = unread.remove(&repository.name);
            }
        }
        blobs.retain(|digest, _| !estate.documents.contains_key(digest));
        self.blobs(blobs, estate).await;
    }

    /// Reads the manifests and indexes of a repository, and those that the indexes name.
    async fn images(
        &self,
        name: &image::Repository,
        digests: BTreeSet<Digest>,
    ) -> (BTreeMap<Digest, Document>, Vec<Fault>) {
        let (mut known, mut faults, mut wanted) = (BTreeMap::new(), Vec::new(), digests);
        // An index in an index is not read, so there are two levels.
        for _ in 0..2 {
            let (mut next, mut asked) = (BTreeSet::new(), Vec::new());
            let mut read = Vec::new();
            for digest in std::mem::take(&mut wanted) {
                match self.cache.get(&digest) {
                    Some(bytes) => read.push((digest, bytes)),
                    None => asked.push(digest),
                }
            }
            self.watch.save(read.len());
            for batch in asked.chunks(BATCH) {
                self.watch.call();
                for (digest, answer) in self.ecr.texts(name, batch).await {
                    match answer {
                        Ok(Some(text)) if Digest::of(text.as_bytes()) == digest => {
                            self.cache.keep(&digest, text.as_bytes());
                            read.push((digest, text.into_bytes()));
                        }
                        // An entry of an index may have been deleted, or never pushed.
                        Ok(None) => {}
                        Ok(Some(_)) => {
                            faults.push(invalid(
                                format!("read {name}@{digest}"),
                                "the answer has another digest",
                            ));
                        }
                        Err(fault) => faults.push(fault),
                    }
                }
            }
            for (digest, bytes) in read {
                let document = Document::read(&bytes);
                next.extend(document.names(false).into_iter().cloned());
                known.insert(digest, document);
            }
            next.retain(|digest| !known.contains_key(digest));
            wanted = next;
        }
        (known, faults)
    }

    /// Reads configs and attestations. The same one may lie in many repositories, and is read once.
    async fn blobs(&self, wanted: BTreeMap<Digest, image::Repository>, estate: &mut Estate) {
        let of = wanted.len();
        let reads = wanted.into_iter().map(|(digest, name)| async move {
            if let Some(bytes) = self.cache.get(&digest) {
                self.watch.save(1);
                return (digest, Ok(Document::read(&bytes)));
            }
            self.watch.call();
            self.watch.call();
            let read = self.ecr.blob(&name, &digest, LARGEST).await;
            let read = read.and_then(|bytes| {
                if Digest::of(&bytes) == digest {
                    self.cache.keep(&digest, &bytes);
                    return Ok(Document::read(&bytes));
                }
                Err(invalid(format!("read {name}@{digest}"), "the answer has another digest"))
            });
            (digest, read)
        });
        let mut reads = stream::iter(reads).buffer_unordered(AT_ONCE);
        let mut done = 0;
        while let Some((digest, read)) = reads.next().await {
            match read {
                Ok(document) => {
                    estate.documents.insert(digest, document);
                }
                Err(fault) => estate.unread.push(fault.into()),
            }
            done += 1;
            self.watch.show("configs and attestations", done, of);
        }
    }
}
