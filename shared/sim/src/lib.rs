//! A simulated AWS in memory: registry, scanner, pipelines, clusters and a virtual clock.
//!
//! Patchwave's own code observes, plans and applies in it. [`SimulatedWorld`] implements
//! `patchwave_converge::World`, the only interface through which Patchwave reaches AWS, and
//! [`Simulation`] delivers events to Patchwave's functions. The same hierarchy and seed give the
//! same history, byte for byte.
//!
//! A [`Scenario`] runs one seed with faults injected and checks that Patchwave keeps its
//! guarantees. A [`Run`] does that for many seeds on all processors.

mod baselines;
mod bootstrap;
mod build;
mod cardinality;
mod checker;
mod clusters;
mod contest;
mod coverage;
mod demo_hierarchy;
mod draw;
mod events;
mod faults;
mod faulty_world;
mod incident;
mod ledger;
mod no_events;
mod not_yet;
mod observation;
mod ordinary;
mod outcome;
mod packages;
mod people;
mod pipelines;
mod random_hierarchy;
mod registry;
mod requests;
mod rivals;
mod scanner;
mod scenario;
mod simulation;
mod size;
mod state;
mod state_fingerprint;
mod tally;
mod test_bed;
mod truth;
mod upstream;
mod wave;
mod world;

pub use baselines::Handler;
pub use cardinality::CardinalityEstimate;
pub use clusters::{Orchestrator, Workload};
pub use contest::{Contest, Contested};
pub use coverage::Coverage;
pub use demo_hierarchy::DEMO_HIERARCHY;
pub use faults::{InjectedFault, Level};
pub use incident::{Incident, can_be_rebuilt};
pub use not_yet::NotYet;
pub use observation::{Build, Function, Observation};
pub use ordinary::Ordinary;
pub use outcome::{Outcome, PlantedDefect};
pub use packages::Vulnerability;
pub use requests::{Asked, Invoked, Requests};
pub use rivals::{Policy, Rolled};
pub use scenario::{Runner, Scenario, ScenarioError};
pub use simulation::{Broken, Simulation};
pub use size::Size;
pub use tally::{Baseline, Run, Tally};
pub use upstream::{Rival, UpstreamMonth, UpstreamRequests, Watched};
pub use wave::{Wave, Waved};
pub use world::SimulatedWorld;
