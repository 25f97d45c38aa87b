//! What a sweep needs of AWS besides its pass: the survey, the inventory's items, and what the
//! scanners watch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use patchwave::hierarchy::Hierarchy;
use patchwave::image::{ImageId, Repository};
use patchwave::inventory::{
    self, ConsumerKind, Covered, Folded, Inventory, NAMESPACE, Place, PlaceRead, Scanning, SeenInUse,
    Windows, items, metrics, notified_items,
};
use patchwave::notice::OwnersNotified;
use patchwave::table::{Item, Key};
use patchwave::time::Timestamp;
use patchwave::upstream::Tracked;
use patchwave_converge::{Cursor, Estate, Fault, ManifestAt, Seen, Surveyed, World, inventory_of};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use crate::clients::Clients;
use crate::fault::invalid;
use crate::installation::{Installation, NotDone};
use crate::organizations;
use crate::registries::Connected;
use crate::settings::Source;
use crate::survey::{Begun, Book, Marks, Surveyor, Target, Unmarked, begun};
use crate::telemetry;
use crate::world::{AwsWorld, WithoutLedger, repository_of};

/// A survey that an invocation could not finish.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Unfinished {
    began: Timestamp,
    cursor: Cursor,
}

impl Estate for AwsWorld {
    async fn ended_badly(&self) -> Result<bool, Fault> {
        Ok(begun(self.ledger()).await?.iter().any(|begun| begun.place.is_none()))
    }

    async fn survey(&self, hierarchy: &Hierarchy, until: Option<Timestamp>) -> Result<Surveyed, Fault> {
        let ledger = self.ledger();
        let unended = begun(ledger).await?;
        let marks: Arc<dyn Marks> = Arc::new(ledger.clone());
        marks.write(Begun { place: None, times: 1, at: self.now() }).await?;
        let unfinished: Option<Unfinished> =
            ledger.state::<Option<Unfinished>>(Key::cursor()).await?.flatten();
        let began = unfinished.as_ref().map_or_else(|| self.now(), |unfinished| unfinished.began);
        let resumed = unfinished.map(|unfinished| unfinished.cursor);
        let book = Book::new(marks, &unended);
        let surveyor = Surveyor::new(self.clients().clone(), crate::settings::kube_endpoint(), book);
        let (targets, organization) = targets(self.clients(), hierarchy, self.now()).await;
        let (mut survey, left) = surveyor.survey(&targets, until, resumed.clone()).await;
        survey.places.extend(organization);
        Ok(Surveyed { survey, began, resumed, left })
    }

    async fn inventory(&self, images: &BTreeSet<ImageId>) -> Result<Inventory, Fault> {
        self.ledger().inventory(images).await
    }

    async fn keep_inventory(&self, before: &Inventory, folded: &Folded, now: Timestamp) -> Result<(), Fault> {
        let written =
            items(before, folded, now).map_err(|e| invalid("write the inventory", e.to_string()))?;
        self.ledger().write(&written).await
    }

    async fn keep_notified(&self, notified: &OwnersNotified) -> Result<(), Fault> {
        let written = notified_items(notified, self.now())
            .map_err(|e| invalid("write the notices of owners", e.to_string()))?;
        self.ledger().write(&written).await
    }

    async fn keep_survey(&self, surveyed: &Surveyed) -> Result<(), Fault> {
        let Surveyed { began, resumed, left, .. } = surveyed;
        if resumed.is_some() || left.is_some() {
            let unfinished = left.clone().map(|cursor| Unfinished { began: *began, cursor });
            let state = serde_json::to_string(&unfinished)
                .map_err(|e| invalid("write where the survey was cut off", e.to_string()))?;
            self.ledger().write(&[Item { key: Key::cursor(), state, expires_at: None }]).await?;
        }
        self.ledger().remove(None, self.now()).await
    }

    async fn continue_survey(&self) -> Result<(), Fault> {
        match self.sweeps() {
            Some(sweeps) => sweeps.schedule_once(self.now(), self.now()).await,
            None => Ok(()),
        }
    }

    async fn scanning(&self) -> Result<Scanning, Fault> {
        self.registries().home().images.scanning().await
    }

    async fn seen_in_use(
        &self,
        images: &BTreeSet<ManifestAt>,
    ) -> BTreeMap<ManifestAt, Result<Vec<SeenInUse>, Fault>> {
        let ask = async |of: &Connected, images: &BTreeSet<ManifestAt>| of.scanner.seen_in_use(images).await;
        self.registries().ask(images, repository_of, ask).await
    }

    async fn windows(&self) -> Result<Windows, Fault> {
        self.registries().home().scanner.windows().await
    }

    async fn covered(&self, repositories: &BTreeSet<Repository>) -> Result<Vec<Covered>, Fault> {
        let mut covered = Vec::new();
        for (registry, repositories) in self.registries().group(repositories.clone(), |named| named).await {
            covered.extend(registry?.scanner.covered(&repositories.into_iter().collect()).await?);
        }
        Ok(covered)
    }
}

/// Logs what a sweep saw, and writes its metrics once everything was read.
pub(crate) fn log(seen: &Seen) {
    let Seen { folded, answer, has_ended } = seen;
    if *has_ended {
        for line in metrics(&folded.inventory, answer, answer.at) {
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
        changes = folded.changes.len(), ended = has_ended, "swept"
    );
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

/// An installation's inventory, as its table holds it.
#[derive(Debug)]
pub struct Inventoried {
    pub hierarchy: Arc<Hierarchy>,
    pub inventory: inventory::Inventory,
    /// What is kept of the upstream tags; nothing if there is no table.
    pub upstreams: BTreeMap<ImageId, Tracked>,
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
        let inventory = Box::pin(survey_now(&installation, &world, &hierarchy)).await;
        let upstreams = BTreeMap::new();
        return Ok(Inventoried { hierarchy, inventory, upstreams, now: world.now(), table: None });
    };
    let images = hierarchy.images().map(|image| image.id.clone()).collect();
    let inventory = world.ledger().inventory_with(&images, progress).await?;
    let tags = hierarchy.watched().into_keys().collect();
    let upstreams = world.upstreams(&tags, &BTreeSet::new()).await?.tags;
    Ok(Inventoried { hierarchy, inventory, upstreams, now: world.now(), table: Some(table.to_owned()) })
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
    let surveyed = Surveyed { survey, began, resumed: None, left };
    let without_ledger = WithoutLedger::new(world.clone(), BTreeMap::new());
    let (inventory, faults) = inventory_of(&without_ledger, world, hierarchy, surveyed).await;
    for fault in faults {
        // The clusters stay unread, and the answer names them.
        warn!(target: "patchwave", because = fault.to_string(), "unread");
    }
    inventory
}

#[cfg(test)]
mod tests {
    use super::*;

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
