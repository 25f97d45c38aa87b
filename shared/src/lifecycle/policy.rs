//! A policy without errors.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::errors::PolicyError;
use super::images::{RepositoryImage, StorageClass};
use crate::image::{Tag, glob};

/// A lifecycle policy that ECR accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifecyclePolicy {
    pub(super) rules: Vec<Rule>,
    pub(super) warnings: Vec<PolicyError>,
}

/// Which images a policy acts on, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The lowest number comes first. Unique in its policy.
    pub priority: u32,
    pub selection: Selection,
    pub action: Action,
}

/// The images that a rule sees, by tags and storage class, and which of them it acts on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    pub tags: Tags,
    pub storage: StorageClass,
    pub count: Count,
    /// How many images or days.
    pub number: u32,
}

/// Which tags an image must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tags {
    Any,
    Untagged,
    /// For each of these texts, a tag that begins with it.
    Prefixes(BTreeSet<String>),
    /// For each of these patterns, a tag that matches it. `*` is any run of characters.
    Patterns(BTreeSet<String>),
}

/// What a rule counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Count {
    /// Images: the rule acts on all but the newest.
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
    /// Deletes it.
    Expire,
    /// Moves it to the archive, from where it cannot be pulled.
    Transition,
}

impl LifecyclePolicy {
    /// Returns its rules in order of priority.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Returns what is valid and rarely intended.
    pub fn warnings(&self) -> &[PolicyError] {
        &self.warnings
    }

    /// Returns the first rule that sees an image. No later rule may act on the image, even if this
    /// one does not.
    pub fn rule_of(&self, image: &RepositoryImage) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.selection.sees(image))
    }
}

impl Selection {
    /// Returns whether a rule with this selection sees an image.
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
