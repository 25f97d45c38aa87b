//! What the file declares once and many images use by name: builders and owners.

use std::collections::BTreeMap;

use serde_saphyr::{Location, Spanned};

use super::error::{Problem, Report};
use super::file::{BuilderKeys, ExternalId, OwnerKeys, RoleName};
use super::names::near;
use super::warning::Advice;
use super::written::{Written, at_least_one, required};
use super::{Builder, Owner, Role};

/// The declarations of one kind. A declaration with an error keeps its name, so that its users are
/// not errors too.
pub(super) struct Declared<T> {
    /// The kind. Its plural is the key in the file.
    kind: &'static str,
    by_name: BTreeMap<String, Option<T>>,
}

impl<T: Clone> Declared<T> {
    /// Returns the declaration that an image names; nothing if it names none or has an error.
    pub(super) fn named(&self, name: Option<Written<String>>, report: &mut Report<'_>) -> Option<T> {
        let name = name?;
        let at = name.at;
        let name = name.read(report)?;
        self.find(at, &name, report)
    }

    /// Returns the declaration of that name; nothing if it has an error or is missing, which is
    /// one.
    pub(super) fn find(&self, at: Location, name: &str, report: &mut Report<'_>) -> Option<T> {
        if let Some(declared) = self.by_name.get(name) {
            return declared.clone();
        }
        let near = near(name, self.by_name.keys().map(String::as_str));
        report.add(at, Problem::Unnamed { kind: self.kind, name: name.to_owned(), near });
        None
    }
}

/// Reads the builders.
pub(super) fn builders(
    written: BTreeMap<String, Spanned<BuilderKeys>>,
    report: &mut Report<'_>,
) -> Declared<Builder> {
    let by_name = written.into_iter().map(|(name, keys)| (name, builder(keys, report))).collect();
    Declared { kind: "builder", by_name }
}

/// Reads the owners.
pub(super) fn owners(
    written: BTreeMap<String, Spanned<OwnerKeys>>,
    report: &mut Report<'_>,
) -> Declared<Owner> {
    let owner = |(name, written): (String, Spanned<OwnerKeys>)| {
        let (at, keys) = (written.referenced, written.value);
        if keys.notify.is_none() {
            report.warn(at, Advice::OwnerWithoutTopic(name.clone()));
        }
        let most = keys.max_concurrent_builds;
        let owner = Owner {
            name: name.clone(),
            notify: keys.notify.and_then(|topic| topic.read(report)).map(String::from),
            max_concurrent_builds: most.map(|limit| at_least_one("maxConcurrentBuilds", &limit, report)),
        };
        (name, Some(owner))
    };
    Declared { kind: "owner", by_name: written.into_iter().map(owner).collect() }
}

fn builder(written: Spanned<BuilderKeys>, report: &mut Report<'_>) -> Option<Builder> {
    let (at, keys) = (written.referenced, written.value);
    let account = required("account", at, keys.account, report).and_then(|account| account.read(report));
    let region = required("region", at, keys.region, report).and_then(|region| region.read(report));
    let role = role(keys.role, keys.external_id, report);
    Some(Builder { account: account?.into(), region: region?.into(), role })
}

/// Reads a role and its external id, which nothing else can have.
pub(super) fn role(
    name: Option<Written<RoleName>>,
    external_id: Option<Written<ExternalId>>,
    report: &mut Report<'_>,
) -> Option<Role> {
    if let (None, Some(external_id)) = (&name, &external_id) {
        report.add(external_id.at, Problem::ExternalIdOfNobody);
    }
    let name = name.and_then(|name| name.read(report)).map(String::from);
    let external_id = external_id.and_then(|id| id.read(report)).map(String::from);
    name.map(|name| Role { name, external_id })
}
