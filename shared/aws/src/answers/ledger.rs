//! `DynamoDB`.

use std::collections::BTreeSet;

use patchwave::policy::Limits;
use patchwave::table::{Item, Key};
use patchwave_converge::{NotClaimed, NotSaved};
use serde_json::json;

use super::{check, failing, kind, of_call};
use crate::dynamodb::Ledger;
use crate::dynamodb::tests::{claimed, now};

#[tokio::test]
async fn answers_of_the_ledger() {
    check("answers_of_the_ledger", async |row| {
        let config = failing(row, |_| json!({}));
        let ledger = Ledger::new(aws_sdk_dynamodb::Client::new(&config), "patchwave".into());
        let image = "base/os:1".parse().unwrap();
        match row.operation {
            "BatchGetItem" => of_call(ledger.records(&BTreeSet::from([image])).await, "read"),
            "BatchWriteItem" => {
                let item = Item { key: Key::record(&image), state: String::new(), expires_at: None };
                of_call(ledger.write(&[item]).await, "written")
            }
            "Query" => of_call(ledger.due(now(), 10).await, "read"),
            "PutItem" => match ledger.save(&image, &claimed()).await {
                Ok(()) => "written".to_owned(),
                Err(NotSaved::Conflict) => "conflict".to_owned(),
                Err(NotSaved::Fault(fault)) => kind(fault.kind).to_owned(),
            },
            "TransactWriteItems" => {
                let limits = Limits { max_concurrent_builds: 1, max_starts_per_day: 1 };
                match ledger.claim(&image, &claimed(), limits, now()).await {
                    Ok(()) => "written".to_owned(),
                    Err(NotClaimed::Conflict) => "conflict".to_owned(),
                    Err(NotClaimed::AtLimit(_)) => "atLimit".to_owned(),
                    Err(NotClaimed::Fault(fault)) => kind(fault.kind).to_owned(),
                }
            }
            other => panic!("no call of {other}"),
        }
    })
    .await;
}
