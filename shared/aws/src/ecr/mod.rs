//! Elastic Container Registry: versions, which of them counts, and their scans.
//!
//! Tags and push times come from `DescribeImages`. Content comes from `BatchGetImage` by digest:
//! the digest says which answer belongs to which image, but a tag may move from one call to the
//! next.

mod cache;
pub(crate) mod care;
mod config;
mod configuration;
mod pull_through;
mod read;
mod scan;

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ecr::Client;
use aws_sdk_ecr::types::TagStatus;
use futures::stream::{self, StreamExt};
use patchwave::facts::{DeployedVersion, Deployments};
use patchwave::facts::{Manifest, Version};
use patchwave::hierarchy::{Image, Line};
use patchwave::image::{Digest, EcrRegistry, ImageId, Platform, Repository, Tag};
use patchwave::line::{self, Candidate};
use patchwave_converge::{Fault, FaultKind, Found, ManifestAt};

use crate::fault::invalid;
use crate::manifest::{Document, Notes, SINGLE};
pub(crate) use cache::Cache;
use read::{AT_ONCE, Documents, by_digest, by_tag};
pub(crate) use scan::{Answered, ScanRead};

/// Newest pushes of a pattern line that are read.
const LINE_DEPTH: usize = 100;
/// Newest versions that a history holds.
const HISTORY: usize = 100;
/// Newest images that a history is made from. Each version is up to three images: for itself, its
/// platforms and their attestations.
const HISTORY_IMAGES: usize = 300;

/// The hierarchy's registry.
#[derive(Debug, Clone)]
pub(crate) struct Ecr {
    client: Client,
    host: String,
    account: String,
    region: String,
    cache: Cache,
}

/// A version, or `None` if the registry says that there is none.
type Read = Result<Option<Version>, Fault>;

impl Ecr {
    /// Makes a reader of a registry. `cache` keeps what a process has read of it.
    pub(crate) fn new(client: Client, registry: &EcrRegistry, cache: &Cache) -> Self {
        Self {
            client,
            host: registry.host().to_owned(),
            account: registry.account().to_owned(),
            region: registry.region().to_owned(),
            cache: cache.clone(),
        }
    }

    /// Reads the version that counts on each image's line.
    ///
    /// `running` says which version each deployed line's environment runs.
    pub(crate) async fn currents(
        &self,
        images: &[&Image],
        running: &Result<BTreeMap<ImageId, Deployments>, Fault>,
    ) -> BTreeMap<ImageId, Result<Found, Fault>> {
        let mut by_repository: BTreeMap<&Repository, Vec<&Image>> = BTreeMap::new();
        for image in images {
            by_repository.entry(&image.repository).or_default().push(image);
        }
        let reads = by_repository
            .into_iter()
            .map(|(repository, images)| self.currents_in(repository, images, running));
        stream::iter(reads).buffer_unordered(AT_ONCE).map(stream::iter).flatten().collect().await
    }

    async fn currents_in(
        &self,
        repository: &Repository,
        images: Vec<&Image>,
        running: &Result<BTreeMap<ImageId, Deployments>, Fault>,
    ) -> Vec<(ImageId, Result<Found, Fault>)> {
        let all =
            |answer: Result<Found, Fault>| images.iter().map(|i| (i.id.clone(), answer.clone())).collect();
        let pushed = match self.pushed(repository, &images).await {
            Ok(Some(pushed)) => pushed,
            Ok(None) => {
                let registry = format!("account {}, Region {}", self.account, self.region);
                return all(Ok(Found::NoRepository(registry)));
            }
            Err(fault) => return all(Err(fault)),
        };
        let mut chosen = Vec::new();
        for image in &images {
            chosen.push((image.id.clone(), self.choose(image, &pushed, running).await));
        }
        let counting: Vec<Candidate> = chosen.iter().filter_map(|(_, c)| c.clone().ok().flatten()).collect();
        let versions = self.whole(repository, &counting).await;
        let version = |chosen: Option<Candidate>| match chosen {
            Some(candidate) => versions.get(&candidate.digest).cloned().unwrap_or(Ok(None)),
            None => Ok(None),
        };
        let found = |id: &ImageId, chosen: Result<Option<Candidate>, Fault>| {
            let Some(image) = images.iter().find(|image| image.id == *id) else { return Ok(Found::Absent) };
            let promoted = line::promoted(&image.line, &pushed).map(|promoted| promoted.digest.clone());
            let chosen = chosen?;
            let tags = chosen.as_ref().map(|chosen| tags_of(&image.line, chosen));
            let mut version = version(chosen)?;
            if let (Some(version), Some(tags)) = (&mut version, tags) {
                version.tags = tags;
            }
            Ok(Found::of_environment(version, promoted))
        };
        chosen
            .into_iter()
            .map(|(id, chosen)| {
                let found = found(&id, chosen);
                (id, found)
            })
            .collect()
    }

    /// Reads the pushes that the lines of `images` need: all tags for a pattern, one tag for a
    /// stable line.
    ///
    /// Returns nothing if the repository does not exist.
    async fn pushed(
        &self,
        repository: &Repository,
        images: &[&Image],
    ) -> Result<Option<Vec<Candidate>>, Fault> {
        let tracked = |image: &&Image| match &image.line {
            Line::Stable(tags) => Some(tags.first().cloned()),
            Line::Newest(_) | Line::Deployed { .. } | Line::Promoted { .. } => None,
        };
        match images.iter().map(tracked).collect::<Option<BTreeSet<_>>>() {
            Some(tags) => {
                let ids: Vec<_> = tags.iter().flatten().map(by_tag).collect();
                self.describe(repository, &ids).await
            }
            None => self.list(repository, TagStatus::Tagged).await,
        }
    }

    async fn choose(
        &self,
        image: &Image,
        pushed: &[Candidate],
        running: &Result<BTreeMap<ImageId, Deployments>, Fault>,
    ) -> Result<Option<Candidate>, Fault> {
        let pattern = match &image.line {
            Line::Stable(_) => return Ok(line::current(&image.line, pushed).cloned()),
            Line::Deployed { environment, .. } => {
                let running = running.as_ref().map_err(Fault::clone)?.get(&image.id);
                let deployed = running.and_then(|running| running.environments.get(environment));
                return self.deployed(image, environment, deployed, pushed).await;
            }
            Line::Promoted { .. } => return self.built_of_promoted(image, pushed).await,
            Line::Newest(pattern) => pattern,
        };
        let matching = pushed.iter().filter(|c| c.tags.iter().any(|tag| pattern.matches(tag)));
        let newest = line::foremost(&image.line, matching.cloned().collect(), LINE_DEPTH);
        let candidates = self.with_revisions(&image.repository, newest).await?;
        self.first_image(&image.repository, candidates, |candidates| line::current(&image.line, candidates))
            .await
    }

    /// Chooses the newest build of the commit that people promoted to an environment.
    async fn built_of_promoted(
        &self,
        image: &Image,
        pushed: &[Candidate],
    ) -> Result<Option<Candidate>, Fault> {
        let Some(promoted) = line::promoted(&image.line, pushed).cloned() else { return Ok(None) };
        let mut candidates = newest(pushed.to_vec(), LINE_DEPTH);
        if !candidates.iter().any(|candidate| candidate.digest == promoted.digest) {
            candidates.push(promoted.clone());
        }
        let candidates = self.with_revisions(&image.repository, candidates).await?;
        Ok(line::deployed(&promoted.digest, &candidates).cloned())
    }

    /// Chooses a candidate, and another one as long as the chosen one is an artefact: an index none
    /// of whose manifests is an image.
    async fn first_image(
        &self,
        repository: &Repository,
        mut candidates: Vec<Candidate>,
        choose: impl Fn(&[Candidate]) -> Option<&Candidate>,
    ) -> Result<Option<Candidate>, Fault> {
        while let Some(chosen) = choose(&candidates).cloned() {
            if self.is_image(repository, &chosen.digest).await? {
                return Ok(Some(chosen));
            }
            candidates.retain(|candidate| candidate.digest != chosen.digest);
        }
        Ok(None)
    }

    async fn is_image(&self, repository: &Repository, digest: &Digest) -> Result<bool, Fault> {
        let mut top = self.documents(repository, &BTreeSet::from([digest.clone()])).await;
        let platforms = match top.remove(digest).unwrap_or(Ok(None))? {
            Some(Document::Index { platforms, .. }) => platforms,
            Some(Document::Manifest { .. }) => return Ok(true),
            Some(Document::Artifact(_)) | None => return Ok(false),
        };
        let entries = self.documents(repository, &platforms.into_values().collect()).await;
        if entries.values().any(|entry| matches!(entry, Ok(Some(Document::Manifest { .. })))) {
            return Ok(true);
        }
        // What could not be read may be an image.
        let unread =
            entries.into_values().find_map(|entry| entry.err().filter(|e| e.kind != FaultKind::Invalid));
        unread.map_or(Ok(false), Err)
    }

    /// Chooses the newest build of the commit that an environment runs. If it is unknown what runs
    /// there, the answer is unknown too.
    async fn deployed(
        &self,
        image: &Image,
        environment: &str,
        deployed: Option<&DeployedVersion>,
        pushed: &[Candidate],
    ) -> Result<Option<Candidate>, Fault> {
        let operation = format!("find what {environment} runs of {}", image.repository);
        let unknown = |why: &str| invalid(operation.as_str(), why);
        let deployed = deployed.ok_or_else(|| unknown("the inventory has not seen the image there"))?;
        let mut candidates = newest(pushed.to_vec(), LINE_DEPTH);
        if !candidates.iter().any(|candidate| candidate.digest == deployed.version) {
            let described = self.describe(&image.repository, &[by_digest(&deployed.version)]).await?;
            candidates.extend(described.unwrap_or_default());
        }
        let candidates = self.with_revisions(&image.repository, candidates).await?;
        let current = line::deployed(&deployed.version, &candidates).cloned();
        current.map(Some).ok_or_else(|| unknown("it is no longer in the registry"))
    }

    /// Reads the candidates' commits. Leaves out what was deleted meanwhile and what is not an
    /// image.
    async fn with_revisions(
        &self,
        repository: &Repository,
        candidates: Vec<Candidate>,
    ) -> Result<Vec<Candidate>, Fault> {
        let tops = self.documents(repository, &digests(&candidates)).await;
        let silent = tops.values().filter_map(|top| match top {
            Ok(Some(Document::Index { platforms, notes, .. })) if notes.revision.is_none() => {
                first_platform(platforms).cloned()
            }
            _ => None,
        });
        let firsts = self.documents(repository, &silent.collect()).await;
        let mut known = Vec::new();
        for candidate in candidates {
            let top = match tops.get(&candidate.digest).cloned().unwrap_or(Ok(None)) {
                // A document that makes no sense is no image, and spoils no other.
                Err(fault) if fault.kind == FaultKind::Invalid => continue,
                top => top?,
            };
            let revision = match top {
                None | Some(Document::Artifact(_)) => continue,
                Some(Document::Manifest { notes, .. }) => notes.revision,
                Some(Document::Index { platforms, notes, .. }) => match first_platform(&platforms) {
                    Some(first) if notes.revision.is_none() => notes_of(&firsts, first)?.revision,
                    _ => notes.revision,
                },
            };
            known.push(Candidate { revision, ..candidate });
        }
        Ok(known)
    }

    /// Reads versions by the digest of an index or a manifest.
    pub(crate) async fn versions(&self, wanted: &BTreeSet<ManifestAt>) -> BTreeMap<ManifestAt, Read> {
        let mut by_repository: BTreeMap<&Repository, Vec<&Digest>> = BTreeMap::new();
        for (repository, digest) in wanted {
            by_repository.entry(repository).or_default().push(digest);
        }
        let reads =
            by_repository.into_iter().map(|(repository, digests)| self.versions_in(repository, digests));
        stream::iter(reads).buffer_unordered(AT_ONCE).map(stream::iter).flatten().collect().await
    }

    async fn versions_in(&self, repository: &Repository, wanted: Vec<&Digest>) -> Vec<(ManifestAt, Read)> {
        let ids: Vec<_> = wanted.iter().map(|digest| by_digest(digest)).collect();
        let found = match self.describe(repository, &ids).await {
            Ok(described) => Ok(self.whole(repository, &described.unwrap_or_default()).await),
            Err(fault) => Err(fault),
        };
        let version = |digest: &Digest| match &found {
            Ok(versions) => versions.get(digest).cloned().unwrap_or(Ok(None)),
            Err(fault) => Err(fault.clone()),
        };
        wanted.into_iter().map(|digest| ((repository.clone(), digest.clone()), version(digest))).collect()
    }

    /// Reads the newest versions of these repositories, untagged ones too.
    pub(crate) async fn history(
        &self,
        repositories: &BTreeSet<Repository>,
    ) -> BTreeMap<Repository, Result<Vec<Version>, Fault>> {
        let reads = repositories.iter().map(|r| async move { (r.clone(), self.history_of(r).await) });
        stream::iter(reads).buffer_unordered(AT_ONCE).collect().await
    }

    async fn history_of(&self, repository: &Repository) -> Result<Vec<Version>, Fault> {
        let images = newest(self.list(repository, TagStatus::Any).await?.unwrap_or_default(), HISTORY_IMAGES);
        let documents = self.documents(repository, &digests(&images)).await;
        let parts = parts(&documents);
        let is_version = |candidate: &Candidate| {
            let artifact = matches!(documents.get(&candidate.digest), Some(Ok(Some(Document::Artifact(_)))));
            !artifact && !parts.contains(&candidate.digest)
        };
        let versions = newest(images.into_iter().filter(is_version).collect(), HISTORY);
        let whole = self.whole(repository, &versions).await.into_values();
        // A document that makes no sense is no version, and spoils no other.
        let readable = whole.filter(|version| !matches!(version, Err(e) if e.kind == FaultKind::Invalid));
        readable.filter_map(Result::transpose).collect()
    }

    /// Reads whole versions: their documents and those of their platforms.
    async fn whole(&self, repository: &Repository, pushed: &[Candidate]) -> BTreeMap<Digest, Read> {
        let tops = self.documents(repository, &digests(pushed)).await;
        let platforms = tops.values().filter_map(|top| match top {
            Ok(Some(Document::Index { platforms, .. })) => Some(platforms.values().cloned()),
            _ => None,
        });
        let manifests = self.documents(repository, &platforms.flatten().collect()).await;
        let version = |candidate: &Candidate| {
            let top = tops.get(&candidate.digest).cloned().unwrap_or(Ok(None))?;
            top.map(|document| version(repository, candidate, document, &manifests)).transpose()
        };
        pushed.iter().map(|candidate| (candidate.digest.clone(), version(candidate))).collect()
    }
}

/// Returns the first manifest of an index that is not marked as an attestation.
fn first_platform(platforms: &BTreeMap<Platform, Digest>) -> Option<&Digest> {
    platforms.iter().find(|(platform, _)| !platform.is_marked_as_attestation()).map(|(_, digest)| digest)
}

fn digests(candidates: &[Candidate]) -> BTreeSet<Digest> {
    candidates.iter().map(|candidate| candidate.digest.clone()).collect()
}

/// Returns those stable tags of a line that name a candidate: the registry says all tags of it.
fn tags_of(line: &Line, candidate: &Candidate) -> BTreeSet<Tag> {
    match line {
        Line::Stable(tags) => tags.iter().filter(|tag| candidate.tags.contains(tag)).cloned().collect(),
        Line::Newest(_) | Line::Deployed { .. } | Line::Promoted { .. } => BTreeSet::new(),
    }
}

/// Returns the newest pushes, newest first.
fn newest(mut candidates: Vec<Candidate>, most: usize) -> Vec<Candidate> {
    candidates.sort_by(|a, b| (b.pushed_at, &b.digest).cmp(&(a.pushed_at, &a.digest)));
    candidates.truncate(most);
    candidates
}

/// Returns everything that an index among `documents` names. These are parts of versions, not
/// versions themselves.
fn parts(documents: &Documents) -> BTreeSet<Digest> {
    let named = documents.values().filter_map(|document| match document {
        Ok(Some(Document::Index { platforms, others, .. })) => Some(platforms.values().chain(others)),
        _ => None,
    });
    named.flatten().cloned().collect()
}

fn notes_of(documents: &Documents, digest: &Digest) -> Result<Notes, Fault> {
    match documents.get(digest) {
        Some(Ok(Some(Document::Manifest { notes, .. }))) => Ok(notes.clone()),
        Some(Err(fault)) => Err(fault.clone()),
        _ => Ok(Notes::default()),
    }
}

/// Assembles a version from its documents.
fn version(
    repository: &Repository,
    pushed: &Candidate,
    document: Document,
    manifests: &Documents,
) -> Result<Version, Fault> {
    let wrong = |problem: &str| invalid(format!("read the version {repository}@{}", pushed.digest), problem);
    let (platforms, notes) = match document {
        Document::Artifact(media_type) => {
            return Err(wrong(&format!("it is not an image but {media_type}; a line must name images")));
        }
        Document::Manifest { layers, notes, .. } => {
            let single: Platform = SINGLE.parse().map_err(|_| wrong("it has no platform"))?;
            (BTreeMap::from([(single, manifest(&pushed.digest, layers))]), notes)
        }
        Document::Index { platforms, notes, .. } => of_index(platforms, notes, manifests, &wrong)?,
    };
    if platforms.is_empty() {
        return Err(wrong("the index does not name a platform's manifest"));
    }
    Ok(Version {
        digest: pushed.digest.clone(),
        pushed_at: pushed.pushed_at,
        built_at: notes.created,
        revision: notes.revision,
        base: notes.base,
        build_key: notes.build_key,
        tags: BTreeSet::new(),
        platforms,
    })
}

fn of_index(
    named: BTreeMap<Platform, Digest>,
    mut notes: Notes,
    manifests: &Documents,
    wrong: &impl Fn(&str) -> Fault,
) -> Result<(BTreeMap<Platform, Manifest>, Notes), Fault> {
    let mut platforms = BTreeMap::new();
    for (platform, digest) in named {
        let document = match manifests.get(&digest).cloned().unwrap_or(Ok(None)) {
            Err(fault) if fault.kind == FaultKind::Invalid => None,
            document => document?,
        };
        match document {
            Some(Document::Manifest { layers, notes: own, .. }) => {
                notes = notes.or(&own);
                platforms.insert(platform, manifest(&digest, layers));
            }
            Some(Document::Artifact(_)) => {}
            Some(Document::Index { .. }) => {
                return Err(wrong(&format!("{platform} is an index inside an index")));
            }
            // An attestation that is gone proves nothing and was never run.
            None if platform.is_marked_as_attestation() => {}
            // A pull-through cache may hold one platform and not the other. The scan of what it
            // does not hold cannot be read, so that platform is unknown, and the others are not.
            None => {
                platforms.insert(platform, manifest(&digest, Vec::new()));
            }
        }
    }
    Ok((platforms, notes))
}

fn manifest(digest: &Digest, layers: Vec<Digest>) -> Manifest {
    Manifest::new(digest.clone(), layers.into())
}

#[cfg(test)]
mod tests;
