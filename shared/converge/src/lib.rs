//! One pass: observe, plan, apply.
//!
//! The same code runs in the Lambda functions, in the simulator and in the CLI. One narrow
//! interface, [`World`], separates it from the services that it calls.

mod apply;
mod intervene;
mod inventory;
mod lineage;
mod observe;
mod report;
mod scope;
mod stuck;
mod world;

pub use apply::LEASE;
pub use intervene::{NotIntervened, intervene};
pub use inventory::{Described, Surveyed, Understood, describe, rescan};
pub use observe::observe;
use observe::observe_with;
pub use report::{Failure, FailureKind, Held, Report, Started};
pub use scope::scope;
pub use stuck::{StuckSlot, stuck_slots};
pub use world::{
    Fault, FaultKind, Found, ManifestAt, NotClaimed, NotSaved, NotStarted, Records, ScanRequest, World,
};

use std::collections::BTreeSet;

use patchwave::facts::{Facts, PipelineFacts};
use patchwave::hierarchy::Hierarchy;
use patchwave::image::ImageId;
use patchwave::plan::{Plan, Start, plan};
use patchwave::policy::Mode;
use patchwave::trigger::Trigger;

/// What a pass may do, and who makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassSettings {
    /// The ceiling: policy can stay below it, never above.
    pub mode: Mode,
    /// The owner of the pass's claims: unique to the invocation.
    pub owner: String,
}

/// Makes one pass: observes, plans and applies for the images that the triggers and the index of
/// unsettled images name.
///
/// # Errors
///
/// A ledger that does not answer ends the pass before anything is started. The report lists every
/// other fault, and what succeeded.
pub async fn converge<W: World>(
    world: &W,
    hierarchy: &Hierarchy,
    triggers: &[Trigger],
    settings: &PassSettings,
) -> Result<Report, Fault> {
    let unsettled = world.unsettled().await?;
    let (scope, records) = due(world, hierarchy, triggers, unsettled).await?;
    let mut facts = observe_with(world, hierarchy, &scope, records).await?;
    let plan = plan_with_pipelines(world, hierarchy, &mut facts, settings.mode).await;
    let mut report = apply::apply(world, hierarchy, &facts, plan, &settings.owner).await;
    report.trigger = triggers.to_vec();
    Ok(report)
}

/// Reads the records of the images in scope. Unsettled images that are not due yet are left out: a
/// person must first make readable what could not be read.
async fn due<W: World>(
    world: &W,
    hierarchy: &Hierarchy,
    triggers: &[Trigger],
    mut unsettled: BTreeSet<ImageId>,
) -> Result<(BTreeSet<ImageId>, Records), Fault> {
    let mut scope = scope::scope(hierarchy, triggers, &unsettled);
    let mut records = world.records(&scope).await?;
    let now = world.now();
    let before = unsettled.len();
    unsettled.retain(|id| records.read.get(id).is_none_or(|record| record.is_due(now)));
    if unsettled.len() < before {
        scope = scope::scope(hierarchy, triggers, &unsettled);
        records.read.retain(|id, _| scope.contains(id));
        records.unreadable.retain(|id, _| scope.contains(id));
    }
    Ok((scope, records))
}

/// Observes every image, and asks about the pipelines that would start under the ceiling `mode`.
/// The result is all that a plan is made from. Nothing is changed.
///
/// # Errors
///
/// A ledger that does not answer. Everything else that cannot be read is unknown in the snapshot.
pub async fn snapshot<W: World>(world: &W, hierarchy: &Hierarchy, mode: Mode) -> Result<Facts, Fault> {
    let everything = scope(hierarchy, &[Trigger::Sweep], &BTreeSet::new());
    let mut facts = observe(world, hierarchy, &everything).await?;
    // The reader of the snapshot plans again. This plan only finds the pipelines to ask about.
    let _ = plan_with_pipelines(world, hierarchy, &mut facts, mode).await;
    Ok(facts)
}

/// Plans, asks about the pipelines that would start, and plans again with the answers, until no
/// pipeline is left to ask about.
///
/// It repeats this because an image that its pipeline holds leaves its slot to another image.
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
            let unasked = || PipelineFacts::Unread(format!("{pipeline} was not asked about").into());
            let answer = answer.unwrap_or_else(unasked);
            facts.pipelines.insert(image.clone(), answer);
        }
    }
}
