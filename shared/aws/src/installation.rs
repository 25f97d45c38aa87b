//! What lives as long as a process that works on a deployment: a function, or a person's command.

use std::sync::Arc;

use patchwave::facts::Facts;
use patchwave::hierarchy::{Hierarchy, UnknownImage};
use patchwave::image::ImageId;
use patchwave::intervention::Intervention;
use patchwave::policy::Mode;
use patchwave_converge::{Fault, NotIntervened, World};

use crate::clients::Clients;
use crate::hierarchy::HierarchySource;
use crate::scheduler::{Schedule, Scheduler};
use crate::settings::{InvalidSettings, Settings};
use crate::world::AwsWorld;

/// A deployment, as the environment names it.
pub(crate) struct Installation {
    settings: Settings,
    clients: Clients,
    hierarchy: HierarchySource,
    ticks: Option<Scheduler>,
    sweeps: Option<Scheduler>,
}

impl Installation {
    pub(crate) async fn read() -> Result<Self, InvalidSettings> {
        let settings = Settings::read()?;
        let clients = Clients::load(settings.own_s3).await;
        let scheduler = |schedule: &Option<Schedule>| {
            schedule.clone().map(|schedule| Scheduler::new(clients.scheduler(), schedule))
        };
        Ok(Self {
            ticks: scheduler(&settings.tick),
            sweeps: scheduler(&settings.sweep),
            clients,
            hierarchy: HierarchySource::new(settings.hierarchy.clone()),
            settings,
        })
    }

    pub(crate) fn mode(&self) -> Mode {
        self.settings.mode
    }

    pub(crate) fn clients(&self) -> &Clients {
        &self.clients
    }

    /// Returns what asks for sweeps between two.
    pub(crate) fn sweeps(&self) -> Option<&Scheduler> {
        self.sweeps.as_ref()
    }

    /// Returns the world, with the hierarchy as it is now.
    pub(crate) async fn world(&self) -> Result<(AwsWorld, Arc<Hierarchy>), Fault> {
        let hierarchy = self.hierarchy.load(|| self.clients.s3()).await?;
        let ticks = self.ticks.clone();
        let world = AwsWorld::new(&self.clients, hierarchy.registry(), &self.settings, ticks);
        Ok((world, hierarchy))
    }
}

/// Why what a person asked was not done.
#[derive(Debug, thiserror::Error)]
pub enum NotDone {
    /// The environment does not name a deployment.
    #[error(transparent)]
    Settings(#[from] InvalidSettings),
    /// The hierarchy or something else did not answer.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The hierarchy has no such image.
    #[error(transparent)]
    UnknownImage(#[from] UnknownImage),
    /// It was not written.
    #[error(transparent)]
    NotIntervened(#[from] NotIntervened),
}

/// A decision that was written.
#[derive(Debug)]
pub struct Intervened {
    /// About which image.
    pub image: ImageId,
    /// What acts on it.
    pub acted_on: ActedOn,
}

/// What acts on a decision.
#[derive(Debug)]
pub enum ActedOn {
    /// A look that was asked for: at a minute that is at most a minute and a half ahead, which Scheduler keeps to the minute.
    AtRecheck,
    /// The next event or tick: nobody may ask for a look, or the one who decided may not.
    AtNextTick(Option<Fault>),
}

/// Writes the decision of `by` about the image that `name` (an id or a declared `repository:tag`) means, and asks for a
/// look at it. The deployment is the one that the environment names.
///
/// # Errors
///
/// Nothing is written if any of the steps fails. That no look could be asked for is no failure.
pub async fn intervene(name: &str, intervention: Intervention, by: &str) -> Result<Intervened, NotDone> {
    let installation = Installation::read().await?;
    let (world, hierarchy) = installation.world().await?;
    let image = hierarchy.resolve(name)?.id.clone();
    patchwave_converge::intervene(&world, &hierarchy, &image, intervention, by).await?;
    let acted_on = match &installation.ticks {
        None => ActedOn::AtNextTick(None),
        Some(_) => world
            .recheck(world.now())
            .await
            .map_or_else(|fault| ActedOn::AtNextTick(Some(fault)), |()| ActedOn::AtRecheck),
    };
    Ok(Intervened { image, acted_on })
}

/// Reads all that a plan of the deployment that the environment names is made from, with the pipelines that policy would let
/// start were the mode `enforce`. Changes nothing.
///
/// # Errors
///
/// There is no snapshot if the hierarchy or the ledger does not answer. What else does not is unknown in it.
pub async fn snapshot() -> Result<Facts, NotDone> {
    let installation = Installation::read().await?;
    let (world, hierarchy) = installation.world().await?;
    Ok(patchwave_converge::snapshot(&world, &hierarchy, Mode::Enforce).await?)
}
