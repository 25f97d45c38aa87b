//! Runs one scenario after another, and reuses what neighbouring seeds share.

use patchwave::hierarchy::Hierarchy;

use super::{Scenario, ScenarioError};
use crate::cardinality::CardinalityEstimate;
use crate::draw::Seed;
use crate::faults::Level;
use crate::outcome::Outcome;
use crate::random_hierarchy::{Edition, RandomHierarchy};
use crate::size::Size;

/// How many seeds in a row share one hierarchy: parsing its three editions takes as long as a few
/// small scenarios.
const SEEDS_PER_HIERARCHY: u64 = 8;

/// What the scenario of a seed shares with those next to it.
#[derive(Debug)]
pub(super) struct Setup {
    size: Size,
    level: Level,
    /// The same for all seeds that share the hierarchy.
    number: u64,
    pub(super) random: RandomHierarchy,
    pub(super) hierarchy: Hierarchy,
    pub(super) edited: Hierarchy,
    pub(super) reorganised: Hierarchy,
}

impl Setup {
    fn of(scenario: Scenario) -> Result<Self, ScenarioError> {
        let Scenario { seed, size, level, .. } = scenario;
        let number = number(scenario);
        let random = RandomHierarchy::draw(Seed(number), size, level);
        let parse =
            |edition: &Edition| edition.parse().map_err(|errors| ScenarioError::Hierarchy(seed, errors));
        let (hierarchy, edited) = (parse(&random.first)?, parse(&random.edited)?);
        let reorganised = parse(&random.reorganised.0)?;
        Ok(Self { size, level, number, random, hierarchy, edited, reorganised })
    }

    fn is_of(&self, scenario: Scenario) -> bool {
        let Scenario { size, level, .. } = scenario;
        self.size == size && self.level == level && self.number == number(scenario)
    }
}

/// Returns the number of the hierarchy of a scenario. Each huge one has a hierarchy of its own.
fn number(scenario: Scenario) -> u64 {
    let seeds = if scenario.size == Size::Huge { 1 } else { SEEDS_PER_HIERARCHY };
    scenario.seed / seeds
}

/// Runs one scenario after another.
#[derive(Debug, Default)]
pub struct Runner {
    setup: Option<Setup>,
    states: CardinalityEstimate,
}

impl Runner {
    /// Runs a scenario. Its outcome does not depend on what ran before.
    pub fn run(&mut self, scenario: Scenario) -> Result<Outcome, ScenarioError> {
        let setup = match self.setup.take().filter(|setup| setup.is_of(scenario)) {
            Some(same) => self.setup.insert(same),
            None => self.setup.insert(Setup::of(scenario)?),
        };
        let (outcome, fingerprints) = scenario.run_in(setup)?;
        for fingerprint in fingerprints {
            self.states.add(fingerprint);
        }
        Ok(outcome)
    }

    /// Returns an estimate of the distinct states so far.
    pub(crate) fn into_states(self) -> CardinalityEstimate {
        self.states
    }
}
