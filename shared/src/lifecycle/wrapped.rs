//! Finds the text of a policy in what command lines and templates wrap it in.

use std::collections::BTreeSet;

use serde_json::Value;

/// The keys whose value is a policy's text: of the AWS command line, of CloudFormation, and of
/// Terraform's `aws_ecr_lifecycle_policy` in JSON.
const KEYS: [&str; 3] = ["lifecyclePolicyText", "LifecyclePolicyText", "policy"];

/// What was found.
pub(super) enum Wrapped {
    /// It is the policy itself, or no JSON.
    No,
    One(String),
    /// So many different policies.
    Many(usize),
    /// A key that should have a text has something that a template computes.
    Computed(&'static str),
}

/// Finds the policy.
pub(super) fn unwrapped(text: &str) -> Wrapped {
    let Ok(value) = serde_json::from_str::<Value>(text) else { return Wrapped::No };
    if value.get("rules").is_some() {
        return Wrapped::No;
    }
    let (mut texts, mut computed) = (BTreeSet::new(), None);
    search(&value, &mut texts, &mut computed);
    match (texts.len(), computed) {
        (0, None) => Wrapped::No,
        (_, Some(key)) => Wrapped::Computed(key),
        (1, None) => texts.into_iter().next().map_or(Wrapped::No, Wrapped::One),
        (many, None) => Wrapped::Many(many),
    }
}

fn search(value: &Value, texts: &mut BTreeSet<String>, computed: &mut Option<&'static str>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| search(item, texts, computed)),
        Value::Object(keys) => {
            for (key, value) in keys {
                match (KEYS.into_iter().find(|own| own == key), value) {
                    (Some("policy"), Value::String(text)) if !text.contains("rulePriority") => {}
                    (Some(_), Value::String(text)) => drop(texts.insert(text.clone())),
                    (Some(own), Value::Object(_)) if own != "policy" => *computed = Some(own),
                    _ => search(value, texts, computed),
                }
            }
        }
        _ => {}
    }
}
