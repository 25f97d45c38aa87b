//! Policies and images of a test, in the JSON of the AWS command line.

use patchwave::image::Digest;
use patchwave::lifecycle::{LifecyclePolicy, Listing, Reading, judge};
use patchwave::time::{Span, Timestamp};
use serde_json::{Value, json};

pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const ACCOUNT: &str = "111122223333";

pub(super) fn now() -> Timestamp {
    "2026-03-20T04:00:00Z".parse().unwrap()
}

/// The digest of the image that a test names by a letter.
pub(super) fn digest(name: char) -> Digest {
    format!("sha256:{}", format!("{:02x}", u32::from(name)).repeat(32)).parse().unwrap()
}

pub(super) fn days_ago(days: u32) -> Timestamp {
    Span::days(days).before(now())
}

#[expect(clippy::needless_pass_by_value, reason = "a rule reads better around its selection")]
pub(super) fn rule(priority: u32, selection: Value) -> Value {
    json!({"rulePriority": priority, "description": "the rule of a test", "selection": selection, "action": {"type": "expire"}})
}

pub(super) fn tagged(prefixes: &[&str], more: u32) -> Value {
    json!({"tagStatus": "tagged", "tagPrefixList": prefixes, "countType": "imageCountMoreThan", "countNumber": more})
}

pub(super) fn older(status: &str, days: u32) -> Value {
    json!({"tagStatus": status, "countType": "sinceImagePushed", "countUnit": "days", "countNumber": days})
}

pub(super) fn policy(rules: &[Value]) -> LifecyclePolicy {
    LifecyclePolicy::parse(&json!({ "rules": rules }).to_string()).unwrap()
}

pub(super) fn described(name: char, tags: &[&str], days: u32) -> Value {
    json!({
        "registryId": ACCOUNT, "repositoryName": "apps/checkout", "imageDigest": digest(name), "imageTags": tags,
        "imagePushedAt": days_ago(days), "imageStatus": "ACTIVE",
    })
}

pub(super) fn listing(images: &[Value]) -> Listing {
    Listing::parse(&json!({ "imageDetails": images }).to_string()).unwrap()
}

/// Which images the rules delete, by their letters.
pub(super) fn going(rules: &[Value], images: &[Value]) -> String {
    let gone = judge(&policy(rules), &listing(images).images, Reading::WithoutParts, now());
    ('A'..='Z').filter(|name| gone.contains_key(&digest(*name))).collect()
}
