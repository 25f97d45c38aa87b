//! The pages of one pass, until nothing is left or the invocation must end.

use patchwave::hierarchy::Hierarchy;
use patchwave::plan::TICK;
use patchwave::time::{Span, Timestamp};
use patchwave::trigger::Trigger;

use crate::agenda::Agenda;
use crate::apply::{Applied, apply};
use crate::kept::Kept;
use crate::observe_page::observe_page;
use crate::report::{FailureKind, Report};
use crate::scans::Detail;
use crate::world::{Fault, World};
use crate::{Budget, PassSettings, plan_with_pipelines, upstream};

/// Makes a pass. Pages that were observed before are not observed again, unless something was
/// written about their images since then.
pub(crate) async fn make<W: World>(
    world: &W,
    hierarchy: &Hierarchy,
    triggers: &[Trigger],
    settings: &PassSettings,
    mut kept: Kept,
) -> Result<Report, Fault> {
    let mut agenda = Agenda::new(hierarchy, triggers, settings.budget);
    let mut report = Report { trigger: triggers.to_vec(), is_whole: true, ..Report::default() };
    let moved = watch(world, hierarchy, triggers, &mut report).await;
    agenda.name(&moved.images);
    let (mut recheck_at, mut is_cut_off): (Option<Timestamp>, bool) = (None, false);
    let Budget { deadline, pages, .. } = settings.budget;
    let mut left = Left { deadline, longest: None, pages: pages.max(1) };
    loop {
        let began = world.now();
        if !left.suffices_at(began) && !agenda.is_over() {
            report.is_whole &= agenda.has_answered();
            cut_off(world, &agenda, &mut report).await;
            is_cut_off = true;
            break;
        }
        match Box::pin(make_page(world, hierarchy, settings, &mut agenda, &mut kept)).await {
            Ok(None) => break,
            Ok(Some(applied)) => {
                recheck_at = recheck_at.into_iter().chain(applied.recheck_at).min();
                report.add(applied.report);
            }
            Err(fault) if left.longest.is_none() => return Err(fault),
            Err(fault) => {
                report.failed(FailureKind::Read, None, &fault);
                report.is_whole = false;
                cut_off(world, &agenda, &mut report).await;
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
    // The cursor is written before the tick that goes on with it.
    if is_cut_off && let Err(fault) = world.go_on().await {
        report.failed(FailureKind::Schedule, None, &fault);
        recheck_at = Some(world.now());
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

/// Reports what the pass did not observe. If the schedule does not answer, that is the report.
async fn cut_off<W: World>(world: &W, agenda: &Agenda<'_>, report: &mut Report) {
    let goes_on = if report.is_whole {
        "the next tick goes on"
    } else {
        "the events are delivered again, and the next sweep observes all images"
    };
    match agenda.unobserved(world).await {
        Ok(unobserved) => report.cut_off(&unobserved, goes_on),
        Err(fault) => report.failed(FailureKind::Read, None, &fault),
    }
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
    kept: &mut Kept,
) -> Result<Option<Applied>, Fault> {
    let Some(page) = agenda.next(world).await? else { return Ok(None) };
    let most = settings.budget.images;
    let mut facts = match kept.take(&page, world.now()) {
        Some(facts) => facts,
        None => observe_page(world, hierarchy, page, most, None, Detail::Counted).await?,
    };
    facts.happened.clone_from(kept.happened());
    let plan = plan_with_pipelines(world, hierarchy, &mut facts, settings.mode).await;
    let mut applied = apply(world, hierarchy, &facts, plan, &settings.owner).await;
    applied.report.doubts.extend(facts.lagging_replicas());
    kept.note(&applied.touched);
    agenda.note(&applied);
    if agenda.names_a_sweep() {
        applied.report.doubts.extend(upstream::silent(hierarchy, &facts));
    }
    if agenda.tries_again() {
        // Whoever wrote first planned with newer facts. This look is made again with those.
        applied.report.is_whole = true;
        applied.report.raced.clear();
    }
    Ok(Some(applied))
}
