use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use patchwave::image::ImageId;
use patchwave::plan::Limit;
use patchwave::policy::Limits;
use patchwave::record::Record;
use patchwave::table::{self, Key};
use patchwave::time::Timestamp;
use patchwave_converge::{Due, FaultKind, NotClaimed, NotSaved};
use serde_json::{Value, json};

use super::Ledger;
use crate::fake::{self, Answer, Asked, count, error};

fn ledger(answer: impl Fn(&str, &Value) -> Answer + Send + Sync + 'static) -> (Ledger, Asked) {
    let (config, asked) = fake::config(1, answer);
    (Ledger::new(aws_sdk_dynamodb::Client::new(&config), "patchwave".into()), asked)
}

fn id(n: usize) -> ImageId {
    format!("base/os:{n}").parse().unwrap()
}

pub(crate) fn now() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

fn item(key: &Value) -> Value {
    let mut item = key.clone();
    item["fence"] = json!({"N": "7"});
    item["record"] = json!({"S": "{\"fence\":3}"});
    item["format"] = json!({"N": table::CURRENT_FORMAT.to_string()});
    item
}

pub(crate) fn claimed() -> Record {
    let start = json!({
        "image": "base/os:1", "pipeline": "os", "key": "0011", "attempt": 1, "variables": {}, "reasons": [],
        "since": now(), "parents": {}, "toProve": [], "inputs": "", "noCache": true, "due": now(),
    });
    let claim = json!({"owner": "o", "claimedAt": now(), "leaseUntil": now(), "start": start});
    serde_json::from_value(json!({"fence": 4, "recheckAt": now(), "claim": claim})).unwrap()
}

#[tokio::test]
async fn unread_keys_are_asked_for_again_and_hundreds_are_split() {
    let (ledger, asked) = ledger(|_, input| {
        let keys = input["RequestItems"]["patchwave"]["Keys"].as_array().unwrap();
        assert!(keys.len() <= 100 && input["RequestItems"]["patchwave"]["ConsistentRead"] == true);
        let (read, left) = keys.split_at(keys.len().min(60));
        let mut body = json!({"Responses": {"patchwave": read.iter().map(item).collect::<Vec<_>>()}});
        if !left.is_empty() {
            body["UnprocessedKeys"] = json!({"patchwave": {"Keys": left, "ConsistentRead": true}});
        }
        (200, body)
    });
    let records = ledger.records(&(0..150).map(id).collect()).await.unwrap().read;
    assert_eq!(records.len(), 150);
    assert!(records.values().all(|record| record.fence == 7), "the attribute counts, not the text");
    assert_eq!(count(&asked, "BatchGetItem"), 3);
}

#[tokio::test]
async fn a_malformed_item_is_named_and_affects_no_other() {
    for (field, value, named) in [
        ("record", json!({"S": "{\"fence\":\"x\"}"}), "fence"),
        ("record", json!({"S": "{\"claim\":{\"owner\":\"o\"}}"}), "claim"),
        ("record", json!({"S": "{\"seen\":{\"no finding\":\"2026-01-01T00:00:00Z\"}}"}), "seen"),
        ("record", json!({"S": "not JSON"}), "record"),
        ("record", json!({"N": "7"}), "record"),
        ("record", Value::Null, "record"),
        ("fence", Value::Null, "fence"),
        ("fence", json!({"N": "-1"}), "fence"),
        ("format", json!({"N": "4"}), "newer"),
        ("format", Value::Null, "format 1"),
        ("format", json!({"S": "one"}), "format"),
    ] {
        let (ledger, _) = ledger(move |_, input| {
            let keys = input["RequestItems"]["patchwave"]["Keys"].as_array().unwrap();
            let mut items: Vec<Value> = keys.iter().map(item).collect();
            match value.clone() {
                Value::Null => drop(items[0].as_object_mut().unwrap().remove(field)),
                value => items[0][field] = value,
            }
            (200, json!({"Responses": {"patchwave": items}}))
        });
        let records = ledger.records(&BTreeSet::from([id(1), id(2)])).await.unwrap();
        assert_eq!(records.read.into_keys().collect::<Vec<_>>(), [id(2)]);
        let fault = &records.unreadable[&id(1)];
        assert_eq!(fault.kind, FaultKind::Invalid);
        assert!(fault.message.contains("image#base/os:1 / record"), "{fault}");
        assert!(fault.message.contains(named), "{fault}");
    }
}

#[tokio::test]
async fn a_record_is_read_although_it_lacks_a_field_or_has_one_of_a_later_version() {
    let (ledger, _) = ledger(|_, input| {
        let mut old = item(&input["RequestItems"]["patchwave"]["Keys"][0]);
        old["record"] = json!({"S": json!({
            "success": {
                "key": "0011", "at": now(), "version": fake::digest(1), "pushedAt": now(), "parents": {},
                "since": now(), "forAge": false,
            },
            "aFieldOfLater": 7,
        }).to_string()});
        (200, json!({"Responses": {"patchwave": [old]}}))
    });
    let record = ledger.records(&BTreeSet::from([id(1)])).await.unwrap().read.remove(&id(1)).unwrap();
    let success = record.success.unwrap();
    assert!(!success.fixed_nothing && success.no_better_than.is_empty() && record.fence == 7);
}

#[tokio::test]
async fn an_unknown_item_in_the_index_is_skipped() {
    let (ledger, _) = ledger(|_, _| {
        let key = |pk: &str| json!({"pk": {"S": pk}, "sk": {"S": "record"}});
        (200, json!({"Items": [key("image#"), key("foreign"), key("image#base/os:1")]}))
    });
    assert_eq!(ledger.ready(None, 9).await.unwrap(), [id(1)]);
}

#[tokio::test]
async fn a_missing_table_says_what_to_set() {
    let (ledger, _) = ledger(|_, _| error("ResourceNotFoundException"));
    let fault = ledger.due(now(), 9).await.unwrap_err();
    assert!(fault.message.contains("PATCHWAVE_TABLE") && fault.message.contains("\"patchwave\""), "{fault}");
}

#[tokio::test]
async fn pages_of_the_schedule_are_read_until_there_are_enough() {
    let (ledger, asked) = ledger(|_, input| {
        let first = input["ExclusiveStartKey"].is_null();
        let key = |n: u32| {
            let rank = format!("2025-01-0{n}T00:00:00.000Z");
            json!({"pk": {"S": format!("image#base/os:{n}")}, "sk": {"S": "record"}, "rank": {"S": rank}})
        };
        let mut page = json!({"Items": [key(if first { 1 } else { 2 })]});
        if first {
            page["LastEvaluatedKey"] = key(1);
        }
        (200, page)
    });
    assert_eq!(ledger.due(now(), 9).await.unwrap(), Due { images: vec![id(1), id(2)], next: None });
    assert_eq!(count(&asked, "Query"), 2);
    assert_eq!(ledger.ready(None, 1).await.unwrap(), [id(1)]);
    assert_eq!(count(&asked, "Query"), 3);
    assert_eq!(asked.lock().unwrap()[2].1["Limit"], 1);
    let first = "2025-01-01T12:00:00Z".parse().unwrap();
    let next = "2025-01-02T00:00:00Z".parse().ok();
    assert_eq!(ledger.due(first, 9).await.unwrap(), Due { images: vec![id(1)], next });
}

#[tokio::test]
async fn a_record_of_the_format_before_is_due_at_once_if_it_was_unsettled() {
    for (was_unsettled, recheck_at) in [(true, Some(Timestamp::UNIX_EPOCH)), (false, None)] {
        let (ledger, _) = ledger(move |_, input| {
            let mut old = item(&input["RequestItems"]["patchwave"]["Keys"][0]);
            old["format"] = json!({"N": "2"});
            old["record"] = json!({"S": "{\"unsettled\":true,\"unread\":{\"since\":1,\"next\":2}}"});
            if was_unsettled {
                old["unsettled"] = json!({"S": "yes"});
            }
            (200, json!({"Responses": {"patchwave": [old]}}))
        });
        let record = ledger.records(&BTreeSet::from([id(1)])).await.unwrap().read.remove(&id(1)).unwrap();
        assert_eq!(record.recheck_at, recheck_at);
    }
}

#[tokio::test]
async fn a_write_names_the_fence_it_read_and_raises_it() {
    let (ledger, asked) = ledger(|_, _| (200, json!({})));
    ledger.save(&id(1), &claimed()).await.unwrap();
    let input = asked.lock().unwrap()[0].1.clone();
    assert_eq!(input["ConditionExpression"], "#fence = :read");
    assert_eq!(input["ExpressionAttributeValues"][":read"], json!({"N": "4"}));
    assert_eq!(input["Item"]["fence"], json!({"N": "5"}));
    assert_eq!(input["Item"]["queue"], json!({"S": "recheck"}));
    ledger.save(&id(1), &Record::default()).await.unwrap();
    let input = asked.lock().unwrap()[1].1.clone();
    assert!(input["ConditionExpression"].as_str().unwrap().starts_with("attribute_not_exists(#fence)"));
    assert!(input["Item"]["queue"].is_null(), "a settled record is not in the index");
}

#[tokio::test]
async fn a_write_since_the_read_is_a_conflict() {
    let (ledger, _) = ledger(|_, _| error("ConditionalCheckFailedException"));
    assert_eq!(ledger.save(&id(1), &Record::default()).await, Err(NotSaved::Conflict));
}

#[tokio::test]
async fn a_cancelled_claim_says_which_write_failed() {
    let cancelled = |codes: [&'static str; 4]| {
        ledger(move |_, _| {
            let reasons: Vec<Value> = codes.iter().map(|code| json!({"Code": code})).collect();
            (400, json!({"__type": "TransactionCanceledException", "CancellationReasons": reasons}))
        })
        .0
    };
    let (none, failed) = ("None", "ConditionalCheckFailed");
    let (record, limits) = (claimed(), Limits::default());
    for (codes, expected) in [
        ([failed, failed, none, none], NotClaimed::Conflict),
        ([none, failed, failed, none], NotClaimed::AtLimit(Limit::ConcurrentBuilds)),
        ([none, none, failed, none], NotClaimed::AtLimit(Limit::StartsPerDay)),
    ] {
        assert_eq!(cancelled(codes).claim(&id(1), &record, limits, now()).await, Err(expected));
    }
}

/// All claims write the item of the slots, so they meet there.
#[tokio::test]
async fn a_write_that_met_another_one_is_repeated_and_is_no_conflict() {
    let contended = |times: usize| {
        let calls = AtomicUsize::new(0);
        ledger(move |operation, _| {
            if calls.fetch_add(1, Ordering::Relaxed) >= times {
                return (200, json!({}));
            }
            if operation == "PutItem" {
                return error("TransactionConflictException");
            }
            let reasons = ["None", "TransactionConflict", "None", "None"].map(|code| json!({"Code": code}));
            (400, json!({"__type": "TransactionCanceledException", "CancellationReasons": reasons}))
        })
    };
    let (record, limits) = (claimed(), Limits::default());
    let refused = record.claim.clone().unwrap();
    for times in [1, 5] {
        let claimed = contended(times).0.claim(&id(1), &record, limits, now()).await;
        assert_eq!(claimed, Ok(()));
        assert_eq!(contended(times).0.free(&id(1), 1).await, Ok(()));
        assert_eq!(contended(times).0.save(&id(1), &record).await, Ok(()));
        assert_eq!(contended(times).0.withdraw(&id(1), &record, &refused, "busy").await, Ok(()));
    }
    let (ledger, asked) = contended(9);
    match ledger.claim(&id(1), &record, limits, now()).await {
        Err(NotClaimed::Fault(fault)) => assert_eq!(fault.kind, FaultKind::Throttled),
        other => panic!("{other:?}"),
    }
    match contended(9).0.free(&id(1), 1).await {
        Err(NotSaved::Fault(fault)) => assert_eq!(fault.kind, FaultKind::Throttled),
        other => panic!("{other:?}"),
    }
    assert_eq!(count(&asked, "TransactWriteItems"), 6);
}

#[tokio::test]
async fn a_refused_start_is_named_in_the_audit_trail_and_its_share_of_the_day_comes_back() {
    let (ledger, asked) = ledger(|_, _| (200, json!({})));
    let refused = claimed().claim.unwrap();
    ledger
        .withdraw(&id(1), &Record { fence: 5, ..Record::default() }, &refused, "no such pipeline")
        .await
        .unwrap();
    let writes = asked.lock().unwrap()[0].1["TransactItems"].clone();
    assert_eq!(writes[0]["Put"]["ConditionExpression"], "#fence = :read");
    assert_eq!(writes[1]["Update"]["UpdateExpression"], "DELETE #images :image");
    assert_eq!(writes[2]["Update"]["Key"]["sk"], json!({"S": "day#2026-01-01"}));
    assert_eq!(writes[2]["Update"]["ExpressionAttributeValues"], json!({":back": {"N": "-1"}}));
    assert_eq!(writes[3]["Update"]["Key"]["sk"], json!({"S": "2026-01-01T12:00:00.000Z#0011-1"}));
    assert_eq!(
        writes[3]["Update"]["ExpressionAttributeValues"],
        json!({":because": {"S": "no such pipeline"}})
    );
}

#[tokio::test]
async fn a_claim_is_one_transaction_with_a_token_and_none_is_sent_where_nothing_may_run() {
    let calls = AtomicUsize::new(0);
    let (ledger, asked) = ledger(move |_, _| {
        calls.fetch_add(1, Ordering::Relaxed);
        (200, json!({}))
    });
    ledger.claim(&id(1), &claimed(), Limits::default(), now()).await.unwrap();
    let input = asked.lock().unwrap()[0].1.clone();
    assert!(input["ClientRequestToken"].is_string());
    let audit = &input["TransactItems"][3]["Put"]["Item"];
    assert_eq!(audit["sk"], json!({"S": "2026-01-01T12:00:00.000Z#0011-1"}));
    assert_eq!(audit["expiresAt"], json!({"N": "1801828800"}));
    let closed = Limits { max_concurrent_builds: 0, ..Limits::default() };
    assert_eq!(
        ledger.claim(&id(1), &claimed(), closed, now()).await,
        Err(NotClaimed::AtLimit(Limit::ConcurrentBuilds))
    );
    assert_eq!(count(&asked, "TransactWriteItems"), 1);
}

#[tokio::test]
async fn slots_are_read_together() {
    let (ledger, _) = ledger(|_, _| {
        let running = json!({"pk": {"S": "slots"}, "sk": {"S": "held-by"}, "images": {"SS": ["base/os:1"]}});
        let day = json!({"pk": {"S": "slots"}, "sk": {"S": "day#2026-01-01"}, "starts": {"N": "12"}});
        (200, json!({"Responses": {"patchwave": [running, day]}}))
    });
    let slots = ledger.slots(now()).await.unwrap();
    assert_eq!((slots.held_by, slots.started_today), (BTreeSet::from([id(1)]), 12));
}

#[tokio::test]
async fn unwritten_items_are_sent_again_and_hundreds_are_split() {
    let (ledger, asked) = ledger(|operation, input| {
        assert_eq!(operation, "BatchWriteItem");
        let writes = input["RequestItems"]["patchwave"].as_array().unwrap();
        assert!(writes.len() <= 25, "{}", writes.len());
        let left = &writes[writes.len().min(20)..];
        (200, json!({"UnprocessedItems": {"patchwave": left}}))
    });
    let item = |n| table::Item { key: Key::exposures(&id(n)), state: "{}".into(), expires_at: None };
    ledger.write(&(0..60).map(item).collect::<Vec<_>>()).await.unwrap();
    assert_eq!(count(&asked, "BatchWriteItem"), 5, "25, 25 and 10, and the rests of the first two");
}
