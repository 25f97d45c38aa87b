//! One pass: observe, plan, apply.
//!
//! The same code runs in the Lambda functions, in the simulator and in the CLI. One narrow
//! interface, [`World`], separates it from the services that it calls.

mod agenda;
mod apply;
mod intervene;
mod inventory;
mod lineage;
mod observe;
mod observe_page;
mod replicas;
mod report;
mod scope;
mod stuck;
mod upstream;
mod world;

pub use apply::LEASE;
pub use intervene::{NotIntervened, intervene};
pub use inventory::{Described, Surveyed, Understood, describe, rescan};
pub use observe::observe;
pub use report::{Failure, FailureKind, Held, Report, Started};
pub use stuck::{StuckSlot, stuck_slots};
pub use upstream::{Asked, CachedTag, Upstreams};
pub use world::{
    Due, Fault, FaultKind, Found, ManifestAt, NotClaimed, NotSaved, NotStarted, Records, ScanRequest, World,
};

use agenda::Agenda;
use apply::Applied;
use patchwave::facts::{Facts, PipelineFacts};
use patchwave::hierarchy::Hierarchy;
use patchwave::image::ImageId;
use patchwave::plan::{Plan, Start, TICK, plan};
use patchwave::policy::Mode;
use patchwave::time::{Span, Timestamp};
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
    let mut agenda = Agenda::new(hierarchy, triggers, settings.budget);
    let mut report = Report { trigger: triggers.to_vec(), is_whole: true, ..Report::default() };
    let moved = watch(world, hierarchy, triggers, &mut report).await;
    agenda.name(&moved.images);
    let mut recheck_at: Option<Timestamp> = None;
    let Budget { deadline, pages, .. } = settings.budget;
    let mut left = Left { deadline, longest: None, pages: pages.max(1) };
    loop {
        let began = world.now();
        if !left.suffices_at(began) && !agenda.is_over() {
            recheck_at = Some(began);
            report.is_whole &= agenda.has_answered();
            break;
        }
        match Box::pin(make_page(world, hierarchy, settings, &mut agenda)).await {
            Ok(None) => break,
            Ok(Some(applied)) => {
                recheck_at = recheck_at.into_iter().chain(applied.recheck_at).min();
                report.add(applied.report);
            }
            Err(fault) if left.longest.is_none() => return Err(fault),
            Err(fault) => {
                report.failed(FailureKind::Read, None, &fault);
                report.is_whole = false;
                break;
            }
        }
        left.longest = left.longest.max(Some(Span::between(began, world.now())));
        left.pages -= 1;
    }
    if let Err(fault) = agenda.keep_sweep(world).await {
        report.failed(FailureKind::Write, None, &fault);
        report.is_whole = false;
    }
    if report.is_whole
        && let Err(fault) = moved.planned(world).await
    {
        // The next tick plans them again.
        report.failed(FailureKind::Write, None, &fault);
    }
    let soon = agenda.next_due.filter(|at| *at < TICK.after(world.now()));
    if let Some(at) = recheck_at.into_iter().chain(soon).min()
        && let Err(fault) = world.recheck(at).await
    {
        // The tick comes a little later.
        report.failed(FailureKind::Schedule, None, &fault);
    }
    Ok(report)
}

/// Asks at a tick whether upstream tags moved. If the ledger does not answer, the pass is made
/// without.
async fn watch<W: World>(
    world: &W,
    hierarchy: &Hierarchy,
    triggers: &[Trigger],
    report: &mut Report,
) -> upstream::Moved {
    if !triggers.contains(&Trigger::Tick) {
        return upstream::Moved::default();
    }
    upstream::watch(world, hierarchy).await.unwrap_or_else(|fault| {
        report.failed(FailureKind::Read, None, &fault);
        upstream::Moved::default()
    })
}

/// What is left of a budget.
struct Left {
    deadline: Option<Timestamp>,
    /// How long the longest page took; nothing before the first, which is always made.
    longest: Option<Span>,
    pages: u32,
}

impl Left {
    /// Returns whether a page that begins now ends in time, even if it takes twice as long as the
    /// longest.
    fn suffices_at(&self, now: Timestamp) -> bool {
        let ends_in_time = match (self.deadline, self.longest) {
            (Some(deadline), Some(longest)) => longest.after(longest.after(now)) <= deadline,
            _ => true,
        };
        self.pages > 0 && ends_in_time
    }
}

/// Makes one page, if there is anything left to look at.
async fn make_page<W: World>(
    world: &W,
    hierarchy: &Hierarchy,
    settings: &PassSettings,
    agenda: &mut Agenda<'_>,
) -> Result<Option<Applied>, Fault> {
    let Some(page) = agenda.next(world).await? else { return Ok(None) };
    let mut facts = observe_page::observe_page(world, hierarchy, page, settings.budget.images).await?;
    let plan = plan_with_pipelines(world, hierarchy, &mut facts, settings.mode).await;
    let mut applied = apply::apply(world, hierarchy, &facts, plan, &settings.owner).await;
    applied.report.doubts.extend(facts.lagging_replicas());
    agenda.note(&applied);
    if agenda.is_sweep() {
        applied.report.doubts.extend(upstream::silent(hierarchy, &facts));
    }
    if agenda.tries_again() {
        // Whoever wrote first planned with newer facts. This look is made again with those.
        applied.report.is_whole = true;
        applied.report.raced.clear();
    }
    Ok(Some(applied))
}

/// Observes every image, and asks about the pipelines that would start under the ceiling `mode`.
/// The result is all that a plan is made from. Nothing is changed.
///
/// # Errors
///
/// A ledger that does not answer. Everything else that cannot be read is unknown in the snapshot.
pub async fn snapshot<W: World>(world: &W, hierarchy: &Hierarchy, mode: Mode) -> Result<Facts, Fault> {
    let everything = hierarchy.images().map(|image| image.id.clone()).collect();
    let mut facts = observe(world, hierarchy, &everything).await?;
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
