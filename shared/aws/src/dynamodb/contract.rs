//! The ledger's promises, on a table: what a condition means is the table's business, and no fake of the wire can tell.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use patchwave::image::ImageId;
use patchwave::plan::Limit;
use patchwave::policy::Limits;
use patchwave::record::Record;
use patchwave::table;
use patchwave::time::Timestamp;
use patchwave_converge::{NotClaimed, NotSaved};
use patchwave_tests::moto::Moto;
use serde_json::json;

use super::Ledger;

const TABLE: &str = "patchwave";

async fn on_a_table<R: Future<Output = ()>>(check: impl FnOnce(Ledger) -> R) {
    let moto = Moto::start().await;
    moto.call("dynamodb", "DynamoDB_20120810.CreateTable", &table::create_table(TABLE)).await.unwrap();
    let credentials = Credentials::new("key", "secret", None, None, "test");
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .timeout_config(TimeoutConfig::builder().operation_timeout(Duration::from_secs(60)).build())
        .endpoint_url(moto.url())
        .build();
    check(Ledger::new(aws_sdk_dynamodb::Client::new(&config), TABLE.to_owned())).await;
}

fn id(n: usize) -> ImageId {
    format!("base/os:{n}").parse().unwrap()
}

fn now() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

fn tomorrow() -> Timestamp {
    "2026-01-02T12:00:00Z".parse().unwrap()
}

/// A record of `image` as it was read at `fence`, with a new claim.
fn claimed(image: &ImageId, fence: u64) -> Record {
    let start = json!({
        "image": image, "pipeline": "os", "key": "0011", "attempt": 1, "variables": {}, "reasons": [],
        "since": now(), "parents": {}, "toProve": [], "inputs": "", "noCache": true, "due": now(),
    });
    let claim = json!({ "owner": "o", "claimedAt": now(), "leaseUntil": now(), "start": start });
    serde_json::from_value(json!({ "fence": fence, "unsettled": true, "claim": claim })).unwrap()
}

fn limits(concurrent: u32, a_day: u32) -> Limits {
    Limits { max_concurrent_builds: concurrent, max_starts_per_day: a_day }
}

async fn fence(ledger: &Ledger, image: &ImageId) -> u64 {
    ledger.records(&BTreeSet::from([image.clone()])).await.unwrap()[image].fence
}

#[tokio::test]
async fn a_write_is_fenced() {
    on_a_table(|ledger| async move {
        let image = id(1);
        ledger.save(&image, &Record::default()).await.unwrap();
        assert_eq!(fence(&ledger, &image).await, 1);
        assert_eq!(
            ledger.save(&image, &Record::default()).await,
            Err(NotSaved::Conflict),
            "it was written since"
        );
        ledger.save(&image, &Record { fence: 1, ..Record::default() }).await.unwrap();
        assert_eq!(fence(&ledger, &image).await, 2);
    })
    .await;
}

#[tokio::test]
async fn of_many_claimers_one_wins() {
    on_a_table(|ledger| async move {
        let image = id(1);
        let record = claimed(&image, 0);
        let claims = (0..8).map(|_| ledger.claim(&image, &record, limits(20, 200), now()));
        let outcomes = futures::future::join_all(claims).await;
        let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        let lost = outcomes.iter().filter(|outcome| **outcome == Err(NotClaimed::Conflict)).count();
        assert_eq!((won, lost), (1, 7), "{outcomes:?}");
        let slots = ledger.slots(now()).await.unwrap();
        assert_eq!((slots.running, slots.started_today), (BTreeSet::from([image]), 1), "losers take no slot");
    })
    .await;
}

#[tokio::test]
async fn limits_hold_and_slots_come_back() {
    on_a_table(|ledger| async move {
        let claim = async |n: usize, limits: Limits, at: Timestamp| {
            ledger.claim(&id(n), &claimed(&id(n), 0), limits, at).await
        };
        claim(1, limits(1, 2), now()).await.unwrap();
        assert_eq!(claim(2, limits(1, 2), now()).await, Err(NotClaimed::AtLimit(Limit::ConcurrentBuilds)));
        assert!(ledger.records(&BTreeSet::from([id(2)])).await.unwrap().is_empty(), "nothing was written");
        ledger.free(&BTreeMap::from([(id(1), 1)])).await.unwrap();
        claim(2, limits(1, 2), now()).await.unwrap();
        assert_eq!(claim(3, limits(9, 2), now()).await, Err(NotClaimed::AtLimit(Limit::StartsPerDay)));
        claim(3, limits(9, 2), tomorrow()).await.unwrap();
        assert_eq!(ledger.slots(tomorrow()).await.unwrap().started_today, 1);
    })
    .await;
}

#[tokio::test]
async fn the_index_follows_the_records() {
    on_a_table(|ledger| async move {
        let unsettled = Record { unsettled: true, ..Record::default() };
        ledger.save(&id(1), &unsettled).await.unwrap();
        ledger.save(&id(2), &Record::default()).await.unwrap();
        ledger.claim(&id(3), &claimed(&id(3), 0), limits(20, 200), now()).await.unwrap();
        assert_eq!(ledger.unsettled().await.unwrap(), BTreeSet::from([id(1), id(3)]));
        ledger.save(&id(1), &Record { fence: 1, ..Record::default() }).await.unwrap();
        assert_eq!(ledger.unsettled().await.unwrap(), BTreeSet::from([id(3)]));
    })
    .await;
}

#[tokio::test]
async fn hundreds_of_records_are_read_and_the_missing_ones_left_out() {
    on_a_table(|ledger| async move {
        for n in 0..130 {
            ledger.save(&id(n), &Record { unsettled: true, ..Record::default() }).await.unwrap();
        }
        let records = ledger.records(&(0..260).map(id).collect()).await.unwrap();
        assert_eq!(records.into_keys().collect::<BTreeSet<_>>(), (0..130).map(id).collect());
        assert_eq!(ledger.unsettled().await.unwrap().len(), 130);
    })
    .await;
}

#[tokio::test]
async fn a_claim_is_read_back_whole() {
    on_a_table(|ledger| async move {
        let record = claimed(&id(1), 0);
        ledger.claim(&id(1), &record, limits(20, 200), now()).await.unwrap();
        let read = ledger.records(&BTreeSet::from([id(1)])).await.unwrap().remove(&id(1)).unwrap();
        assert_eq!(read, Record { fence: 1, ..record });
    })
    .await;
}
