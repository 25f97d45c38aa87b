//! Reads the registries of the file, and whose images may run beside.

use std::collections::BTreeMap;

use serde_saphyr::{Location, Spanned};

use super::declared::role;
use super::error::{Problem, Report};
use super::file::{ApprovedKeys, CopiesKeys, RegistryKeys};
use super::names::near;
use super::registries::{Approved, ApprovedBy, Copies, DeclaredRegistry, HOME, Registries};
use super::written::{Written, required};
use crate::image::EcrRegistry;

/// Reads `registry`, or else `registries`; nothing if there is no home.
pub(super) fn registries(
    registry: Option<Written<EcrRegistry>>,
    declared: BTreeMap<String, Spanned<RegistryKeys>>,
    approved: Vec<Spanned<ApprovedKeys>>,
    report: &mut Report<'_>,
) -> Option<Registries> {
    let approved = approved.into_iter().filter_map(|keys| self::approved(keys, report)).collect();
    let places = |written: &Spanned<RegistryKeys>| written.referenced;
    let first = declared.values().map(places).min_by_key(|at| (at.line(), at.column()));
    let registries = match (registry, first) {
        (None, None) => {
            report.add(Location::UNKNOWN, Problem::MissingKey { key: "registry".to_owned() });
            None
        }
        (Some(registry), None) => registry.read(report).map(Registries::only),
        (Some(registry), Some(_)) => {
            report.add(registry.at, Problem::RegistryTwice);
            None
        }
        (None, Some(first)) => several(declared, first, report),
    };
    registries.map(|registries| Registries { approved, ..registries })
}

fn several(
    declared: BTreeMap<String, Spanned<RegistryKeys>>,
    first: Location,
    report: &mut Report<'_>,
) -> Option<Registries> {
    if !declared.contains_key(HOME) {
        report.add(first, Problem::NoHome);
    }
    let names: Vec<String> = declared.keys().cloned().collect();
    let replicas = declared.iter().filter(|(_, keys)| keys.value.replica_of.is_some());
    let replicas: Vec<String> = replicas.map(|(name, _)| name.clone()).collect();
    let mut read: Vec<DeclaredRegistry> = Vec::new();
    for (name, keys) in declared {
        let at = keys.referenced;
        let Some(registry) = one(name, keys, (&names, &replicas), report) else { continue };
        let hosts = |registry: &DeclaredRegistry| {
            let aliases = registry.aliases.iter().map(ToString::to_string);
            aliases.chain([registry.host.to_string()]).collect::<Vec<_>>()
        };
        let taken = read.iter().find_map(|other| {
            let theirs = hosts(other);
            let host = hosts(&registry).into_iter().find(|host| theirs.contains(host))?;
            Some(Problem::HostTwice { host, other: other.name.clone() })
        });
        if let Some(problem) = taken {
            report.add(at, problem);
        }
        read.push(registry);
    }
    read.sort_by_key(|registry| registry.name != HOME);
    let home = read.first().filter(|registry| registry.name == HOME)?.host.clone();
    Some(Registries { declared: read, approved: Vec::new(), home })
}

fn one(
    name: String,
    written: Spanned<RegistryKeys>,
    (names, replicas): (&[String], &[String]),
    report: &mut Report<'_>,
) -> Option<DeclaredRegistry> {
    let (at, keys) = (written.referenced, written.value);
    let host = required("host", at, keys.host, report).and_then(|host| host.read(report));
    let role = role(keys.role, keys.external_id, report);
    let aliases = keys.aliases.into_iter().filter_map(|alias| alias.read(report)).collect();
    let caches = keys.caches.into_iter();
    let caches = caches.filter_map(|(prefix, of)| Some((prefix, of.read(report)?.into()))).collect();
    let replica_of = keys.replica_of.and_then(|of| {
        let at = of.at;
        let of = known(of, names, report)?;
        // A replica holds what is pushed to its source, and nothing is pushed to a replica.
        if of == name || replicas.contains(&of) {
            report.add(at, Problem::ReplicaOfReplica(of));
            return None;
        }
        Some(of)
    });
    let copies = keys.copies.into_iter().filter_map(|keys| copies(&name, keys, names, report)).collect();
    let keep_tags = keys.keep_tags.is_some_and(|keep| keep.value);
    Some(DeclaredRegistry { host: host?, name, role, aliases, caches, replica_of, copies, keep_tags })
}

fn copies(name: &str, keys: CopiesKeys, names: &[String], report: &mut Report<'_>) -> Option<Copies> {
    let of = match keys.of {
        Some(of) => known(of, names, report)?,
        None => name.to_owned(),
    };
    let at = keys.to.at;
    let (from, to) = (keys.from.read(report), keys.to.read(report));
    let (from, to) = (String::from(from?), String::from(to?));
    let stars = |pattern: &str| pattern.matches('*').count();
    if stars(&to) > 1 || stars(&from) != stars(&to) || (of == name && from == to) {
        report.add(at, Problem::UnclearCopies);
        return None;
    }
    let environment = keys.environment.and_then(|environment| environment.read(report)).map(String::from);
    let role = role(keys.role, keys.external_id, report);
    Some(Copies { of, from, to, environment, role })
}

/// Reads the name of a registry of the file.
fn known(name: Written<String>, names: &[String], report: &mut Report<'_>) -> Option<String> {
    let at = name.at;
    let name = name.read(report)?;
    if names.contains(&name) {
        return Some(name);
    }
    let near = near(&name, names.iter().map(String::as_str));
    report.add(at, Problem::UnknownRegistry { name, near });
    None
}

fn approved(written: Spanned<ApprovedKeys>, report: &mut Report<'_>) -> Option<Approved> {
    let (at, keys) = (written.referenced, written.value);
    if keys.repositories.value.is_empty() {
        report.add(keys.repositories.referenced, Problem::ApprovesNothing);
    }
    let repositories = keys.repositories.value.into_iter();
    let repositories = repositories.filter_map(|glob| glob.read(report).map(String::from)).collect();
    let by = match (keys.host, keys.account) {
        (Some(host), None) => ApprovedBy::Host(host.read(report)?),
        (None, Some(account)) => ApprovedBy::Account(account.read(report)?.into()),
        _ => {
            report.add(at, Problem::ApprovedByNobody);
            return None;
        }
    };
    Some(Approved { by, repositories })
}

impl Registries {
    /// Returns the registry that an image names; the home if it names none.
    pub(super) fn of_image(
        &self,
        named: Option<Written<String>>,
        report: &mut Report<'_>,
    ) -> Option<&DeclaredRegistry> {
        let Some(named) = named else { return self.declared.first() };
        let at = named.at;
        let name = named.read(report)?;
        let of_host = || name.parse::<EcrRegistry>().ok();
        let found = self.named(&name).or_else(|| {
            let host = of_host()?;
            self.declared.iter().find(|registry| registry.host == host)
        });
        let Some(registry) = found else {
            let near = near(&name, self.declared.iter().map(|registry| registry.name.as_str()));
            report.add(at, Problem::UnknownRegistry { name, near });
            return None;
        };
        if let Some(of) = &registry.replica_of {
            report.add(at, Problem::PushedToReplica { replica: registry.name.clone(), of: of.clone() });
        }
        Some(registry)
    }
}
