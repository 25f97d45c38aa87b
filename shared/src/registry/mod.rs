//! What a registry's configuration should be, as changes of what it is.
//!
//! Nothing is written: the changes are printed for teams to apply. What others wrote stays.
//! Settings that a registry has once are printed whole, with what is there.

mod changes;
mod cloudformation;
mod policy;
mod setting;
mod terraform;

pub use changes::compare;
pub use cloudformation::template;
pub use setting::{Access, Change, Changes, Configured, Replica, Setting};
pub use terraform::configuration;
