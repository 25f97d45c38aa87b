//! Reads who pushed in the last ninety days, from the history of events that `CloudTrail` keeps in
//! every account and Region.
//! <https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html>

use std::collections::BTreeSet;

use aws_sdk_cloudtrail::types::{LookupAttribute, LookupAttributeKey};
use patchwave::discover::{Estate, Push};
use patchwave_converge::Fault;
use serde::Deserialize;

use super::Watch;
use crate::clients::Clients;
use crate::fault::{fault, invalid};

/// Most events that a page holds.
const PAGE: i32 = 50;
/// A hundred thousand pushes, or seventeen minutes.
const MOST_PAGES: usize = 2_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    aws_region: String,
    #[serde(default)]
    recipient_account_id: String,
    user_identity: Identity,
    #[serde(default)]
    request_parameters: Option<Parameters>,
    #[serde(default)]
    error_code: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identity {
    #[serde(default)]
    arn: Option<String>,
    #[serde(default)]
    session_context: Option<Session>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Session {
    #[serde(default)]
    session_issuer: Option<Issuer>,
}

#[derive(Deserialize)]
struct Issuer {
    arn: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parameters {
    repository_name: String,
    #[serde(default)]
    registry_id: Option<String>,
}

/// Reads who pushed in an account and Region. What was read before a page that fails counts.
pub(super) async fn read(
    clients: &Clients,
    account: &str,
    region: &str,
    watch: &Watch<'_>,
    estate: &mut Estate,
) {
    let mut pushes = BTreeSet::new();
    if let Err(fault) = pages(clients, account, region, watch, &mut pushes).await {
        estate.unread.push(fault.into());
    }
    estate.pushes.extend(pushes);
}

async fn pages(
    clients: &Clients,
    account: &str,
    region: &str,
    watch: &Watch<'_>,
    pushes: &mut BTreeSet<Push>,
) -> Result<(), Fault> {
    let operation = || format!("look up who pushed in {account} in {region}");
    let attribute = LookupAttribute::builder().attribute_key(LookupAttributeKey::EventName);
    let attribute = attribute.attribute_value("PutImage").build();
    let attribute = attribute.map_err(|error| invalid(operation(), error.to_string()))?;
    let call = clients.cloudtrail().lookup_events().lookup_attributes(attribute);
    let mut pages = call.into_paginator().page_size(PAGE).send();
    for done in 0..MOST_PAGES {
        if done > 0 {
            tokio::time::sleep(watch.pause).await;
        }
        watch.call();
        let Some(page) = pages.next().await else { return Ok(()) };
        let page = page.map_err(|error| fault(operation(), &error))?;
        let events = page.events().iter().filter_map(|event| event.cloud_trail_event());
        pushes.extend(events.filter_map(push));
        watch.show("pages of CloudTrail", done + 1, done + 1);
    }
    Err(invalid(operation(), "only the latest pushes were read"))
}

/// Reads an event. A push that was refused is none.
fn push(text: &str) -> Option<Push> {
    let event: Event = serde_json::from_str(text).ok()?;
    let parameters = event.request_parameters.filter(|_| event.error_code.is_none())?;
    let issuer = event.user_identity.session_context.and_then(|session| session.session_issuer);
    Some(Push {
        account: parameters.registry_id.unwrap_or(event.recipient_account_id),
        region: event.aws_region,
        repository: parameters.repository_name,
        role: issuer.map(|issuer| issuer.arn).or(event.user_identity.arn)?,
    })
}
