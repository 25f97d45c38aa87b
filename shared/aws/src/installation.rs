//! What a process keeps while it works on an installation. The process runs a function or a
//! person's command.

use std::sync::Arc;

use patchwave::facts::Facts;
use patchwave::hierarchy::{Hierarchy, UnknownImage};
use patchwave::image::ImageId;
use patchwave::intervention::Intervention;
use patchwave::policy::Mode;
use patchwave::time::Timestamp;
use patchwave_converge::{Fault, NotIntervened, NotSaved, StuckSlot, World};

use crate::clients::Clients;
use crate::ecr::Cache;
use crate::hierarchy::HierarchySource;
use crate::scheduler::{Schedule, Scheduler};
use crate::settings::{InvalidSettings, Settings, Source};
use crate::survey::{Clock, WallClock};
use crate::world::{AwsWorld, WithoutLedger};

/// An installation of Patchwave, as the environment describes it.
pub(crate) struct Installation {
    settings: Settings,
    clients: Clients,
    hierarchy: HierarchySource,
    ticks: Option<Scheduler>,
    sweeps: Option<Scheduler>,
    /// What the process has read of the registry and never changes.
    cache: Cache,
}

impl Installation {
    /// Returns the clients of the services.
    pub(crate) fn clients(&self) -> &Clients {
        &self.clients
    }

    /// Reads the settings of a function. While the hierarchy file cannot be used, its last good
    /// edition stays in force.
    pub(crate) async fn read() -> Result<Self, InvalidSettings> {
        let installation = Self::with(None).await?;
        Ok(Self { hierarchy: installation.hierarchy.keeping(), ..installation })
    }

    /// Says what of the last world's hierarchy was not the files as they are now.
    pub(crate) fn hierarchy_problems(&self, now: Timestamp) -> Vec<String> {
        self.hierarchy.problems(now)
    }

    /// Reads the settings; `hierarchy`, if a person names one, takes the place of the
    /// environment's.
    pub(crate) async fn with(hierarchy: Option<Source>) -> Result<Self, InvalidSettings> {
        Ok(Self::of(Settings::read(hierarchy)?).await)
    }

    /// Reads the settings of a person who only reads: there need be no deployment.
    pub(crate) async fn to_read(hierarchy: Option<Source>) -> Result<Self, InvalidSettings> {
        Ok(Self::of(Settings::read_only(hierarchy)?).await)
    }

    async fn of(settings: Settings) -> Self {
        let clients = Clients::load(settings.own_s3).await;
        let scheduler = |schedule: &Option<Schedule>| {
            schedule.clone().map(|schedule| Scheduler::new(clients.scheduler(), schedule))
        };
        Self {
            ticks: scheduler(&settings.tick),
            sweeps: scheduler(&settings.sweep),
            clients,
            hierarchy: HierarchySource::new(settings.hierarchy.clone()),
            settings,
            cache: Cache::default(),
        }
    }

    /// Returns the table that is the ledger, if the environment names one.
    pub(crate) fn table(&self) -> Option<&str> {
        Some(self.settings.table.as_str()).filter(|table| !table.is_empty())
    }

    pub(crate) fn mode(&self) -> Mode {
        self.settings.mode
    }

    /// Returns whether sweeps set and remove keep tags.
    pub(crate) fn keeps_tags(&self) -> bool {
        self.settings.keep_tags
    }

    /// Returns the world, with the current hierarchy.
    pub(crate) async fn world(&self) -> Result<(AwsWorld, Arc<Hierarchy>), Fault> {
        let hierarchy = self.hierarchy.load(|| self.clients.s3(), WallClock.now()).await?;
        let schedules = (self.ticks.clone(), self.sweeps.clone());
        let world = AwsWorld::new(&self.clients, &hierarchy, &self.settings, schedules, &self.cache);
        Ok((world, hierarchy))
    }
}

/// Why Patchwave did not do what a person asked.
#[derive(Debug, thiserror::Error)]
pub enum NotDone {
    /// The environment does not describe an installation.
    #[error(transparent)]
    Settings(#[from] InvalidSettings),
    /// The hierarchy or something else did not answer.
    #[error(transparent)]
    Fault(#[from] Fault),
    #[error(transparent)]
    UnknownImage(#[from] UnknownImage),
    /// The decision was not written.
    #[error(transparent)]
    NotIntervened(#[from] NotIntervened),
    /// A slot is not free to be given back.
    #[error("no slot of {0} is stuck: it has none, or its build may still run")]
    NotStuck(ImageId),
}

/// A decision that was written.
#[derive(Debug)]
pub struct Intervened {
    pub image: ImageId,
    pub acted_on: ActedOn,
    /// The commit of the current version, if the decision accepts it.
    pub accepted_revision: Option<String>,
}

/// When Patchwave acts on a decision.
#[derive(Debug)]
pub enum ActedOn {
    /// At a recheck, at most a minute and a half from now. Scheduler is accurate to the minute.
    AtRecheck,
    /// At the next event or tick. The settings name no schedule that ticks, or this person may not
    /// schedule a recheck.
    AtNextTick(Option<Fault>),
}

/// Writes the decision of `by` about an image, and schedules a recheck. `name` is the image's id or
/// a declared `repository:tag`. The environment describes the installation.
///
/// # Errors
///
/// If a step fails, nothing is written. A recheck that could not be scheduled is not an error.
pub async fn intervene(
    hierarchy: Option<Source>,
    name: &str,
    intervention: Intervention,
    by: &str,
) -> Result<Intervened, NotDone> {
    let installation = Installation::with(hierarchy).await?;
    let (world, hierarchy) = installation.world().await?;
    let image = hierarchy.resolve(name)?.id.clone();
    let accepted_revision =
        patchwave_converge::intervene(&world, &hierarchy, &image, intervention, by).await?;
    let acted_on = match &installation.ticks {
        None => ActedOn::AtNextTick(None),
        Some(_) => world
            .recheck(world.now())
            .await
            .map_or_else(|fault| ActedOn::AtNextTick(Some(fault)), |()| ActedOn::AtRecheck),
    };
    Ok(Intervened { image, acted_on, accepted_revision })
}

/// Lists the slots that no pass gives back by itself. The environment describes the installation.
///
/// # Errors
///
/// The hierarchy or the ledger does not answer.
pub async fn stuck_slots(hierarchy: Option<Source>) -> Result<Vec<StuckSlot>, NotDone> {
    let installation = Installation::with(hierarchy).await?;
    let (world, hierarchy) = installation.world().await?;
    Ok(patchwave_converge::stuck_slots(&world, &hierarchy).await?)
}

/// Gives a slot back that is stuck. The environment describes the installation.
///
/// # Errors
///
/// Nothing is written if the slot is not stuck, or if a step fails.
pub async fn free_stuck_slot(hierarchy: Option<Source>, image: &ImageId) -> Result<StuckSlot, NotDone> {
    let installation = Installation::with(hierarchy).await?;
    let (world, hierarchy) = installation.world().await?;
    let stuck = patchwave_converge::stuck_slots(&world, &hierarchy).await?;
    let slot = stuck.into_iter().find(|slot| slot.image == *image);
    let slot = slot.ok_or_else(|| NotDone::NotStuck(image.clone()))?;
    match slot.fence {
        Some(fence) => world.free(image, fence).await.map_err(|not_saved| match not_saved {
            NotSaved::Conflict => NotDone::NotStuck(image.clone()),
            NotSaved::Fault(fault) => fault.into(),
        })?,
        None => world.ledger().force_free(image).await?,
    }
    Ok(slot)
}

/// What was read for a plan.
#[derive(Debug)]
pub struct Observed {
    pub hierarchy: Arc<Hierarchy>,
    pub facts: Facts,
    /// The table whose records are among the facts; nothing if there was none.
    pub table: Option<String>,
    /// The places that could not be surveyed. A deployment surveys at its sweep, and not here.
    pub unread: Vec<String>,
}

/// Reads everything that a plan is made from, including the pipelines that policy would start if
/// the mode were `enforce`. Changes nothing. If the environment names a table, its records are
/// read. Without one the ledger is empty, and what runs is surveyed.
///
/// # Errors
///
/// There are no facts if the hierarchy or the ledger does not answer. Anything else that does not
/// answer is unknown in the facts.
pub async fn observe(hierarchy: Option<Source>) -> Result<Observed, NotDone> {
    let installation = Installation::to_read(hierarchy).await?;
    let (world, hierarchy) = installation.world().await?;
    if let Some(table) = installation.table() {
        let facts = patchwave_converge::snapshot(&world, &hierarchy, Mode::Enforce).await?;
        return Ok(Observed { facts, table: Some(table.to_owned()), unread: Vec::new(), hierarchy });
    }
    let inventory = Box::pin(crate::inventory::survey_now(&installation, &world, &hierarchy)).await;
    let world = WithoutLedger::new(world, inventory.deployments());
    let mut facts = patchwave_converge::snapshot(&world, &hierarchy, Mode::Enforce).await?;
    facts.deployments = inventory.deployments();
    facts.without_ledger = true;
    let unread = inventory.places.iter().filter_map(|(id, place)| Some((id, place.unread.as_ref()?)));
    let unread = unread.map(|(id, because)| format!("{id}: {because}")).collect();
    Ok(Observed { facts, table: None, unread, hierarchy })
}
