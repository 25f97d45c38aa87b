//! Where an image lies: in a registry of the file, in the replica or a copy of one, or elsewhere.

use super::{Copies, DeclaredRegistry, Hierarchy, Image, Role};
use crate::image::{EcrRegistry, Reference, Registry, Repository};

/// Where an image lies, as far as the file tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Located {
    /// In a registry of the file: the repository whose content it is there. It is as [`Image`] has
    /// it, and no image may be pushed to it.
    ///
    /// [`Image`]: super::Image
    Own(Repository),
    /// In a pull-through cache: what it is upstream.
    Cached(Registry, Repository),
    Elsewhere,
}

/// Where an environment's versions of a repository lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// As [`Image`] has it.
    ///
    /// [`Image`]: super::Image
    pub repository: Repository,
    /// The role to copy with, if it is not the registry's.
    pub role: Option<Role>,
}

/// How often a copy may have been copied.
const LONGEST_CHAIN: usize = 4;

impl Hierarchy {
    /// Finds where an image lies: in a registry of the file, in the replica or a copy of one, in a
    /// cache, or elsewhere.
    pub fn locate(&self, host: &Registry, repository: &Repository) -> Located {
        let registries = self.registries();
        let Some(mut registry) = registries.at(host) else { return Located::Elsewhere };
        let mut repository = repository.clone();
        for _ in 0..LONGEST_CHAIN {
            let upstream = registry.upstream(repository.as_str());
            if let Some(upstream) = upstream.as_deref().and_then(Reference::read) {
                return Located::Cached(upstream.registry, upstream.repository);
            }
            let here = registries.repository(registries.source(registry), &repository);
            if self.in_repository(&here).next().is_some() {
                return Located::Own(here);
            }
            let copied = registry.copies.iter().find_map(|copies| {
                let source = copies.source(repository.as_str())?.parse::<Repository>().ok()?;
                Some((registries.named(&copies.of)?, source))
            });
            let Some((of, source)) = copied else { return Located::Own(here) };
            (registry, repository) = (of, source);
        }
        Located::Own(registries.repository(registry, &repository))
    }

    /// Finds where an environment's versions lie: in the copy that the file names for it, or else
    /// in the repository itself. A copy may be one of a copy.
    pub fn stage(&self, repository: &Repository, environment: &str) -> Stage {
        let registries = self.registries();
        let (host, name) = self.address(repository);
        let is_of = |copies: &Copies, of: &str| copies.of == of;
        let mut level: Vec<(&str, String)> = registries
            .iter()
            .filter(|registry| registry.host == host)
            .map(|registry| (registry.name.as_str(), name.to_owned()))
            .collect();
        for _ in 0..LONGEST_CHAIN {
            let mut next = Vec::new();
            for (of, name) in &level {
                for registry in registries.iter() {
                    for copies in registry.copies.iter().filter(|copies| is_of(copies, of)) {
                        let Some(target) = copies.target(name) else { continue };
                        let is_it = copies.environment.as_deref() == Some(environment);
                        if let Some(found) = target.parse::<Repository>().ok().filter(|_| is_it) {
                            let repository = registries.repository(registry, &found);
                            return Stage { repository, role: copies.role.clone() };
                        }
                        next.push((registry.name.as_str(), target));
                    }
                }
            }
            level = next;
        }
        Stage { repository: repository.clone(), role: None }
    }

    /// Returns the repository of which an event tells, as images have it; nothing if the account
    /// and Region are no registry of the file.
    pub fn repository_at(&self, account: &str, region: &str, name: &Repository) -> Option<Repository> {
        let registry = self.registries().in_region(account, region)?;
        match self.locate(&Registry::from(&registry.host), name) {
            Located::Own(repository) => Some(repository),
            Located::Cached(..) | Located::Elsewhere => None,
        }
    }

    /// Returns the repository of a replica in the Region of an image's build that holds what is
    /// pushed to a parent's `repository`. Nothing if the parent's own registry is there.
    pub fn nearer_replica(&self, image: &Image, repository: &Repository) -> Option<Repository> {
        let builder = image.pipeline.as_ref()?.builder.as_ref();
        let builds_in = builder.map_or(self.registry().region(), |builder| builder.region.as_str());
        let (host, _) = self.address(repository);
        if host.region() == builds_in {
            return None;
        }
        let source = self.registries().iter().find(|registry| registry.host == host)?;
        let is_near = |registry: &&DeclaredRegistry| {
            registry.replica_of.as_ref() == Some(&source.name) && registry.host.region() == builds_in
        };
        let (_, name) = repository.split();
        let name: Repository = name.parse().ok()?;
        self.registries().iter().find(is_near).map(|replica| name.at(&replica.host))
    }

    /// Returns the host and the name of a repository that images are pushed to.
    pub fn address<'r>(&self, repository: &'r Repository) -> (EcrRegistry, &'r str) {
        let (host, name) = repository.split();
        (host.unwrap_or_else(|| self.registry().clone()), name)
    }
}
