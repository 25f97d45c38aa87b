//! Every call of an invocation, with the faults that the plan injects before and after it.

use std::collections::{BTreeMap, BTreeSet};

use patchwave::facts::Deployments;
use patchwave::facts::{Execution, PipelineFacts, Slots, Version};
use patchwave::finding::Scan;
use patchwave::hierarchy::Image;
use patchwave::image::{Digest, ImageId, Repository};
use patchwave::notice::Notice;
use patchwave::plan::Start;
use patchwave::policy::Limits;
use patchwave::record::{Claim, Record};
use patchwave::time::{Span, Timestamp};
use patchwave_converge::{
    Fault, FaultKind, Found, ManifestAt, NotClaimed, NotSaved, NotStarted, Records, World,
};

use super::FaultyWorld;
use crate::faults::Service;

impl World for FaultyWorld<'_> {
    fn now(&self) -> Timestamp {
        let now = self.world.now();
        let skew = Span::seconds(u32::from(self.faults.skew.unsigned_abs()));
        if self.faults.skew < 0 { skew.before(now) } else { skew.after(now) }
    }

    async fn unsettled(&self) -> Result<BTreeSet<ImageId>, Fault> {
        self.before(Service::Ledger)?;
        self.world.unsettled().await
    }

    async fn records(&self, images: &BTreeSet<ImageId>) -> Result<Records, Fault> {
        self.before(Service::Ledger)?;
        self.world.records(images).await
    }

    /// Never fails: deployments only change the order in which builds start.
    async fn deployments(&self, images: &BTreeSet<ImageId>) -> Result<BTreeMap<ImageId, Deployments>, Fault> {
        self.world.deployments(images).await
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
        for (id, answer) in self.world.currents(images).await {
            let answer = self.item(Service::Registry).and(answer);
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
                answers.map(|(at, answer)| (at, self.item(Service::Registry).and(answer))).collect()
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
                answers.map(|(name, answer)| (name, self.item(Service::Registry).and(answer))).collect()
            }
            Err(fault) => repositories.iter().map(|name| (name.clone(), Err(fault.clone()))).collect(),
        }
    }

    async fn scans(&self, wanted: &BTreeSet<ManifestAt>) -> BTreeMap<ManifestAt, Scan> {
        match self.before(Service::Scanner) {
            Ok(()) => {
                let scans = self.world.scans(wanted).await.into_iter();
                let scan = |scan| {
                    self.item(Service::Scanner).map_or_else(|denied| Scan::Unread(denied.into()), |()| scan)
                };
                scans.map(|(at, answer)| (at, scan(answer))).collect()
            }
            Err(fault) => wanted.iter().map(|at| (at.clone(), Scan::Unread(fault.clone().into()))).collect(),
        }
    }

    async fn pipelines(&self, starts: &[&Start]) -> BTreeMap<ImageId, PipelineFacts> {
        match self.before(Service::Pipelines) {
            Ok(()) => self.world.pipelines(starts).await,
            Err(fault) => {
                let unknown = || PipelineFacts::Unknown(fault.to_string());
                starts.iter().map(|start| (start.image.clone(), unknown())).collect()
            }
        }
    }

    async fn execution(&self, claim: &Claim) -> Execution {
        match self.before(Service::Pipelines).and_then(|()| self.item(Service::Pipelines)) {
            Ok(()) => self.world.execution(claim).await,
            Err(fault) => Execution::Unread(fault.into()),
        }
    }

    async fn save(&self, image: &ImageId, record: &Record) -> Result<(), NotSaved> {
        self.before_change(Service::Ledger).await?;
        let saved = self.world.save(image, record).await;
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
        self.before_change(Service::Ledger).await?;
        let claimed = self.world.claim(image, record, limits, now).await;
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
        let withdrawn = self.world.withdraw(image, record, refused, because).await;
        self.after(Service::Ledger).await?;
        withdrawn
    }

    async fn start(&self, start: &Start) -> Result<String, NotStarted> {
        self.before_change(Service::Pipelines).await.map_err(|fault| match fault.kind {
            FaultKind::Unavailable => NotStarted::Unclear(fault),
            _ => NotStarted::Refused(fault),
        })?;
        self.check_start(start);
        let started = self.world.start(start).await;
        self.after(Service::Pipelines).await.map_err(NotStarted::Unclear)?;
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

    async fn request_scan(&self, repository: &Repository, manifest: &Digest) -> Result<bool, Fault> {
        self.before(Service::Scanner)?;
        self.world.request_scan(repository, manifest).await
    }
}
