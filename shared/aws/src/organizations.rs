//! AWS Organizations: the accounts of the organisation, and the environment of each.
//!
//! Only the organisation's management account and its delegated administrators may ask:
//! <https://docs.aws.amazon.com/organizations/latest/userguide/orgs_delegate_policies.html>.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_organizations::Client;
use aws_sdk_organizations::types::{Account, AccountState, AccountStatus, ChildType};
use patchwave::hierarchy::Organization;
use patchwave_converge::Fault;

use crate::pages;

/// Returns the accounts below the units of an organisation, each with its environment. Without
/// units, those of the whole organisation.
pub(crate) async fn accounts(
    client: &Client,
    organization: &Organization,
) -> Result<BTreeMap<String, Option<String>>, Fault> {
    let mut waiting: Vec<String> = organization.units.clone();
    if waiting.is_empty() {
        waiting = roots(client).await?;
    }
    let (mut seen, mut accounts) = (BTreeSet::new(), BTreeMap::new());
    while let Some(unit) = waiting.pop() {
        if !seen.insert(unit.clone()) {
            continue;
        }
        for account in accounts_of(client, &unit).await? {
            let environment = match &organization.environment_tag {
                Some(tag) => tagged(client, &account, tag).await?,
                None => None,
            };
            accounts.insert(account, environment);
        }
        waiting.extend(units_of(client, &unit).await?);
    }
    Ok(accounts)
}

async fn roots(client: &Client) -> Result<Vec<String>, Fault> {
    let roots = client.list_roots().into_paginator().send();
    let roots =
        pages::all("list the roots of the organisation", roots, |page| page.roots.unwrap_or_default());
    Ok(roots.await?.into_iter().filter_map(|root| root.id).collect())
}

/// Lists the accounts of a unit that can run something.
async fn accounts_of(client: &Client, unit: &str) -> Result<Vec<String>, Fault> {
    let accounts = client.list_accounts_for_parent().parent_id(unit).into_paginator().send();
    let operation = format!("list the accounts of {unit}");
    let accounts = pages::all(operation, accounts, |page| page.accounts.unwrap_or_default()).await?;
    Ok(accounts.into_iter().filter(is_open).filter_map(|account| account.id).collect())
}

/// AWS closes everything in an account that is suspended or closed.
fn is_open(account: &Account) -> bool {
    match account.state() {
        Some(state) => !matches!(state, AccountState::Suspended | AccountState::Closed),
        None => account.status() != Some(&AccountStatus::Suspended),
    }
}

/// Lists the units directly below a unit.
async fn units_of(client: &Client, unit: &str) -> Result<Vec<String>, Fault> {
    let children = client.list_children().parent_id(unit).child_type(ChildType::OrganizationalUnit);
    let operation = format!("list the units of {unit}");
    let children = children.into_paginator().send();
    let units = pages::all(operation, children, |page| page.children.unwrap_or_default()).await?;
    Ok(units.into_iter().filter_map(|child| child.id).collect())
}

/// Reads a tag of an account.
async fn tagged(client: &Client, account: &str, tag: &str) -> Result<Option<String>, Fault> {
    let tags = client.list_tags_for_resource().resource_id(account).into_paginator().send();
    let operation = format!("list the tags of the account {account}");
    let tags = pages::all(operation, tags, |page| page.tags.unwrap_or_default()).await?;
    let found = tags.into_iter().find(|found| found.key == tag).map(|found| found.value);
    Ok(found.filter(|value| !value.is_empty()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fake;

    /// A unit with one account, and a unit below it with two pages of accounts.
    fn answer(operation: &str, input: &Value) -> (u16, Value) {
        let next = input["NextToken"].as_str();
        let account = |id: &str, state: &str| json!({ "Id": id, "State": state });
        let output = match (operation, input["ParentId"].as_str(), next) {
            ("ListRoots", ..) => json!({ "Roots": [{ "Id": "r-ab12" }] }),
            ("ListAccountsForParent", Some("ou-top"), None) => {
                json!({ "Accounts": [account("111111111111", "ACTIVE"), account("999999999999", "SUSPENDED")] })
            }
            // A page may be empty and not the last.
            ("ListAccountsForParent", Some("ou-below"), None) => json!({ "Accounts": [], "NextToken": "2" }),
            ("ListAccountsForParent", Some("ou-below"), Some("2")) => {
                json!({ "Accounts": [account("222222222222", "ACTIVE")] })
            }
            ("ListChildren", Some("ou-top"), None) => json!({ "Children": [], "NextToken": "2" }),
            ("ListChildren", Some("ou-top"), Some("2")) => json!({ "Children": [{ "Id": "ou-below" }] }),
            ("ListChildren", Some("r-ab12"), _) => json!({ "Children": [{ "Id": "ou-top" }] }),
            ("ListTagsForResource", ..) if input["ResourceId"] == "222222222222" => {
                json!({ "Tags": [{ "Key": "team", "Value": "x" }, { "Key": "environment", "Value": "prod" }] })
            }
            _ => json!({ "Accounts": [], "Children": [], "Tags": [] }),
        };
        (200, output)
    }

    fn organization(units: &[&str]) -> Organization {
        let units = units.iter().map(|unit| (*unit).to_owned()).collect();
        Organization { units, environment_tag: Some("environment".to_owned()), role: None }
    }

    #[tokio::test]
    async fn all_open_accounts_of_the_units_below_are_found_with_their_environment() {
        let (config, asked) = fake::config(1, answer);
        let client = Client::new(&config);
        let found = accounts(&client, &organization(&["ou-top", "ou-below"])).await.unwrap();
        let expected =
            [("111111111111".to_owned(), None), ("222222222222".to_owned(), Some("prod".to_owned()))];
        assert_eq!(found, expected.clone().into());
        let twice = asked.lock().unwrap().iter().filter(|(_, input)| input["ParentId"] == "ou-below").count();
        assert_eq!(twice, 3, "a unit that is named and is below another is listed once");
        let whole = accounts(&client, &organization(&[])).await.unwrap();
        assert_eq!(whole, expected.into(), "without units, the whole organisation");
    }

    #[tokio::test]
    async fn an_organisation_that_may_not_be_read_is_a_fault_and_no_empty_list() {
        let denied =
            (400, json!({ "__type": "AccessDeniedException", "Message": "not a delegated administrator" }));
        let (config, _) = fake::config(1, move |operation, input| {
            if operation == "ListChildren" { denied.clone() } else { answer(operation, input) }
        });
        let fault = accounts(&Client::new(&config), &organization(&["ou-top"])).await.unwrap_err();
        assert!(fault.to_string().contains("list the units of ou-top"), "{fault}");
    }
}
