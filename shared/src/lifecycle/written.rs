//! A policy as it is written. Every key is optional, so that all errors can be reported at once.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::images::StorageClass;
use super::policy::{Action, Count};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct WrittenPolicy {
    pub(super) rules: Vec<WrittenRule>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct WrittenRule {
    pub(super) rule_priority: Option<u32>,
    #[serde(rename = "description")]
    _description: Option<String>,
    #[serde(default)]
    pub(super) selection: WrittenSelection,
    #[serde(default)]
    pub(super) action: WrittenAction,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct WrittenSelection {
    pub(super) tag_status: Option<TagStatus>,
    pub(super) tag_pattern_list: Option<BTreeSet<String>>,
    pub(super) tag_prefix_list: Option<BTreeSet<String>>,
    pub(super) storage_class: Option<StorageClass>,
    pub(super) count_type: Option<Count>,
    pub(super) count_unit: Option<CountUnit>,
    pub(super) count_number: Option<u32>,
}

impl WrittenSelection {
    pub(super) fn storage(&self) -> StorageClass {
        self.storage_class.unwrap_or(StorageClass::Standard)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct WrittenAction {
    #[serde(rename = "type")]
    pub(super) kind: Option<Action>,
    pub(super) target_storage_class: Option<StorageClass>,
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
