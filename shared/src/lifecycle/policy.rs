//! A policy that is right.

use std::collections::BTreeSet;

use super::images::StorageClass;
use serde::{Deserialize, Serialize};

use super::images::RepositoryImage;
use crate::image::{Tag, glob};

/// A lifecycle policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifecyclePolicy {
    pub(super) rules: Vec<Rule>,
}

/// Which images are acted on, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its place: the lowest number comes first. Unique in its policy.
    pub priority: u32,
    /// The images that it sees, and which of them it acts on.
    pub selection: Selection,
    /// What it does to them.
    pub action: Action,
}

/// The images that a rule sees, by tags and storage class, and which of them it acts on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    pub tags: Tags,
    /// Where they are stored.
    pub storage: StorageClass,
    /// What is counted.
    pub count: Count,
    /// How many images or days.
    pub number: u32,
}

/// Images by their tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tags {
    Any,
    /// Those without a tag.
    Untagged,
    /// Those of whose tags each of these texts begins at least one.
    Prefixes(BTreeSet<String>),
    /// Those of whose tags each of these patterns, with `*` for any run of characters, matches at least one.
    Patterns(BTreeSet<String>),
}

/// What a rule counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Count {
    /// Images: it acts on all but the newest.
    ImageCountMoreThan,
    /// Days since the push.
    SinceImagePushed,
    /// Days since the last pull.
    SinceImagePulled,
    /// Days in the archive.
    SinceImageTransitioned,
}

/// What a rule does to an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// It is deleted.
    Expire,
    /// It is moved to the archive, from where it cannot be pulled.
    Transition,
}

impl LifecyclePolicy {
    /// Returns its rules in order of priority.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Returns the rule that an image falls under: the first one that sees it. No later one may act on it, even if this one
    /// does not.
    pub fn rule_of(&self, image: &RepositoryImage) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.selection.sees(image))
    }
}

impl Selection {
    /// Tells whether a rule with this selection sees an image.
    pub fn sees(&self, image: &RepositoryImage) -> bool {
        self.storage == image.storage && self.tags.matches(&image.tags)
    }
}

impl Tags {
    fn matches(&self, tags: &BTreeSet<Tag>) -> bool {
        let some = |matches: &dyn Fn(&str) -> bool| tags.iter().any(|tag| matches(tag.as_str()));
        match self {
            Self::Any => true,
            Self::Untagged => tags.is_empty(),
            Self::Prefixes(all) => all.iter().all(|prefix| some(&|tag| tag.starts_with(prefix.as_str()))),
            Self::Patterns(all) => all.iter().all(|pattern| some(&|tag| glob(pattern, tag))),
        }
    }
}
