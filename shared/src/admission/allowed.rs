//! The repositories that a cluster may run images from.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::hierarchy::{ApprovedBy, Hierarchy};
use crate::image::{Digest, Partition, Tag, glob};

/// Repositories that may run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Allowed {
    /// One repository with its registry's host, exactly.
    Repository(String),
    /// Repositories of one host, with `*` for any characters.
    Host { host: String, repositories: String },
    /// Repositories of an account's ECR in every Region of a partition.
    Account { account: String, domain: String, repositories: String },
}

/// Returns what may run: every repository of the hierarchy at each of its hosts and copies, and
/// what the file approves.
pub fn allowed(hierarchy: &Hierarchy) -> BTreeSet<Allowed> {
    let mut all = BTreeSet::new();
    for image in hierarchy.images() {
        let (host, name) = hierarchy.address(&image.repository);
        for registry in hierarchy.registries().iter() {
            let holds = registry.host == host
                || registry
                    .replica_of
                    .as_deref()
                    .and_then(|of| hierarchy.registries().named(of))
                    .is_some_and(|of| of.host == host);
            if !holds {
                continue;
            }
            let aliases = registry.aliases.iter().map(ToString::to_string);
            let hosts = aliases.chain([registry.host.to_string()]);
            all.extend(hosts.map(|host| Allowed::Repository(format!("{host}/{name}"))));
        }
        all.extend(copies(hierarchy, host.host(), name));
    }
    let domain = Partition::of(hierarchy.registry().region()).domain;
    for approved in hierarchy.registries().approved() {
        all.extend(approved.repositories.iter().map(|repositories| match &approved.by {
            ApprovedBy::Account(account) => Allowed::Account {
                account: account.clone(),
                domain: domain.to_owned(),
                repositories: repositories.clone(),
            },
            ApprovedBy::Host(host) => {
                Allowed::Host { host: host.to_string(), repositories: repositories.clone() }
            }
        }));
    }
    all
}

/// The repositories that hold copies of this one, as `copies` in the file names them.
fn copies(hierarchy: &Hierarchy, host: &str, name: &str) -> Vec<Allowed> {
    let mut all = Vec::new();
    for registry in hierarchy.registries().iter() {
        for copies in &registry.copies {
            let of = hierarchy.registries().named(&copies.of);
            if of.is_none_or(|of| of.host.host() != host) {
                continue;
            }
            let target = copies.target(name);
            all.extend(target.map(|target| Allowed::Repository(format!("{}/{target}", registry.host))));
        }
    }
    all
}

impl Allowed {
    /// Returns whether this names the repository of an image, given with its registry's host.
    pub fn has(&self, name: &str) -> bool {
        let of_host = |host: &str| name.strip_prefix(host).and_then(|rest| rest.strip_prefix('/'));
        match self {
            Self::Repository(repository) => name == repository,
            Self::Host { host, repositories } => of_host(host).is_some_and(|path| glob(repositories, path)),
            Self::Account { account, domain, repositories } => {
                let Some((host, path)) = name.split_once('/') else { return false };
                let region = host
                    .strip_prefix(account.as_str())
                    .and_then(|rest| rest.strip_prefix(".dkr.ecr."))
                    .and_then(|rest| rest.strip_suffix(domain.as_str()))
                    .and_then(|rest| rest.strip_suffix('.'));
                let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
                region.is_some_and(|region| !region.is_empty() && region.bytes().all(legal))
                    && glob(repositories, path)
            }
        }
    }

    /// Returns the exact repository, or the pattern in RE2's syntax of the others. It matches the
    /// repository of a reference, up to the sign before its tag or digest.
    pub(super) fn pattern(&self) -> Result<&str, String> {
        match self {
            Self::Repository(repository) => Ok(repository),
            Self::Host { host, repositories } => Err(format!("^{}/{}[:@]", escaped(host), any(repositories))),
            Self::Account { account, domain, repositories } => Err(format!(
                "^{account}[.]dkr[.]ecr[.][a-z0-9-]+[.]{}/{}[:@]",
                escaped(domain),
                any(repositories)
            )),
        }
    }
}

/// Writes a text as a pattern that only it matches. RE2 takes a class for each other character.
fn escaped(text: &str) -> String {
    let one = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c.to_string() } else { format!("[{c}]") };
    text.chars().map(one).collect()
}

/// Writes a pattern with `*` for what a repository's name may have.
fn any(repositories: &str) -> String {
    let parts: Vec<String> = repositories.split('*').map(escaped).collect();
    parts.join("[a-z0-9._/-]*")
}

/// Takes a reference apart as the policies do: its name with the registry's host, and its digest.
/// Nothing if it has no digest, or is not a reference as runtimes take it.
pub(super) fn name_and_digest(image: &str) -> Option<(&str, Digest)> {
    let (named, digest) = image.split_once('@')?;
    let digest: Digest = digest.parse().ok()?;
    let slash = named.rfind('/')?;
    let name = match named[slash..].split_once(':') {
        Some((last, tag)) => {
            tag.parse::<Tag>().ok()?;
            &named[..slash + last.len()]
        }
        None => named,
    };
    is_name(name).then_some((name, digest))
}

/// Whether a text is a host, perhaps with a port, and a path.
fn is_name(name: &str) -> bool {
    let Some((host, path)) = name.split_once('/') else { return false };
    let (host, port) = host.split_once(':').map_or((host, None), |(host, port)| (host, Some(port)));
    let of = |text: &str, more: &[u8]| {
        !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || more.contains(&b))
    };
    of(host, b".-")
        && port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
        && of(path, b"._/-")
}
