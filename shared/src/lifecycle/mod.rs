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
//! [`make()`] makes a policy from the hierarchy, [`plan_policies`] says what it would do,
//! [`compare`] holds that against ECR's own preview, and [`may_write`] decides whether it is
//! written.
//!
//! <https://docs.aws.amazon.com/AmazonECR/latest/userguide/LifecyclePolicies.html>

mod apply;
mod consumers;
mod doubts;
mod errors;
mod hash;
mod images;
mod in_use;
mod intent;
mod judge;
mod outlook;
mod parse;
mod plan;
mod policy;
mod preview;
mod wrapped;
mod written;

pub use apply::{PolicyChange, Step, Stop, Undo, may_write, undo};
pub use doubts::OUTDATED;
pub(crate) use doubts::doubts;
pub use errors::{PolicyError, PolicyErrors};
pub use hash::{hash_of, is_same};
pub use images::{Listing, RepositoryImage, StorageClass};
pub use in_use::{How, InUse};
pub use intent::{Intent, Made, environments, is_cache, make};
pub use judge::{Going, Reading, judge};
pub use outlook::{Goes, Outlook, Safety, outlook};
pub use plan::{
    Amount, KnownRepository, Leaving, PLAN_FORMAT, PlanInput, PlannedPolicy, PolicyPlan, keeps_tags,
    plan_policies,
};
pub use policy::{Action, Count, LifecyclePolicy, Rule, Selection, Tags};
pub use preview::{Difference, Previewed, compare};
