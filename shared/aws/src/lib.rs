//! Patchwave's effects on AWS: one module for each service, and the functions' handler. Nothing
//! here decides.
//!
//! The modules translate AWS's answers into the domain's types. If a call fails, they return a
//! [`Fault`](patchwave_converge::Fault) that says what was tried and why it failed. A partly read
//! answer never counts as an answer.

mod clients;
mod codepipeline;
mod credentials;
mod dynamodb;
mod ecr;
pub mod eventbridge;
mod fault;
mod hierarchy;
mod inspector;
mod installation;
mod inventory;
pub mod lambda;
mod manifest;
mod registries;
mod scheduler;
pub mod settings;
mod sqs;
pub mod survey;
mod telemetry;
mod time;
mod world;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod mutated;

pub use installation::{ActedOn, Intervened, NotDone, free_stuck_slot, intervene, snapshot, stuck_slots};
pub use inventory::{Inventoried, read as inventory};
pub use settings::InvalidSettings;
pub use world::AwsWorld;
