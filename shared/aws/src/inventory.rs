//! What a sweep needs of AWS besides its pass: the survey, the inventory's items, and what the
//! scanners watch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use patchwave::hierarchy::Hierarchy;
use patchwave::image::{ImageId, Repository};
use patchwave::inventory::{
    self, Covered, Folded, Inventory, NAMESPACE, Scanning, SeenInUse, Windows, items, metrics,
};
use patchwave::table::{Item, Key};
use patchwave::time::Timestamp;
use patchwave_converge::{Cursor, Estate, Fault, ManifestAt, Seen, Surveyed, World};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use crate::fault::invalid;
use crate::installation::{Installation, NotDone};
use crate::registries::Connected;
use crate::settings::Source;
use crate::survey::{Begun, Book, Marks, Surveyor, Target, begun};
use crate::telemetry;
use crate::world::{AwsWorld, repository_of};

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
        let (survey, left) = surveyor.survey(&targets(hierarchy), until, resumed.clone()).await;
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

/// An installation's inventory, as its table holds it.
#[derive(Debug)]
pub struct Inventoried {
    pub hierarchy: Arc<Hierarchy>,
    pub inventory: inventory::Inventory,
    pub now: Timestamp,
}

/// Reads the inventory of the installation that the environment describes. Passes the number of
/// entries so far to `progress`.
///
/// # Errors
///
/// If the hierarchy or the table does not answer.
pub async fn read(hierarchy: Option<Source>, progress: impl Fn(usize)) -> Result<Inventoried, NotDone> {
    let installation = Installation::with(hierarchy).await?;
    let (world, hierarchy) = installation.world().await?;
    let images = hierarchy.images().map(|image| image.id.clone()).collect();
    let inventory = world.ledger().inventory_with(&images, progress).await?;
    Ok(Inventoried { hierarchy, inventory, now: world.now() })
}
