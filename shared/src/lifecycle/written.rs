//! A policy as it is written. Every key may hold anything, so that all errors can be reported at
//! once, each with its rule.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::images::StorageClass;
use super::policy::{Action, Count};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct WrittenPolicy {
    pub(super) rules: Vec<RawRule>,
}

/// What a key holds, `null` included; nothing if the key is not there.
#[derive(Debug, Default)]
pub(super) struct Raw(Option<Value>);

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(|value| Self(Some(value)))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct RawRule {
    rule_priority: Raw,
    description: Raw,
    selection: RawSelection,
    action: RawAction,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct RawSelection {
    tag_status: Raw,
    tag_pattern_list: Raw,
    tag_prefix_list: Raw,
    storage_class: Raw,
    count_type: Raw,
    count_unit: Raw,
    count_number: Raw,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct RawAction {
    #[serde(rename = "type")]
    kind: Raw,
    target_storage_class: Raw,
}

/// A rule whose keys have the right types.
#[derive(Debug, Default)]
pub(super) struct WrittenRule {
    pub(super) priority: Option<u32>,
    pub(super) tag_status: Option<TagStatus>,
    pub(super) tag_patterns: Option<BTreeSet<String>>,
    pub(super) tag_prefixes: Option<BTreeSet<String>>,
    pub(super) storage_class: Option<StorageClass>,
    pub(super) count_type: Option<Count>,
    pub(super) count_unit: Option<CountUnit>,
    pub(super) count_number: Option<u32>,
    pub(super) action: Option<Action>,
    pub(super) target: Option<StorageClass>,
    /// What is wrong with the types of its keys.
    pub(super) wrong: Vec<String>,
}

impl WrittenRule {
    pub(super) fn storage(&self) -> StorageClass {
        self.storage_class.unwrap_or(StorageClass::Standard)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum TagStatus {
    Tagged,
    Untagged,
    Any,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum CountUnit {
    Days,
}

const STORAGE: &str = "standard or archive";
const COUNTS: &str = "imageCountMoreThan, sinceImagePushed, sinceImagePulled or sinceImageTransitioned";

impl From<RawRule> for WrittenRule {
    fn from(raw: RawRule) -> Self {
        let RawRule { rule_priority, description, selection, action } = raw;
        let mut wrong = Vec::new();
        let mut keys = Keys(&mut wrong);
        let _: Option<String> = keys.read("description", description, "a text");
        let mut rule = Self {
            priority: keys.number("rulePriority", rule_priority),
            tag_status: keys.read("tagStatus", selection.tag_status, "tagged, untagged or any"),
            tag_patterns: keys.read("tagPatternList", selection.tag_pattern_list, "a list of texts"),
            tag_prefixes: keys.read("tagPrefixList", selection.tag_prefix_list, "a list of texts"),
            storage_class: keys.read("storageClass", selection.storage_class, STORAGE),
            count_type: keys.read("countType", selection.count_type, COUNTS),
            count_unit: keys.read("countUnit", selection.count_unit, "days"),
            count_number: keys.number("countNumber", selection.count_number),
            action: keys.read("type", action.kind, "expire or transition"),
            target: keys.read("targetStorageClass", action.target_storage_class, STORAGE),
            wrong: Vec::new(),
        };
        rule.wrong = wrong;
        rule
    }
}

/// Reads the keys of a rule, and keeps what is wrong with them.
struct Keys<'w>(&'w mut Vec<String>);

impl Keys<'_> {
    fn read<T: serde::de::DeserializeOwned>(&mut self, key: &str, raw: Raw, expected: &str) -> Option<T> {
        let value = raw.0?;
        if value.is_null() {
            self.0.push(format!("has `{key}: null`, which ECR refuses; leave the key out"));
            return None;
        }
        let shown: String = value.to_string().chars().take(60).collect();
        let read = serde_json::from_value(value);
        read.inspect_err(|_| self.0.push(format!("has `{key}: {shown}`; write {expected}"))).ok()
    }

    /// ECR's schema asks for a number, and variables of templates are often texts.
    fn number(&mut self, key: &str, raw: Raw) -> Option<u32> {
        let text = raw.0.as_ref().and_then(Value::as_str).and_then(|text| text.trim().parse::<u32>().ok());
        match text {
            Some(number) => self.read(key, raw, &format!("the number without quotes: {number}")),
            None => self.read(key, raw, "a whole number, 0 to 4294967295"),
        }
    }
}
