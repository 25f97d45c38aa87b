//! The world's state and how it changes by itself: builds end, scans complete, deployments roll.

use std::collections::{BTreeMap, BTreeSet};

use patchwave::facts::ExecutionState;
use patchwave::finding::{Finding, Scan};
use patchwave::hierarchy::{Hierarchy, Image, Parent, Variable};
use patchwave::image::{Digest, ImageId, Tag};
use patchwave::notice::Notice;
use patchwave::plan::Start;
use patchwave::time::{Span, Timestamp};
use patchwave::trigger::Trigger;
use patchwave_converge::ManifestAt;

use crate::build::{Order, Workshop};
use crate::clusters::Workload;
use crate::draw::Seed;
use crate::events::{Envelope, Letter};
use crate::faults::{Faults, Trouble};
use crate::invariants::Witness;
use crate::ledger::Ledger;
use crate::moment::{Build, Function, Moment};
use crate::outsiders::Deed;
use crate::packages::{Releases, Vulnerability};
use crate::pipelines::{Fate, Pipelines};
use crate::registry::{Pushed, Registry};
use crate::requests::Requests;
use crate::scanner::{Scanner, Scanning};

/// Triggers, each with its event's number.
pub(crate) type Batch = Vec<(u64, Trigger)>;

/// Something that is going to happen.
#[derive(Debug, Clone)]
pub(crate) enum Happening {
    /// EventBridge hands an event to its target.
    Delivery(Letter),
    /// An execution reaches its end.
    ExecutionEnds(String),
    /// The scanner looks at a manifest.
    Scan(ManifestAt),
    /// A workload's deployment begins.
    Deployment(String),
    /// The last task that ran a workload's old version stops.
    LastTaskStops(String, Digest),
    /// A queue invokes its function.
    Invocation(Function),
    /// A queue hands a batch to its function again, for the how-manieth time.
    Redelivery(Function, Batch, u32),
    /// Somebody outside Patchwave does something.
    Deed(Deed),
    /// Somebody's commit of an image was built.
    Commit(ImageId),
    /// A vulnerability becomes known.
    Published(Box<Vulnerability>),
    /// The fix of a vulnerability is published: the scanner looks at everything again.
    Rescan,
    /// A tick that somebody asked for.
    Wake,
    /// The rule that runs every fifteen minutes.
    Tick,
    /// The rule that runs every day.
    Sweep,
}

impl Happening {
    /// Tells whether it comes again and again, whatever else happens.
    pub(crate) fn is_recurring(&self) -> bool {
        matches!(self, Self::Tick | Self::Sweep)
    }
}

/// Everything that changes.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) seed: Seed,
    pub(crate) registry: Registry,
    pub(crate) releases: Releases,
    pub(crate) scanner: Scanner,
    pub(crate) pipelines: Pipelines,
    pub(crate) ledger: Ledger,
    pub(crate) workloads: BTreeMap<String, Workload>,
    pub(crate) envelope: Envelope,
    /// What is going to happen, in order: two things at one time happen in the order in which they were planned.
    pub(crate) agenda: BTreeMap<(Timestamp, u64), Happening>,
    planned: u64,
    happened: u64,
    /// The ticks that were asked for and are still to come.
    pub(crate) wakes: BTreeSet<Timestamp>,
    /// What people were told, in order.
    pub(crate) told: Vec<Notice>,
    /// What happened since somebody last asked.
    pub(crate) news: Vec<Moment>,
    /// The events that a rival remembers.
    pub(crate) remembered: BTreeSet<u64>,
    /// What Patchwave asked for.
    pub(crate) requests: Requests,
    /// What goes wrong.
    pub(crate) faults: Faults,
    /// Who sees whether all is as promised.
    pub(crate) witness: Witness,
}

impl State {
    pub(crate) fn new(hierarchy: &Hierarchy, seed: Seed) -> Self {
        Self {
            seed,
            registry: Registry::default(),
            releases: Releases::default(),
            scanner: Scanner::default(),
            pipelines: Pipelines::default(),
            ledger: Ledger::default(),
            workloads: BTreeMap::new(),
            envelope: Envelope::new(hierarchy.registry().clone()),
            agenda: BTreeMap::new(),
            planned: 0,
            happened: 0,
            wakes: BTreeSet::new(),
            told: Vec::new(),
            news: Vec::new(),
            remembered: BTreeSet::new(),
            requests: Requests::default(),
            faults: Faults::none(),
            witness: Witness::default(),
        }
    }

    pub(crate) fn plan(&mut self, at: Timestamp, happening: Happening) {
        self.planned += 1;
        self.agenda.insert((at, self.planned), happening);
    }

    /// Plans one tick for all who ask for the same minute, as a schedule's name does.
    pub(crate) fn wake(&mut self, at: Timestamp) {
        let minute = at.as_second().div_euclid(60) + 1;
        let Ok(at) = Timestamp::from_second(60 * minute) else { return };
        if self.wakes.insert(at) {
            self.plan(at, Happening::Wake);
        }
    }

    /// Hands an event to EventBridge, which delivers it a moment later: once, if all goes well.
    pub(crate) fn emit(&mut self, event: &Letter, now: Timestamp) {
        let usual = Span::seconds(self.seed.draws("delivery", &self.planned.to_string()).between(1, 4));
        for late in self.faults.deliveries(now) {
            self.plan(late.after(usual.after(now)), Happening::Delivery(event.clone()));
        }
    }

    pub(crate) fn build(&self, hierarchy: &Hierarchy, image: &Image, order: &Order) -> Pushed {
        let workshop =
            Workshop { hierarchy, registry: &self.registry, releases: &self.releases, seed: self.seed };
        workshop.build(image, order)
    }

    /// Returns the parents' current versions.
    pub(crate) fn current_parents(&self, hierarchy: &Hierarchy, image: &Image) -> BTreeMap<ImageId, Digest> {
        let current = |parent: &Image| {
            let pushed = self.registry.current(&parent.repository, &parent.line)?;
            Some((parent.id.clone(), pushed.version.digest.clone()))
        };
        hierarchy.parents(&image.id).filter_map(|edge| current(edge.image)).collect()
    }

    /// Begins an execution, or finds the one that the same token began before.
    pub(crate) fn start(
        &mut self,
        hierarchy: &Hierarchy,
        image: &Image,
        start: &Start,
        now: Timestamp,
    ) -> String {
        if let Some(id) = self.pipelines.replayed(start) {
            return id;
        }
        let parents = self.pulled(hierarchy, image, start);
        let fate = self.faults.fate(now);
        let execution = self.pipelines.begin(start, parents, fate, self.seed, now).clone();
        self.plan(execution.ends_at, Happening::ExecutionEnds(execution.id.clone()));
        let event = self.envelope.execution(&execution, now);
        self.emit(&event, now);
        execution.id
    }

    /// Returns what the build pulls: what it was told by the variables that were sent, else what is current.
    fn pulled(&self, hierarchy: &Hierarchy, image: &Image, start: &Start) -> BTreeMap<ImageId, Digest> {
        let mut parents = self.current_parents(hierarchy, image);
        let variable = |variable: Variable| start.variables.get(variable.name());
        let told: BTreeMap<ImageId, Digest> =
            variable(Variable::Parents).and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
        parents.extend(told);
        let base = variable(Variable::BaseImage).and_then(|base| base.rsplit_once('@')?.1.parse().ok());
        if let (Parent::Image(from), Some(base)) = (&image.from, base) {
            parents.insert(from.clone(), base);
        }
        parents
    }

    /// Counts what happened and what was written down: where that is the same, nothing changed.
    pub(crate) fn changes(&self) -> u64 {
        self.happened + self.ledger.writes
    }

    /// Lets something happen.
    pub(crate) fn happen(&mut self, hierarchy: &Hierarchy, happening: Happening, now: Timestamp) {
        self.happened += 1;
        match happening {
            Happening::ExecutionEnds(id) => self.end(hierarchy, &id, now),
            Happening::Scan(at) => self.scan(&at, now),
            Happening::Deployment(name) => self.deploy(hierarchy, &name, now),
            Happening::LastTaskStops(name, digest) => self.retire(&name, digest, now),
            Happening::Published(vulnerability) => {
                self.witness.tell(now, || {
                    format!(
                        "known: {} in {} ({:?}), fixed {:?}",
                        vulnerability.id, vulnerability.package, vulnerability.severity, vulnerability.fixed
                    )
                });
                self.publish(*vulnerability, None, now);
            }
            Happening::Commit(image) => self.commit(hierarchy, &image, now),
            Happening::Rescan => self.rescan(None, "fix", now),
            Happening::Deed(deed) => self.outsiders_do(hierarchy, &deed, now),
            // The driver's.
            Happening::Redelivery(..)
            | Happening::Tick
            | Happening::Wake
            | Happening::Sweep
            | Happening::Delivery(_)
            | Happening::Invocation(_) => {}
        }
    }

    fn end(&mut self, hierarchy: &Hierarchy, id: &str, now: Timestamp) {
        let Some(execution) = self.pipelines.end(id).cloned() else { return };
        let Ok(image) = hierarchy.image(&execution.start.image) else { return };
        self.witness.ended(&execution, now);
        if execution.state != ExecutionState::Succeeded {
            let event = self.envelope.execution(&execution, now);
            self.emit(&event, now);
            return;
        }
        let order = Order {
            parents: execution.parents.clone(),
            revision: execution.start.sources.first().map(|source| source.revision.clone()),
            cached: execution.variable(Variable::NoCache) != Some("true"),
            stuck: execution.fate == Fate::FixesNothing,
            number: execution.number,
            now,
        };
        let pushed = self.build(hierarchy, image, &order);
        self.requests.built(&execution, &pushed.version);
        let version = pushed.version.digest.clone();
        self.push(image, pushed, now);
        let event = self.envelope.execution(&execution, now);
        self.emit(&event, now);
        self.news.push(Moment::Built(Box::new(Build {
            image: image.id.clone(),
            pipeline: execution.start.pipeline,
            execution_id: execution.id,
            build_key: execution.start.key,
            reasons: execution.start.reasons,
            started_at: execution.started_at,
            finished_at: now,
            replaces: execution.start.replaces,
            version,
            parents: execution.parents,
        })));
    }

    /// Pushes a version, with all that follows: events, scans, deployments.
    pub(crate) fn push(&mut self, image: &Image, pushed: Pushed, now: Timestamp) {
        let (version, tags) = (pushed.version.clone(), pushed.tags.clone());
        let is_index = version.platforms.values().all(|manifest| manifest.digest != version.digest);
        if !self.registry.push(&image.repository, pushed) {
            return;
        }
        for manifest in version.platforms.values() {
            let at = (image.repository.clone(), manifest.digest.clone());
            if is_index {
                let event = self.envelope.pushed(&at.0, &at.1, None, false, now);
                self.emit(&event, now);
            }
            self.scanner.enqueue(&at, now);
            let usual = self.seed.draws("scan", at.1.as_str()).span(Span::seconds(50), Span::minutes(4));
            let delay = self.faults.scan_delay(usual, now);
            self.plan(delay.after(now), Happening::Scan(at));
        }
        for tag in &tags {
            let event = self.envelope.pushed(&image.repository, &version.digest, Some(tag), is_index, now);
            self.emit(&event, now);
        }
        let follow: Vec<(String, Span)> = self
            .workloads
            .values()
            .filter(|w| w.image == image.id)
            .map(|w| (w.name.clone(), w.follows_after))
            .collect();
        for (name, delay) in follow {
            self.plan(delay.after(now), Happening::Deployment(name));
        }
    }

    fn scan(&mut self, at: &ManifestAt, now: Timestamp) {
        let Some((layers, _)) = self.registry.manifest(at).cloned() else { return };
        if let Some(worse) = self.faults.scan_result(now) {
            // Whatever the scanner said last, or nothing, comes again some time: usually.
            let again = self.faults.span(Span::hours(1), Span::hours(20));
            if self.faults.percent(60) {
                self.plan(again.after(now), Happening::Scan(at.clone()));
            }
            self.scanner.lose(at, worse);
            return;
        }
        let first = self.scanner.scan(at).completed_at().is_none();
        let new = self.scanner.complete(at, &layers, now);
        let tags: Vec<Tag> = self.registry.pushed(&at.0, &at.1).map(|p| p.tags.clone()).unwrap_or_default();
        for event in self.scan_events(at, &tags, first, &new, now) {
            self.emit(&event, now);
        }
    }

    fn scan_events(
        &mut self,
        at: &ManifestAt,
        tags: &[Tag],
        first: bool,
        new: &[Finding],
        now: Timestamp,
    ) -> Vec<Letter> {
        let scan = self.scanner.scan(at);
        let Scan::Complete { findings, .. } = &scan else { return Vec::new() };
        match (self.scanner.scanning(&at.0), first) {
            (Scanning::Basic, _) => vec![self.envelope.basic_scan(at, tags, findings, now)],
            (Scanning::Enhanced, true) => vec![self.envelope.enhanced_scan(at, tags, findings, now)],
            (Scanning::Enhanced, false) => {
                new.iter().map(|finding| self.envelope.finding(at, tags, finding, now)).collect()
            }
        }
    }

    fn deploy(&mut self, hierarchy: &Hierarchy, name: &str, now: Timestamp) {
        let Some(workload) = self.workloads.get(name) else { return };
        let Ok(image) = hierarchy.image(&workload.image) else { return };
        let Some(current) = self.registry.current(&image.repository, &image.line) else { return };
        let digest = current.version.digest.clone();
        let at = workload.rolls_for.after(now);
        self.plan(at, Happening::LastTaskStops(name.to_owned(), digest));
    }

    fn retire(&mut self, name: &str, digest: Digest, now: Timestamp) {
        let Some(workload) = self.workloads.get_mut(name).filter(|workload| workload.digest != digest) else {
            return;
        };
        let old = std::mem::replace(&mut workload.digest, digest);
        workload.since = now;
        self.requests.deployments += 1;
        self.news.push(Moment::Deployed { at: now, workload: workload.clone(), replaced: old });
    }

    /// Makes a vulnerability known: enhanced scanning looks at all that it covers within minutes, and the nightly job
    /// of the others comes round.
    pub(crate) fn publish(
        &mut self,
        vulnerability: Vulnerability,
        first: Option<&ManifestAt>,
        now: Timestamp,
    ) {
        self.releases.announce(&vulnerability);
        if let Some((_, fixed_at)) = vulnerability.fixed
            && fixed_at > now
        {
            self.plan(Span::minutes(10).after(fixed_at), Happening::Rescan);
        }
        self.rescan(first, &vulnerability.id, now);
        self.scanner.known.push(vulnerability);
    }

    fn rescan(&mut self, first: Option<&ManifestAt>, why: &str, now: Timestamp) {
        let manifests: Vec<ManifestAt> = self.registry.manifests().cloned().collect();
        for at in manifests {
            let (soonest, latest) = match self.scanner.scanning(&at.0) {
                Scanning::Basic => (Span::minutes(20), Span::minutes(60)),
                Scanning::Enhanced => (Span::minutes(5), Span::minutes(15)),
            };
            if first != Some(&at) && self.faults.strikes(Trouble::NotRescanned, now) {
                continue;
            }
            let subject = format!("{} {}", why, at.1);
            let delay = match first {
                Some(first) if *first == at => Span::minutes(4),
                _ => self.seed.draws("rescan", &subject).span(soonest, latest),
            };
            self.plan(delay.after(now), Happening::Scan(at));
        }
    }
}
