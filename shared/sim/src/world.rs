//! The simulated world as Patchwave sees it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use patchwave::facts::{DeployedVersion, Deployments};
use patchwave::facts::{Execution, PipelineFacts, Slots, Version};
use patchwave::finding::Scan;
use patchwave::hierarchy::{Hierarchy, Image};
use patchwave::image::{Digest, ImageId, Reference, Registry, Repository};
use patchwave::notice::Notice;
use patchwave::plan::Start;
use patchwave::policy::Limits;
use patchwave::record::{Claim, Record};
use patchwave::time::{Span, Timestamp};
use patchwave::upstream::Described;
use patchwave_converge::{
    Asked, Due, Fault, FaultKind, Found, ManifestAt, NotClaimed, NotSaved, NotStarted, Records, ScanRequest,
    Upstreams, World,
};

use crate::pipelines::Mode;
use crate::registry::Layers;
use crate::requests::{json_bytes, key_bytes};
use crate::state::{Scheduled, State};

/// A world in memory with its own clock.
///
/// All calls of Patchwave, and nothing else, come through the methods of [`World`] below. Faults
/// are injected around them.
#[derive(Debug)]
pub struct SimulatedWorld {
    /// The hierarchy, and the edition that a person may deploy instead.
    pub(crate) editions: Vec<Hierarchy>,
    pub(crate) edition: Cell<usize>,
    pub(crate) clock: Cell<Timestamp>,
    pub(crate) state: RefCell<State>,
}

impl World for SimulatedWorld {
    fn now(&self) -> Timestamp {
        self.clock.get()
    }

    async fn due(&self, now: Timestamp, most: usize) -> Result<Due, Fault> {
        let state = &mut *self.state.borrow_mut();
        let due = state.ledger.due(now, most);
        state.requests.schedule.about(due.images.len());
        state.requests.query(due.images.iter().map(key_bytes).sum());
        Ok(due)
    }

    async fn ready(&self, owner: Option<&str>, most: usize) -> Result<Vec<ImageId>, Fault> {
        let state = &mut *self.state.borrow_mut();
        let ready = state.ledger.ready(owner, most);
        state.requests.schedule.about(ready.len());
        state.requests.query(ready.iter().map(key_bytes).sum());
        Ok(ready)
    }

    async fn records(&self, images: &BTreeSet<ImageId>) -> Result<Records, Fault> {
        let State { requests, ledger, .. } = &mut *self.state.borrow_mut();
        requests.records.about(images.len());
        for image in images {
            requests.read(ledger.weight(image));
        }
        Ok(ledger.records(images).into())
    }

    async fn deployments(&self, images: &BTreeSet<ImageId>) -> Result<BTreeMap<ImageId, Deployments>, Fault> {
        let State { requests, workloads, .. } = &mut *self.state.borrow_mut();
        requests.deployments.about(images.len());
        // The versions of a few environments are far smaller than a read unit.
        for _ in images {
            requests.read(0);
        }
        let mut deployments: BTreeMap<ImageId, Deployments> = BTreeMap::new();
        for workload in workloads.values().filter(|workload| images.contains(&workload.image)) {
            // All workloads run in production.
            let (version, since) = (workload.digest.clone(), workload.since);
            let deployed = DeployedVersion { version, since, last_seen: self.now() };
            let environments = &mut deployments.entry(workload.image.clone()).or_default().environments;
            let last = environments.entry("prod".to_owned()).or_insert_with(|| deployed.clone());
            if last.since < since {
                *last = deployed;
            }
        }
        Ok(deployments)
    }

    async fn keep_sweep(&self, swept_to: Option<&ImageId>) -> Result<(), Fault> {
        self.state.borrow_mut().ledger.swept_to = swept_to.cloned();
        Ok(())
    }

    async fn slots(&self, now: Timestamp) -> Result<Slots, Fault> {
        let State { requests, ledger, .. } = &mut *self.state.borrow_mut();
        requests.slots.about(2);
        requests.read(ledger.held_by().iter().map(key_bytes).sum());
        requests.read(0);
        Ok(ledger.slots(now))
    }

    async fn currents(&self, images: &[&Image]) -> BTreeMap<ImageId, Result<Found, Fault>> {
        let State { requests, registry, .. } = &mut *self.state.borrow_mut();
        requests.currents.about(images.len());
        requests.largest_page = requests.largest_page.max(images.len() as u64);
        let current = |image: &Image| {
            if registry.history(&image.repository).is_none() {
                return Found::NoRepository(self.hierarchy().registry().to_string());
            }
            let version =
                registry.current(&image.repository, &image.line).map(|pushed| pushed.version.clone());
            let promoted = registry.promoted(&image.repository, &image.line);
            Found::of_environment(version, promoted.map(|pushed| pushed.version.digest.clone()))
        };
        images.iter().map(|image| (image.id.clone(), Ok(current(image)))).collect()
    }

    async fn versions(
        &self,
        wanted: &BTreeSet<ManifestAt>,
    ) -> BTreeMap<ManifestAt, Result<Option<Version>, Fault>> {
        let State { requests, registry, .. } = &mut *self.state.borrow_mut();
        requests.versions.about(wanted.len());
        wanted.iter().map(|at| (at.clone(), Ok(registry.version(&at.0, &at.1)))).collect()
    }

    async fn history(
        &self,
        repositories: &BTreeSet<Repository>,
    ) -> BTreeMap<Repository, Result<Vec<Version>, Fault>> {
        let State { requests, registry, .. } = &mut *self.state.borrow_mut();
        requests.histories.about(repositories.len());
        let history = |repository: &Repository| registry.history(repository).unwrap_or_default();
        repositories.iter().map(|repository| (repository.clone(), Ok(history(repository)))).collect()
    }

    /// No push compresses layers again, so their contents have the digests of the layers.
    async fn diff_ids(
        &self,
        wanted: &BTreeSet<ManifestAt>,
    ) -> BTreeMap<ManifestAt, Result<Vec<Digest>, Fault>> {
        let registry = &self.state.borrow().registry;
        let digests = |layers: &Layers| layers.iter().map(|layer| layer.digest.clone()).collect();
        let layers = |at: &ManifestAt| registry.manifest(at).map(|(layers, _)| digests(layers));
        wanted.iter().map(|at| (at.clone(), Ok(layers(at).unwrap_or_default()))).collect()
    }

    async fn scans(&self, wanted: &BTreeSet<ManifestAt>) -> BTreeMap<ManifestAt, Scan> {
        let State { requests, scanner, .. } = &mut *self.state.borrow_mut();
        requests.scans.about(wanted.len());
        let scans: BTreeMap<_, _> = wanted.iter().map(|at| (at.clone(), scanner.scan(at))).collect();
        let complete = scans.values().filter(|scan| scan.completed_at().is_some()).count();
        requests.complete_scans += complete as u64;
        scans
    }

    async fn pipelines(&self, starts: &[&Start]) -> BTreeMap<ImageId, PipelineFacts> {
        let state = &mut *self.state.borrow_mut();
        state.requests.pipelines.about(starts.len());
        let (seed, has_faults) = (state.seed, state.faults.has_faults());
        let declared = |start: &Start| {
            let mode = Mode::of(seed, &start.pipeline, has_faults);
            crate::pipelines::declaration(self.hierarchy(), start, mode, &state.pipelines)
        };
        starts.iter().map(|start| (start.image.clone(), declared(start))).collect()
    }

    async fn execution(&self, claim: &Claim) -> Execution {
        let State { requests, pipelines, .. } = &mut *self.state.borrow_mut();
        requests.executions += 1;
        pipelines.of(claim, self.now())
    }

    async fn save(&self, image: &ImageId, record: &Record) -> Result<(), NotSaved> {
        let State { requests, ledger, .. } = &mut *self.state.borrow_mut();
        requests.save(ledger.weigh(image, record));
        ledger.save(image, record)
    }

    async fn claim(
        &self,
        image: &ImageId,
        record: &Record,
        limits: Limits,
        now: Timestamp,
    ) -> Result<(), NotClaimed> {
        let State { requests, ledger, .. } = &mut *self.state.borrow_mut();
        let start = record.claim.as_ref().filter(|_| ledger.weights.is_some()).map(|claim| &claim.start);
        requests.claim(ledger.weigh(image, record), start.map_or(0, json_bytes));
        ledger.claim(image, record, limits, now)
    }

    async fn free(&self, image: &ImageId, fence: u64) -> Result<(), NotSaved> {
        let State { requests, ledger, .. } = &mut *self.state.borrow_mut();
        requests.free(ledger.weight(image));
        ledger.free(image, fence)
    }

    async fn withdraw(
        &self,
        image: &ImageId,
        record: &Record,
        refused: &Claim,
        _because: &str,
    ) -> Result<(), NotSaved> {
        let State { requests, ledger, .. } = &mut *self.state.borrow_mut();
        requests.withdraw(ledger.weigh(image, record));
        ledger.withdraw(image, record, refused.claimed_at)
    }

    async fn start(&self, start: &Start) -> Result<String, NotStarted> {
        self.state.borrow_mut().requests.starts += 1;
        let Some((edition, image)) = self.buildable(start) else {
            return Err(NotStarted::Refused(Fault {
                operation: format!("start pipeline {}", start.pipeline),
                kind: FaultKind::Invalid,
                message: format!("it does not build {}", start.image),
            }));
        };
        let mut state = self.state.borrow_mut();
        state.pipelines.edition = edition;
        Ok(state.start(&self.editions[edition], image, start, self.now()))
    }

    fn has_listener(&self) -> bool {
        true
    }

    async fn notify(&self, notices: &[Notice]) -> Vec<Result<(), Fault>> {
        let mut state = self.state.borrow_mut();
        state.requests.notices.about(notices.len());
        state.notify(notices, self.now());
        vec![Ok(()); notices.len()]
    }

    async fn recheck(&self, at: Timestamp) -> Result<(), Fault> {
        let mut state = self.state.borrow_mut();
        state.requests.rechecks_requested += 1;
        state.schedule_recheck(at, self.now());
        Ok(())
    }

    async fn request_scan(&self, repository: &Repository, manifest: &Digest) -> Result<ScanRequest, Fault> {
        let at = (repository.clone(), manifest.clone());
        let mut state = self.state.borrow_mut();
        state.requests.scan_requests += 1;
        let asked = state.scanner.request(&at, self.now());
        if asked == ScanRequest::Begun {
            let delay =
                state.seed.draws("requested scan", at.1.as_str()).span(Span::minutes(1), Span::minutes(5));
            state.schedule(delay.after(self.now()), Scheduled::Scan(at));
        }
        Ok(asked)
    }

    async fn upstreams(
        &self,
        tags: &BTreeSet<ImageId>,
        hosts: &BTreeSet<Registry>,
    ) -> Result<Upstreams, Fault> {
        let State { requests, upstreams, .. } = &mut *self.state.borrow_mut();
        let mut kept = upstreams.kept.clone();
        kept.tags.retain(|tag, _| tags.contains(tag));
        kept.hosts.retain(|host, _| hosts.contains(host));
        let bytes = kept.tags.values().map(json_bytes).chain(kept.hosts.values().map(json_bytes));
        requests.read_upstreams(bytes, tags.len() + hosts.len());
        Ok(kept)
    }

    async fn keep_upstreams(&self, changed: &Upstreams) -> Result<(), Fault> {
        let State { requests, upstreams, .. } = &mut *self.state.borrow_mut();
        let bytes = changed.tags.values().map(json_bytes).chain(changed.hosts.values().map(json_bytes));
        requests.keep_upstreams(bytes);
        if upstreams.is_there() {
            upstreams.kept.tags.extend(changed.tags.clone());
            upstreams.kept.hosts.extend(changed.hosts.clone());
        }
        Ok(())
    }

    async fn upstream_digest(&self, tag: &Reference) -> Asked<Option<Digest>> {
        self.state.borrow_mut().upstreams.digest(tag, self.now())
    }

    async fn upstream_manifest(&self, tag: &Reference, digest: &Digest) -> Asked<Option<Described>> {
        self.state.borrow_mut().upstreams.manifest(tag, digest, self.now())
    }
}

impl SimulatedWorld {
    /// Returns the edition of the hierarchy that is deployed.
    pub(crate) fn hierarchy(&self) -> &Hierarchy {
        &self.editions[self.edition.get()]
    }

    /// Returns the edition by which something happens: builds push by that of their start.
    pub(crate) fn hierarchy_of(&self, scheduled: &Scheduled) -> &Hierarchy {
        let state = self.state.borrow();
        let edition = match scheduled {
            Scheduled::ExecutionPushes(id) | Scheduled::ForeignExecutionEnds(id) => {
                state.pipelines.edition_of(id)
            }
            _ => None,
        };
        self.editions.get(edition.unwrap_or(self.edition.get())).unwrap_or(self.hierarchy())
    }

    /// Returns the highest limits of all editions.
    pub(crate) fn highest_limits(&self) -> Limits {
        let limits = || self.editions.iter().map(Hierarchy::limits);
        Limits {
            max_concurrent_builds: limits().map(|of| of.max_concurrent_builds).max().unwrap_or(0),
            max_starts_per_day: limits().map(|of| of.max_starts_per_day).max().unwrap_or(0),
        }
    }

    /// Returns the image that a start builds, and its edition. The pipelines of all editions exist.
    fn buildable(&self, start: &Start) -> Option<(usize, &Image)> {
        let (state, now) = (self.state.borrow(), self.edition.get());
        std::iter::once(now).chain(0..self.editions.len()).find_map(|edition| {
            let image = self.editions.get(edition)?.image(&start.image).ok()?;
            state.registry.history(&image.repository)?;
            image.pipeline.as_ref().filter(|pipeline| pipeline.name == start.pipeline)?;
            Some((edition, image))
        })
    }
}
