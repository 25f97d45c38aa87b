//! What a sweep does besides its pass: it surveys what runs, writes the inventory, and requests new
//! scans.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::SignedDuration;
use patchwave::hierarchy::Hierarchy;
use patchwave::image::ImageId;
use patchwave::inventory::{
    self, ConsumerKind, Doubt, Inventory, NAMESPACE, Place, PlaceRead, Question, Scanner, Survey, Totals,
    doubts, items, lagging, metrics,
};
use patchwave::table::{Item, Key};
use patchwave::time::Timestamp;
use patchwave_converge::{
    Described, Failure, FailureKind, Fault, FaultKind, Report, Surveyed, Understood, World, describe, rescan,
};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use crate::clients::Clients;
use crate::fault::invalid;
use crate::installation::{Installation, NotDone};
use crate::organizations;
use crate::scheduler::Scheduler;
use crate::settings::Source;
use crate::survey::{Begun, Book, Cursor, Marks, Surveyor, Target, Unmarked, begun};
use crate::telemetry;
use crate::world::{AwsWorld, WithoutLedger};

/// A survey that an invocation could not finish.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Unfinished {
    began: Timestamp,
    cursor: Cursor,
}

/// What a sweep found.
pub(crate) struct Swept {
    understood: Understood,
    totals: Totals,
    /// Failures that did not stop the sweep.
    faults: Vec<(FailureKind, Fault)>,
}

/// Surveys everything that the hierarchy names, or what the last invocation left of it. Resolves
/// what it saw, and writes the inventory. It concludes nothing from what it could not read.
pub(crate) async fn sweep(
    installation: &Installation,
    world: &AwsWorld,
    hierarchy: &Hierarchy,
    deadline: Option<Timestamp>,
    unended: &[Begun],
) -> Result<Swept, Fault> {
    let ledger = world.ledger();
    let marks: Arc<dyn Marks> = Arc::new(ledger.clone());
    marks.write(Begun { place: None, times: 1, at: world.now() }).await?;
    let resume: Option<Unfinished> = ledger.state::<Option<Unfinished>>(Key::cursor()).await?.flatten();
    let began = resume.as_ref().map_or_else(|| world.now(), |unfinished| unfinished.began);
    let book = Book::new(Arc::clone(&marks), unended);
    let surveyor = Surveyor::new(installation.clients().clone(), crate::settings::kube_endpoint(), book);
    let until = deadline.and_then(|deadline| survey_deadline(world.now(), deadline));
    let resumed = resume.is_some();
    let cursor = resume.map(|unfinished| unfinished.cursor);
    let (targets, organization) = targets(installation.clients(), hierarchy, world.now()).await;
    let (mut survey, left) = surveyor.survey(&targets, until, cursor.clone()).await;
    survey.places.extend(organization);
    let made_progress = left.as_ref().is_none_or(|left| made_progress(&survey, cursor.as_ref(), left));

    let images = hierarchy.images().map(|image| image.id.clone()).collect();
    let before = ledger.inventory(&images).await?;
    let described = describe(world, hierarchy, &before, &survey).await;
    let mut faults = Vec::new();
    if survey.has_unread_clusters() {
        let failed = add_reports(world, hierarchy, &described, &mut survey).await.err();
        faults.extend(failed.map(|fault| (FailureKind::Read, fault)));
    }
    let surveyed = Surveyed { survey, began, ended: left.is_none() };
    let understood = described.understand(hierarchy, &before, &surveyed);
    world.keep_scans(understood.scans(hierarchy));
    let now = understood.facts.observed_at;
    let operation = "write the inventory";
    let written = items(&before, &understood.folded, now).map_err(|e| invalid(operation, e.to_string()))?;
    ledger.write(&written).await?;
    // The cursor is written after the inventory. If the invocation ends before this, the next sweep
    // reads the same places again.
    if resumed || left.is_some() {
        let unfinished = left.map(|cursor| Unfinished { began, cursor });
        let state = serde_json::to_string(&unfinished).map_err(|e| invalid(operation, e.to_string()))?;
        ledger.write(&[Item { key: Key::cursor(), state, expires_at: None }]).await?;
    }
    marks.remove(None, now).await?;
    if !surveyed.ended {
        let failed = continue_survey(installation.sweeps(), world.now(), made_progress).await.err();
        faults.extend(failed.map(|fault| (FailureKind::Schedule, fault)));
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

/// Returns what an earlier survey began and did not end: its function ended instead.
pub(crate) async fn unended(world: &AwsWorld) -> Result<Vec<Begun>, Fault> {
    begun(world.ledger()).await
}

/// Adds what Inspector saw in the clusters that could not be read, if Inspector scans. If several
/// questions fail, it returns one fault. What Inspector does not answer stays unknown.
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

/// Returns whether an invocation made progress with what was left. Either it read something, or it
/// found a place that needs the whole next invocation.
fn made_progress(survey: &Survey, before: Option<&Cursor>, left: &Cursor) -> bool {
    !survey.places.is_empty() || left.interrupted() > before.map_or(0, Cursor::interrupted)
}

/// Continues an unfinished survey at the next minute. A survey without progress waits for the next
/// day.
async fn continue_survey(
    sweeps: Option<&Scheduler>,
    now: Timestamp,
    made_progress: bool,
) -> Result<(), Fault> {
    if made_progress {
        return match sweeps {
            Some(sweeps) => sweeps.schedule_once(now, now).await,
            None => Ok(()),
        };
    }
    Err(Fault {
        operation: "continue the survey".into(),
        kind: FaultKind::Unavailable,
        message: "no place that was left could be read within one invocation; the next sweep tries again"
            .into(),
    })
}

/// Returns when two thirds of the remaining time have passed, because the pass that follows needs
/// the rest. `None` if the deadline has passed: local emulators of Lambda set a constant one in
/// 1970.
fn survey_deadline(now: Timestamp, deadline: Timestamp) -> Option<Timestamp> {
    let left = deadline.as_millisecond().saturating_sub(now.as_millisecond());
    (left > 0).then(|| now.saturating_add(SignedDuration::from_millis(left / 3 * 2)).unwrap_or(deadline))
}

/// Returns the accounts to survey: those of the file, and the others of the organisation. The list
/// of the latter is a place of its own: an account that is missing because the list could not be
/// read is unknown, and not absent.
async fn targets(
    clients: &Clients,
    hierarchy: &Hierarchy,
    now: Timestamp,
) -> (Vec<Target>, Option<PlaceRead>) {
    let mut targets = declared(hierarchy);
    let inspected = hierarchy.inspected();
    let Some(organization) = &inspected.organization else { return (targets, None) };
    let home = hierarchy.registry();
    let place = Place {
        account: home.account().to_owned(),
        region: home.region().to_owned(),
        kind: ConsumerKind::Organization,
        cluster: None,
        environment: None,
    };
    let listed = organizations::accounts(&clients.organizations(), organization).await;
    let unread = listed.as_ref().err().map(ToString::to_string);
    for (account, environment) in listed.unwrap_or_default() {
        if !inspected.accounts.iter().any(|declared| declared.id == account) {
            let role = organization.role.clone().filter(|_| account != home.account());
            targets.push(Target { account, environment, role, regions: inspected.regions.clone() });
        }
    }
    (targets, Some(PlaceRead { place, at: now, unread, not_inspected: std::collections::BTreeSet::new() }))
}

fn declared(hierarchy: &Hierarchy) -> Vec<Target> {
    let inspected = hierarchy.inspected();
    let target = |account: &patchwave::hierarchy::Account| Target {
        account: account.id.clone(),
        environment: account.environment.clone(),
        role: account.role.clone(),
        regions: inspected.regions.clone(),
    };
    inspected.accounts.iter().map(target).collect()
}

/// Ends a sweep: requests new scans, and reports what the sweep found. This follows the pass, which
/// would otherwise find these scans in progress.
pub(crate) async fn finish(
    world: &AwsWorld,
    hierarchy: &Hierarchy,
    swept: Result<Swept, Fault>,
    report: &mut Report,
) {
    let Swept { understood, totals, faults } = match swept {
        Ok(swept) => swept,
        // Nothing of what it saw is in the table.
        Err(fault) => {
            report.is_whole = false;
            return fail(report, FailureKind::Write, None, &fault);
        }
    };
    report.inventory = Some(totals);
    for (kind, fault) in &faults {
        fail(report, *kind, None, fault);
    }
    report.doubts.extend(lagging(hierarchy, &understood.facts).iter().map(ToString::to_string));
    let scanner = match world.scanning().await {
        Ok(scanning) => scanning.scanner,
        // Then the scans themselves show which scanner made them.
        Err(fault) => {
            fail(report, FailureKind::Read, None, &fault);
            Scanner::Basic
        }
    };
    match scanner {
        Scanner::Basic => {
            let (begun, faults) = rescan(world, hierarchy, &understood).await;
            report.scans_requested.extend(begun);
            for (image, fault) in faults {
                fail(report, FailureKind::Scan, Some(image), &fault);
            }
        }
        Scanner::Enhanced => match watched(world, hierarchy, &understood.folded.inventory).await {
            Ok(doubts) => report.doubts.extend(doubts.iter().map(ToString::to_string)),
            Err(fault) => fail(report, FailureKind::Read, None, &fault),
        },
    }
}

/// Returns where Inspector does not scan long enough, or contradicts the survey.
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

fn fail(report: &mut Report, kind: FailureKind, image: Option<ImageId>, fault: &Fault) {
    report.errors.push(Failure { kind, image, message: fault.to_string() });
}

/// An installation's inventory, as its table holds it.
#[derive(Debug)]
pub struct Inventoried {
    pub hierarchy: Arc<Hierarchy>,
    pub inventory: inventory::Inventory,
    pub now: Timestamp,
    /// The table that it was read from; nothing if it was surveyed now.
    pub table: Option<String>,
}

/// Reads the inventory of the installation that the environment describes. If it names no table,
/// this surveys what runs. Passes the number of entries so far to `progress`.
///
/// # Errors
///
/// If the hierarchy or the table does not answer.
pub async fn read(hierarchy: Option<Source>, progress: impl Fn(usize)) -> Result<Inventoried, NotDone> {
    let installation = Installation::to_read(hierarchy).await?;
    let (world, hierarchy) = installation.world().await?;
    let Some(table) = installation.table() else {
        let inventory = survey_now(&installation, &world, &hierarchy).await;
        return Ok(Inventoried { hierarchy, inventory, now: world.now(), table: None });
    };
    let images = hierarchy.images().map(|image| image.id.clone()).collect();
    let inventory = world.ledger().inventory_with(&images, progress).await?;
    Ok(Inventoried { hierarchy, inventory, now: world.now(), table: Some(table.to_owned()) })
}

/// Surveys everything that the hierarchy names, and writes nothing: no sweep was before this one.
pub(crate) async fn survey_now(
    installation: &Installation,
    world: &AwsWorld,
    hierarchy: &Hierarchy,
) -> Inventory {
    let book = Book::new(Arc::new(Unmarked), &[]);
    let surveyor = Surveyor::new(installation.clients().clone(), crate::settings::kube_endpoint(), book);
    let began = world.now();
    let (targets, organization) = targets(installation.clients(), hierarchy, began).await;
    let (mut survey, left) = surveyor.survey(&targets, None, None).await;
    survey.places.extend(organization);
    let without_ledger = WithoutLedger::new(world.clone(), BTreeMap::new());
    let before = Inventory::default();
    let described = describe(&without_ledger, hierarchy, &before, &survey).await;
    if survey.has_unread_clusters()
        && let Err(fault) = add_reports(world, hierarchy, &described, &mut survey).await
    {
        // The clusters stay unread, and the answer names them.
        warn!(target: "patchwave", because = fault.to_string(), "unread");
    }
    let surveyed = Surveyed { survey, began, ended: left.is_none() };
    described.understand(hierarchy, &before, &surveyed).folded.inventory
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::survey::Left;

    fn place(cluster: &str) -> Place {
        let (account, region) = ("111122223333".to_owned(), "us-east-1".to_owned());
        let cluster = Some(cluster.to_owned());
        Place { account, region, kind: ConsumerKind::Ecs, cluster, environment: None }
    }

    /// A cursor with these places, each with whether an invocation ended while it read the place.
    fn left(places: &[(&str, bool)]) -> Cursor {
        let left = |&(cluster, interrupted): &(&str, bool)| Left { interrupted, place: place(cluster) };
        Cursor { left: places.iter().map(left).collect() }
    }

    #[test]
    fn an_invocation_makes_progress_if_it_reads_something_or_interrupts_a_place() {
        let nothing = Survey::default();
        let at = "2026-01-01T12:00:00Z".parse().unwrap();
        let read = PlaceRead {
            place: place("web"),
            at,
            unread: None,
            not_inspected: std::collections::BTreeSet::new(),
        };
        let something = Survey { places: vec![read], ..Survey::default() };
        let fresh = left(&[("a", false), ("b", false)]);
        let interrupted = left(&[("a", true), ("b", false)]);
        assert!(made_progress(&something, None, &fresh));
        assert!(made_progress(&something, Some(&interrupted), &interrupted));
        assert!(made_progress(&nothing, None, &interrupted));
        assert!(made_progress(&nothing, Some(&fresh), &interrupted));
        assert!(!made_progress(&nothing, None, &fresh));
        assert!(!made_progress(&nothing, Some(&interrupted), &interrupted));
    }

    #[tokio::test]
    async fn accounts_of_the_organisation_are_surveyed_and_a_list_that_cannot_be_read_is_an_unread_place() {
        let yaml = "{ version: 1, registry: 111122223333.dkr.ecr.us-east-1.amazonaws.com, inventory: { \
            regions: [r-1], role: reader, organization: { units: [ou-ab12-cdefgh34], environmentTag: environment }, \
            accounts: [{ id: '444455556666', environment: prod }] }, \
            images: [{ tier: base, repository: os, tags: [x], from: scratch }] }";
        let hierarchy = Hierarchy::parse("h.yaml", yaml).unwrap();
        let answer = |operation: &str| match operation {
            "ListAccountsForParent" => {
                let account = |id: &str| serde_json::json!({ "Id": id, "State": "ACTIVE" });
                let all = ["111122223333", "444455556666", "777788889999"].map(account);
                serde_json::json!({ "Accounts": all })
            }
            "ListTagsForResource" => {
                serde_json::json!({ "Tags": [{ "Key": "environment", "Value": "test" }] })
            }
            _ => serde_json::json!({ "Children": [] }),
        };
        let now = "2026-01-01T12:00:00Z".parse().unwrap();
        let (config, _) = crate::fake::config(1, move |operation, _| (200, answer(operation)));
        let (targets, place) = targets(&Clients::of(config), &hierarchy, now).await;
        let known: Vec<(&str, &str, bool)> = targets
            .iter()
            .map(|t| (t.account.as_str(), t.environment.as_deref().unwrap(), t.role.is_some()))
            .collect();
        let expected = [
            ("444455556666", "prod", true),
            // The account where Patchwave runs needs no role.
            ("111122223333", "test", false),
            ("777788889999", "test", true),
        ];
        assert_eq!(known, expected);
        let place = place.unwrap();
        assert_eq!((place.place.id().as_str(), place.unread), ("111122223333/us-east-1/organization", None));

        let denied = serde_json::json!({ "__type": "AccessDeniedException", "Message": "no" });
        let (config, _) = crate::fake::config(1, move |_, _| (400, denied.clone()));
        let (targets, place) = super::targets(&Clients::of(config), &hierarchy, now).await;
        assert_eq!(targets.len(), 1, "the file's own accounts");
        let unread = place.unwrap().unread.unwrap();
        assert!(unread.contains("list the accounts of ou-ab12-cdefgh34"), "{unread}");
    }
}
