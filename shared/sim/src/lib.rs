//! A deterministic world in memory: registry, scanner, pipelines, clusters and a virtual clock.
//!
//! Patchwave's own code observes, plans and applies in it: [`SimulatedWorld`] stands in for AWS behind the one seam,
//! `patchwave_converge::World`, and [`Simulation`] delivers real events to it. The same hierarchy and seed give the same
//! history, byte for byte.

mod build;
mod clusters;
mod draw;
mod events;
mod faults;
mod faulty;
mod founding;
mod hamlet;
mod hostile;
mod incident;
mod invariants;
mod ledger;
mod moment;
mod ordinary;
mod organisation;
mod outsiders;
mod packages;
mod pipelines;
mod registry;
mod requests;
mod rivals;
mod scanner;
mod shape;
mod silence;
mod simulation;
mod size;
mod sketch;
mod state;
mod tally;
mod world;

pub use clusters::{Orchestrator, Workload};
pub use faults::{Level, Trouble};
pub use hostile::{NotPlayed, Outcome, Planted, Play, Theatre};
pub use incident::{Incident, can_be_rebuilt};
pub use moment::{Build, Function, Moment};
pub use ordinary::Ordinary;
pub use organisation::ORGANISATION;
pub use packages::Vulnerability;
pub use requests::{Asked, Invoked, Requests};
pub use rivals::Handler;
pub use simulation::{Broken, Simulation};
pub use size::Size;
pub use sketch::Sketch;
pub use tally::{Rival, Run, Tally};
pub use world::SimulatedWorld;
