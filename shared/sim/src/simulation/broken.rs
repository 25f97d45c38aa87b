//! Why a simulation could not go on.

use std::fmt;

use patchwave::trigger::InvalidEvent;
use patchwave_converge::Fault;

/// Why a simulation could not go on. Each is a defect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broken {
    /// Patchwave cannot parse an event of the simulated AWS.
    Event(InvalidEvent),
    /// Patchwave parses an event into another trigger than the simulator meant.
    Misread(String),
    /// A pass failed although no fault was injected.
    Pass(Fault),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event(invalid) => invalid.fmt(f),
            Self::Misread(event) => write!(f, "the parser takes this event for another: {event}"),
            Self::Pass(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for Broken {}
