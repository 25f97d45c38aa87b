//! The accounts and Regions that the inventory surveys.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_saphyr::Spanned;

use super::Role;
use super::declared::role;
use super::error::{Problem, Report};
use super::file::{AccountKeys, InventoryKeys, OrganizationKeys, RegionName};
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
}

/// Returns whether this environment is production: `prod` or `production`, in any case.
pub fn is_production(environment: &str) -> bool {
    ["prod", "production"].iter().any(|name| environment.eq_ignore_ascii_case(name))
}

impl Inspected {
    /// Reads the accounts. Those that name no role have the inventory's, but for the account of
    /// `home`, in which Patchwave runs.
    pub(super) fn read(keys: InventoryKeys, home: Option<&EcrRegistry>, report: &mut Report<'_>) -> Self {
        if let Some(organization) = keys.organization {
            let OrganizationKeys { units, environment_tag } = organization.value;
            units.into_iter().chain(environment_tag).for_each(|word| drop(word.read(report)));
            report.warn(organization.referenced, Advice::OrganizationNotRead);
        }
        let role = role(keys.role, keys.external_id, report);
        let mut accounts = accounts(keys.accounts, report);
        for account in &mut accounts {
            if account.role.is_none() && home.is_none_or(|home| home.account() != account.id) {
                account.role.clone_from(&role);
            }
        }
        Self { regions: regions(keys.regions, report), accounts }
    }
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

fn accounts(written: Spanned<Vec<AccountKeys>>, report: &mut Report<'_>) -> Vec<Account> {
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
        accounts.push(Account { id, role, environment });
    }
    let environments: Vec<&String> =
        accounts.iter().filter_map(|account| account.environment.as_ref()).collect();
    if !environments.iter().any(|environment| is_production(environment)) {
        report.warn(written_at, Advice::NoProduction);
    }
    accounts
}
