//! The layout of the table. The adapter uses it, and tests compare the template and the
//! documentation with it.
//!
//! One table holds everything. An item's key names its kind:
//!
//! | `pk` | `sk` | holds |
//! |---|---|---|
//! | `image#<id>` | `record` | an image's [`Record`] |
//! | `slots` | `held-by` | the images whose builds hold a slot |
//! | `slots` | `day#<YYYY-MM-DD>` | how many builds started on that day (UTC) |
//! | `slots` | `sweep` | where the last sweep was cut off |
//! | `audit#<id>` | `<time>#<build key>-<attempt>` | a start that was claimed; if CodePipeline refused it, [`REFUSED`] says why; nothing else changes |
//! | `places` | `<place>` | a [place](crate::inventory::PlaceState), and when it was last read |
//! | `place#<place>` | `runs#` or `refers#`, then `<workload>#<digest>` | what [runs](crate::inventory::Entry) there |
//! | `image#<id>` | `version#<digest>` | what is known about a [version](crate::inventory::Assessment) that runs |
//! | `image#<id>` | `exposures` | from when to when what runs was [vulnerable](crate::inventory::Exposures) |
//! | `image#<id>` | `deployments` | which version each environment [runs](crate::facts::Deployments), and ran before: what a pass reads |
//! | `owners` | `undeployed#<owner>` | an owner's [notice](crate::notice::OwnerNotified) about what is rebuilt and not deployed |
//! | `inventory` | `audit#<time>` | what [changed](crate::inventory::Changes) since the sweep before; nothing rewrites it |
//! | `inventory` | `cursor` | where to continue a survey that an invocation did not finish |
//! | `upstreams` | `tag#<reference>` | what an [upstream tag](crate::upstream::Tracked) named |
//! | `upstreams` | `host#<host>` | whether an upstream registry is [left alone](crate::upstream::Host) |
//! | `care#<repository>` | `<time>#<what>` | what a person [changed](crate::lifecycle::PolicyChange) there by the command line, with the old text; nothing rewrites it |
//! | `keep#<repository>` | `tags` | what is remembered of its [keep tags](crate::tags::KeepMemory) |
//! | `begun` | `survey`, or `place#<place>` | a mark: that was begun, and has not ended |
//!
//! The inventory writes JSON into [`STATE`]. Items about what no longer runs stay for
//! [`GONE_KEPT`], with [`EXPIRES_AT`]. Only people read them.
//!
//! `CreateTable` does not switch on point-in-time recovery and time to live. The first protects all
//! items. The second deletes those whose [`EXPIRES_AT`] has passed.

use std::cmp::Reverse;

use serde_json::{Value, json};

use crate::image::{Digest, ImageId, Registry, Repository};
use crate::inventory::EntryKey;
use crate::plan::Start;
use crate::record::Record;
use crate::time::{Span, Timestamp};

/// The partition key's attribute: a string.
pub const PARTITION: &str = "pk";
/// The sort key's attribute: a string.
pub const SORT: &str = "sk";
/// A record's fence: a number that rises with every write.
pub const FENCE: &str = "fence";
/// A record's JSON: a string.
pub const RECORD: &str = "record";
/// The format of a record: a number; absent in the first format.
///
/// It rises when a field is renamed. It also rises with a new field that an older Patchwave must
/// not drop when it writes the record. An older Patchwave does not read or write a newer record.
pub const FORMAT: &str = "format";
/// The format that this version writes. It reads the one before too.
pub const CURRENT_FORMAT: u32 = 3;
/// The queue of the schedule that a record is in: a string, [`RECHECK`] or a [`ready`] queue.
/// Records of settled images do not have it, and no other item has.
pub const QUEUE: &str = "queue";
/// The rank in that queue: a string. Its order is the order in which images are looked at.
pub const RANK: &str = "rank";
/// The queue of the images that are looked at again at a time.
pub const RECHECK: &str = "recheck";
/// The sparse index of the records that are in the schedule: keys only.
pub const SCHEDULE_INDEX: &str = "schedule";
/// What records of format 2 have instead of [`QUEUE`], with the value `yes`.
pub const UNSETTLED: &str = "unsettled";
/// The images whose builds hold a slot: a set of strings.
pub const HELD_BY: &str = "images";
/// The last image that a sweep looked at before it was cut off: a string; absent once it has ended.
pub const SWEPT_TO: &str = "sweptTo";
/// How many builds started on a day: a number.
pub const STARTS: &str = "starts";
/// A claimed start's JSON: a string.
pub const START: &str = "start";
/// Why CodePipeline refused a claimed start: a string.
pub const REFUSED: &str = "refused";
/// The JSON of what the inventory knows: a string.
pub const STATE: &str = "state";
/// When an item may be deleted: a number, seconds since 1970. Time to live is switched on for this
/// attribute.
pub const EXPIRES_AT: &str = "expiresAt";

/// How long the audit trail is kept: a year, and about a month more for the auditor.
pub const AUDIT_KEPT: Span = Span::days(400);
/// How long a day's count is kept.
pub const DAY_KEPT: Span = Span::days(3);
/// How long items about what no longer runs are kept.
pub const GONE_KEPT: Span = Span::days(90);

const IMAGE: &str = "image#";
const PLACES: &str = "places";
const INVENTORY: &str = "inventory";
const OWNERS: &str = "owners";
const BEGUN: &str = "begun";
const UPSTREAMS: &str = "upstreams";
const UPSTREAM_TAG: &str = "tag#";
const UPSTREAM_HOST: &str = "host#";
/// Longest sort key that is written as it is, in bytes: DynamoDB takes 1,024.
const LONGEST_SORT: usize = 1_000;

/// Returns the queue of the images of an owner that wait for a slot and nothing else, or of those
/// of all owners without a limit of their own.
pub fn ready(owner: Option<&str>) -> String {
    owner.map_or_else(|| "ready".to_owned(), |owner| format!("ready#{owner}"))
}

/// Returns the queue of a record, and its rank there. An image that must be looked at at a time is
/// in no other queue until then.
pub fn scheduled(image: &ImageId, record: &Record) -> Option<(String, String)> {
    if let Some(at) = record.recheck_at {
        return Some((RECHECK.to_owned(), rank(at)));
    }
    let place = record.ready.as_ref()?;
    let (hour, Reverse(chain)) = place.rank();
    // The longest chain comes first, so its number is turned round.
    let rank = format!("{}#{:010}#{image}", rank(hour), u32::MAX - chain);
    Some((ready(place.owner.as_deref()), rank))
}

/// Returns the rank of a time. Ranks sort like the times.
pub fn rank(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// The key of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The value of [`PARTITION`].
    pub partition: String,
    /// The value of [`SORT`].
    pub sort: String,
}

impl Key {
    fn new(partition: impl Into<String>, sort: impl Into<String>) -> Self {
        Self { partition: partition.into(), sort: sort.into() }
    }

    /// Returns the key of an image's record.
    pub fn record(image: &ImageId) -> Self {
        Self::new(format!("{IMAGE}{image}"), RECORD)
    }

    /// Returns the key of the set of images whose builds hold a slot.
    pub fn slots() -> Self {
        Self::new("slots", "held-by")
    }

    /// Returns the key of where the last sweep was cut off.
    pub fn sweep() -> Self {
        Self::new("slots", "sweep")
    }

    /// Returns the key of the count of the day of `now` (UTC).
    pub fn day(now: Timestamp) -> Self {
        Self::new("slots", format!("day#{}", now.strftime("%Y-%m-%d")))
    }

    /// Returns the key of a start's entry in the audit trail.
    pub fn audit(start: &Start, now: Timestamp) -> Self {
        Self::new(format!("audit#{}", start.image), format!("{now:.3}#{}", start.token()))
    }

    /// Returns the key of a place.
    pub fn place(id: &str) -> Self {
        Self::new(PLACES, fit(id.to_owned()))
    }

    /// Returns the partition that holds all places.
    pub const fn places() -> &'static str {
        PLACES
    }

    /// Returns the partition with everything that runs in a place.
    pub fn in_place(id: &str) -> String {
        format!("place#{id}")
    }

    /// Returns the key of a version that runs, or that something refers to.
    pub fn entry(key: &EntryKey) -> Self {
        let kind = if key.runs { "runs" } else { "refers" };
        let sort = format!("{kind}#{}#{}", key.workload, key.what);
        Self::new(Self::in_place(&key.place), fit(sort))
    }

    /// Returns the key of what is known about a version that runs.
    pub fn version(image: &ImageId, version: &Digest) -> Self {
        Self::new(format!("{IMAGE}{image}"), format!("version#{version}"))
    }

    /// Returns the key of an image's exposures.
    pub fn exposures(image: &ImageId) -> Self {
        Self::new(format!("{IMAGE}{image}"), "exposures")
    }

    /// Returns the key of an image's deployments.
    pub fn deployments(image: &ImageId) -> Self {
        Self::new(format!("{IMAGE}{image}"), "deployments")
    }

    /// Returns the key of an owner's notice about what is rebuilt and not deployed.
    pub fn notified(owner: Option<&str>) -> Self {
        Self::new(OWNERS, fit(format!("undeployed#{}", owner.unwrap_or_default())))
    }

    /// Returns the partition that holds the notices of all owners.
    pub const fn all_notified() -> &'static str {
        OWNERS
    }

    /// Returns the key of what a sweep changed.
    pub fn changes(now: Timestamp) -> Self {
        Self::new(INVENTORY, format!("audit#{now:.3}"))
    }

    /// Returns the key of what a person changed in a repository. `what` is `policy` or `promotion`.
    pub fn care(repository: &Repository, now: Timestamp, what: &str) -> Self {
        Self::new(Self::cared(repository), format!("{now:.3}#{what}"))
    }

    /// Returns the partition with everything that people changed in a repository.
    pub fn cared(repository: &Repository) -> String {
        format!("care#{repository}")
    }

    /// Returns the key of what is remembered of a repository's keep tags.
    pub fn keep_tags(repository: &Repository) -> Self {
        Self::new(format!("keep#{repository}"), "tags")
    }

    /// Returns the key of an unfinished survey's cursor.
    pub fn cursor() -> Self {
        Self::new(INVENTORY, "cursor")
    }

    /// Returns the key of the mark that a place was begun, or the survey itself.
    pub fn begun(place: Option<&str>) -> Self {
        let sort = place.map_or_else(|| "survey".to_owned(), |id| format!("place#{id}"));
        Self::new(BEGUN, fit(sort))
    }

    /// Returns the key of an upstream tag.
    pub fn upstream_tag(tag: &ImageId) -> Self {
        Self::new(UPSTREAMS, format!("{UPSTREAM_TAG}{tag}"))
    }

    /// Returns the key of an upstream registry.
    pub fn upstream_host(host: &Registry) -> Self {
        Self::new(UPSTREAMS, format!("{UPSTREAM_HOST}{host}"))
    }

    /// Returns the upstream tag whose item has this sort key.
    pub fn tag_of(sort: &str) -> Option<ImageId> {
        sort.strip_prefix(UPSTREAM_TAG)?.parse().ok()
    }

    /// Returns the upstream registry whose item has this sort key.
    pub fn host_of(sort: &str) -> Option<Registry> {
        sort.strip_prefix(UPSTREAM_HOST)?.parse().ok()
    }

    /// Returns the partition that holds all marks.
    pub const fn all_begun() -> &'static str {
        BEGUN
    }

    /// Returns the image whose record has this partition key.
    pub fn image(partition: &str) -> Option<ImageId> {
        partition.strip_prefix(IMAGE)?.parse().ok()
    }
}

/// Cuts a sort key that is too long, and appends a hash. So it differs from others with the same
/// beginning.
fn fit(sort: String) -> String {
    if sort.len() <= LONGEST_SORT {
        return sort;
    }
    let hash = Digest::of(sort.as_bytes());
    let hash = hash.hex().get(..40).unwrap_or_default();
    let kept: String = sort
        .chars()
        .scan(0, |bytes, c| {
            *bytes += c.len_utf8();
            (*bytes <= LONGEST_SORT - 50).then_some(c)
        })
        .collect();
    format!("{kept}#{hash}")
}

/// An item that the inventory writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    pub key: Key,
    /// The value of [`STATE`].
    pub state: String,
    /// The value of [`EXPIRES_AT`]; nothing if it is never deleted.
    pub expires_at: Option<Timestamp>,
}

/// Returns the input of `CreateTable`.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateTable.html>
pub fn create_table(name: &str) -> Value {
    let text = |attribute: &str| json!({"AttributeName": attribute, "AttributeType": "S"});
    let key = |attribute: &str, kind: &str| json!({"AttributeName": attribute, "KeyType": kind});
    json!({
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [text(PARTITION), text(SORT), text(QUEUE), text(RANK)],
        "KeySchema": [key(PARTITION, "HASH"), key(SORT, "RANGE")],
        "GlobalSecondaryIndexes": [{
            "IndexName": SCHEDULE_INDEX,
            "KeySchema": [key(QUEUE, "HASH"), key(RANK, "RANGE")],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        }],
        "SSESpecification": {"Enabled": true},
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Ready;

    #[test]
    fn a_records_key_names_its_image_and_no_other_key_does() {
        let id: ImageId = "platform/node:22".parse().unwrap();
        assert_eq!(Key::image(&Key::record(&id).partition), Some(id));
        assert_eq!(Key::image(&Key::slots().partition), None);
        let now: Timestamp = "2026-01-02T23:59:59Z".parse().unwrap();
        assert_eq!(Key::day(now).sort, "day#2026-01-02");
    }

    #[test]
    fn ranks_sort_by_the_hour_and_then_by_the_longest_chain() {
        let (a, b): (ImageId, ImageId) = ("a:1".parse().unwrap(), "b:1".parse().unwrap());
        let in_queue = |due: &str, chain| {
            let ready = Ready { owner: None, due: due.parse().unwrap(), chain };
            Record { ready: Some(ready), ..Record::default() }
        };
        let early = in_queue("2026-01-02T02:59:59Z", 1);
        let long = in_queue("2026-01-02T03:59:59.5Z", 10);
        let short = in_queue("2026-01-02T03:00:00Z", 9);
        let ranks = [(&b, &early), (&b, &long), (&a, &short), (&b, &short)];
        let ranks = ranks.map(|(id, record)| scheduled(id, record).unwrap());
        assert!(ranks.is_sorted(), "{ranks:?}");
        assert!(ranks.iter().all(|(queue, _)| queue == "ready"));
        let rechecked = Record { recheck_at: Some(Timestamp::UNIX_EPOCH), ..early };
        assert_eq!(scheduled(&a, &rechecked).unwrap().0, RECHECK, "the time comes first");
        assert_eq!(scheduled(&a, &Record::default()), None);
    }

    #[test]
    fn long_sort_keys_are_cut_and_stay_apart() {
        let key = |end: &str| {
            Key::entry(&EntryKey {
                place: "a/b/eks/c".into(),
                runs: true,
                workload: "ü".repeat(600) + end,
                what: digest(),
            })
        };
        assert!(key("a").sort.len() <= 1_024, "{}", key("a").sort.len());
        assert_ne!(key("a").sort, key("b").sort);
        assert_eq!(key("a").partition, "place#a/b/eks/c");
        let short = EntryKey { place: String::new(), runs: false, workload: "w".into(), what: digest() };
        assert_eq!(Key::entry(&short).sort, format!("refers#w#{}", digest()));
    }

    fn digest() -> String {
        format!("sha256:{}", "ab".repeat(32))
    }

    #[test]
    fn every_key_attribute_is_defined_and_no_other() {
        let input = create_table("patchwave");
        let defined = input["AttributeDefinitions"].as_array().unwrap();
        let names: Vec<_> = defined.iter().map(|d| d["AttributeName"].as_str().unwrap()).collect();
        assert_eq!(names, [PARTITION, SORT, QUEUE, RANK]);
    }
}
