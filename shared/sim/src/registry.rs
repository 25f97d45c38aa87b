//! ECR: repositories, versions, platform manifests, layers and the packages in them.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::slice;
use std::sync::Arc;

use patchwave::facts::{Manifest, Version};
use patchwave::hierarchy::{Line, Promotion};
use patchwave::image::{Digest, ImageId, Platform, Repository, Tag};
use patchwave::line::{self, Candidate};
use patchwave::time::Timestamp;
use patchwave_converge::ManifestAt;

use crate::packages::Package;

/// How many versions [`Registry::history`] returns at most.
const HISTORY: usize = 100;

/// A layer, and the packages that it adds or replaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layer {
    pub(crate) digest: Digest,
    pub(crate) packages: Vec<Package>,
}

/// The layers of a platform manifest, from the base upwards. Versions share them.
pub(crate) type Layers = Vec<Rc<Layer>>;

/// A version as it was pushed.
#[derive(Debug, Clone)]
pub(crate) struct Pushed {
    /// What a reader of manifests sees. Its scans are always missing here.
    pub(crate) version: Version,
    pub(crate) tags: Vec<Tag>,
    pub(crate) layers: BTreeMap<Platform, Layers>,
    /// The versions of the parents that it was built on.
    pub(crate) parents: BTreeMap<ImageId, Digest>,
    /// The execution that pushed it, if Patchwave started that execution.
    pub(crate) execution: Option<String>,
}

/// All repositories.
#[derive(Debug, Clone, Default)]
pub(crate) struct Registry {
    repositories: BTreeMap<Repository, Vec<Pushed>>,
    manifests: BTreeMap<ManifestAt, (Layers, Timestamp)>,
}

impl Registry {
    /// Stores a version and moves its tags to it. Returns whether it was new.
    pub(crate) fn push(&mut self, repository: &Repository, pushed: Pushed) -> bool {
        let versions = self.repositories.entry(repository.clone()).or_default();
        for version in versions.iter_mut() {
            version.tags.retain(|tag| !pushed.tags.contains(tag));
        }
        if let Some(known) = versions.iter_mut().find(|known| known.version.digest == pushed.version.digest) {
            known.tags.extend(pushed.tags);
            // Who pushes the content of a build again does not make it another's.
            if pushed.execution.is_some() || known.execution.is_none() {
                (known.parents, known.execution) = (pushed.parents, pushed.execution);
            }
            return false;
        }
        versions.push(pushed.clone());
        self.store_manifests(repository, &pushed);
        true
    }

    /// Stores a version that was pushed before all others, and that no stable tag points to any
    /// more.
    pub(crate) fn push_earlier(&mut self, repository: &Repository, mut pushed: Pushed) {
        let versions = self.repositories.entry(repository.clone()).or_default();
        pushed.tags.retain(|tag| versions.iter().all(|version| !version.tags.contains(tag)));
        self.store_manifests(repository, &pushed);
        self.repositories.entry(repository.clone()).or_default().insert(0, pushed);
    }

    fn store_manifests(&mut self, repository: &Repository, pushed: &Pushed) {
        for (platform, manifest) in &pushed.version.platforms {
            let layers = pushed.layers.get(platform).cloned().unwrap_or_default();
            let at = (repository.clone(), manifest.digest.clone());
            self.manifests.entry(at).or_insert((layers, pushed.version.pushed_at));
        }
    }

    /// Returns the version that was pushed last.
    pub(crate) fn newest(&self, repository: &Repository) -> Option<&Digest> {
        Some(&self.repositories.get(repository)?.last()?.version.digest)
    }

    /// Returns the version that was pushed just before this one.
    pub(crate) fn before(&self, repository: &Repository, digest: &Digest) -> Option<Digest> {
        let versions = self.repositories.get(repository)?;
        let place = versions.iter().position(|pushed| pushed.version.digest == *digest)?;
        Some(versions.get(place.checked_sub(1)?)?.version.digest.clone())
    }

    /// Returns the current version of a line.
    pub(crate) fn current(&self, repository: &Repository, line: &Line) -> Option<&Pushed> {
        let versions = self.repositories.get(repository)?;
        let candidates: Vec<Candidate> =
            versions.iter().filter(|v| !v.tags.is_empty()).map(candidate).collect();
        let digest = &line::current(line, &candidates)?.digest;
        versions.iter().find(|pushed| pushed.version.digest == *digest)
    }

    /// Returns a version by its own digest. By the digest of a manifest, it returns the version
    /// with that platform only.
    pub(crate) fn version(&self, repository: &Repository, digest: &Digest) -> Option<Version> {
        let mut version = self.pushed(repository, digest)?.version.clone();
        if version.digest != *digest {
            version.platforms.retain(|_, manifest| manifest.digest == *digest);
            version.digest = digest.clone();
        }
        Some(version)
    }

    /// Returns the pushed version of a digest. What was pushed as a version of its own may be part
    /// of an earlier index too.
    pub(crate) fn pushed(&self, repository: &Repository, digest: &Digest) -> Option<&Pushed> {
        let versions = self.repositories.get(repository)?;
        let itself = versions.iter().find(|pushed| pushed.version.digest == *digest);
        itself.or_else(|| versions.iter().find(|pushed| pushed.version.is_named_by(digest)))
    }

    /// Moves the tracked tags back by so many pushes from the current version, or with 0 to the
    /// newest version. Where each push has a tag of its own, the later ones lose theirs. Returns
    /// the version that is current now, if it is another.
    pub(crate) fn move_tags(&mut self, repository: &Repository, line: &Line, back: u32) -> Option<&Pushed> {
        let now = self.current(repository, line)?.version.digest.clone();
        let versions = self.repositories.get_mut(repository)?;
        let place = versions.iter().position(|pushed| pushed.version.digest == now)?;
        let newest = versions.len().checked_sub(1)?;
        let to = if back == 0 { newest } else { place.checked_sub(back as usize)? };
        match line {
            _ if to == place => return None,
            Line::Stable(tags) => point(versions, tags, to),
            Line::Promoted { by: Promotion::Tag(tag), .. } => point(versions, slice::from_ref(tag), to),
            Line::Newest(_) => {
                if versions.get(to).is_none_or(|version| version.tags.is_empty()) {
                    return None;
                }
                versions.iter_mut().skip(to + 1).for_each(|version| version.tags.clear());
            }
            Line::Deployed { .. } | Line::Promoted { .. } => return None,
        }
        self.current(repository, line).filter(|current| current.version.digest != now)
    }

    /// Returns what an environment runs by its line: what people promoted to it, or the current
    /// version of any other line.
    pub(crate) fn promoted(&self, repository: &Repository, line: &Line) -> Option<&Pushed> {
        let versions = self.repositories.get(repository)?;
        match line {
            Line::Promoted { by: Promotion::Tag(tag), .. } => {
                versions.iter().find(|pushed| pushed.tags.contains(tag))
            }
            _ => self.current(repository, line),
        }
    }

    /// Promotes the newest version to the environment of a line. Returns its digest, if the
    /// environment had another.
    pub(crate) fn promote(&mut self, repository: &Repository, line: &Line) -> Option<Digest> {
        let Line::Promoted { by: Promotion::Tag(tag), .. } = line else { return None };
        let versions = self.repositories.get_mut(repository)?;
        let newest = versions.len().checked_sub(1)?;
        if versions[newest].tags.contains(tag) {
            return None;
        }
        point(versions, slice::from_ref(tag), newest);
        Some(versions[newest].version.digest.clone())
    }

    /// Deletes a version. Its platform manifests stay in the registry.
    pub(crate) fn delete(&mut self, repository: &Repository, digest: &Digest) {
        if let Some(versions) = self.repositories.get_mut(repository) {
            versions.retain(|pushed| pushed.version.digest != *digest);
        }
    }

    /// Returns the newest versions of a repository, newest first, or nothing if it does not exist.
    pub(crate) fn history(&self, repository: &Repository) -> Option<Vec<Version>> {
        let versions = self.repositories.get(repository)?;
        Some(versions.iter().rev().take(HISTORY).map(|pushed| pushed.version.clone()).collect())
    }

    /// Returns the layers of a platform manifest and when it was pushed.
    pub(crate) fn manifest(&self, at: &ManifestAt) -> Option<&(Layers, Timestamp)> {
        self.manifests.get(at)
    }

    /// Returns all platform manifests.
    pub(crate) fn manifests(&self) -> impl Iterator<Item = &ManifestAt> {
        self.manifests.keys()
    }
}

/// Moves tags to the version at a place.
fn point(versions: &mut [Pushed], tags: &[Tag], to: usize) {
    for version in versions.iter_mut() {
        version.tags.retain(|tag| !tags.contains(tag));
    }
    if let Some(version) = versions.get_mut(to) {
        version.tags.extend(tags.iter().cloned());
    }
}

fn candidate(pushed: &Pushed) -> Candidate {
    Candidate {
        digest: pushed.version.digest.clone(),
        tags: pushed.tags.clone(),
        pushed_at: pushed.version.pushed_at,
        revision: pushed.version.revision.clone(),
    }
}

/// Returns a manifest of these layers. It is not scanned.
pub(crate) fn manifest(platform: &Platform, layers: &Layers) -> Manifest {
    let layers: Arc<[Digest]> = layers.iter().map(|layer| layer.digest.clone()).collect();
    let content: Vec<&str> = layers.iter().map(Digest::as_str).collect();
    let digest = crate::draw::digest_of(&format!("manifest {platform} {}", content.join(" ")));
    Manifest::new(digest, layers)
}

/// Returns all packages of these layers, each with its layer. Upper layers replace the packages of
/// lower ones.
pub(crate) fn packages(layers: &Layers) -> BTreeMap<&'static str, (&Package, &Digest)> {
    layers
        .iter()
        .flat_map(|layer| layer.packages.iter().map(move |package| (package, &layer.digest)))
        .map(|(package, layer)| (package.name, (package, layer)))
        .collect()
}
