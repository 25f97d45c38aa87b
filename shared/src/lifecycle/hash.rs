//! When two texts are the same policy.

use crate::image::Digest;

/// Returns the hash of a policy's text. Spaces and the order of keys do not change it, because they
/// do not change what ECR does.
pub fn hash_of(text: &str) -> String {
    let canonical = serde_json::from_str::<serde_json::Value>(text).map(|value| value.to_string());
    Digest::of(canonical.unwrap_or_else(|_| text.to_owned()).as_bytes()).hex().to_owned()
}

/// Returns whether two texts are the same policy.
pub fn is_same(one: Option<&str>, other: Option<&str>) -> bool {
    one.map(hash_of) == other.map(hash_of)
}
