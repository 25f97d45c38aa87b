//! Patchwave's effects on AWS: one module for each service, and the functions' handler. Nothing
//! here decides.
//!
//! The modules translate AWS's answers into the domain's types. If a call fails, they return a
//! [`Fault`](patchwave_converge::Fault) that says what was tried and why it failed. A partly read
//! answer never counts as an answer.

pub mod care;
mod clients;
mod codepipeline;
mod credentials;
#[cfg(feature = "discover")]
pub mod discover;
mod doctor;
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
mod organizations;
mod pages;
mod registries;
mod scheduler;
pub mod settings;
mod sqs;
pub mod survey;
mod telemetry;
mod time;
mod upstream;
mod world;

#[cfg(test)]
mod answers;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod mutated;

pub use doctor::{configured, look};
pub use installation::{
    ActedOn, Intervened, NotDone, Observed, free_stuck_slot, intervene, observe, stuck_slots,
};
pub use inventory::{Inventoried, read as inventory};
pub use settings::InvalidSettings;
pub use world::AwsWorld;
