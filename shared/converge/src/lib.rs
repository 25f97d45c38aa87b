//! Observe, plan, apply: one pass over a world.
//!
//! The same code runs in the Lambda functions, in the simulator and in the CLI. One narrow seam, [`World`], separates it
//! from what it acts on.

mod apply;
mod intervene;
mod inventory;
mod observe;
mod report;
mod scope;
mod world;

pub use apply::LEASE;
pub use intervene::{NotIntervened, intervene};
pub use inventory::{Described, Surveyed, Understood, describe, rescan};
pub use observe::observe;
pub use report::{Failure, Held, Report, Started};
pub use scope::scope;
pub use world::{Fault, FaultKind, ManifestAt, NotClaimed, NotSaved, NotStarted, Records, World};

use std::collections::BTreeSet;

use patchwave::facts::{Facts, PipelineFacts};
use patchwave::hierarchy::Hierarchy;
use patchwave::plan::{Plan, Start, plan};
use patchwave::policy::Mode;
use patchwave::trigger::Trigger;

/// What a pass is allowed to do, and in whose name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassSettings {
    /// The ceiling: policy can stay below it, never above.
    pub mode: Mode,
    /// Who claims: unique to the invocation.
    pub owner: String,
}

/// Makes one pass: what the triggers and the index of the unsettled are about is observed, planned and applied.
///
/// # Errors
///
/// A ledger that does not answer ends the pass before anything was started. Everything else that goes wrong is in the
/// report, beside what went right.
pub async fn converge<W: World>(
    world: &W,
    hierarchy: &Hierarchy,
    triggers: &[Trigger],
    settings: &PassSettings,
) -> Result<Report, Fault> {
    let unsettled = world.unsettled().await?;
    let scope = scope(hierarchy, triggers, &unsettled);
    let mut facts = observe(world, hierarchy, &scope).await?;
    let plan = plan_with_pipelines(world, hierarchy, &mut facts, settings.mode).await;
    let mut report = apply::apply(world, hierarchy, &facts, plan, &settings.owner).await;
    report.trigger = triggers.to_vec();
    Ok(report)
}

/// Observes every image and asks about the pipelines that would start under the ceiling `mode`: all that a plan is made from.
/// Changes nothing.
///
/// # Errors
///
/// A ledger that does not answer. What else cannot be read is unknown in the snapshot.
pub async fn snapshot<W: World>(world: &W, hierarchy: &Hierarchy, mode: Mode) -> Result<Facts, Fault> {
    let everything = scope(hierarchy, &[Trigger::Sweep], &BTreeSet::new());
    let mut facts = observe(world, hierarchy, &everything).await?;
    // Whoever reads the snapshot makes the plan again: here it only asks about the pipelines.
    let _ = plan_with_pipelines(world, hierarchy, &mut facts, mode).await;
    Ok(facts)
}

/// Plans, asks about the pipelines that would start, and plans again with what they say, until nothing is left to ask: who
/// is held for its pipeline leaves its slot to another.
async fn plan_with_pipelines<W: World>(
    world: &W,
    hierarchy: &Hierarchy,
    facts: &mut Facts,
    mode: Mode,
) -> Plan {
    loop {
        let plan = plan(hierarchy, facts, mode, facts.observed_at);
        let unasked: Vec<&Start> =
            plan.starts.iter().filter(|start| !facts.pipelines.contains_key(&start.image)).collect();
        if unasked.is_empty() {
            return plan;
        }
        let mut answers = world.pipelines(&unasked).await;
        for Start { image, pipeline, .. } in unasked {
            let answer = answers.remove(image);
            let answer =
                answer.unwrap_or_else(|| PipelineFacts::Unknown(format!("{pipeline} was not asked about")));
            facts.pipelines.insert(image.clone(), answer);
        }
    }
}
