//! What a sweep does beside its pass: looks at what runs, writes it down, and asks for new scans.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::SignedDuration;
use patchwave::hierarchy::Hierarchy;
use patchwave::image::ImageId;
use patchwave::inventory::{
    self, Doubt, Inventory, NAMESPACE, Question, Scanner, Survey, Totals, doubts, items, metrics,
};
use patchwave::table::{Item, Key};
use patchwave::time::Timestamp;
use patchwave_converge::{
    Described, Failure, Fault, FaultKind, Report, Surveyed, Understood, World, describe, rescan,
};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use crate::fault::invalid;
use crate::installation::{Installation, NotDone};
use crate::scheduler::Scheduler;
use crate::survey::{Cursor, Surveyor, Target};
use crate::telemetry;
use crate::world::AwsWorld;

/// A survey that an invocation could not end.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Unfinished {
    /// When it began.
    began: Timestamp,
    /// Where it goes on.
    cursor: Cursor,
}

/// What a look brought.
pub(crate) struct Swept {
    understood: Understood,
    totals: Totals,
    /// What went wrong beside it.
    faults: Vec<Fault>,
}

/// Looks at everything that the hierarchy names, or at what the last invocation left of it, understands it and writes it
/// down. Nothing is concluded from what could not be read.
pub(crate) async fn sweep(
    installation: &Installation,
    world: &AwsWorld,
    hierarchy: &Hierarchy,
    deadline: Option<Timestamp>,
) -> Result<Swept, Fault> {
    let ledger = world.ledger();
    let resume: Option<Unfinished> = ledger.state::<Option<Unfinished>>(Key::cursor()).await?.flatten();
    let began = resume.as_ref().map_or_else(|| world.now(), |unfinished| unfinished.began);
    let surveyor = Surveyor::new(installation.clients().clone(), crate::settings::kube_endpoint());
    let until = deadline.and_then(|deadline| most_of_the_time(world.now(), deadline));
    let resumed = resume.is_some();
    let cursor = resume.map(|unfinished| unfinished.cursor);
    let (mut survey, left) = surveyor.survey(&targets(hierarchy), until, cursor.clone()).await;
    let got_on = left.as_ref().is_none_or(|left| got_on(&survey, cursor.as_ref(), left));

    let images = hierarchy.images().map(|image| image.id.clone()).collect();
    let before = ledger.inventory(&images).await?;
    let described = describe(world, hierarchy, &before, &survey).await;
    let mut faults = Vec::new();
    if survey.has_unread_clusters() {
        faults.extend(add_reports(world, hierarchy, &described, &mut survey).await.err());
    }
    let surveyed = Surveyed { survey, began, ended: left.is_none() };
    let understood = described.understand(hierarchy, &before, &surveyed);
    world.keep_scans(understood.scans(hierarchy));
    let now = understood.facts.observed_at;
    let operation = "write the inventory";
    let written = items(&before, &understood.folded, now).map_err(|e| invalid(operation, e.to_string()))?;
    ledger.write(&written).await?;
    // Only after what was seen is written: what is cut off before this is swept at again.
    if resumed || left.is_some() {
        let unfinished = left.map(|cursor| Unfinished { began, cursor });
        let state = serde_json::to_string(&unfinished).map_err(|e| invalid(operation, e.to_string()))?;
        ledger.write(&[Item { key: Key::cursor(), state, expires_at: None }]).await?;
    }
    if !surveyed.ended {
        faults.extend(go_on(installation.sweeps(), world.now(), got_on).await.err());
    }

    let inventory = &understood.folded.inventory;
    let answer = inventory.answer(hierarchy, &Question::default(), now);
    if surveyed.ended {
        for line in metrics(inventory, &answer, now) {
            telemetry::figures(&line);
        }
    }
    for place in answer.places.iter().filter(|place| place.unread.is_some()) {
        warn!(target: "patchwave", place = place.id, because = place.unread, "unread");
    }
    let totals = answer.totals();
    info!(
        target: "patchwave",
        namespace = NAMESPACE, running = totals.running, vulnerable = totals.vulnerable, unknown = totals.unknown,
        changes = understood.folded.changes.len(), ended = surveyed.ended, "swept"
    );
    Ok(Swept { understood, totals, faults })
}

/// Adds what Inspector saw in the clusters that could not be read, where Inspector scans. Of many questions that fail one is
/// told: what is not answered is unknown as it was.
async fn add_reports(
    world: &AwsWorld,
    hierarchy: &Hierarchy,
    described: &Described,
    survey: &mut Survey,
) -> Result<(), Fault> {
    if world.scanning().await?.scanner == Scanner::Basic {
        return Ok(());
    }
    let (mut seen, mut failed) = (BTreeMap::new(), None);
    for (manifest, answer) in world.seen_in_use(&described.manifests(hierarchy)).await {
        match answer {
            Ok(clusters) => {
                seen.insert(manifest, clusters);
            }
            Err(fault) => failed = Some(fault),
        }
    }
    survey.add_reports(hierarchy, &seen, world.now());
    failed.map_or(Ok(()), Err)
}

/// Tells whether an invocation got on with what it left: it read something, or knows now of a place that needs the whole of
/// the next one.
fn got_on(survey: &Survey, before: Option<&Cursor>, left: &Cursor) -> bool {
    !survey.places.is_empty() || left.interrupted() > before.map_or(0, Cursor::interrupted)
}

/// Has an unfinished survey gone on with at the next minute. One that does not get on is left to the next day.
async fn go_on(sweeps: Option<&Scheduler>, now: Timestamp, got_on: bool) -> Result<(), Fault> {
    if got_on {
        return match sweeps {
            Some(sweeps) => sweeps.schedule_once(now, now).await,
            None => Ok(()),
        };
    }
    Err(Fault {
        operation: "go on with the survey".into(),
        kind: FaultKind::Unavailable,
        message:
            "nothing of what was left could be read in the time of an invocation; the next sweep tries again"
                .into(),
    })
}

/// Two thirds of the time that is left: the pass that follows needs the rest. Nothing if the deadline has passed, as that of
/// what emulates Lambda on a desk has.
fn most_of_the_time(now: Timestamp, deadline: Timestamp) -> Option<Timestamp> {
    let left = deadline.as_millisecond().saturating_sub(now.as_millisecond());
    (left > 0).then(|| now.saturating_add(SignedDuration::from_millis(left / 3 * 2)).unwrap_or(deadline))
}

fn targets(hierarchy: &Hierarchy) -> Vec<Target> {
    let inspected = hierarchy.inspected();
    let target = |account: &patchwave::hierarchy::Account| Target {
        account: account.id.clone(),
        environment: account.environment.clone(),
        role: account.role.clone(),
        regions: inspected.regions.clone(),
    };
    inspected.accounts.iter().map(target).collect()
}

/// Ends a sweep: asks for new scans, after its pass, which would otherwise find them all under way; and says what a look
/// brought.
pub(crate) async fn finish(
    world: &AwsWorld,
    hierarchy: &Hierarchy,
    swept: Result<Swept, Fault>,
    report: &mut Report,
) {
    let Swept { understood, totals, faults } = match swept {
        Ok(swept) => swept,
        Err(fault) => return fail(report, None, &fault),
    };
    report.inventory = Some(totals);
    for fault in &faults {
        fail(report, None, fault);
    }
    let scanner = match world.scanning().await {
        Ok(scanning) => scanning.scanner,
        // Then the scans themselves tell who made them.
        Err(fault) => {
            fail(report, None, &fault);
            Scanner::Basic
        }
    };
    match scanner {
        Scanner::Basic => {
            let (begun, faults) = rescan(world, hierarchy, &understood).await;
            report.scans_requested.extend(begun);
            for (image, fault) in faults {
                fail(report, Some(image), &fault);
            }
        }
        Scanner::Enhanced => match watched(world, hierarchy, &understood.folded.inventory).await {
            Ok(doubts) => report.doubts.extend(doubts.iter().map(ToString::to_string)),
            Err(fault) => fail(report, None, &fault),
        },
    }
}

/// What Inspector does not watch long enough, or sees otherwise than we do.
async fn watched(
    world: &AwsWorld,
    hierarchy: &Hierarchy,
    inventory: &Inventory,
) -> Result<Vec<Doubt>, Fault> {
    let windows = world.windows().await?;
    let repositories = hierarchy.images().map(|image| image.repository.clone()).collect();
    let covered = world.covered(&repositories).await?;
    Ok(doubts(hierarchy, inventory, &windows, &covered, world.now()))
}

fn fail(report: &mut Report, image: Option<ImageId>, fault: &Fault) {
    report.errors.push(Failure { image, message: fault.to_string() });
}

/// A deployment's inventory, as its table holds it.
#[derive(Debug)]
pub struct Inventoried {
    pub hierarchy: Arc<Hierarchy>,
    /// What is known of what runs.
    pub inventory: inventory::Inventory,
    pub now: Timestamp,
}

/// Reads the inventory of the deployment that the environment names, and tells `progress` how many entries it has so far.
///
/// # Errors
///
/// Where the hierarchy or the table do not answer.
pub async fn read(progress: impl Fn(usize)) -> Result<Inventoried, NotDone> {
    let installation = Installation::read().await?;
    let (world, hierarchy) = installation.world().await?;
    let images = hierarchy.images().map(|image| image.id.clone()).collect();
    let inventory = world.ledger().inventory_with(&images, progress).await?;
    Ok(Inventoried { hierarchy, inventory, now: world.now() })
}

#[cfg(test)]
mod tests {
    use patchwave::inventory::{ConsumerKind, Place, PlaceRead};

    use super::*;
    use crate::survey::Left;

    fn place(cluster: &str) -> Place {
        let (account, region) = ("111122223333".to_owned(), "us-east-1".to_owned());
        let cluster = Some(cluster.to_owned());
        Place { account, region, kind: ConsumerKind::Ecs, cluster, environment: None }
    }

    /// What is left, each place with whether an invocation ended in its midst.
    fn left(places: &[(&str, bool)]) -> Cursor {
        let left = |&(cluster, interrupted): &(&str, bool)| Left { interrupted, place: place(cluster) };
        Cursor { left: places.iter().map(left).collect() }
    }

    #[test]
    fn an_invocation_gets_on_if_it_reads_something_or_leaves_a_place_in_its_midst() {
        let nothing = Survey::default();
        let at = "2026-01-01T12:00:00Z".parse().unwrap();
        let read = PlaceRead { place: place("web"), at, unread: None };
        let something = Survey { places: vec![read], ..Survey::default() };
        let fresh = left(&[("a", false), ("b", false)]);
        let in_its_midst = left(&[("a", true), ("b", false)]);
        assert!(got_on(&something, None, &fresh));
        assert!(got_on(&something, Some(&in_its_midst), &in_its_midst));
        assert!(got_on(&nothing, None, &in_its_midst));
        assert!(got_on(&nothing, Some(&fresh), &in_its_midst));
        assert!(!got_on(&nothing, None, &fresh));
        assert!(!got_on(&nothing, Some(&in_its_midst), &in_its_midst));
    }
}
