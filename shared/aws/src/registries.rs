//! The registries of the hierarchy: each is read and scanned with the role of its account.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use patchwave::hierarchy::{DeclaredRegistry, Hierarchy, Role, Stage};
use patchwave::image::{EcrRegistry, Repository};
use patchwave_converge::Fault;
use tokio::sync::OnceCell;

use crate::clients::Clients;
use crate::ecr::{Cache, Ecr};
use crate::inspector::Inspector;

/// How a registry's audit trail names this session.
const SESSION: &str = "patchwave";

/// The registries of the hierarchy.
#[derive(Debug, Clone)]
pub(crate) struct Registries {
    home: Connected,
    /// The others, by host.
    others: Arc<BTreeMap<EcrRegistry, Other>>,
    clients: Clients,
    cache: Cache,
}

/// A registry and the scanner of its images.
#[derive(Debug, Clone)]
pub(crate) struct Connected {
    pub(crate) images: Ecr,
    pub(crate) scanner: Inspector,
}

/// A registry beside the home. Its role is assumed when it is first asked.
#[derive(Debug)]
struct Other {
    declared: DeclaredRegistry,
    connected: OnceCell<Connected>,
}

impl Registries {
    pub(crate) fn new(clients: &Clients, hierarchy: &Hierarchy, cache: &Cache) -> Self {
        let home = hierarchy.registry();
        let other = |declared: &DeclaredRegistry| {
            (declared.host.clone(), Other { declared: declared.clone(), connected: OnceCell::new() })
        };
        let others = hierarchy.registries().iter().filter(|registry| registry.host != *home).map(other);
        Self {
            home: connect(clients, home, cache, Inspector::new),
            others: Arc::new(others.collect()),
            clients: clients.clone(),
            cache: cache.clone(),
        }
    }

    #[cfg(test)]
    pub(crate) fn only(home: Connected, clients: Clients) -> Self {
        Self { home, others: Arc::default(), clients, cache: Cache::default() }
    }

    /// Returns the registry where Patchwave runs.
    pub(crate) fn home(&self) -> &Connected {
        &self.home
    }

    /// Returns the registry that holds a repository.
    pub(crate) async fn of(&self, repository: &Repository) -> Result<&Connected, Fault> {
        let (Some(host), _) = repository.split() else { return Ok(&self.home) };
        let Some(other) = self.others.get(&host) else {
            let operation = format!("read {repository}");
            return Err(crate::fault::invalid(operation, "its registry is not in the hierarchy"));
        };
        other.connected.get_or_try_init(|| self.assume(&other.declared)).await
    }

    /// Returns the registry of a stage, in which the role of its copies acts.
    pub(crate) async fn of_stage(&self, stage: &Stage, home: &EcrRegistry) -> Result<Connected, Fault> {
        match &stage.role {
            None => self.of(&stage.repository).await.cloned(),
            Some(role) => {
                let host = stage.repository.split().0.unwrap_or_else(|| home.clone());
                self.acting(&host, Some(role)).await
            }
        }
    }

    async fn assume(&self, registry: &DeclaredRegistry) -> Result<Connected, Fault> {
        self.acting(&registry.host, registry.role.as_ref()).await
    }

    async fn acting(&self, host: &EcrRegistry, role: Option<&Role>) -> Result<Connected, Fault> {
        let credentials = match role {
            Some(role) => Some(self.clients.assume(host.account(), role, SESSION).await?),
            None => None,
        };
        let clients = self.clients.elsewhere(host.region(), credentials);
        Ok(connect(&clients, host, &self.cache, Inspector::of_another))
    }

    /// Asks each registry about the items whose repository it holds. One that cannot be reached
    /// leaves only its own items without an answer.
    pub(crate) async fn ask<K: Clone + Ord, V>(
        &self,
        wanted: &BTreeSet<K>,
        repository: impl Fn(&K) -> &Repository,
        ask: impl AsyncFn(&Connected, &BTreeSet<K>) -> BTreeMap<K, Result<V, Fault>>,
    ) -> BTreeMap<K, Result<V, Fault>> {
        let mut answers = BTreeMap::new();
        for (registry, wanted) in self.group(wanted.iter().cloned(), repository).await {
            match registry {
                Ok(registry) => answers.extend(ask(registry, &wanted.into_iter().collect()).await),
                Err(fault) => answers.extend(wanted.into_iter().map(|item| (item, Err(fault.clone())))),
            }
        }
        answers
    }

    /// Groups items by the registry that holds their repository.
    pub(crate) async fn group<T>(
        &self,
        items: impl IntoIterator<Item = T>,
        repository: impl Fn(&T) -> &Repository,
    ) -> Vec<(Result<&Connected, Fault>, Vec<T>)> {
        let mut by_host: BTreeMap<Option<EcrRegistry>, Vec<T>> = BTreeMap::new();
        for item in items {
            by_host.entry(repository(&item).split().0).or_default().push(item);
        }
        let mut groups = Vec::new();
        for items in by_host.into_values() {
            let Some(first) = items.first() else { continue };
            groups.push((self.of(repository(first)).await, items));
        }
        groups
    }
}

fn connect(
    clients: &Clients,
    host: &EcrRegistry,
    cache: &Cache,
    scanner: impl Fn(aws_sdk_inspector2::Client, &EcrRegistry) -> Inspector,
) -> Connected {
    Connected {
        images: Ecr::new(clients.ecr(host), host, cache),
        scanner: scanner(clients.inspector(host), host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake;

    #[tokio::test]
    async fn a_registry_whose_role_is_refused_is_unread_and_the_home_is_not() {
        let refused = fake::raw(|_| http::Response::builder().status(403).body(String::new()).unwrap());
        let yaml = "{ version: 1, registries: {\
            home: { host: 111122223333.dkr.ecr.us-east-1.amazonaws.com },\
            goods: { host: 222233334444.dkr.ecr.us-east-1.amazonaws.com, role: reader } },\
            images: [{ tier: base, registry: goods, repository: os, tags: [x], from: scratch }] }";
        let hierarchy = Hierarchy::parse("h.yaml", yaml).unwrap();
        let registries = Registries::new(&Clients::of(refused), &hierarchy, &Cache::default());
        let theirs = hierarchy.images().next().unwrap().repository.clone();
        let ours: Repository = "os".parse().unwrap();
        let groups = registries.group([ours, theirs], |repository| repository).await;
        let [(home, _), (goods, named)] = &groups[..] else { panic!("two registries") };
        assert!(home.is_ok());
        let fault = goods.as_ref().unwrap_err().to_string();
        assert!(fault.contains("assume arn:aws:iam::222233334444:role/reader"), "{fault}");
        assert_eq!(named[0].name(), "os");
    }
}
