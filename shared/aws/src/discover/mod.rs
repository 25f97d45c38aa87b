//! Reads an estate that is not described yet: registries, and what builds. Everything here only
//! reads.

mod builders;
mod cache;
mod registry;
mod roles;
mod trail;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_credential_types::provider::SharedCredentialsProvider;
use patchwave::discover::{Estate, without_builder};
use patchwave::hierarchy::Role;
use patchwave::image::{EcrRegistry, Partition};
use patchwave_converge::{Fault, FaultKind};

use crate::clients::Clients;
use crate::fault::{fault, invalid};
use cache::Cache;

/// What to read, and how.
#[derive(Debug, Clone, Default)]
pub struct Discovery {
    /// A profile of the shared configuration; by default the SDK's own credentials.
    pub profile: Option<String>,
    /// The ARNs of roles of other accounts, each of which reads its own account.
    pub roles: Vec<String>,
    /// The Regions; by default the one of the SDK's settings.
    pub regions: Vec<String>,
    /// Where documents that never change are kept, by their digests.
    pub cache: Option<PathBuf>,
    /// Whether to download no config and no attestation.
    pub metadata_only: bool,
    /// Whether the pull times of images may move.
    pub move_pull_times: bool,
}

/// How far it is: what is read, how much of it is done, and how much there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    pub what: String,
    pub done: usize,
    pub of: usize,
}

/// What was read.
#[derive(Debug)]
pub struct Discovered {
    pub estate: Estate,
    /// The calls that were made: those of AWS, and downloads from its bucket.
    pub calls: u64,
    /// The documents that the cache spared.
    pub saved: u64,
}

/// Why nothing was read.
#[derive(Debug, thiserror::Error)]
pub enum NotDiscovered {
    #[error(transparent)]
    Fault(#[from] Fault),
    #[error("name a Region with --region, or set AWS_REGION")]
    NoRegion,
    #[error("{0:?} is not the ARN of a role, such as arn:aws:iam::222233334444:role/reader")]
    NotARole(String),
    #[error("the cache {0} cannot be used: {1}")]
    Cache(PathBuf, std::io::Error),
    /// ECR's `BatchGetImage` counts as a pull:
    /// <https://github.com/aws/containers-roadmap/issues/2390>.
    #[error(
        "reading manifests counts as a pull, and {principal} is not excluded from that in {registry}: it \
         would move the time of the last pull of every image.\nExclude it first:\n  aws ecr \
         register-pull-time-update-exclusion --principal-arn {principal} --region {region}\nOr, if no \
         lifecycle policy and no scan goes by that time, pass --move-pull-times"
    )]
    MovesPullTimes { principal: String, registry: String, region: String },
}

/// Counts what is asked, and tells how far it is.
pub(crate) struct Watch<'w> {
    /// Between two pages of `CloudTrail`, which allows two requests a second.
    pause: Duration,
    calls: AtomicU64,
    saved: AtomicU64,
    show: Mutex<&'w mut dyn FnMut(&Progress)>,
}

impl Watch<'_> {
    fn call(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    fn save(&self, documents: usize) {
        self.saved.fetch_add(documents as u64, Ordering::Relaxed);
    }

    fn show(&self, what: &str, done: usize, of: usize) {
        if let Ok(mut show) = self.show.lock() {
            show(&Progress { what: what.to_owned(), done, of });
        }
    }
}

/// Calls of one kind that were refused. One is named, and the others are counted.
#[derive(Debug, Default)]
struct Refused(BTreeMap<String, (Fault, usize)>);

impl Refused {
    fn add(&mut self, operation: String, fault: Fault) {
        self.0.entry(operation).and_modify(|(_, others)| *others += 1).or_insert((fault, 0));
    }

    fn tell(self, estate: &mut Estate) {
        for (operation, (fault, others)) in self.0 {
            let fault = match others {
                0 => fault,
                others => Fault { operation: format!("{operation} (and {others} more like it)"), ..fault },
            };
            estate.unread.push(fault.into());
        }
    }
}

/// Reads the registries and the builders of all accounts and Regions. What could not be read is in
/// the estate, with the reason.
///
/// # Errors
///
/// Nothing is read if an account does not answer at all, or if reading would move pull times and
/// may not.
pub async fn discover(
    discovery: &Discovery,
    show: &mut dyn FnMut(&Progress),
) -> Result<Discovered, NotDiscovered> {
    let clients = Clients::of_profile(discovery.profile.as_deref()).await;
    read(&clients, discovery, Duration::from_millis(500), show).await
}

pub(crate) async fn read(
    clients: &Clients,
    discovery: &Discovery,
    pause: Duration,
    show: &mut dyn FnMut(&Progress),
) -> Result<Discovered, NotDiscovered> {
    let cache = match &discovery.cache {
        None => Cache::none(),
        Some(folder) => {
            Cache::at(folder.clone()).map_err(|error| NotDiscovered::Cache(folder.clone(), error))?
        }
    };
    let watch = Watch { pause, calls: AtomicU64::new(0), saved: AtomicU64::new(0), show: Mutex::new(show) };
    let regions = match (discovery.regions.as_slice(), clients.region()) {
        ([], None) => return Err(NotDiscovered::NoRegion),
        ([], Some(region)) => vec![region],
        (named, _) => named.to_vec(),
    };
    // No Region may be set beside those that are named.
    let first = regions.first().map_or_else(|| clients.clone(), |region| clients.elsewhere(region, None));
    let mut accounts: Vec<(String, Option<SharedCredentialsProvider>)> =
        vec![(principal(&first, &watch).await?.0, None)];
    for role in &discovery.roles {
        let account =
            role.split(':').nth(4).filter(|account| account.len() == 12 && role.starts_with("arn:"));
        let account = account.ok_or_else(|| NotDiscovered::NotARole(role.clone()))?;
        let named = Role { name: role.clone(), external_id: None };
        accounts.push((account.to_owned(), Some(first.assume(account, &named, SESSION).await?)));
    }
    let (mut estate, mut places) = (Estate::default(), Vec::new());
    for (account, credentials) in accounts {
        for region in &regions {
            let here = clients.elsewhere(region, credentials.clone());
            let domain = Partition::of(region).domain;
            let host: EcrRegistry = format!("{account}.dkr.ecr.{region}.{domain}")
                .parse()
                .map_err(|error| invalid("name the registry", format!("{error}")))?;
            let registry = registry::Reader::new(&here, &host, &cache, &watch);
            if !discovery.move_pull_times {
                check_pull_times(&here, &registry, &watch, region).await?;
            }
            registry.read(&mut estate, discovery.metadata_only).await;
            builders::read(&here, &account, region, &watch, &mut estate).await;
            places.push(Place { clients: here, account: account.clone(), region: region.clone() });
        }
    }
    traces(&places, &watch, &mut estate).await;
    Ok(Discovered {
        estate,
        calls: watch.calls.load(Ordering::Relaxed),
        saved: watch.saved.load(Ordering::Relaxed),
    })
}

/// Where was read.
struct Place {
    clients: Clients,
    account: String,
    region: String,
}

/// Asks for more evidence of builders, the strongest first, as long as one of them is not known.
async fn traces(places: &[Place], watch: &Watch<'_>, estate: &mut Estate) {
    if without_builder(estate) == 0 {
        return;
    }
    let accounts: BTreeMap<&str, &Clients> =
        places.iter().map(|place| (place.account.as_str(), &place.clients)).collect();
    for (account, clients) in accounts {
        roles::read(&clients.iam(), account, watch, estate).await;
    }
    if without_builder(estate) == 0 {
        return;
    }
    for Place { clients, account, region } in places {
        trail::read(clients, account, region, watch, estate).await;
    }
    if without_builder(estate) == 0 {
        return;
    }
    for Place { clients, account, region } in places {
        builders::executions(clients, account, region, watch, estate).await;
    }
}

/// How an account's audit trail names this session.
const SESSION: &str = "patchwave-discover";

/// Returns the account, and the ARN of the role or user that calls, as exclusions name it.
async fn principal(clients: &Clients, watch: &Watch<'_>) -> Result<(String, String), Fault> {
    watch.call();
    let sts: aws_sdk_sts::Client = clients.sts();
    let caller = sts.get_caller_identity().send().await;
    let caller = caller.map_err(|error| fault("ask who calls", &error))?;
    let (Some(account), Some(arn)) = (caller.account(), caller.arn()) else {
        return Err(invalid("ask who calls", "the answer has no account"));
    };
    Ok((account.to_owned(), role_of(arn)))
}

/// A session's ARN names its role, and exclusions want the role.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_RegisterPullTimeUpdateExclusion.html>
fn role_of(arn: &str) -> String {
    let parts: Vec<&str> = arn.split([':', '/']).collect();
    match parts.as_slice() {
        [arn, partition, "sts", _, account, "assumed-role", role, ..] => {
            format!("{arn}:{partition}:iam::{account}:role/{role}")
        }
        _ => arn.to_owned(),
    }
}

/// Refuses to go on if reading would move pull times. A role in a path has no path in its session's
/// ARN, so the last part of the name decides.
async fn check_pull_times(
    clients: &Clients,
    registry: &registry::Reader<'_>,
    watch: &Watch<'_>,
    region: &str,
) -> Result<(), NotDiscovered> {
    let (_, principal) = principal(clients, watch).await?;
    let excluded: BTreeSet<String> = match registry.exclusions().await {
        Ok(excluded) => excluded,
        // An endpoint that does not know the operation excludes none.
        Err(fault) if matches!(fault.kind, FaultKind::Denied | FaultKind::Invalid) => BTreeSet::new(),
        Err(fault) => return Err(fault.into()),
    };
    let name = |arn: &str| arn.rsplit('/').next().map(str::to_owned);
    if excluded.iter().any(|arn| *arn == principal || name(arn) == name(&principal)) {
        return Ok(());
    }
    let (registry, region) = (registry.host().to_string(), region.to_owned());
    Err(NotDiscovered::MovesPullTimes { principal, registry, region })
}

#[cfg(test)]
mod tests;
