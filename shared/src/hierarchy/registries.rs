//! The registries of the organisation, and where the same content lies twice.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Role;
use crate::image::{EcrRegistry, Reference, Registry, Repository, glob};

/// The registries of the file: the home first, then the others by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registries {
    pub(super) declared: Vec<DeclaredRegistry>,
    pub(super) approved: Vec<Approved>,
    pub(super) home: EcrRegistry,
}

/// A private ECR registry of the organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeclaredRegistry {
    /// Its name in the file.
    pub name: String,
    pub host: EcrRegistry,
    /// The role to read and scan with; none in the account where Patchwave runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Other hosts at which it answers, such as a DNS name of the organisation.
    pub aliases: Vec<Registry>,
    /// Its pull-through caches: from the prefix of the repositories to the upstream host, with a
    /// path if the cache has one.
    pub caches: BTreeMap<String, String>,
    /// The name of the registry that ECR replicates here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica_of: Option<String>,
    /// Which repositories hold copies of others, because releases are promoted so.
    pub copies: Vec<Copies>,
    /// Whether what runs from here carries keep tags.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_tags: bool,
}

/// Repositories that hold copies of others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Copies {
    /// The name of the registry that is copied from.
    pub of: String,
    /// The repositories that are copied, with at most one `*`.
    pub from: String,
    /// What they are called here, with as many `*`.
    pub to: String,
    /// The environment whose releases they are; nothing if Patchwave does not copy here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// The role to copy with, beside the registry's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
}

impl Copies {
    /// Returns the repository here that holds copies of `repository`, if one does.
    pub(crate) fn target(&self, repository: &str) -> Option<String> {
        let Some((head, tail)) = self.from.split_once('*') else {
            return (self.from == repository).then(|| self.to.clone());
        };
        let name = repository.strip_prefix(head)?.strip_suffix(tail)?;
        Some(self.to.replacen('*', name, 1))
    }

    /// Returns the repository that is copied to `repository`; nothing if it holds no copies.
    pub(super) fn source(&self, repository: &str) -> Option<String> {
        let Some((head, tail)) = self.to.split_once('*') else {
            return (self.to == repository).then(|| self.from.clone());
        };
        let name = repository.strip_prefix(head)?.strip_suffix(tail)?;
        Some(self.from.replacen('*', name, 1))
    }
}

/// Images of others that may run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Approved {
    pub by: ApprovedBy,
    /// The repositories, with `*` for any characters.
    pub repositories: Vec<String>,
}

/// Whose registry is approved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ApprovedBy {
    /// The private ECR registries of an account, in every Region.
    Account(String),
    Host(Registry),
}

impl Registries {
    /// Returns the registries of a file that declares one.
    pub(super) fn only(home: EcrRegistry) -> Self {
        let declared = DeclaredRegistry {
            name: HOME.to_owned(),
            host: home.clone(),
            role: None,
            aliases: Vec::new(),
            caches: BTreeMap::new(),
            replica_of: None,
            copies: Vec::new(),
            keep_tags: false,
        };
        Self { declared: vec![declared], approved: Vec::new(), home }
    }

    /// Returns the registry where Patchwave runs.
    pub fn home(&self) -> &EcrRegistry {
        &self.home
    }

    /// Returns all registries of the file, the home first.
    pub fn iter(&self) -> impl Iterator<Item = &DeclaredRegistry> {
        self.declared.iter()
    }

    /// Returns the registry of that name.
    pub fn named(&self, name: &str) -> Option<&DeclaredRegistry> {
        self.declared.iter().find(|registry| registry.name == name)
    }

    /// Returns the registry that answers at a host. The home account's registries in other Regions
    /// hold what ECR replicated there, whether or not the file names them.
    pub(super) fn at(&self, host: &Registry) -> Option<&DeclaredRegistry> {
        let is_replica = || host.ecr().is_some_and(|ecr| ecr.account() == self.home.account());
        self.declared_at(host).or_else(|| self.declared.first().filter(|_| is_replica()))
    }

    /// Returns the registry for which the file names a host.
    fn declared_at(&self, host: &Registry) -> Option<&DeclaredRegistry> {
        let ecr = host.ecr();
        let is_it = |registry: &&DeclaredRegistry| {
            ecr.as_ref() == Some(&registry.host) || registry.aliases.contains(host)
        };
        self.declared.iter().find(is_it)
    }

    /// Returns the registry of an account and Region of which events tell.
    pub fn in_region(&self, account: &str, region: &str) -> Option<&DeclaredRegistry> {
        let is_it = |registry: &&DeclaredRegistry| {
            (registry.host.account(), registry.host.region()) == (account, region)
        };
        self.declared.iter().find(is_it)
    }

    /// Returns the registry whose content another one holds: itself, or the one that is replicated
    /// to it.
    pub(super) fn source<'r>(&'r self, registry: &'r DeclaredRegistry) -> &'r DeclaredRegistry {
        registry.replica_of.as_deref().and_then(|name| self.named(name)).unwrap_or(registry)
    }

    /// Returns a repository of a registry as images have it: with the host, unless it is the
    /// home's.
    pub(super) fn repository(&self, registry: &DeclaredRegistry, name: &Repository) -> Repository {
        if registry.host == self.home { name.clone() } else { name.at(&registry.host) }
    }

    /// Returns whether a host is that of a registry of the file.
    pub(super) fn has(&self, host: &Registry) -> bool {
        self.declared_at(host).is_some()
    }

    /// Returns `repository:tag` at a host as images of the file have it; nothing elsewhere.
    pub(super) fn own_name(&self, host: &Registry, path: &str) -> Option<String> {
        let registry = self.source(self.at(host)?);
        let own = registry.host == self.home;
        Some(if own { path.to_owned() } else { format!("{}/{path}", registry.host) })
    }

    /// Returns what `repository:tag` in a pull-through cache is upstream, and the cache's
    /// repository.
    pub(super) fn cached(&self, host: &Registry, path: &str) -> Option<(Reference, Option<Repository>)> {
        let registry = self.declared_at(host)?;
        let upstream = registry.upstream(path)?.parse().ok()?;
        let name = path.split(['@', ':']).next().and_then(|name| name.parse().ok());
        Some((upstream, name.map(|name| self.repository(registry, &name))))
    }

    /// Returns what the file approves, in its order.
    pub fn approved(&self) -> &[Approved] {
        &self.approved
    }

    /// Returns whether the file allows an image of others to run.
    pub fn approves(&self, host: &Registry, repository: &Repository) -> bool {
        let account = host.ecr().map(|ecr| ecr.account().to_owned());
        self.approved.iter().any(|approved| {
            let is_theirs = match &approved.by {
                ApprovedBy::Account(of) => account.as_ref() == Some(of),
                ApprovedBy::Host(of) => of == host,
            };
            is_theirs && approved.repositories.iter().any(|pattern| glob(pattern, repository.as_str()))
        })
    }
}

/// The name of the registry where Patchwave runs.
pub(super) const HOME: &str = "home";

impl DeclaredRegistry {
    /// Returns what a name in a pull-through cache is upstream; nothing if it is in no cache.
    pub(super) fn upstream(&self, path: &str) -> Option<String> {
        self.caches.iter().find_map(|(prefix, upstream)| {
            let rest = path.strip_prefix(prefix.as_str())?.strip_prefix('/')?;
            Some(format!("{upstream}/{rest}"))
        })
    }
}
