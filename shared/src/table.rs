//! How the table is laid out: the one source that the adapter, the template and the documentation are compared with.
//!
//! One table holds everything. An item's kind is told by its key:
//!
//! | `pk` | `sk` | holds |
//! |---|---|---|
//! | `image#<id>` | `record` | an image's [`Record`](crate::record::Record) |
//! | `slots` | `running` | the images whose builds hold a slot |
//! | `slots` | `day#<YYYY-MM-DD>` | how many builds started on that day (UTC) |
//! | `audit#<id>` | `<time>#<build key>-<attempt>` | a start that was claimed; nothing rewrites it |
//!
//! Point-in-time recovery and time to live are calls of their own: the first protects all items, the second deletes those
//! whose [`EXPIRES_AT`] has passed.

use serde_json::{Value, json};

use crate::image::ImageId;
use crate::plan::Start;
use crate::time::{Span, Timestamp};

/// The partition key's attribute: a string.
pub const PARTITION: &str = "pk";
/// The sort key's attribute: a string.
pub const SORT: &str = "sk";
/// A record's fence: a number that rises with every write.
pub const FENCE: &str = "fence";
/// A record's JSON: a string.
pub const RECORD: &str = "record";
/// The format of a record: a number; absent on those of the first format. It rises with a field that must not be lost where
/// an older Patchwave, which does not know it, writes the record again: that one leaves the record alone.
pub const FORMAT: &str = "format";
/// The format that this version writes; it reads all up to it.
pub const CURRENT_FORMAT: u32 = 1;
/// Present, with the value [`YES`], on the records of unsettled images and on nothing else.
pub const UNSETTLED: &str = "unsettled";
/// The one value of [`UNSETTLED`].
pub const YES: &str = "yes";
/// The sparse index of the unsettled records: keys only.
pub const UNSETTLED_INDEX: &str = "unsettled";
/// The images whose builds hold a slot: a set of strings.
pub const RUNNING: &str = "images";
/// How many builds started on a day: a number.
pub const STARTS: &str = "starts";
/// A claimed start's JSON: a string.
pub const START: &str = "start";
/// When an item may be deleted: a number, seconds since 1970. The attribute to name when time to live is switched on.
pub const EXPIRES_AT: &str = "expiresAt";

/// How long the audit trail is kept: a year and a month's grace for the auditor.
pub const AUDIT_KEPT: Span = Span::days(400);
/// How long a day's count is kept.
pub const DAY_KEPT: Span = Span::days(3);

const IMAGE: &str = "image#";

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

    /// Returns the key of the set of running builds.
    pub fn running() -> Self {
        Self::new("slots", "running")
    }

    /// Returns the key of the count of the day of `now` (UTC).
    pub fn day(now: Timestamp) -> Self {
        Self::new("slots", format!("day#{}", now.strftime("%Y-%m-%d")))
    }

    /// Returns the key of a start's entry in the audit trail.
    pub fn audit(start: &Start, now: Timestamp) -> Self {
        Self::new(format!("audit#{}", start.image), format!("{now:.3}#{}", start.token()))
    }

    /// Returns the image whose record has this partition key.
    pub fn image(partition: &str) -> Option<ImageId> {
        partition.strip_prefix(IMAGE)?.parse().ok()
    }
}

/// Returns the input of `CreateTable`.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateTable.html>
pub fn create_table(name: &str) -> Value {
    let text = |attribute: &str| json!({"AttributeName": attribute, "AttributeType": "S"});
    let key = |attribute: &str, kind: &str| json!({"AttributeName": attribute, "KeyType": kind});
    json!({
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [text(PARTITION), text(SORT), text(UNSETTLED)],
        "KeySchema": [key(PARTITION, "HASH"), key(SORT, "RANGE")],
        "GlobalSecondaryIndexes": [{
            "IndexName": UNSETTLED_INDEX,
            "KeySchema": [key(UNSETTLED, "HASH"), key(PARTITION, "RANGE")],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        }],
        "SSESpecification": {"Enabled": true},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_records_key_names_its_image_and_no_other_key_does() {
        let id: ImageId = "platform/node:22".parse().unwrap();
        assert_eq!(Key::image(&Key::record(&id).partition), Some(id));
        assert_eq!(Key::image(&Key::running().partition), None);
        let now: Timestamp = "2026-01-02T23:59:59Z".parse().unwrap();
        assert_eq!(Key::day(now).sort, "day#2026-01-02");
    }

    #[test]
    fn every_key_attribute_is_defined_and_no_other() {
        let input = create_table("patchwave");
        let defined = input["AttributeDefinitions"].as_array().unwrap();
        let names: Vec<_> = defined.iter().map(|d| d["AttributeName"].as_str().unwrap()).collect();
        assert_eq!(names, [PARTITION, SORT, UNSETTLED]);
    }
}
