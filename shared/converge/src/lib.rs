//! Observe, plan, apply: one pass over a world.
//!
//! The same code runs in the Lambda functions, in the simulator and in the CLI. One narrow seam, [`World`], separates it
//! from what it acts on.

mod report;
mod world;

pub use report::{Failure, Held, Report, Started};
pub use world::{Fault, FaultKind, ManifestAt, NotClaimed, NotSaved, NotStarted, World};
