//! Passes of the real code, as a tree of what they were answered.
//!
//! A pass is a function of the answers that it got, so the answers are its state. A node of the tree is a pass that
//! waits for its next answer; a future that nobody advanced yet is kept in its node, and one that is gone is made again
//! from the answers.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use patchwave::facts::Deployments;
use patchwave::facts::{
    Declaration, Execution, ExecutionMode, ExecutionState, PipelineFacts, Slots, Version,
};
use patchwave::finding::Scan;
use patchwave::hierarchy::{Image, Variable};
use patchwave::image::{Digest, ImageId, Repository};
use patchwave::notice::Notice;
use patchwave::plan::{Limit, Start};
use patchwave::policy::{Limits, Mode};
use patchwave::record::{Claim, Record};
use patchwave::time::Timestamp;
use patchwave::trigger::Trigger;
use patchwave_converge::{
    Fault, FaultKind, ManifestAt, NotClaimed, NotSaved, NotStarted, PassSettings, Records, World, converge,
};

use crate::diamond::{Diamond, id, place, time};
use crate::town::{Answer, Ask, Images};

/// An answer, and the time at which the world gave it.
pub(crate) type Timed = (i64, Answer);

/// All passes that any schedule made.
pub(crate) struct Passes {
    diamond: Rc<Diamond>,
    roots: BTreeMap<(Trigger, &'static str), u32>,
    nodes: Vec<Node>,
}

struct Node {
    /// What was answered last, to whom.
    before: Option<(u32, Timed)>,
    root: (Trigger, &'static str),
    /// What it asks next; nothing if it is over.
    asks: Option<Ask>,
    after: BTreeMap<Timed, u32>,
    live: Option<Live>,
}

struct Live {
    puppet: Rc<Puppet>,
    pass: Pin<Box<dyn Future<Output = ()>>>,
}

impl Passes {
    pub(crate) fn new(diamond: Rc<Diamond>) -> Self {
        Self { diamond, roots: BTreeMap::new(), nodes: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Begins a pass.
    pub(crate) fn begin(&mut self, trigger: Trigger, owner: &'static str) -> u32 {
        let root = (trigger, owner);
        if let Some(node) = self.roots.get(&root) {
            return *node;
        }
        let mut live = Live::new(&self.diamond, &root);
        let asks = live.advance();
        let node = self.add(Node {
            before: None,
            root: root.clone(),
            asks,
            after: BTreeMap::new(),
            live: Some(live),
        });
        self.roots.insert(root, node);
        node
    }

    /// What the pass asks next; nothing if it is over.
    pub(crate) fn asks(&self, node: u32) -> Option<Ask> {
        self.nodes[node as usize].asks
    }

    /// Answers a pass, and returns what it becomes.
    pub(crate) fn answer(&mut self, node: u32, answer: Timed) -> u32 {
        if let Some(after) = self.nodes[node as usize].after.get(&answer) {
            return *after;
        }
        let live = self.nodes[node as usize].live.take();
        let mut live = live.unwrap_or_else(|| self.replay(node));
        live.puppet.answer.set(Some(answer));
        let asks = live.advance();
        let root = self.nodes[node as usize].root.clone();
        let live = asks.is_some().then_some(live);
        let after = self.add(Node { before: Some((node, answer)), root, asks, after: BTreeMap::new(), live });
        self.nodes[node as usize].after.insert(answer, after);
        after
    }

    fn replay(&self, node: u32) -> Live {
        let mut answers = Vec::new();
        let mut at = &self.nodes[node as usize];
        while let Some((before, answer)) = at.before {
            answers.push(answer);
            at = &self.nodes[before as usize];
        }
        let mut live = Live::new(&self.diamond, &at.root);
        live.advance();
        for answer in answers.into_iter().rev() {
            live.puppet.answer.set(Some(answer));
            live.advance();
        }
        live
    }

    fn add(&mut self, node: Node) -> u32 {
        self.nodes.push(node);
        u32::try_from(self.nodes.len() - 1).unwrap()
    }
}

impl Live {
    fn new(diamond: &Rc<Diamond>, (trigger, owner): &(Trigger, &'static str)) -> Self {
        let puppet = Rc::new(Puppet {
            diamond: Rc::clone(diamond),
            now: Cell::new(0),
            asked: Cell::new(None),
            answer: Cell::new(None),
        });
        let world = Rc::clone(&puppet);
        let triggers = [trigger.clone()];
        let settings = PassSettings { mode: Mode::Enforce, owner: (*owner).to_owned() };
        let pass = Box::pin(async move {
            // Nothing is learnt from the report: what counts is what became of the town.
            let _ = converge(&*world, &world.diamond.hierarchy, &triggers, &settings).await;
        });
        Self { puppet, pass }
    }

    /// Lets the pass run until it asks, and returns what; nothing if it ended.
    fn advance(&mut self) -> Option<Ask> {
        match self.pass.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(()) => None,
            Poll::Pending => self.puppet.asked.take(),
        }
    }
}

/// A world that asks whoever pulls its strings.
struct Puppet {
    diamond: Rc<Diamond>,
    now: Cell<i64>,
    asked: Cell<Option<Ask>>,
    answer: Cell<Option<Timed>>,
}

impl Puppet {
    async fn ask(&self, ask: Ask) -> Answer {
        std::future::poll_fn(|_| {
            if let Some((now, answer)) = self.answer.take() {
                self.now.set(now);
                return Poll::Ready(answer);
            }
            self.asked.set(Some(ask));
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

impl World for Puppet {
    fn now(&self) -> Timestamp {
        time(self.now.get())
    }

    async fn unsettled(&self) -> Result<BTreeSet<ImageId>, Fault> {
        match self.ask(Ask::Unsettled).await {
            Answer::Unsettled(images) => Ok(ids(images)),
            _ => Err(lost()),
        }
    }

    async fn records(&self, images: &BTreeSet<ImageId>) -> Result<Records, Fault> {
        let Answer::Records(records) = self.ask(Ask::Records(places(images))).await else {
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
        match self.ask(Ask::Slots).await {
            Answer::Slots(running) => Ok(Slots { held_by: ids(running), started_today: 0 }),
            _ => Err(lost()),
        }
    }

    async fn currents(&self, images: &[&Image]) -> BTreeMap<ImageId, Result<Option<Version>, Fault>> {
        let answer = self.ask(Ask::Currents(places(images.iter().map(|image| &image.id)))).await;
        let current = |image: &ImageId| match answer {
            Answer::Currents(current) => Ok(Some(self.version(current[usize::from(place(image))]))),
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
        _repositories: &BTreeSet<Repository>,
    ) -> BTreeMap<Repository, Result<Vec<Version>, Fault>> {
        panic!("every build says what it was built on")
    }

    async fn scans(&self, wanted: &BTreeSet<ManifestAt>) -> BTreeMap<ManifestAt, Scan> {
        let scan = |digest: &Digest| self.diamond.versions.by_digest(digest).unwrap().scan();
        wanted.iter().map(|at| (at.clone(), scan(&at.1))).collect()
    }

    async fn pipelines(&self, starts: &[&Start]) -> BTreeMap<ImageId, PipelineFacts> {
        // Pipelines never change here: whoever asks, and when, is answered alike.
        let declared = Declaration {
            mode: ExecutionMode::Queued,
            variables: Variable::ALL.map(|variable| (variable.name().to_owned(), true)).into(),
            sources: BTreeSet::new(),
        };
        starts.iter().map(|s| (s.image.clone(), PipelineFacts::Declared(declared.clone()))).collect()
    }

    async fn execution(&self, claim: &Claim) -> Execution {
        match self.ask(Ask::Execution(self.diamond.claims.number(claim))).await {
            Answer::Found { run, is_over } => Execution::Found {
                id: format!("run-{run}"),
                state: if is_over { ExecutionState::Succeeded } else { ExecutionState::InProgress },
            },
            Answer::NotFound => Execution::NotFound,
            _ => Execution::Unknown("no answer".into()),
        }
    }

    async fn save(&self, image: &ImageId, record: &Record) -> Result<(), NotSaved> {
        match self.ask(Ask::Save(place(image), self.diamond.records.number(record))).await {
            Answer::Done => Ok(()),
            Answer::Conflict => Err(NotSaved::Conflict),
            _ => Err(lost().into()),
        }
    }

    async fn claim(
        &self,
        image: &ImageId,
        record: &Record,
        _limits: Limits,
        _now: Timestamp,
    ) -> Result<(), NotClaimed> {
        match self.ask(Ask::Claim(place(image), self.diamond.records.number(record))).await {
            Answer::Done => Ok(()),
            Answer::Conflict => Err(NotClaimed::Conflict),
            Answer::AtLimit => Err(NotClaimed::AtLimit(Limit::ConcurrentBuilds)),
            _ => Err(lost().into()),
        }
    }

    async fn free(&self, image: &ImageId, fence: u64) -> Result<(), NotSaved> {
        match self.ask(Ask::Free(place(image), fence)).await {
            Answer::Done => Ok(()),
            Answer::Conflict => Err(NotSaved::Conflict),
            _ => Err(lost().into()),
        }
    }

    async fn start(&self, start: &Start) -> Result<String, NotStarted> {
        match self.ask(Ask::Start(self.diamond.starts.number(start))).await {
            Answer::Started(run) => Ok(format!("run-{run}")),
            _ => Err(NotStarted::Unclear(lost())),
        }
    }

    fn has_listener(&self) -> bool {
        false
    }

    async fn notify(&self, _notices: &[Notice]) -> Vec<Result<(), Fault>> {
        panic!("nobody listens")
    }

    async fn recheck(&self, _at: Timestamp) -> Result<(), Fault> {
        // Any pass may begin at any time as it is.
        Ok(())
    }

    async fn request_scan(&self, _repository: &Repository, _manifest: &Digest) -> Result<bool, Fault> {
        panic!("every scan is there")
    }
}
