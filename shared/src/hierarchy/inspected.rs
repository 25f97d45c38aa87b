//! The accounts and Regions that the inventory surveys.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_saphyr::Spanned;

use super::Role;
use super::declared::role;
use super::error::{Problem, Report};
use super::file::{AccountKeys, InventoryKeys, OrganizationKeys, RegionName, Unreadable};
use super::warning::Advice;
use super::written::Written;
use crate::image::EcrRegistry;

/// The accounts and Regions whose containers the inventory surveys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inspected {
    /// The Regions. Each account is surveyed in each of them.
    pub regions: Vec<String>,
    /// The accounts, each with its role.
    pub accounts: Vec<Account>,
    /// The organisation whose other accounts are surveyed too.
    pub organization: Option<Organization>,
    /// The services, and the kinds of objects in clusters, that may stay uninspected.
    pub accept: BTreeSet<String>,
}

/// The accounts of AWS Organizations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Organization {
    /// The ids of its units; none for the whole organisation.
    pub units: Vec<String>,
    /// The tag of accounts that names their environment.
    pub environment_tag: Option<String>,
    /// The role to read these accounts with.
    pub role: Option<Role>,
}

/// An account that the inventory surveys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// Its twelve digits.
    pub id: String,
    /// The role to read with; none in the account where Patchwave runs.
    pub role: Option<Role>,
    /// Its environment, such as `prod`.
    pub environment: Option<String>,
    /// The names of its clusters that by design cannot be read. They stay unknown; only the metric
    /// of the alarm does not count them.
    pub unreadable: BTreeSet<String>,
}

/// Returns whether this environment is production: `prod` or `production`, in any case.
pub fn is_production(environment: &str) -> bool {
    ["prod", "production"].iter().any(|name| environment.eq_ignore_ascii_case(name))
}

impl Inspected {
    /// Returns whether it is by design that a cluster of an account cannot be read.
    pub fn accepts_unread(&self, account: &str, cluster: &str) -> bool {
        let declared = self.accounts.iter().find(|declared| declared.id == account);
        declared.is_some_and(|declared| declared.unreadable.contains(cluster))
    }

    /// Reads the accounts. Those that name no role have the inventory's, but for the account of
    /// `home`, in which Patchwave runs.
    pub(super) fn read(keys: InventoryKeys, home: Option<&EcrRegistry>, report: &mut Report<'_>) -> Self {
        let role = role(keys.role, keys.external_id, report);
        let organization = keys.organization.map(|keys| organization(keys, role.clone(), report));
        let is_tagged = organization.as_ref().is_some_and(|all| all.environment_tag.is_some());
        let mut accounts = accounts(keys.accounts, is_tagged, report);
        for account in &mut accounts {
            if account.role.is_none() && home.is_none_or(|home| home.account() != account.id) {
                account.role.clone_from(&role);
            }
        }
        let accept = keys.accept.into_iter().filter_map(|kind| kind.read(report).map(String::from));
        let accept = accept.collect();
        Self { organization, accept, regions: regions(keys.regions, report), accounts }
    }
}

fn organization(
    keys: Spanned<OrganizationKeys>,
    role: Option<Role>,
    report: &mut Report<'_>,
) -> Organization {
    if role.is_none() {
        report.add(keys.referenced, Problem::MissingKey { key: "role".to_owned() });
    }
    let OrganizationKeys { units, environment_tag } = keys.value;
    let units = units.into_iter().filter_map(|unit| unit.read(report).map(String::from)).collect();
    let environment_tag = environment_tag.and_then(|tag| tag.read(report));
    Organization { units, environment_tag, role }
}

fn regions(written: Spanned<Vec<Written<RegionName>>>, report: &mut Report<'_>) -> Vec<String> {
    if written.value.is_empty() {
        report.add(written.referenced, Problem::NobodyInspected("region"));
    }
    let mut seen = BTreeSet::new();
    let mut regions = Vec::new();
    for region in written.value {
        let at = region.at;
        let Some(region) = region.read(report).map(String::from) else { continue };
        if seen.insert(region.clone()) {
            regions.push(region);
        } else {
            report.add(at, Problem::Twice { what: "region", name: region });
        }
    }
    regions
}

fn accounts(
    written: Spanned<Vec<AccountKeys>>,
    others_are_tagged: bool,
    report: &mut Report<'_>,
) -> Vec<Account> {
    let written_at = written.referenced;
    if written.value.is_empty() {
        report.add(written.referenced, Problem::NobodyInspected("account"));
    }
    let mut seen = BTreeSet::new();
    let mut accounts = Vec::new();
    for keys in written.value {
        let at = keys.id.at;
        let id = keys.id.read(report).map(String::from);
        let role = role(keys.role, keys.external_id, report);
        let environment = keys.environment.and_then(|environment| environment.read(report)).map(String::from);
        let Some(id) = id else { continue };
        if !seen.insert(id.clone()) {
            report.add(at, Problem::Twice { what: "account", name: id });
            continue;
        }
        let unreadable = keys
            .clusters
            .into_iter()
            .filter_map(|(name, cluster)| cluster.unreadable.read(report).map(|Unreadable::Accepted| name));
        let unreadable = unreadable.collect();
        accounts.push(Account { id, role, environment, unreadable });
    }
    let environments: Vec<&String> =
        accounts.iter().filter_map(|account| account.environment.as_ref()).collect();
    if !others_are_tagged && !environments.iter().any(|environment| is_production(environment)) {
        report.warn(written_at, Advice::NoProduction);
    }
    accounts
}
