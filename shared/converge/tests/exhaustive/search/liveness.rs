//! From every state in which both workers are idle, the sweep and the ticks alone must converge.

use patchwave::trigger::Trigger;

use super::{LEASE_PASSES, Search, fingerprint};
use crate::model::{ModelState, Violation};

/// More rounds than the whole diamond needs, one level after another, with every lease waited for.
const ROUNDS: u32 = 48;

impl Search {
    /// Checks that the model converges if no fault happens any more and no event arrives.
    pub(super) fn check_liveness(&mut self, model: &ModelState) -> Result<(), Violation> {
        let mut model = model.clone();
        let mut visited = Vec::new();
        for round in 0..ROUNDS {
            if round > 0 {
                let fingerprint = fingerprint(&model);
                if self.converging.contains(&fingerprint) {
                    self.converging.extend(visited);
                    return Ok(());
                }
                visited.push(fingerprint);
            }
            let trigger = if round == 0 { Trigger::Sweep } else { Trigger::Tick };
            self.run_alone(&mut model, trigger)?;
            if model.is_quiet(&self.diamond) {
                model.check_converged(&self.diamond)?;
                self.converging.extend(visited);
                return Ok(());
            }
            for run in (0..).zip(model.runs.clone()).filter(|(_, run)| !run.is_over()).map(|(run, _)| run) {
                model.end(&self.diamond, run)?;
            }
            model.complete_scan();
            model.now += LEASE_PASSES;
        }
        Err("the model never becomes quiet".into())
    }

    /// Runs one pass that nothing disturbs.
    fn run_alone(&mut self, model: &mut ModelState, trigger: Trigger) -> Result<(), Violation> {
        let mut node = self.passes.begin(trigger, "tick");
        while let Some(call) = self.passes.call(node) {
            let answer = model.perform(&self.diamond, call)?;
            model.check(&self.diamond)?;
            node = self.passes.answer(node, (model.now, answer));
        }
        Ok(())
    }
}
