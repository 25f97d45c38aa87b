//! AWS without a deployment: nothing is remembered, and nothing is written.

use std::collections::{BTreeMap, BTreeSet};

use patchwave::facts::{Deployments, Execution, PipelineFacts, Slots, Version};
use patchwave::finding::Scan;
use patchwave::hierarchy::Image;
use patchwave::image::{Digest, ImageId, Repository};
use patchwave::notice::Notice;
use patchwave::plan::Start;
use patchwave::policy::Limits;
use patchwave::record::{Claim, Record};
use patchwave::time::Timestamp;
use patchwave::upstream::Cached;
use patchwave_converge::{
    CachedTag, Due, Fault, Found, ManifestAt, NotClaimed, NotSaved, NotStarted, Records, ScanRequest, World,
};

use super::AwsWorld;
use crate::fault::invalid;

/// AWS with an empty ledger. It knows what a survey just saw.
#[derive(Debug, Clone)]
pub(crate) struct WithoutLedger {
    world: AwsWorld,
    deployments: BTreeMap<ImageId, Deployments>,
}

impl WithoutLedger {
    pub(crate) fn new(world: AwsWorld, deployments: BTreeMap<ImageId, Deployments>) -> Self {
        Self { world, deployments }
    }
}

fn no_ledger(operation: &str) -> Fault {
    invalid(operation, "PATCHWAVE_TABLE does not name a table, so there is no deployment to change")
}

impl World for WithoutLedger {
    fn now(&self) -> Timestamp {
        self.world.now()
    }

    async fn due(&self, _: Timestamp, _: usize) -> Result<Due, Fault> {
        Ok(Due::default())
    }

    async fn ready(&self, _: Option<&str>, _: usize) -> Result<Vec<ImageId>, Fault> {
        Ok(Vec::new())
    }

    async fn records(&self, _: &BTreeSet<ImageId>) -> Result<Records, Fault> {
        Ok(Records::default())
    }

    async fn deployments(&self, images: &BTreeSet<ImageId>) -> Result<BTreeMap<ImageId, Deployments>, Fault> {
        let of = |image: &ImageId| Some((image.clone(), self.deployments.get(image)?.clone()));
        Ok(images.iter().filter_map(of).collect())
    }

    async fn slots(&self, _: Timestamp) -> Result<Slots, Fault> {
        Ok(Slots::default())
    }

    async fn currents(&self, images: &[&Image]) -> BTreeMap<ImageId, Result<Found, Fault>> {
        self.world.currents_with(images, Ok(self.deployments.clone())).await
    }

    async fn versions(
        &self,
        wanted: &BTreeSet<ManifestAt>,
    ) -> BTreeMap<ManifestAt, Result<Option<Version>, Fault>> {
        self.world.versions(wanted).await
    }

    async fn history(
        &self,
        repositories: &BTreeSet<Repository>,
    ) -> BTreeMap<Repository, Result<Vec<Version>, Fault>> {
        self.world.history(repositories).await
    }

    async fn diff_ids(
        &self,
        wanted: &BTreeSet<ManifestAt>,
    ) -> BTreeMap<ManifestAt, Result<Vec<Digest>, Fault>> {
        self.world.diff_ids(wanted).await
    }

    async fn scans(&self, wanted: &BTreeSet<ManifestAt>) -> BTreeMap<ManifestAt, Scan> {
        self.world.scans(wanted).await
    }

    async fn pipelines(&self, starts: &[&Start]) -> BTreeMap<ImageId, PipelineFacts> {
        self.world.pipelines(starts).await
    }

    async fn execution(&self, claim: &Claim) -> Execution {
        self.world.execution(claim).await
    }

    async fn save(&self, _: &ImageId, _: &Record) -> Result<(), NotSaved> {
        Err(NotSaved::Fault(no_ledger("save a record")))
    }

    async fn keep_sweep(&self, _: Option<&ImageId>) -> Result<(), Fault> {
        Err(no_ledger("save where a sweep is"))
    }

    async fn claim(&self, _: &ImageId, _: &Record, _: Limits, _: Timestamp) -> Result<(), NotClaimed> {
        Err(NotClaimed::Fault(no_ledger("claim a start")))
    }

    async fn free(&self, _: &ImageId, _: u64) -> Result<(), NotSaved> {
        Err(NotSaved::Fault(no_ledger("give a slot back")))
    }

    async fn withdraw(&self, _: &ImageId, _: &Record, _: &Claim, _: &str) -> Result<(), NotSaved> {
        Err(NotSaved::Fault(no_ledger("withdraw a start")))
    }

    async fn start(&self, start: &Start) -> Result<String, NotStarted> {
        Err(NotStarted::Refused(no_ledger(&format!("start {}", start.pipeline))))
    }

    fn has_listener(&self) -> bool {
        false
    }

    async fn notify(&self, notices: &[Notice]) -> Vec<Result<(), Fault>> {
        notices.iter().map(|_| Err(no_ledger("notify"))).collect()
    }

    async fn recheck(&self, _: Timestamp) -> Result<(), Fault> {
        Err(no_ledger("schedule a recheck"))
    }

    async fn request_scan(&self, _: &Repository, _: &Digest) -> Result<ScanRequest, Fault> {
        Err(no_ledger("request a scan"))
    }

    async fn cached(&self, wanted: &BTreeSet<CachedTag>) -> BTreeMap<CachedTag, Result<Cached, Fault>> {
        self.world.cached(wanted).await
    }
}
