//! The [`World`] on AWS.

mod deployed;
mod without_ledger;

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{self, StreamExt};
use patchwave::facts::Deployments;
use patchwave::facts::{Execution, PipelineFacts, Slots, Version};
use patchwave::finding::Scan;
use patchwave::hierarchy::{Hierarchy, Image};
use patchwave::image::{Digest, ImageId, Reference, Registry, Repository};
use patchwave::notice::Notice;
use patchwave::plan::Start;
use patchwave::policy::Limits;
use patchwave::record::{Claim, Record};
use patchwave::time::Timestamp;
use patchwave::upstream::{Cached, Described};
use patchwave_converge::{
    Asked, CachedTag, Due, Fault, Found, ManifestAt, NotClaimed, NotSaved, NotStarted, Records, ScanRequest,
    Upstreams as KeptUpstreams, World,
};

use crate::clients::Clients;
use crate::codepipeline::Pipelines;
use crate::dynamodb::Ledger;
use crate::ecr::{Answered, Cache, ScanRead};
use crate::eventbridge::Bus;
use crate::registries::{Connected, Registries};
use crate::scheduler::Scheduler;
use crate::settings::Settings;
use crate::sqs::Continuation;
use crate::upstream::Upstreams;
pub(crate) use without_ledger::WithoutLedger;

/// Executions that are asked about at once. CodePipeline names no rate for these calls, and the SDK
/// backs off where it throttles.
const EXECUTIONS_AT_ONCE: usize = 16;
/// Records that are written at once.
const WRITES_AT_ONCE: usize = 16;

/// The registries and their scanners, the pipelines, the ledger and the clock.
#[derive(Debug, Clone)]
pub struct AwsWorld {
    clients: Clients,
    registries: Registries,
    pipelines: Pipelines,
    ledger: Ledger,
    bus: Option<Bus>,
    ticks: Option<Scheduler>,
    upstreams: Upstreams,
    sweeps: Option<Scheduler>,
    continuation: Option<Continuation>,
}

impl AwsWorld {
    pub(crate) fn new(
        clients: &Clients,
        hierarchy: &Hierarchy,
        settings: &Settings,
        (ticks, sweeps): (Option<Scheduler>, Option<Scheduler>),
        cache: &Cache,
    ) -> Self {
        let queue = settings.queue.clone();
        let bus = settings.event_bus.clone().map(|name| Bus::new(clients.eventbridge(), name));
        Self {
            bus,
            ticks,
            sweeps,
            continuation: queue.map(|queue| Continuation::new(clients.sqs(), queue)),
            clients: clients.clone(),
            registries: Registries::new(clients, hierarchy, cache),
            pipelines: Pipelines::new(clients.clone(), settings.starters.clone()),
            ledger: Ledger::new(clients.dynamodb(), settings.table.clone()),
            upstreams: Upstreams::new(clients.of_others(), clients, hierarchy.upstreams()),
        }
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Returns the world of an invocation that this message of a chain caused; 0 if another cause
    /// did.
    pub(crate) fn after(self, number: u32) -> Self {
        let continuation = self.continuation.map(|continuation| continuation.after(number));
        Self { continuation, ..self }
    }

    pub(crate) fn registries(&self) -> &Registries {
        &self.registries
    }

    /// Returns the clients of every service.
    pub(crate) fn clients(&self) -> &Clients {
        &self.clients
    }

    /// Returns the scheduler of extra sweeps, beside the daily one.
    pub(crate) fn sweeps(&self) -> Option<&Scheduler> {
        self.sweeps.as_ref()
    }
}

impl AwsWorld {
    /// Completes scans with the times at which the enhanced scanner scanned the images last.
    async fn with_times(&self, scans: BTreeMap<ManifestAt, Answered>) -> BTreeMap<ManifestAt, Scan> {
        let ask = async |of: &Connected, images: &BTreeSet<ManifestAt>| of.scanner.scanned_at(images).await;
        let mut times = self.registries.ask(&scans.keys().cloned().collect(), repository_of, ask).await;
        let completed = |(at, answer): (ManifestAt, Answered)| {
            let scan = match times.remove(&at) {
                Some(Ok(time)) => answer.completed_at(time),
                Some(Err(fault)) => Scan::Unread(fault.into()),
                None => answer.completed_at(None),
            };
            (at, scan)
        };
        scans.into_iter().map(completed).collect()
    }
}

impl AwsWorld {
    /// Reads the version that counts on each image's line, given what the environments run.
    async fn currents_with(
        &self,
        images: &[&Image],
        running: Result<BTreeMap<ImageId, Deployments>, Fault>,
    ) -> BTreeMap<ImageId, Result<Found, Fault>> {
        let (running, unclear) = match running.map(|running| deployed::choose(images, running)) {
            Ok(deployed::Chosen { running, unclear }) => (Ok(running), unclear),
            Err(fault) => (Err(fault), BTreeMap::new()),
        };
        let clear = images.iter().copied().filter(|image| !unclear.contains_key(&image.id));
        let mut currents = BTreeMap::new();
        for (registry, images) in self.registries.group(clear, |image| &image.repository).await {
            match registry {
                Ok(registry) => currents.extend(registry.images.currents(&images, &running).await),
                Err(fault) => {
                    currents.extend(images.iter().map(|image| (image.id.clone(), Err(fault.clone()))));
                }
            }
        }
        currents.extend(unclear.into_iter().map(|(id, fault)| (id, Err(fault))));
        currents
    }
}

pub(crate) fn repository_of((repository, _): &ManifestAt) -> &Repository {
    repository
}

impl World for AwsWorld {
    #[expect(clippy::disallowed_methods, reason = "the edge reads the clock")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn due(&self, now: Timestamp, most: usize) -> Result<Due, Fault> {
        self.ledger.due(now, most).await
    }

    async fn ready(&self, owner: Option<&str>, most: usize) -> Result<Vec<ImageId>, Fault> {
        self.ledger.ready(owner, most).await
    }

    async fn records(&self, images: &BTreeSet<ImageId>) -> Result<Records, Fault> {
        self.ledger.records(images).await
    }

    async fn deployments(&self, images: &BTreeSet<ImageId>) -> Result<BTreeMap<ImageId, Deployments>, Fault> {
        self.ledger.deployments(images).await
    }

    async fn keep_sweep(&self, swept_to: Option<&ImageId>) -> Result<(), Fault> {
        self.ledger.keep_sweep(swept_to).await
    }

    async fn slots(&self, now: Timestamp) -> Result<Slots, Fault> {
        self.ledger.slots(now).await
    }

    async fn currents(&self, images: &[&Image]) -> BTreeMap<ImageId, Result<Found, Fault>> {
        let deployed = deployed::images(images);
        let running =
            if deployed.is_empty() { Ok(BTreeMap::new()) } else { self.ledger.deployments(&deployed).await };
        self.currents_with(images, running).await
    }

    async fn versions(
        &self,
        wanted: &BTreeSet<ManifestAt>,
    ) -> BTreeMap<ManifestAt, Result<Option<Version>, Fault>> {
        let ask = async |of: &Connected, wanted: &BTreeSet<ManifestAt>| of.images.versions(wanted).await;
        self.registries.ask(wanted, repository_of, ask).await
    }

    async fn history(
        &self,
        repositories: &BTreeSet<Repository>,
    ) -> BTreeMap<Repository, Result<Vec<Version>, Fault>> {
        let ask = async |of: &Connected, wanted: &BTreeSet<Repository>| of.images.history(wanted).await;
        self.registries.ask(repositories, |repository| repository, ask).await
    }

    async fn diff_ids(
        &self,
        wanted: &BTreeSet<ManifestAt>,
    ) -> BTreeMap<ManifestAt, Result<Vec<Digest>, Fault>> {
        let ask = async |of: &Connected, wanted: &BTreeSet<ManifestAt>| of.images.diff_ids(wanted).await;
        self.registries.ask(wanted, repository_of, ask).await
    }

    async fn scans(&self, wanted: &BTreeSet<ManifestAt>) -> BTreeMap<ManifestAt, Scan> {
        let (mut scans, mut without_time) = (BTreeMap::new(), BTreeMap::new());
        let ask = async |of: &Connected, wanted: &BTreeSet<ManifestAt>| {
            let read = of.images.scans(wanted).await.into_iter();
            read.map(|(at, read)| (at, Ok(read))).collect()
        };
        for (at, read) in self.registries.ask(wanted, repository_of, ask).await {
            match read {
                Ok(ScanRead::Whole(scan)) => drop(scans.insert(at, scan)),
                Ok(ScanRead::WithoutTime(answer)) => drop(without_time.insert(at, answer)),
                Err(fault) => drop(scans.insert(at, Scan::Unread(fault.into()))),
            }
        }
        if !without_time.is_empty() {
            scans.extend(self.with_times(without_time).await);
        }
        scans
    }

    async fn pipelines(&self, starts: &[&Start]) -> BTreeMap<ImageId, PipelineFacts> {
        self.pipelines.declarations(starts).await
    }

    async fn execution(&self, claim: &Claim) -> Execution {
        self.pipelines.execution(claim, self.now()).await
    }

    async fn executions(&self, claims: &BTreeMap<&ImageId, &Claim>) -> BTreeMap<ImageId, Execution> {
        let asked =
            claims.iter().map(|(image, claim)| async { ((*image).clone(), self.execution(claim).await) });
        stream::iter(asked).buffer_unordered(EXECUTIONS_AT_ONCE).collect().await
    }

    async fn save(&self, image: &ImageId, record: &Record) -> Result<(), NotSaved> {
        self.ledger.save(image, record).await
    }

    async fn save_all(&self, records: &[(ImageId, Record)]) -> Vec<Result<(), NotSaved>> {
        let writes = records.iter().map(|(image, record)| self.ledger.save(image, record));
        stream::iter(writes).buffered(WRITES_AT_ONCE).collect().await
    }

    async fn claim(
        &self,
        image: &ImageId,
        record: &Record,
        limits: Limits,
        now: Timestamp,
    ) -> Result<(), NotClaimed> {
        self.ledger.claim(image, record, limits, now).await
    }

    async fn free(&self, image: &ImageId, fence: u64) -> Result<(), NotSaved> {
        self.ledger.free(image, fence).await
    }

    async fn withdraw(
        &self,
        image: &ImageId,
        record: &Record,
        refused: &Claim,
        because: &str,
    ) -> Result<(), NotSaved> {
        self.ledger.withdraw(image, record, refused, because).await
    }

    async fn start(&self, start: &Start) -> Result<String, NotStarted> {
        self.pipelines.start(start).await
    }

    fn has_listener(&self) -> bool {
        self.bus.is_some()
    }

    async fn notify(&self, notices: &[Notice]) -> Vec<Result<(), Fault>> {
        match &self.bus {
            Some(bus) => bus.notify(notices).await,
            None => vec![Ok(()); notices.len()],
        }
    }

    async fn recheck(&self, at: Timestamp) -> Result<(), Fault> {
        match &self.ticks {
            Some(ticks) => ticks.schedule_once(at, self.now()).await,
            None => Ok(()),
        }
    }

    async fn go_on(&self) -> Result<(), Fault> {
        let is_sent = match &self.continuation {
            Some(continuation) => continuation.send(self.now()).await?,
            None => false,
        };
        if is_sent { Ok(()) } else { self.recheck(self.now()).await }
    }

    async fn request_scan(&self, repository: &Repository, manifest: &Digest) -> Result<ScanRequest, Fault> {
        self.registries.of(repository).await?.images.request_scan(repository, manifest).await
    }

    async fn upstreams(
        &self,
        tags: &BTreeSet<ImageId>,
        hosts: &BTreeSet<Registry>,
    ) -> Result<KeptUpstreams, Fault> {
        self.ledger.upstreams(tags, hosts).await
    }

    async fn keep_upstreams(&self, changed: &KeptUpstreams) -> Result<(), Fault> {
        self.ledger.keep_upstreams(changed).await
    }

    async fn upstream_digest(&self, tag: &Reference) -> Asked<Option<Digest>> {
        Box::pin(self.upstreams.digest(tag, self.now())).await
    }

    async fn upstream_manifest(&self, tag: &Reference, digest: &Digest) -> Asked<Option<Described>> {
        Box::pin(self.upstreams.describe(tag, digest, self.now())).await
    }

    async fn cached(&self, wanted: &BTreeSet<CachedTag>) -> BTreeMap<CachedTag, Result<Cached, Fault>> {
        let ask = async |of: &Connected, wanted: &BTreeSet<CachedTag>| of.images.cached(wanted).await;
        self.registries.ask(wanted, |(repository, _)| repository, ask).await
    }
}

#[cfg(test)]
mod contract;
#[cfg(test)]
mod fixed_upstream;
#[cfg(test)]
mod lineage;
#[cfg(test)]
mod scan_times;
#[cfg(test)]
mod throttling;
#[cfg(test)]
pub(crate) mod wired;
