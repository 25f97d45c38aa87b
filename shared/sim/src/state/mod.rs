//! The state of the world, and how it changes by itself: builds end, scans complete, deployments
//! roll.

mod agenda;
mod builds;
mod scans;

use std::collections::{BTreeMap, BTreeSet};

use patchwave::hierarchy::{Hierarchy, Image};
use patchwave::image::{Digest, ImageId};
use patchwave::notice::Notice;
use patchwave::time::{Span, Timestamp};
use patchwave_converge::LEASE;

pub(crate) use agenda::{Agenda, Batch, Scheduled};

use crate::build::{BuildInputs, Builder};
use crate::checker::Checker;
use crate::clusters::Workload;
use crate::draw::Seed;
use crate::events::{Delivery, EventWriter};
use crate::faults::FaultPlan;
use crate::faulty_world::Stored;
use crate::ledger::Ledger;
use crate::observation::Observation;
use crate::packages::{Releases, Vulnerability};
use crate::people::Anchored;
use crate::pipelines::Pipelines;
use crate::registry::{Pushed, Registry};
use crate::requests::Requests;
use crate::scanner::Scanner;
use crate::truth::Truth;
use crate::upstream::Registries;

/// How far ahead Patchwave schedules a tick at least.
const AHEAD: Span = Span::seconds(30);

/// Everything that changes.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) seed: Seed,
    pub(crate) registry: Registry,
    pub(crate) releases: Releases,
    pub(crate) scanner: Scanner,
    /// The head of each image's source, where people have committed since the beginning.
    pub(crate) commits: BTreeMap<ImageId, String>,
    /// How many of a hundred images that are built on an image keep their content from now on.
    pub(crate) unchanged: u32,
    pub(crate) pipelines: Pipelines,
    pub(crate) ledger: Ledger,
    pub(crate) workloads: BTreeMap<String, Workload>,
    /// What sweeps found out about them.
    pub(crate) stored: Stored,
    pub(crate) event_writer: EventWriter,
    pub(crate) agenda: Agenda,
    happened: u64,
    /// When Patchwave asked for rechecks that are still to come.
    pub(crate) rechecks: BTreeSet<Timestamp>,
    /// All notices that were sent, in order.
    pub(crate) notified: Vec<Notice>,
    /// Which of them were sent since faults are over.
    told: BTreeSet<(String, u32)>,
    /// What happened since the driver last reported it.
    pub(crate) observations: Vec<Observation>,
    /// The numbers of the events that a baseline handler remembers.
    pub(crate) remembered: BTreeSet<u64>,
    pub(crate) requests: Requests,
    pub(crate) faults: FaultPlan,
    pub(crate) checker: Checker,
    pub(crate) truth: Truth,
    /// What people are going to do at moments of a build.
    pub(crate) anchored: Anchored,
    pub(crate) upstreams: Registries,
}

impl State {
    pub(crate) fn new(hierarchy: &Hierarchy, seed: Seed) -> Self {
        Self {
            seed,
            registry: Registry::default(),
            releases: Releases::default(),
            scanner: Scanner::default(),
            commits: BTreeMap::new(),
            unchanged: 0,
            pipelines: Pipelines::default(),
            ledger: Ledger::default(),
            workloads: BTreeMap::new(),
            stored: Stored::default(),
            event_writer: EventWriter::new(hierarchy.registry().clone()),
            agenda: Agenda::default(),
            happened: 0,
            rechecks: BTreeSet::new(),
            notified: Vec::new(),
            told: BTreeSet::new(),
            observations: Vec::new(),
            remembered: BTreeSet::new(),
            requests: Requests::default(),
            faults: FaultPlan::none(),
            checker: Checker::default(),
            truth: Truth::default(),
            anchored: Anchored::default(),
            upstreams: Registries::default(),
        }
    }

    pub(crate) fn schedule(&mut self, at: Timestamp, scheduled: Scheduled) {
        self.agenda.add(at, scheduled);
    }

    /// Schedules one tick for all requests of the same minute, as the name of a schedule does. The
    /// minute is still ahead: Scheduler refuses one that has passed.
    pub(crate) fn schedule_recheck(&mut self, at: Timestamp, now: Timestamp) {
        let earliest = at.max(AHEAD.after(now));
        let seconds = earliest.as_second() + i64::from(earliest.subsec_nanosecond() > 0);
        let Ok(at) = Timestamp::from_second((seconds + 59).div_euclid(60) * 60) else { return };
        if self.rechecks.insert(at) {
            self.schedule(at, Scheduled::Recheck);
        }
    }

    /// Hands an event to EventBridge, which delivers it a moment later: once, if no fault is
    /// injected.
    pub(crate) fn emit(&mut self, event: &Delivery, now: Timestamp) {
        let subject = self.agenda.added().to_string();
        let usual = Span::seconds(self.seed.draws("delivery", &subject).between(1, 4));
        for late in self.faults.deliveries(now) {
            self.schedule(late.after(usual.after(now)), Scheduled::Delivery(event.clone()));
        }
    }

    pub(crate) fn build(&self, hierarchy: &Hierarchy, image: &Image, inputs: &BuildInputs) -> Pushed {
        let Self { registry, releases, commits, unchanged, seed, .. } = self;
        let builder = Builder { hierarchy, registry, releases, commits, unchanged: *unchanged, seed: *seed };
        builder.build(image, inputs)
    }

    /// Returns the current versions of the parents.
    pub(crate) fn current_parents(&self, hierarchy: &Hierarchy, image: &Image) -> BTreeMap<ImageId, Digest> {
        let current = |parent: &Image| {
            let pushed = self.registry.current(&parent.repository, &parent.line)?;
            Some((parent.id.clone(), pushed.version.digest.clone()))
        };
        hierarchy.parents(&image.id).filter_map(|edge| current(edge.image)).collect()
    }

    /// Counts what happened and what was written to the ledger. An equal count means that nothing
    /// changed.
    pub(crate) fn changes(&self) -> u64 {
        self.happened + self.ledger.writes
    }

    /// Lets something happen that is not the driver's task.
    pub(crate) fn apply(&mut self, hierarchy: &Hierarchy, scheduled: Scheduled, now: Timestamp) {
        self.happened += 1;
        match scheduled {
            Scheduled::ExecutionPushes(id) => self.push_of_execution(hierarchy, &id, now),
            Scheduled::ExecutionEnds(id) => self.end_execution(hierarchy, &id, now),
            Scheduled::ForeignExecutionEnds(id) => self.end_foreign(hierarchy, &id, now),
            Scheduled::Scan(at) => self.scan(&at, now),
            Scheduled::Deployment(name) => self.deploy(hierarchy, &name, now),
            Scheduled::LastTaskStops(name, digest) => self.replace_tasks(&name, digest, now),
            Scheduled::Published(vulnerability) => {
                self.log_vulnerability(&vulnerability, now);
                self.publish(*vulnerability, None, now);
            }
            Scheduled::Commit(image) => self.commit(hierarchy, &image, now),
            Scheduled::Rescan => self.rescan(None, "fix", now),
            // The driver handles these.
            Scheduled::Redelivery(..)
            | Scheduled::Tick
            | Scheduled::Recheck
            | Scheduled::Sweep
            | Scheduled::Delivery(_)
            | Scheduled::Invocation(_)
            | Scheduled::PersonAction(_) => {}
        }
    }

    /// Notices are sent. Each is sent once when no pass of the time of faults can be under way.
    pub(crate) fn notify(&mut self, notices: &[Notice], now: Timestamp) {
        for notice in notices.iter().filter(|_| self.faults.are_over(LEASE.before(now))) {
            if !self.told.insert((notice.id.clone(), notice.revision)) {
                self.checker.violation(now, format!("the notice {} is sent again", notice.id));
            }
        }
        self.notified.extend_from_slice(notices);
    }

    fn log_vulnerability(&mut self, vulnerability: &Vulnerability, now: Timestamp) {
        let Vulnerability { id, package, severity, fixed, .. } = vulnerability;
        self.checker.log(now, || {
            let fixed = match fixed {
                Some((version, at)) => {
                    format!("version {version} fixes it from {} on", at.strftime("%d %H:%M:%S"))
                }
                None => "no version fixes it".to_owned(),
            };
            format!("known: {id} in {package} ({severity}), {fixed}")
        });
    }

    fn deploy(&mut self, hierarchy: &Hierarchy, name: &str, now: Timestamp) {
        let Some(workload) = self.workloads.get(name) else { return };
        let Ok(image) = hierarchy.image(&workload.image) else { return };
        let Some(current) = self.registry.promoted(&image.repository, &image.line) else { return };
        let digest = current.version.digest.clone();
        let at = workload.rolls_for.after(now);
        self.schedule(at, Scheduled::LastTaskStops(name.to_owned(), digest));
    }

    fn replace_tasks(&mut self, name: &str, digest: Digest, now: Timestamp) {
        let Some(workload) = self.workloads.get_mut(name).filter(|workload| workload.digest != digest) else {
            return;
        };
        let replaced = std::mem::replace(&mut workload.digest, digest);
        workload.since = now;
        self.requests.rollouts += 1;
        let deployed = Observation::Deployed { at: now, workload: workload.clone(), replaced };
        self.observations.push(deployed);
    }
}
