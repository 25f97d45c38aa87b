//! Checks lifecycle policies of ECR: whether they are valid, what they would expire, and whether
//! any of that is in use.
//!
//! A policy knows nothing of what runs. [`LifecyclePolicy::read`] checks one against the rules that
//! AWS documents. [`judge()`] says which images of a repository it would act on, and [`outlook()`]
//! compares those with the inventory.
//!
//! Where AWS leaves something open, Patchwave names too many images rather than too few. Where it
//! is not known what runs, the answer is unknown, and never safe.
//!
//! <https://docs.aws.amazon.com/AmazonECR/latest/userguide/LifecyclePolicies.html>

mod images;
mod in_use;
mod judge;
mod outlook;
mod parse;
mod policy;
mod written;

pub use images::{Listing, RepositoryImage, StorageClass};
pub use in_use::{How, InUse};
pub use judge::{Going, judge};
pub use outlook::{Goes, OUTDATED, Outlook, Safety, outlook};
pub use parse::{PolicyError, PolicyErrors};
pub use policy::{Action, Count, LifecyclePolicy, Rule, Selection, Tags};
