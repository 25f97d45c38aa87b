//! A sweep: a pass over every image, which also finds out what runs.
//!
//! Its steps are survey, observe, fold, write, plan, apply, rescan. One observation serves the
//! inventory, the plan and the choice of new scans. A survey that fails stops no pass.

use std::collections::BTreeMap;

use patchwave::hierarchy::{Hierarchy, Image};
use patchwave::inventory::{
    self, A_DAY, Answer, Catalog, Doubt, FoldInput, Folded, Inventory, NewVersions, Question, Rescan,
    Scanner, Survey, doubts, fold, rescans, unsent,
};
use patchwave::notice::{Notice, OwnersNotified};
use patchwave::time::{Span, Timestamp};
use patchwave::trigger::Trigger;

use crate::estate::{Estate, Surveyed};
use crate::inventory::{Running, rescan};
use crate::kept::Kept;
use crate::observe::glance;
use crate::report::{FailureKind, Report};
use crate::world::{Fault, FaultKind, World};
use crate::{PassSettings, pass, scope};

/// What a sweep did, and what it found out.
#[derive(Debug, Clone)]
pub struct Swept {
    pub report: Report,
    /// What runs; nothing if the survey failed.
    pub seen: Option<Seen>,
}

/// What runs, and what changed.
#[derive(Debug, Clone)]
pub struct Seen {
    pub folded: Folded,
    pub answer: Answer,
    /// Whether everything was surveyed, or the next invocation continues.
    pub has_ended: bool,
}

/// What a survey taught, and what is left to do after the pass.
struct Learnt {
    seen: Seen,
    rescans: Vec<Rescan>,
    lagging: Vec<Doubt>,
    /// The notices of owners that were sent.
    notices: Vec<Notice>,
    /// Failures that did not stop the sweep.
    faults: Vec<(FailureKind, Fault)>,
}

/// Sweeps: surveys where images run, and passes over all of them.
///
/// The pass comes first if an earlier survey ended its function: this one may do so, too.
///
/// # Errors
///
/// As for [`converge`](crate::converge).
pub async fn sweep<E: Estate>(
    estate: &E,
    hierarchy: &Hierarchy,
    triggers: &[Trigger],
    settings: &PassSettings,
) -> Result<Swept, Fault> {
    let ended_badly = estate.ended_badly().await;
    let pass = async |kept| Box::pin(pass::make(estate, hierarchy, triggers, settings, kept)).await;
    let passed = if ended_badly == Ok(true) { Some(pass(Kept::default()).await?) } else { None };
    let learnt = match ended_badly {
        Ok(_) => Box::pin(learn(estate, hierarchy, triggers, settings)).await,
        Err(fault) => Err(fault),
    };
    let (learnt, kept) = match learnt {
        Ok((learnt, kept)) => (Ok(learnt), kept),
        Err(fault) => (Err(fault), Kept::default()),
    };
    let mut report = match passed {
        Some(report) => report,
        None => pass(kept).await?,
    };
    match learnt {
        Ok(learnt) => {
            let seen = Some(finish(estate, hierarchy, learnt, &mut report).await);
            Ok(Swept { report, seen })
        }
        // Nothing of what it saw is in the table.
        Err(fault) => {
            report.is_whole = false;
            report.failed(FailureKind::Write, None, &fault);
            Ok(Swept { report, seen: None })
        }
    }
}

/// Surveys, observes all images page by page, adds both to what was known, and writes that. It
/// concludes nothing from what it could not read. Returns the pages for the pass that follows.
async fn learn<E: Estate>(
    estate: &E,
    hierarchy: &Hierarchy,
    triggers: &[Trigger],
    settings: &PassSettings,
) -> Result<(Learnt, Kept), Fault> {
    let budget = settings.budget;
    let mut surveyed = estate.survey(hierarchy, part_of(budget.deadline, estate.now(), (2, 3))).await?;
    let images = hierarchy.images().map(|image| image.id.clone()).collect();
    let before = estate.inventory(&images).await?;
    let named = scope::named(hierarchy, triggers);
    let until = part_of(budget.deadline, estate.now(), (1, 2));
    let ran = before.deployments();
    let mut kept = Kept::observe(estate, hierarchy, (&named, &ran), budget.images, until).await;
    let Understood { mut folded, rescans, lagging, mut faults } =
        understand(estate, estate, hierarchy, &before, &mut surveyed, &kept).await;
    let now = estate.now();
    kept.survey(hierarchy, &ran, &folded.inventory.deployments());

    estate.keep_inventory(&before, &folded, now).await?;
    estate.keep_survey(&surveyed).await?;
    let (notices, failed) = notify(estate, hierarchy, &before.notified, &mut folded.inventory.notified).await;
    faults.extend(failed);
    if !surveyed.has_ended() {
        let failed = go_on(estate, &surveyed).await.err();
        faults.extend(failed.map(|fault| (FailureKind::Schedule, fault)));
    }
    let answer = folded.inventory.answer(hierarchy, &Question::default(), now);
    let seen = Seen { folded, answer, has_ended: surveyed.has_ended() };
    Ok((Learnt { seen, rescans, lagging, notices, faults }, kept))
}

/// What a survey and the observation of all images taught.
struct Understood {
    folded: Folded,
    rescans: Vec<Rescan>,
    lagging: Vec<Doubt>,
    faults: Vec<(FailureKind, Fault)>,
}

/// Adds what the survey saw and what was observed to what was known `before`. Observes what `kept`
/// lacks.
async fn understand<W: World, E: Estate>(
    world: &W,
    estate: &E,
    hierarchy: &Hierarchy,
    before: &Inventory,
    surveyed: &mut Surveyed,
    kept: &Kept,
) -> Understood {
    let is_left = |image: &&Image| !kept.facts().any(|facts| facts.images.contains_key(&image.id));
    let rest = glance(world, hierarchy, &hierarchy.images().filter(is_left).collect::<Vec<_>>()).await;
    let mut catalog = Catalog::default();
    for facts in kept.facts().chain([&rest]) {
        catalog.add_facts(hierarchy, facts);
    }
    let running = Running::read(world, hierarchy, before, &surveyed.survey, &catalog).await;
    for (repository, version) in &running.versions {
        catalog.add(repository, version);
    }
    for ((repository, digest), why) in &running.missing {
        catalog.miss(repository, digest, why.clone());
    }
    let mut faults = Vec::new();
    if surveyed.survey.has_unread_clusters() {
        let failed = add_reports(estate, hierarchy, &catalog, &mut surveyed.survey).await.err();
        faults.extend(failed.map(|fault| (FailureKind::Read, fault)));
    }
    let now = estate.now();
    let mut folded = fold(before, &input(hierarchy, surveyed, &catalog, now));
    // Without a listener nothing changes, so that one that is added later receives every notice.
    if world.has_listener() {
        let new = NewVersions { hierarchy, catalog: &catalog, now };
        folded.inventory.notified = new.notified(&before.notified, &folded.inventory);
    }
    let rescans = rescans(hierarchy, &catalog, &folded.inventory, now, A_DAY);
    let mut lagging: Vec<Doubt> =
        kept.facts().chain([&rest]).flat_map(|facts| inventory::lagging(hierarchy, facts)).collect();
    lagging.sort();
    lagging.dedup();
    Understood { folded, rescans, lagging, faults }
}

/// Returns what runs by a survey that nothing was known before, and writes nothing. `world`
/// observes the images: it need not have a ledger.
pub async fn inventory_of<W: World, E: Estate>(
    world: &W,
    estate: &E,
    hierarchy: &Hierarchy,
    mut surveyed: Surveyed,
) -> (Inventory, Vec<Fault>) {
    let (before, kept) = (Inventory::default(), Kept::default());
    let understood = understand(world, estate, hierarchy, &before, &mut surveyed, &kept).await;
    let faults = understood.faults.into_iter().map(|(_, fault)| fault).collect();
    (understood.folded.inventory, faults)
}

fn input<'l>(
    hierarchy: &'l Hierarchy,
    surveyed: &'l Surveyed,
    catalog: &'l Catalog<'l>,
    now: Timestamp,
) -> FoldInput<'l> {
    let Surveyed { survey, began, .. } = surveyed;
    FoldInput { survey, began: *began, ended: surveyed.has_ended(), hierarchy, catalog, now }
}

/// Returns when this part of the time that is left has passed: the rest is for what follows.
fn part_of(deadline: Option<Timestamp>, now: Timestamp, (part, of): (u32, u32)) -> Option<Timestamp> {
    let left = Span::between(now, deadline?);
    Some(Span::seconds(left.as_seconds() / of * part).after(now))
}

/// Adds what Inspector saw in the clusters that could not be read, if Inspector scans. If several
/// questions fail, it returns one fault. What Inspector does not answer stays unknown.
async fn add_reports<E: Estate>(
    estate: &E,
    hierarchy: &Hierarchy,
    catalog: &Catalog<'_>,
    survey: &mut Survey,
) -> Result<(), Fault> {
    if estate.scanning().await?.scanner == Scanner::Basic {
        return Ok(());
    }
    let (mut seen, mut failed) = (BTreeMap::new(), None);
    for (manifest, answer) in estate.seen_in_use(&catalog.manifests()).await {
        match answer {
            Ok(clusters) => {
                seen.insert(manifest, clusters);
            }
            Err(fault) => failed = Some(fault),
        }
    }
    survey.add_reports(hierarchy, &seen, estate.now());
    failed.map_or(Ok(()), Err)
}

/// Continues an unfinished survey at once. A survey without progress waits for the next day.
async fn go_on<E: Estate>(estate: &E, surveyed: &Surveyed) -> Result<(), Fault> {
    if surveyed.made_progress() {
        return estate.continue_survey().await;
    }
    Err(Fault {
        operation: "continue the survey".into(),
        kind: FaultKind::Unavailable,
        message: "no place that was left could be read within one invocation; the next sweep tries again"
            .into(),
    })
}

/// Ends a sweep: requests new scans, and reports what the sweep found. This follows the pass, which
/// would otherwise find these scans in progress.
async fn finish<E: Estate>(estate: &E, hierarchy: &Hierarchy, learnt: Learnt, report: &mut Report) -> Seen {
    let Learnt { seen, rescans, lagging, notices, faults } = learnt;
    report.notified.extend(notices);
    report.inventory = Some(seen.answer.totals());
    for (kind, fault) in &faults {
        report.failed(*kind, None, fault);
    }
    report.doubts.extend(lagging.iter().map(ToString::to_string));
    if !seen.has_ended {
        report.doubts.push("the survey has not read every place yet; another invocation continues it".into());
    }
    let scanner = match estate.scanning().await {
        Ok(scanning) => scanning.scanner,
        // Then the scans themselves show which scanner made them.
        Err(fault) => {
            report.failed(FailureKind::Read, None, &fault);
            Scanner::Basic
        }
    };
    match scanner {
        Scanner::Basic => rescan(estate, rescans, report).await,
        Scanner::Enhanced => match watched(estate, hierarchy, &seen.folded.inventory).await {
            Ok(doubts) => report.doubts.extend(doubts.iter().map(ToString::to_string)),
            Err(fault) => report.failed(FailureKind::Read, None, &fault),
        },
    }
    seen
}

/// Sends the notices of owners that are not sent yet, and marks them. They are written before: if
/// the sweep is cut off, the next one sends them again.
async fn notify<E: Estate>(
    estate: &E,
    hierarchy: &Hierarchy,
    before: &OwnersNotified,
    notified: &mut OwnersNotified,
) -> (Vec<Notice>, Vec<(FailureKind, Fault)>) {
    let changed = notified.iter().filter(|(owner, now)| before.get(*owner) != Some(*now));
    let changed: OwnersNotified = changed.map(|(owner, now)| (owner.clone(), now.clone())).collect();
    let unsent = if estate.has_listener() { unsent(hierarchy, notified) } else { Vec::new() };
    if unsent.is_empty() {
        return Default::default();
    }
    if let Err(fault) = estate.keep_notified(&changed).await {
        return (Vec::new(), vec![(FailureKind::Write, fault)]);
    }
    let (owners, notices): (Vec<_>, Vec<_>) = unsent.into_iter().unzip();
    let (mut sent, mut faults) = (Vec::new(), Vec::new());
    let mut marked = OwnersNotified::new();
    for ((owner, notice), answer) in
        owners.into_iter().zip(notices.clone()).zip(estate.notify(&notices).await)
    {
        match (answer, notified.get_mut(&owner)) {
            (Ok(()), Some(now)) => {
                now.sent = true;
                marked.insert(owner, now.clone());
                sent.push(notice);
            }
            (Ok(()), None) => {}
            (Err(fault), _) => faults.push((FailureKind::Notice, fault)),
        }
    }
    let kept = if marked.is_empty() { Ok(()) } else { estate.keep_notified(&marked).await };
    faults.extend(kept.err().map(|fault| (FailureKind::Write, fault)));
    (sent, faults)
}

/// Returns where Inspector does not scan long enough, or contradicts the survey.
async fn watched<E: Estate>(
    estate: &E,
    hierarchy: &Hierarchy,
    inventory: &Inventory,
) -> Result<Vec<Doubt>, Fault> {
    let windows = estate.windows().await?;
    let repositories = hierarchy.images().map(|image| image.repository.clone()).collect();
    let covered = estate.covered(&repositories).await?;
    Ok(doubts(hierarchy, inventory, &windows, &covered, estate.now()))
}
