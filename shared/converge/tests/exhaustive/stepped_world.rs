//! The world of a pass: every call waits until the search answers it.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::task::Poll;

use patchwave::facts::Deployments;
use patchwave::facts::{
    Declaration, Execution, ExecutionDetails, ExecutionMode, ExecutionState, PipelineFacts, Slots, Version,
};
use patchwave::finding::Scan;
use patchwave::hierarchy::{Hierarchy, Image, Variable};
use patchwave::image::{Digest, ImageId, Repository};
use patchwave::notice::Notice;
use patchwave::plan::{Limit, Start};
use patchwave::policy::Limits;
use patchwave::record::{Claim, Record};
use patchwave::time::Timestamp;
use patchwave_converge::{
    Due, Fault, FaultKind, Found, ManifestAt, NotClaimed, NotSaved, NotStarted, Records, ScanRequest, World,
};

use crate::diamond::{Diamond, id, place, time};
use crate::model::{Answer, Call, Ended, Images};
use crate::passes::Timed;

/// A world in which every call waits until the search answers it.
pub(crate) struct SteppedWorld {
    diamond: Rc<Diamond>,
    now: Cell<i64>,
    call: Cell<Option<Call>>,
    answer: Cell<Option<Timed>>,
}

impl SteppedWorld {
    pub(crate) fn new(diamond: Rc<Diamond>) -> Self {
        Self { diamond, now: Cell::new(0), call: Cell::new(None), answer: Cell::new(None) }
    }

    pub(crate) fn hierarchy(&self) -> &Hierarchy {
        &self.diamond.hierarchy
    }

    /// Sets the answer to the call that waits.
    pub(crate) fn answer(&self, answer: Timed) {
        self.answer.set(Some(answer));
    }

    /// Returns the call that waits.
    pub(crate) fn take_call(&self) -> Option<Call> {
        self.call.take()
    }

    async fn call(&self, call: Call) -> Answer {
        std::future::poll_fn(|_| {
            if let Some((now, answer)) = self.answer.take() {
                self.now.set(now);
                return Poll::Ready(answer);
            }
            self.call.set(Some(call));
            Poll::Pending
        })
        .await
    }

    fn version(&self, number: u32) -> Version {
        self.diamond.versions.get(number).version.clone()
    }
}

fn lost() -> Fault {
    Fault { operation: "ask".into(), kind: FaultKind::Unavailable, message: "no answer".into() }
}

fn ids(images: Images) -> BTreeSet<ImageId> {
    images.iter().map(id).collect()
}

fn places<'i>(ids: impl IntoIterator<Item = &'i ImageId>) -> Images {
    ids.into_iter().map(place).collect()
}

impl World for SteppedWorld {
    fn now(&self) -> Timestamp {
        time(self.now.get())
    }

    async fn due(&self, _now: Timestamp, _most: usize) -> Result<Due, Fault> {
        match self.call(Call::Due).await {
            Answer::Listed(images) => Ok(Due { images: ids(images).into_iter().collect(), next: None }),
            _ => Err(lost()),
        }
    }

    async fn ready(&self, _owner: Option<&str>, _most: usize) -> Result<Vec<ImageId>, Fault> {
        match self.call(Call::Ready).await {
            Answer::Listed(images) => Ok(ids(images).into_iter().collect()),
            _ => Err(lost()),
        }
    }

    async fn records(&self, images: &BTreeSet<ImageId>) -> Result<Records, Fault> {
        let Answer::Records(records) = self.call(Call::Records(places(images))).await else {
            return Err(lost());
        };
        let numbered = (0..).zip(records);
        Ok(numbered
            .filter_map(|(image, record)| {
                Some((id(image), Record::clone(&self.diamond.records.get(record?))))
            })
            .collect::<BTreeMap<_, _>>()
            .into())
    }

    async fn deployments(
        &self,
        _images: &BTreeSet<ImageId>,
    ) -> Result<BTreeMap<ImageId, Deployments>, Fault> {
        Ok(BTreeMap::new())
    }

    async fn slots(&self, _now: Timestamp) -> Result<Slots, Fault> {
        match self.call(Call::Slots).await {
            Answer::Slots(held_by) => Ok(Slots { held_by: ids(held_by), ..Slots::default() }),
            _ => Err(lost()),
        }
    }

    async fn currents(&self, images: &[&Image]) -> BTreeMap<ImageId, Result<Found, Fault>> {
        let answer = self.call(Call::Currents(places(images.iter().map(|image| &image.id)))).await;
        let current = |image: &ImageId| match answer {
            Answer::Currents(current) => Ok(Found::Version(self.version(current[usize::from(place(image))]))),
            _ => Err(lost()),
        };
        images.iter().map(|image| (image.id.clone(), current(&image.id))).collect()
    }

    async fn versions(
        &self,
        wanted: &BTreeSet<ManifestAt>,
    ) -> BTreeMap<ManifestAt, Result<Option<Version>, Fault>> {
        let version =
            |digest: &Digest| self.diamond.versions.by_digest(digest).map(|pushed| pushed.version.clone());
        wanted.iter().map(|at| (at.clone(), Ok(version(&at.1)))).collect()
    }

    async fn history(
        &self,
        repositories: &BTreeSet<Repository>,
    ) -> BTreeMap<Repository, Result<Vec<Version>, Fault>> {
        let mut histories = BTreeMap::new();
        for repository in repositories {
            let image = place(&repository.name().parse().unwrap());
            let history = match self.call(Call::History(image)).await {
                Answer::History(newest) => {
                    let known = newest.into_iter().filter(|number| *number != u32::MAX);
                    Ok(known.map(|number| self.version(number)).collect())
                }
                _ => Err(lost()),
            };
            histories.insert(repository.clone(), history);
        }
        histories
    }

    async fn diff_ids(
        &self,
        wanted: &BTreeSet<ManifestAt>,
    ) -> BTreeMap<ManifestAt, Result<Vec<Digest>, Fault>> {
        wanted.iter().map(|at| (at.clone(), Ok(Vec::new()))).collect()
    }

    async fn scans(&self, wanted: &BTreeSet<ManifestAt>) -> BTreeMap<ManifestAt, Scan> {
        let pushed = |digest: &Digest| self.diamond.versions.by_digest(digest).unwrap();
        let may_be_late = |at: &ManifestAt| at.0.name() == "b" && !pushed(&at.1).is_vulnerable;
        let is_complete = !(self.diamond.setting.scans_are_late && wanted.iter().any(may_be_late))
            || self.call(Call::Scanned).await == Answer::Scanned(true);
        let scan = |at: &ManifestAt| {
            let is_there = is_complete || !may_be_late(at);
            if is_there { pushed(&at.1).scan() } else { Scan::Pending }
        };
        wanted.iter().map(|at| (at.clone(), scan(at))).collect()
    }

    async fn pipelines(&self, starts: &[&Start]) -> BTreeMap<ImageId, PipelineFacts> {
        // Pipelines never change here.
        let declared = Declaration {
            mode: ExecutionMode::Queued,
            variables: Variable::ALL.map(|variable| (variable.name().to_owned(), true)).into(),
            sources: BTreeSet::new(),
            revisions: BTreeSet::new(),
        };
        starts.iter().map(|s| (s.image.clone(), PipelineFacts::Declared(declared.clone()))).collect()
    }

    async fn execution(&self, claim: &Claim) -> Execution {
        match self.call(Call::Execution(self.diamond.claims.number(claim))).await {
            Answer::Found { run, ended: None } => {
                Execution::found(format!("run-{run}"), ExecutionState::InProgress)
            }
            Answer::Found { run, ended: Some(Ended::Failed) } => {
                Execution::found(format!("run-{run}"), ExecutionState::Failed)
            }
            Answer::Found { run, ended: Some(Ended::Pushed(pushed)) } => {
                let pushed = [self.version(pushed).digest].into();
                let details = ExecutionDetails { pushed, ..ExecutionDetails::default() };
                Execution::Found { id: format!("run-{run}"), state: ExecutionState::Succeeded, details }
            }
            Answer::NotFound => Execution::NotFound,
            _ => Execution::Unread("no answer".into()),
        }
    }

    async fn save(&self, image: &ImageId, record: &Record) -> Result<(), NotSaved> {
        match self.call(Call::Save(place(image), self.diamond.records.number(record))).await {
            Answer::Done => Ok(()),
            Answer::Conflict => Err(NotSaved::Conflict),
            _ => Err(lost().into()),
        }
    }

    async fn keep_sweep(&self, _swept_to: Option<&ImageId>) -> Result<(), Fault> {
        panic!("no sweep of four images is cut off")
    }

    async fn claim(
        &self,
        image: &ImageId,
        record: &Record,
        _limits: Limits,
        _now: Timestamp,
    ) -> Result<(), NotClaimed> {
        match self.call(Call::Claim(place(image), self.diamond.records.number(record))).await {
            Answer::Done => Ok(()),
            Answer::Conflict => Err(NotClaimed::Conflict),
            Answer::AtLimit => Err(NotClaimed::AtLimit(Limit::ConcurrentBuilds)),
            _ => Err(lost().into()),
        }
    }

    async fn free(&self, image: &ImageId, fence: u64) -> Result<(), NotSaved> {
        match self.call(Call::Free(place(image), fence)).await {
            Answer::Done => Ok(()),
            Answer::Conflict => Err(NotSaved::Conflict),
            _ => Err(lost().into()),
        }
    }

    async fn withdraw(
        &self,
        _image: &ImageId,
        _record: &Record,
        _refused: &Claim,
        _because: &str,
    ) -> Result<(), NotSaved> {
        panic!("no start is refused")
    }

    async fn start(&self, start: &Start) -> Result<String, NotStarted> {
        match self.call(Call::Start(self.diamond.starts.number(start))).await {
            Answer::Started(run) => Ok(format!("run-{run}")),
            _ => Err(NotStarted::Unclear(lost())),
        }
    }

    fn has_listener(&self) -> bool {
        false
    }

    async fn notify(&self, _notices: &[Notice]) -> Vec<Result<(), Fault>> {
        panic!("no notice is sent without a listener")
    }

    async fn recheck(&self, _at: Timestamp) -> Result<(), Fault> {
        // A pass may begin at any time, with or without a recheck.
        Ok(())
    }

    async fn request_scan(&self, _repository: &Repository, _manifest: &Digest) -> Result<ScanRequest, Fault> {
        panic!("every scan is complete, so none is requested")
    }
}
