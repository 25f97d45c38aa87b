//! Every call of an invocation, with the faults that the plan injects before and after it.

use std::collections::{BTreeMap, BTreeSet};

use patchwave::facts::Deployments;
use patchwave::facts::{Execution, PipelineFacts, Slots, Version};
use patchwave::finding::Scan;
use patchwave::hierarchy::Image;
use patchwave::image::{Digest, ImageId, Reference, Registry, Repository};
use patchwave::notice::Notice;
use patchwave::plan::Start;
use patchwave::policy::Limits;
use patchwave::record::{Claim, Record};
use patchwave::time::{Span, Timestamp};
use patchwave::upstream::Described;
use patchwave_converge::{
    Asked, Due, Fault, Found, ManifestAt, NotClaimed, NotSaved, NotStarted, Records, ScanRequest, Upstreams,
    World,
};

use super::FaultyWorld;
use crate::faults::{Read, Service};
use crate::people::Moment;

impl World for FaultyWorld<'_> {
    fn now(&self) -> Timestamp {
        let now = self.world.now();
        let skew = Span::seconds(u32::from(self.faults.skew.unsigned_abs()));
        if self.faults.skew < 0 { skew.before(now) } else { skew.after(now) }
    }

    async fn due(&self, now: Timestamp, most: usize) -> Result<Due, Fault> {
        self.before(Service::Ledger)?;
        let due = self.world.due(now, most).await?;
        Ok(Due { images: self.as_the_index_shows(due.images), ..due })
    }

    async fn ready(&self, owner: Option<&str>, most: usize) -> Result<Vec<ImageId>, Fault> {
        self.before(Service::Ledger)?;
        Ok(self.as_the_index_shows(self.world.ready(owner, most).await?))
    }

    async fn records(&self, images: &BTreeSet<ImageId>) -> Result<Records, Fault> {
        self.before(Service::Ledger)?;
        let mut records = self.world.records(images).await?;
        for image in images {
            if let Err(fault) = self.item(Service::Ledger, Read::Record, image.as_str())
                && records.read.remove(image).is_some()
            {
                records.unreadable.insert(image.clone(), fault);
            }
        }
        Ok(records)
    }

    /// Never fails: deployments only change the order in which builds start.
    async fn deployments(&self, images: &BTreeSet<ImageId>) -> Result<BTreeMap<ImageId, Deployments>, Fault> {
        self.world.deployments(images).await
    }

    async fn keep_sweep(&self, swept_to: Option<&ImageId>) -> Result<(), Fault> {
        self.before_change(Service::Ledger).await?;
        self.world.keep_sweep(swept_to).await
    }

    async fn slots(&self, now: Timestamp) -> Result<Slots, Fault> {
        self.before(Service::Ledger)?;
        self.world.slots(now).await
    }

    async fn currents(&self, images: &[&Image]) -> BTreeMap<ImageId, Result<Found, Fault>> {
        let mut answers = BTreeMap::new();
        if let Err(fault) = self.before(Service::Registry) {
            return images.iter().map(|image| (image.id.clone(), Err(fault.clone()))).collect();
        }
        let mut found = self.world.currents(images).await;
        for image in images {
            let Some((id, answer)) = found.remove_entry(&image.id) else { continue };
            let item = || self.item(Service::Registry, Read::Current, image.repository.as_str());
            let answer = self.registry(&image.repository).and_then(|()| item()).and(answer);
            if let Ok(Found::Version(version)) = &answer {
                self.seen.borrow_mut().insert(id.clone(), version.digest.clone());
            }
            answers.insert(id, answer);
        }
        answers
    }

    async fn versions(
        &self,
        wanted: &BTreeSet<ManifestAt>,
    ) -> BTreeMap<ManifestAt, Result<Option<Version>, Fault>> {
        match self.before(Service::Registry) {
            Ok(()) => {
                let answers = self.world.versions(wanted).await.into_iter();
                let item = |at: &ManifestAt| self.item(Service::Registry, Read::Version, at.0.as_str());
                let item = |at: &ManifestAt| self.registry(&at.0).and_then(|()| item(at));
                answers.map(|(at, answer)| (at.clone(), item(&at).and(answer))).collect()
            }
            Err(fault) => wanted.iter().map(|at| (at.clone(), Err(fault.clone()))).collect(),
        }
    }

    async fn history(
        &self,
        repositories: &BTreeSet<Repository>,
    ) -> BTreeMap<Repository, Result<Vec<Version>, Fault>> {
        match self.before(Service::Registry) {
            Ok(()) => {
                let answers = self.world.history(repositories).await.into_iter();
                let item = |name: &Repository| self.item(Service::Registry, Read::History, name.as_str());
                let item = |name: &Repository| self.registry(name).and_then(|()| item(name));
                answers.map(|(name, answer)| (name.clone(), item(&name).and(answer))).collect()
            }
            Err(fault) => repositories.iter().map(|name| (name.clone(), Err(fault.clone()))).collect(),
        }
    }

    async fn diff_ids(
        &self,
        wanted: &BTreeSet<ManifestAt>,
    ) -> BTreeMap<ManifestAt, Result<Vec<Digest>, Fault>> {
        match self.before(Service::Registry) {
            Ok(()) => {
                let answers = self.world.diff_ids(wanted).await.into_iter();
                answers.map(|(at, answer)| (at.clone(), self.registry(&at.0).and(answer))).collect()
            }
            Err(fault) => wanted.iter().map(|at| (at.clone(), Err(fault.clone()))).collect(),
        }
    }

    async fn scans(&self, wanted: &BTreeSet<ManifestAt>) -> BTreeMap<ManifestAt, Scan> {
        match self.before(Service::Scanner) {
            Ok(()) => {
                let scans = self.world.scans(wanted).await.into_iter();
                let item = |at: &ManifestAt| self.item(Service::Scanner, Read::Scan, at.1.as_str());
                let scan = |at: &ManifestAt, scan| match self.registry(&at.0).and_then(|()| item(at)) {
                    Ok(()) => scan,
                    Err(refused) => Scan::Unread(refused.into()),
                };
                scans.map(|(at, answer)| (at.clone(), scan(&at, answer))).collect()
            }
            Err(fault) => wanted.iter().map(|at| (at.clone(), Scan::Unread(fault.clone().into()))).collect(),
        }
    }

    async fn pipelines(&self, starts: &[&Start]) -> BTreeMap<ImageId, PipelineFacts> {
        match self.before(Service::Pipelines) {
            Ok(()) => {
                let mut declared = self.world.pipelines(starts).await;
                for start in starts {
                    if let Err(fault) = self.item(Service::Pipelines, Read::Pipeline, &start.pipeline) {
                        declared.insert(start.image.clone(), PipelineFacts::Unread(fault.into()));
                    }
                }
                declared
            }
            Err(fault) => {
                let unread = || PipelineFacts::Unread(fault.clone().into());
                starts.iter().map(|start| (start.image.clone(), unread())).collect()
            }
        }
    }

    async fn execution(&self, claim: &Claim) -> Execution {
        let item = || self.item(Service::Pipelines, Read::Execution, &claim.start.pipeline);
        match self.before(Service::Pipelines).and_then(|()| item()) {
            Ok(()) => self.world.execution(claim).await,
            Err(fault) => Execution::Unread(fault.into()),
        }
    }

    async fn save(&self, image: &ImageId, record: &Record) -> Result<(), NotSaved> {
        self.before_change(Service::Ledger).await?;
        let before = self.recorded_success(image);
        let saved = self.world.save(image, record).await;
        self.check_saved(image, before.as_ref(), record, saved.is_ok());
        self.after(Service::Ledger).await?;
        saved
    }

    async fn claim(
        &self,
        image: &ImageId,
        record: &Record,
        limits: Limits,
        now: Timestamp,
    ) -> Result<(), NotClaimed> {
        self.act_at(Moment::BeforeClaim, image);
        self.before_change(Service::Ledger).await?;
        let before = self.recorded_success(image);
        let claimed = self.world.claim(image, record, limits, now).await;
        self.check_saved(image, before.as_ref(), record, claimed.is_ok());
        if claimed.is_ok() {
            self.world.state.borrow_mut().check_claim(image, record, self.world.now());
        }
        self.after(Service::Ledger).await?;
        claimed
    }

    async fn free(&self, image: &ImageId, fence: u64) -> Result<(), NotSaved> {
        self.before_change(Service::Ledger).await?;
        let freed = self.world.free(image, fence).await;
        self.after(Service::Ledger).await?;
        freed
    }

    async fn withdraw(
        &self,
        image: &ImageId,
        record: &Record,
        refused: &Claim,
        because: &str,
    ) -> Result<(), NotSaved> {
        self.before_change(Service::Ledger).await?;
        let before = self.recorded_success(image);
        let withdrawn = self.world.withdraw(image, record, refused, because).await;
        self.check_saved(image, before.as_ref(), record, withdrawn.is_ok());
        if withdrawn.is_ok() {
            let state = &mut *self.world.state.borrow_mut();
            state.check_withdrawn(image, refused.claimed_at, self.world.now());
        }
        self.after(Service::Ledger).await?;
        withdrawn
    }

    async fn start(&self, start: &Start) -> Result<String, NotStarted> {
        self.act_at(Moment::BeforeStart, &start.image);
        let started = self.try_start(start).await;
        if let Err(NotStarted::Refused(refused)) = &started {
            self.world.state.borrow_mut().truth.refused(&start.image, refused.kind);
        }
        started
    }

    fn has_listener(&self) -> bool {
        self.world.has_listener()
    }

    async fn notify(&self, notices: &[Notice]) -> Vec<Result<(), Fault>> {
        let all = |fault: &Fault| vec![Err(fault.clone()); notices.len()];
        if let Err(fault) = self.before_change(Service::Bus).await {
            return all(&fault);
        }
        let sent = self.world.notify(notices).await;
        match self.after(Service::Bus).await {
            Ok(()) => sent,
            Err(fault) => all(&fault),
        }
    }

    async fn recheck(&self, at: Timestamp) -> Result<(), Fault> {
        self.before_change(Service::Schedules).await?;
        self.world.recheck(at).await?;
        self.after(Service::Schedules).await
    }

    async fn request_scan(&self, repository: &Repository, manifest: &Digest) -> Result<ScanRequest, Fault> {
        self.before_change(Service::Scanner).await?;
        self.registry(repository)?;
        let asked = self.world.request_scan(repository, manifest).await;
        self.after(Service::Scanner).await?;
        asked
    }

    async fn upstreams(
        &self,
        tags: &BTreeSet<ImageId>,
        hosts: &BTreeSet<Registry>,
    ) -> Result<Upstreams, Fault> {
        self.world.upstreams(tags, hosts).await
    }

    async fn keep_upstreams(&self, changed: &Upstreams) -> Result<(), Fault> {
        self.world.keep_upstreams(changed).await
    }

    async fn upstream_digest(&self, tag: &Reference) -> Asked<Option<Digest>> {
        self.world.upstream_digest(tag).await
    }

    async fn upstream_manifest(&self, tag: &Reference, digest: &Digest) -> Asked<Option<Described>> {
        self.world.upstream_manifest(tag, digest).await
    }
}
