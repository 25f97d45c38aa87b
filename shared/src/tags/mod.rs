//! Tags: which of them Patchwave itself sets, what is wrong with those of others, and how a version
//! is promoted.

mod check;
mod copy;
mod keep;
mod promote;

pub use check::{KnownTags, Mutability, Violation, check_tags};
pub use copy::CopyPlan;
pub use keep::{KeepInput, KeepMemory, KeepPlan, Kept, Removal, keep_plan};
pub use promote::{Evidence, Places, Promote, Target, Unfit, fitness, promotion};
