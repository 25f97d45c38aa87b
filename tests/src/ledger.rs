//! The promises of every ledger. The same checks run on the one in memory and on the one on
//! DynamoDB.

use std::collections::BTreeSet;
use std::rc::Rc;

use futures::future::join_all;
use patchwave::image::ImageId;
use patchwave::plan::Limit;
use patchwave::policy::Limits;
use patchwave::record::{Ready, Record};
use patchwave::time::Timestamp;
use patchwave_converge::{Due, NotClaimed, NotSaved, Records, World};
use serde_json::json;

/// Checks all promises, each on an empty ledger.
///
/// # Panics
///
/// If one is broken.
pub async fn check<W: World>(empty: impl AsyncFn() -> Rc<W>) {
    a_write_is_fenced(&*empty().await).await;
    a_record_that_was_read_before_it_existed_is_fenced_too(&*empty().await).await;
    of_many_claimers_one_wins(&*empty().await).await;
    limits_hold_and_slots_come_back(&*empty().await).await;
    a_lowered_limit_takes_no_slot_away(&*empty().await).await;
    only_the_reader_of_the_last_write_gives_a_slot_back(&*empty().await).await;
    a_refused_start_gives_its_slot_and_its_share_of_its_day_back(&*empty().await).await;
    the_index_follows_the_records(&*empty().await).await;
    images_are_in_the_queue_of_their_owner_by_urgency(&*empty().await).await;
    hundreds_of_records_are_read_and_the_missing_ones_left_out(&*empty().await).await;
    a_claim_is_read_back_whole(&*empty().await).await;
    a_record_of_every_field_is_read_back_whole(&*empty().await).await;
}

fn id(n: usize) -> ImageId {
    format!("base/os:{n}").parse().expect("an id")
}

fn now() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().expect("a time")
}

fn tomorrow() -> Timestamp {
    "2026-01-02T00:00:00Z".parse().expect("a time")
}

/// A record of `image` as it was read at `fence`, with a new claim.
fn claimed(image: &ImageId, fence: u64) -> Record {
    let start = json!({
        "image": image, "pipeline": "os", "key": "0011", "attempt": 1, "variables": {}, "reasons": [],
        "since": now(), "parents": {}, "toProve": [], "inputs": "", "noCache": true, "due": now(),
    });
    let claim = json!({ "owner": "o", "claimedAt": now(), "leaseUntil": now(), "start": start });
    serde_json::from_value(json!({ "fence": fence, "recheckAt": now(), "claim": claim })).expect("a record")
}

fn limits(concurrent: u32, a_day: u32) -> Limits {
    Limits { max_concurrent_builds: concurrent, max_starts_per_day: a_day }
}

async fn read<W: World>(ledger: &W, image: &ImageId) -> Option<Record> {
    ledger.records(&BTreeSet::from([image.clone()])).await.expect("it answers").read.remove(image)
}

async fn held_by<W: World>(ledger: &W) -> BTreeSet<ImageId> {
    ledger.slots(now()).await.expect("it answers").held_by
}

async fn a_write_is_fenced<W: World>(ledger: &W) {
    let unwritten = Record::default();
    assert_eq!(ledger.save(&id(1), &unwritten).await, Ok(()));
    assert_eq!(read(ledger, &id(1)).await.map(|record| record.fence), Some(1));
    assert_eq!(
        ledger.save(&id(1), &unwritten).await,
        Err(NotSaved::Conflict),
        "the record was written meanwhile"
    );
    assert_eq!(ledger.save(&id(1), &Record { fence: 1, ..unwritten.clone() }).await, Ok(()));
    assert_eq!(ledger.save(&id(1), &Record { fence: 1, ..unwritten.clone() }).await, Err(NotSaved::Conflict));
    assert_eq!(ledger.save(&id(1), &Record { fence: 9, ..unwritten }).await, Err(NotSaved::Conflict));
    assert_eq!(read(ledger, &id(1)).await.map(|record| record.fence), Some(2));
}

async fn a_record_that_was_read_before_it_existed_is_fenced_too<W: World>(ledger: &W) {
    let claim = claimed(&id(1), 0);
    assert_eq!(ledger.claim(&id(1), &claim, limits(9, 9), now()).await, Ok(()));
    assert_eq!(ledger.save(&id(1), &Record::default()).await, Err(NotSaved::Conflict));
    assert_eq!(
        ledger.save(&id(2), &Record { fence: 3, ..Record::default() }).await,
        Err(NotSaved::Conflict),
        "a record that does not exist has no fence"
    );
}

async fn of_many_claimers_one_wins<W: World>(ledger: &W) {
    let (image, record) = (id(1), claimed(&id(1), 0));
    // All have read the same record, and all claim it at once.
    let outcomes = join_all((0..8).map(|_| ledger.claim(&image, &record, limits(20, 200), now()))).await;
    let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let lost = outcomes.iter().filter(|outcome| **outcome == Err(NotClaimed::Conflict)).count();
    assert_eq!((won, lost), (1, 7), "{outcomes:?}");
    let slots = ledger.slots(now()).await.expect("it answers");
    assert_eq!((slots.held_by, slots.started_today), (BTreeSet::from([image]), 1), "losers take no slot");
}

async fn limits_hold_and_slots_come_back<W: World>(ledger: &W) {
    let claim = async |n: usize, limits: Limits, at: Timestamp| {
        ledger.claim(&id(n), &claimed(&id(n), 0), limits, at).await
    };
    assert_eq!(claim(1, limits(1, 2), now()).await, Ok(()));
    let at_limit = |limit| Err(NotClaimed::AtLimit(limit));
    assert_eq!(claim(2, limits(1, 2), now()).await, at_limit(Limit::ConcurrentBuilds));
    assert_eq!(claim(2, limits(0, 2), now()).await, at_limit(Limit::ConcurrentBuilds));
    assert_eq!(claim(2, limits(2, 0), now()).await, at_limit(Limit::StartsPerDay));
    assert_eq!(read(ledger, &id(2)).await, None, "nothing was written");
    assert_eq!(ledger.free(&id(1), 1).await, Ok(()));
    assert_eq!(ledger.free(&id(1), 1).await, Ok(()), "a slot that is given back twice takes no other");
    assert_eq!(claim(2, limits(1, 2), now()).await, Ok(()));
    assert_eq!(claim(3, limits(9, 2), now()).await, at_limit(Limit::StartsPerDay));
    assert_eq!(claim(3, limits(9, 2), tomorrow()).await, Ok(()));
    let days = [now(), tomorrow()].map(|day| ledger.slots(day));
    let started: Vec<u32> =
        join_all(days).await.into_iter().map(|slots| slots.expect("it answers").started_today).collect();
    assert_eq!(started, [2, 1]);
}

/// An image that has a slot keeps it for its next claim, even under a lower limit.
async fn a_lowered_limit_takes_no_slot_away<W: World>(ledger: &W) {
    for n in [1, 2] {
        assert_eq!(ledger.claim(&id(n), &claimed(&id(n), 0), limits(2, 9), now()).await, Ok(()));
    }
    assert_eq!(ledger.claim(&id(1), &claimed(&id(1), 1), limits(1, 9), now()).await, Ok(()));
    assert_eq!(held_by(ledger).await, BTreeSet::from([id(1), id(2)]));
    assert_eq!(
        ledger.claim(&id(3), &claimed(&id(3), 0), limits(1, 9), now()).await,
        Err(NotClaimed::AtLimit(Limit::ConcurrentBuilds))
    );
}

async fn only_the_reader_of_the_last_write_gives_a_slot_back<W: World>(ledger: &W) {
    assert_eq!(ledger.claim(&id(1), &claimed(&id(1), 0), limits(9, 9), now()).await, Ok(()));
    assert_eq!(ledger.free(&id(1), 0).await, Err(NotSaved::Conflict), "the slot belongs to a newer claim");
    assert_eq!(held_by(ledger).await, BTreeSet::from([id(1)]));
    assert_eq!(ledger.free(&id(1), 1).await, Ok(()));
    assert_eq!(held_by(ledger).await, BTreeSet::new());
    assert_eq!(read(ledger, &id(1)).await.map(|record| record.fence), Some(1), "the record stays as it is");
    assert_eq!(ledger.free(&id(2), 0).await, Ok(()), "the record does not exist, and no slot was held");
}

async fn a_refused_start_gives_its_slot_and_its_share_of_its_day_back<W: World>(ledger: &W) {
    for n in [1, 2] {
        assert_eq!(ledger.claim(&id(n), &claimed(&id(n), 0), limits(9, 9), now()).await, Ok(()));
    }
    let claim = claimed(&id(1), 0).claim.expect("a claim");
    let withdrawn = |fence| Record { fence, ..Record::default() };
    assert_eq!(
        ledger.withdraw(&id(1), &withdrawn(0), &claim, "busy").await,
        Err(NotSaved::Conflict),
        "the claim was written meanwhile"
    );
    assert_eq!(ledger.withdraw(&id(1), &withdrawn(1), &claim, "busy").await, Ok(()));
    assert_eq!(read(ledger, &id(1)).await, Some(withdrawn(2)));
    let slots = ledger.slots(now()).await.expect("it answers");
    assert_eq!((slots.held_by, slots.started_today), (BTreeSet::from([id(2)]), 1));
}

async fn the_index_follows_the_records<W: World>(ledger: &W) {
    let due = |at| Record { recheck_at: Some(at), ..Record::default() };
    assert_eq!(ledger.save(&id(1), &due(tomorrow())).await, Ok(()));
    assert_eq!(ledger.save(&id(2), &Record::default()).await, Ok(()));
    assert_eq!(ledger.claim(&id(3), &claimed(&id(3), 0), limits(20, 200), now()).await, Ok(()));
    let listed = |images, next| Ok(Due { images, next });
    assert_eq!(ledger.due(now(), 9).await, listed(vec![id(3)], Some(tomorrow())));
    assert_eq!(ledger.due(tomorrow(), 1).await, listed(vec![id(3)], None), "the longest due comes first");
    assert_eq!(ledger.due(tomorrow(), 9).await, listed(vec![id(3), id(1)], None));
    assert_eq!(ledger.save(&id(1), &Record { fence: 1, ..Record::default() }).await, Ok(()));
    assert_eq!(ledger.due(tomorrow(), 9).await, listed(vec![id(3)], None));
}

async fn images_are_in_the_queue_of_their_owner_by_urgency<W: World>(ledger: &W) {
    let ready = |owner: Option<&str>, due, chain| Record {
        ready: Some(Ready { owner: owner.map(Into::into), due, chain }),
        ..Record::default()
    };
    assert_eq!(ledger.save(&id(1), &ready(None, tomorrow(), 9)).await, Ok(()));
    assert_eq!(ledger.save(&id(2), &ready(None, now(), 1)).await, Ok(()));
    assert_eq!(ledger.save(&id(3), &ready(None, now(), 2)).await, Ok(()));
    assert_eq!(ledger.save(&id(4), &ready(Some("payments"), now(), 0)).await, Ok(()));
    let waits = Record { recheck_at: Some(tomorrow()), ..ready(None, now(), 5) };
    assert_eq!(ledger.save(&id(5), &waits).await, Ok(()));
    assert_eq!(ledger.ready(None, 9).await, Ok(vec![id(3), id(2), id(1)]));
    assert_eq!(ledger.ready(None, 2).await, Ok(vec![id(3), id(2)]));
    assert_eq!(ledger.ready(Some("payments"), 9).await, Ok(vec![id(4)]));
    assert_eq!(ledger.ready(Some("search"), 9).await, Ok(vec![]));
    assert_eq!(ledger.due(now(), 9).await, Ok(Due { images: vec![], next: Some(tomorrow()) }));
}

async fn hundreds_of_records_are_read_and_the_missing_ones_left_out<W: World>(ledger: &W) {
    for n in 0..130 {
        let record = Record { recheck_at: Some(now()), ..Record::default() };
        assert_eq!(ledger.save(&id(n), &record).await, Ok(()));
    }
    let records = ledger.records(&(0..260).map(id).collect()).await.expect("it answers").read;
    assert_eq!(records.into_keys().collect::<BTreeSet<_>>(), (0..130).map(id).collect());
    assert_eq!(ledger.due(now(), 1_000).await.expect("it answers").images.len(), 130);
    assert_eq!(ledger.due(now(), 100).await.expect("it answers").images.len(), 100);
    assert_eq!(ledger.records(&BTreeSet::new()).await, Ok(Records::default()));
}

async fn a_claim_is_read_back_whole<W: World>(ledger: &W) {
    let record = claimed(&id(1), 0);
    assert_eq!(ledger.claim(&id(1), &record, limits(20, 200), now()).await, Ok(()));
    assert_eq!(read(ledger, &id(1)).await, Some(Record { fence: 1, ..record }));
}

async fn a_record_of_every_field_is_read_back_whole<W: World>(ledger: &W) {
    let digest = format!("sha256:{}", "ab".repeat(32));
    let (finding, by) = ("CVE-2026-1000 in openssl", json!({ "by": "jo", "at": now() }));
    let mut record: Record = serde_json::from_value(json!({
        "recheckAt": now(), "ready": { "owner": "payments", "due": now(), "chain": 3 }, "movingSince": now(),
        "rolling": { "since": now(), "after": "os/1:1" }, "carriers": ["os/2:1"], "unreadSince": now(), "awaitedAfter": now(), "current": digest, "waitingSince": now(), "scanAwaitedSince": now(),
        "enforcedSince": now(), "seen": { finding: now() }, "lastAttempt": 4_294_967_295_u32,
        "failures": { "count": 3, "last": now(), "inputs": "x", "ended": "failed" },
        "ineffective": { finding: { "builds": 1, "inputs": "x", "fix": { "version": "1:1.0.1-2+b~é" } } },
        "request": { "id": "r", "by": "jo", "at": now() }, "frozen": by,
    }))
    .expect("a record");
    record.claim = claimed(&id(1), 0).claim;
    assert_eq!(ledger.save(&id(1), &record).await, Ok(()));
    assert_eq!(read(ledger, &id(1)).await, Some(Record { fence: 1, ..record }));
}
