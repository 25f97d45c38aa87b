//! One pass: observe, plan, apply.
//!
//! The same code runs in the Lambda functions, in the simulator and in the CLI. One narrow
//! interface, [`World`], separates it from the services that it calls.

mod agenda;
mod apply;
mod estate;
mod intervene;
mod inventory;
mod kept;
mod lineage;
mod observe;
mod observe_page;
mod pass;
mod replicas;
mod report;
mod scans;
mod scope;
mod stuck;
mod sweep;
mod upstream;
mod world;

pub use apply::LEASE;
pub use estate::{Cursor, Estate, Left, Surveyed};
pub use intervene::{NotIntervened, approve, intervene, record};
pub use observe::observe;
pub use report::{Failure, FailureKind, Held, PredictionOver, Report, Started};
pub use scans::Detail;
pub use stuck::{StuckSlot, stuck_slots};
pub use sweep::{Seen, Swept, inventory_of, sweep};
pub use upstream::{Asked, CachedTag, Upstreams};
pub use world::{
    Due, Fault, FaultKind, Found, ManifestAt, NotClaimed, NotSaved, NotStarted, Records, ScanRequest, World,
};

use kept::Kept;
use patchwave::facts::{Facts, PipelineFacts};
use patchwave::hierarchy::Hierarchy;
use patchwave::image::ImageId;
use patchwave::plan::{Plan, Start, plan};
use patchwave::policy::Mode;
use patchwave::time::Timestamp;
use patchwave::trigger::Trigger;

/// What a pass may do, and who makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassSettings {
    /// The ceiling: policy can stay below it, never above.
    pub mode: Mode,
    /// The owner of the pass's claims: unique to the invocation.
    pub owner: String,
    pub budget: Budget,
}

/// How much a pass may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Most images that one page names. With 200 findings on each of two platforms an image takes
    /// some 80 KB, so a page at 200 images takes 16 MB and a minute at ECR's rates.
    pub images: usize,
    /// Most pages of one pass.
    pub pages: u32,
    /// How often a pass looks again at images whose records others wrote first.
    pub retries: u32,
    /// When the invocation ends. No page begins that could last longer.
    pub deadline: Option<Timestamp>,
}

impl Default for Budget {
    fn default() -> Self {
        Self { images: 200, pages: u32::MAX, retries: 3, deadline: None }
    }
}

/// Makes one pass: looks at the images that the triggers name, at what is due by the schedule if a
/// tick or a sweep asks for it, and at what is ready where slots are free. It makes as many pages
/// as that takes. What it cannot finish before its deadline stays in the schedule, and it asks for
/// another invocation.
///
/// # Errors
///
/// A ledger that does not answer at first. The report lists every other fault, and what succeeded.
pub async fn converge<W: World>(
    world: &W,
    hierarchy: &Hierarchy,
    triggers: &[Trigger],
    settings: &PassSettings,
) -> Result<Report, Fault> {
    pass::make(world, hierarchy, triggers, settings, Kept::default()).await
}

/// Observes every image, and asks about the pipelines that would start under the ceiling `mode`.
/// The result is all that a plan is made from. Nothing is changed.
///
/// # Errors
///
/// A ledger that does not answer. Everything else that cannot be read is unknown in the snapshot.
pub async fn snapshot<W: World>(world: &W, hierarchy: &Hierarchy, mode: Mode) -> Result<Facts, Fault> {
    let everything = hierarchy.images().map(|image| image.id.clone()).collect();
    let mut facts = observe(world, hierarchy, &everything, Detail::Whole).await?;
    upstream::add_all_caches(world, hierarchy, &mut facts).await;
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
        for Start { image, pipeline, .. } in &unasked {
            let answer = answers.remove(image);
            let unasked = || PipelineFacts::Unread(format!("{pipeline} was not asked about").into());
            let answer = answer.unwrap_or_else(unasked);
            facts.pipelines.insert(image.clone(), answer);
        }
        let asked: Vec<ImageId> = unasked.into_iter().map(|start| start.image.clone()).collect();
        replicas::add(world, hierarchy, facts, &asked).await;
    }
}
