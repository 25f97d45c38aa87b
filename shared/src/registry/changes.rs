//! Compares what a registry is with what the hierarchy file asks for.

use std::collections::{BTreeMap, BTreeSet};

use super::policy;
use super::setting::{Access, Change, Changes, Configured, Replica, Setting};
use crate::doctor::RepositorySeen;
use crate::hierarchy::{DeclaredRegistry, Hierarchy, Image, Line};
use crate::image::{Tag, glob};
use crate::inventory::{Frequency, Scanner, Scanning, ScanningRule};

/// Returns what should change in one registry of the hierarchy.
pub fn compare(
    hierarchy: &Hierarchy,
    registry: &DeclaredRegistry,
    now: &Configured,
    access: &Access,
) -> Changes {
    let of_registry = |image: &&Image| hierarchy.address(&image.repository).0 == registry.host;
    let images: Vec<&Image> = hierarchy.images().filter(of_registry).collect();
    let mut changes = Changes::default();
    match &now.scanning {
        Ok(scanning) => changes.changes.extend(scanning_change(scanning, &images)),
        Err(because) => changes.unread.push(format!("scanning: {because}")),
    }
    match &now.replicas {
        Ok(replicas) => changes.changes.extend(replication(hierarchy, registry, replicas)),
        Err(because) => changes.unread.push(format!("replication: {because}")),
    }
    caches(registry, now, &mut changes);
    match &now.exclusions {
        Ok(excluded) => changes.changes.extend(exclusions(excluded, access)),
        Err(because) => changes.unread.push(format!("pull-time exclusions: {because}")),
    }
    match &now.repositories {
        Ok(repositories) => {
            for image in &images {
                let seen = repositories.get(image.repository.name());
                let stuck = seen.map(|seen| stuck_tags(image, &seen.mutability, &seen.excluded_tags));
                changes.changes.extend(stuck.and_then(|stuck| mutability(image, seen?, stuck)));
            }
        }
        Err(because) => changes.unread.push(format!("repositories: {because}")),
    }
    let repositories: BTreeSet<&str> = images.iter().map(|image| image.repository.name()).collect();
    for repository in repositories {
        match now.policies.get(repository) {
            Some(Ok(text)) => match policy::merged(hierarchy, registry, access, text.as_deref()) {
                Ok(Some(policy)) => changes.changes.push(Change {
                    setting: Setting::Policy { repository: repository.to_owned(), policy },
                    why: "the accounts of the hierarchy file pull it, and its builds push it".to_owned(),
                }),
                Ok(None) => {}
                Err(because) => changes.unread.push(format!("policy of {repository}: {because}")),
            },
            Some(Err(because)) => changes.unread.push(format!("policy of {repository}: {because}")),
            None => {}
        }
    }
    changes
}

/// Adds the repositories that are scanned less often than the scanner could.
fn scanning_change(now: &Scanning, images: &[&Image]) -> Option<Change> {
    let wanted = match now.scanner {
        Scanner::Basic => Frequency::OnPush,
        Scanner::Enhanced => Frequency::Continuous,
    };
    let names: BTreeSet<&str> = images.iter().map(|image| image.repository.name()).collect();
    let rare = |name: &&str| name.parse().is_ok_and(|name| now.frequency(&name) < wanted);
    let missing: Vec<String> = names.into_iter().filter(rare).map(str::to_owned).collect();
    let first = missing.first()?.clone();
    let why = format!("{} repositories are scanned too rarely, {first} first", missing.len());
    let mut scanning = now.clone();
    match scanning.rules.iter_mut().find(|rule| rule.frequency == wanted) {
        Some(rule) => rule.filters.extend(missing),
        None => scanning.rules.push(ScanningRule { frequency: wanted, filters: missing }),
    }
    Some(Change { setting: Setting::Scanning { scanning }, why })
}

fn replication(
    hierarchy: &Hierarchy,
    registry: &DeclaredRegistry,
    now: &BTreeSet<Replica>,
) -> Option<Change> {
    let replicas =
        hierarchy.registries().iter().filter(|other| other.replica_of.as_ref() == Some(&registry.name));
    let wanted: BTreeSet<Replica> = replicas
        .map(|replica| Replica {
            account: replica.host.account().to_owned(),
            region: replica.host.region().to_owned(),
        })
        .collect();
    let missing = wanted.difference(now).next()?;
    let why = format!("the hierarchy file says that {} of {} is a replica", missing.region, missing.account);
    let replicas = now.union(&wanted).cloned().collect();
    Some(Change { setting: Setting::Replication { replicas }, why })
}

fn caches(registry: &DeclaredRegistry, now: &Configured, changes: &mut Changes) {
    let there = match &now.caches {
        Ok(there) => there,
        Err(because) => return changes.unread.push(format!("pull-through caches: {because}")),
    };
    let none = BTreeSet::new();
    let templates = match &now.templates {
        Ok(templates) => templates,
        Err(because) => {
            changes.unread.push(format!("creation templates: {because}"));
            &none
        }
    };
    for (prefix, upstream) in &registry.caches {
        let host = upstream_of(upstream);
        match there.get(prefix) {
            Some(is) if is == host => {}
            Some(is) => changes.unread.push(format!(
                "the cache {prefix} reads {is}, and the hierarchy file says {upstream}: correct one of them"
            )),
            None => changes.changes.push(Change {
                setting: Setting::Cache { prefix: prefix.clone(), upstream: host.to_owned() },
                why: format!("the hierarchy file reads {upstream} through it"),
            }),
        }
        if now.templates.is_ok() && !templates.contains(prefix) {
            changes.changes.push(Change {
                setting: Setting::Template { prefix: prefix.clone() },
                why: "repositories that the cache creates get no settings without one".to_owned(),
            });
        }
    }
}

/// Writes an upstream as ECR does: Docker Hub has another host there.
fn upstream_of(host: &str) -> &str {
    if host == "docker.io" { "registry-1.docker.io" } else { host }
}

fn exclusions(excluded: &BTreeSet<String>, access: &Access) -> Vec<Change> {
    let missing = access.exclude.difference(excluded);
    let change = |principal: &String| Change {
        setting: Setting::Exclusion { principal: principal.clone() },
        why: "it reads manifests, which ECR counts as pulls".to_owned(),
    };
    missing.map(change).collect()
}

/// Returns the stable tags that the repository does not let move.
fn stuck_tags(image: &Image, mutability: &str, excluded: &[String]) -> Vec<String> {
    let Line::Stable(tags) = &image.line else { return Vec::new() };
    let is_excluded = |tag: &str| excluded.iter().any(|filter| glob(filter, tag));
    let is_stuck = |tag: &&str| match mutability {
        "IMMUTABLE" => true,
        "IMMUTABLE_WITH_EXCLUSION" => !is_excluded(tag),
        _ => false,
    };
    tags.iter().map(Tag::as_str).filter(is_stuck).map(str::to_owned).collect()
}

fn mutability(image: &Image, seen: &RepositorySeen, stuck: Vec<String>) -> Option<Change> {
    let first = stuck.first()?.clone();
    let excluded_tags = seen.excluded_tags.iter().cloned().chain(stuck).collect();
    let repository = image.repository.name().to_owned();
    let why = format!("a rebuild moves the stable tag {first}");
    Some(Change { setting: Setting::Mutability { repository, excluded_tags }, why })
}

/// Groups what a repository has of changes: CloudFormation has one resource for both.
pub(super) fn by_repository(changes: &[Change]) -> BTreeMap<&str, Vec<&Setting>> {
    let mut all: BTreeMap<&str, Vec<&Setting>> = BTreeMap::new();
    for change in changes {
        if let Setting::Mutability { repository, .. } | Setting::Policy { repository, .. } = &change.setting {
            all.entry(repository).or_default().push(&change.setting);
        }
    }
    all
}
