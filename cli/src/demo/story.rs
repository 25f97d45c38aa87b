//! What happened, as data: the text is made from it, and JSON is it.

use std::collections::{BTreeMap, BTreeSet};

use patchwave::facts::Facts;
use patchwave::finding::Severity;
use patchwave::hierarchy::{Hierarchy, Tier};
use patchwave::image::{Digest, ImageId};
use patchwave::plan::{Hold, plan};
use patchwave::policy::Mode;
use patchwave::time::{Span, Timestamp};
use patchwave_converge::Report;
use patchwave_sim::{Broken, Build, Function, Incident, Orchestrator, Simulation, Workload};
use serde::Serialize;
use serde_json::Value;

use super::prediction::{Prediction, below, inheriting};

/// What was known when the first event arrived.
pub(crate) struct Beginning {
    pub(crate) seed: u64,
    pub(crate) as_if_enforced: bool,
    pub(crate) published_at: Timestamp,
    pub(crate) arrived_at: Timestamp,
    pub(crate) workloads: Vec<Workload>,
    pub(crate) incident: Incident,
}

/// What was seen while it played.
#[derive(Debug, Default)]
pub(crate) struct Watcher {
    pub(crate) builds: Vec<Build>,
    pub(crate) deployed: Vec<(Timestamp, Workload, Digest)>,
    first_scan: Option<Value>,
    events: BTreeMap<String, usize>,
    told: BTreeSet<Function>,
    passes: usize,
    waited: BTreeMap<&'static str, BTreeSet<ImageId>>,
    errors: Vec<String>,
}

impl Watcher {
    pub(crate) fn was_told(&self, function: Function) -> bool {
        self.told.contains(&function)
    }

    pub(crate) fn delivered(&mut self, _at: Timestamp, to: Function, event: &Value) {
        self.told.insert(to);
        if to == Function::ScanComplete && self.first_scan.is_none() {
            self.first_scan = Some(event.clone());
        }
        let kind = event.get("detail-type").and_then(Value::as_str).unwrap_or_default();
        *self.events.entry(kind.to_owned()).or_default() += 1;
    }

    pub(crate) fn passed(&mut self, report: &Report) {
        self.passes += 1;
        self.errors.extend(report.errors.iter().map(|failure| failure.message.clone()));
        for held in report.held.iter().filter(|held| held.hold != Hold::Fresh) {
            self.waited.entry(held.hold.name()).or_default().insert(held.image.clone());
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Story {
    pub(crate) seed: u64,
    /// Whether the hierarchy enforces nothing and was played as if it did.
    pub(crate) as_if_enforced: bool,
    pub(crate) organisation: Organisation,
    pub(crate) incident: Told,
    pub(crate) prediction: Prediction,
    pub(crate) waves: Vec<Wave>,
    /// Images below the incident that were not rebuilt, each with its hold.
    pub(crate) held: Vec<Kept>,
    /// Which images each hold kept for a while.
    pub(crate) waited: BTreeMap<&'static str, BTreeSet<ImageId>>,
    pub(crate) proof: Proof,
    pub(crate) running: Running,
    pub(crate) summary: Summary,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Organisation {
    pub(crate) registry: String,
    pub(crate) images: usize,
    pub(crate) tiers: BTreeMap<Tier, usize>,
    /// Images that stand on one ancestor by more than one way.
    pub(crate) diamonds: usize,
    pub(crate) waves: usize,
    pub(crate) workloads: BTreeMap<Orchestrator, usize>,
    pub(crate) tasks: u32,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Told {
    pub(crate) image: ImageId,
    pub(crate) vulnerability: String,
    pub(crate) package: String,
    pub(crate) severity: Severity,
    pub(crate) exploited: bool,
    pub(crate) published_at: Timestamp,
    pub(crate) arrived_at: Timestamp,
    /// The first event that told of it.
    pub(crate) event: Value,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Wave {
    pub(crate) number: usize,
    pub(crate) planned: usize,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) finished_at: Option<Timestamp>,
    /// By start.
    pub(crate) builds: Vec<Build>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Kept {
    pub(crate) image: ImageId,
    #[serde(flatten)]
    pub(crate) hold: Hold,
    pub(crate) lifted_by: String,
}

/// What the scans of the new versions say.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Proof {
    /// Platform manifests of rebuilt images that were scanned and do not list it.
    pub(crate) fixed: usize,
    /// Those that still list it.
    pub(crate) ineffective: usize,
    /// Those without a completed scan: unknown is never clean.
    pub(crate) unscanned: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Running {
    /// Workloads that ran a vulnerable digest when it began.
    pub(crate) exposed: usize,
    /// When the last task of those that were replaced stopped.
    pub(crate) last_stopped_at: Option<Timestamp>,
    pub(crate) last_stopped: Option<Workload>,
    /// Workloads that still run one.
    pub(crate) still: Vec<Workload>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Summary {
    pub(crate) affected: usize,
    pub(crate) builds: usize,
    /// Builds for each affected image, in two decimals.
    pub(crate) builds_per_image: String,
    /// Affected images that were not built.
    pub(crate) lost: Vec<ImageId>,
    /// Images that were built more than once.
    pub(crate) duplicates: Vec<ImageId>,
    pub(crate) predicted_finish: Timestamp,
    pub(crate) finished_at: Option<Timestamp>,
    pub(crate) events: BTreeMap<String, usize>,
    pub(crate) passes: usize,
    pub(crate) errors: Vec<String>,
    pub(crate) is_quiet: bool,
}

impl Story {
    /// Puts together what was seen and how the world looks now.
    pub(crate) fn tell(
        simulation: &Simulation,
        beginning: Beginning,
        prediction: Prediction,
        watcher: Watcher,
        is_quiet: bool,
    ) -> Result<Self, Broken> {
        let hierarchy = simulation.hierarchy();
        let facts = simulation.facts()?;
        let Beginning { seed, as_if_enforced, workloads, incident, .. } = &beginning;
        Ok(Self {
            seed: *seed,
            as_if_enforced: *as_if_enforced,
            organisation: organisation(hierarchy, workloads),
            waves: waves(&prediction, &watcher.builds),
            held: held(hierarchy, &facts, incident, &watcher.builds),
            proof: proof(hierarchy, &facts, incident, &watcher.builds),
            running: running(hierarchy, &beginning, &watcher, simulation),
            summary: summary(&prediction, &watcher, is_quiet),
            incident: told(&beginning, watcher.first_scan.unwrap_or_default()),
            waited: watcher.waited,
            prediction,
        })
    }

    /// Tells whether everything that could be fixed was, once.
    pub(crate) fn is_clean(&self) -> bool {
        let Summary { lost, duplicates, errors, is_quiet, .. } = &self.summary;
        let proven = self.proof.ineffective == 0 && self.proof.unscanned == 0;
        lost.is_empty() && duplicates.is_empty() && errors.is_empty() && *is_quiet && proven
    }
}

fn organisation(hierarchy: &Hierarchy, workloads: &[Workload]) -> Organisation {
    let mut tiers = BTreeMap::new();
    for image in hierarchy.images() {
        *tiers.entry(image.tier).or_default() += 1;
    }
    let mut orchestrators = BTreeMap::new();
    for workload in workloads {
        *orchestrators.entry(workload.orchestrator).or_default() += 1;
    }
    Organisation {
        registry: hierarchy.registry().host().to_owned(),
        images: hierarchy.len(),
        tiers,
        diamonds: diamonds(hierarchy),
        waves: hierarchy.all().waves().len(),
        workloads: orchestrators,
        tasks: workloads.iter().map(|workload| workload.tasks).sum(),
    }
}

/// Two parents with the same root, or one the other's ancestor, make a diamond.
fn diamonds(hierarchy: &Hierarchy) -> usize {
    let mut roots: BTreeMap<&ImageId, BTreeSet<&ImageId>> = BTreeMap::new();
    let mut diamonds = 0;
    for image in hierarchy.images() {
        let (mut of_image, mut seen) = (BTreeSet::new(), 0);
        for parent in hierarchy.parents(&image.id) {
            let above = roots.get(&parent.image.id).cloned().unwrap_or_default();
            seen += above.len();
            of_image.extend(above);
        }
        diamonds += usize::from(of_image.len() < seen);
        if seen == 0 {
            of_image.insert(&image.id);
        }
        roots.insert(&image.id, of_image);
    }
    diamonds
}

fn told(beginning: &Beginning, event: Value) -> Told {
    let Incident { image, vulnerability } = &beginning.incident;
    Told {
        image: image.clone(),
        vulnerability: vulnerability.id.clone(),
        package: vulnerability.package.clone(),
        severity: vulnerability.severity,
        exploited: vulnerability.exploited,
        published_at: beginning.published_at,
        arrived_at: beginning.arrived_at,
        event,
    }
}

fn waves(prediction: &Prediction, builds: &[Build]) -> Vec<Wave> {
    let wave = |(index, planned): (usize, &Vec<ImageId>)| {
        let mut builds: Vec<Build> = builds.iter().filter(|b| planned.contains(&b.image)).cloned().collect();
        builds.sort_by(|a, b| (a.started_at, &a.image).cmp(&(b.started_at, &b.image)));
        Wave {
            number: index + 1,
            planned: planned.len(),
            started_at: builds.iter().map(|build| build.started_at).min(),
            finished_at: builds.iter().map(|build| build.finished_at).max(),
            builds,
        }
    };
    prediction.waves.iter().enumerate().map(wave).collect()
}

fn held(hierarchy: &Hierarchy, facts: &Facts, incident: &Incident, builds: &[Build]) -> Vec<Kept> {
    let built: BTreeSet<&ImageId> = builds.iter().map(|build| &build.image).collect();
    let mut plan = plan(hierarchy, facts, Mode::Enforce, facts.observed_at);
    let below = below(hierarchy, &incident.image).into_iter().map(|image| &image.id);
    std::iter::once(&incident.image)
        .chain(below)
        .filter(|id| !built.contains(id))
        .filter_map(|id| Some((id, plan.holds.remove(id)?)))
        .map(|(id, hold)| Kept { image: id.clone(), lifted_by: hold.lifted_by(), hold })
        .collect()
}

fn proof(hierarchy: &Hierarchy, facts: &Facts, incident: &Incident, builds: &[Build]) -> Proof {
    let key = incident.vulnerability.key();
    let inherits = inheriting(hierarchy, &incident.image);
    let built: BTreeSet<&ImageId> =
        builds.iter().map(|build| &build.image).filter(|id| inherits.contains(id)).collect();
    let versions = built.iter().filter_map(|id| facts.images.get(*id)?.current_version());
    let mut proof = Proof::default();
    for manifest in versions.flat_map(|version| version.platforms.values()) {
        match manifest.scan.lists(&key) {
            Some(false) => proof.fixed += 1,
            Some(true) => proof.ineffective += 1,
            None => proof.unscanned += 1,
        }
    }
    proof
}

fn running(hierarchy: &Hierarchy, beginning: &Beginning, watcher: &Watcher, simulation: &Simulation) -> Running {
    let inherits = inheriting(hierarchy, &beginning.incident.image);
    let exposed: BTreeMap<&str, &Digest> = beginning
        .workloads
        .iter()
        .filter(|workload| inherits.contains(&workload.image))
        .map(|workload| (workload.name.as_str(), &workload.digest))
        .collect();
    let stopped = watcher.deployed.iter().filter(|(_, w, old)| exposed.get(w.name.as_str()) == Some(&old));
    let last = stopped.max_by_key(|(at, ..)| *at);
    let still = |workload: &Workload| exposed.get(workload.name.as_str()) == Some(&&workload.digest);
    Running {
        exposed: exposed.len(),
        last_stopped_at: last.map(|(at, ..)| *at),
        last_stopped: last.map(|(_, workload, _)| workload.clone()),
        still: simulation.workloads().into_iter().filter(still).collect(),
    }
}

fn summary(prediction: &Prediction, watcher: &Watcher, is_quiet: bool) -> Summary {
    let mut builds_of: BTreeMap<&ImageId, usize> = BTreeMap::new();
    for build in &watcher.builds {
        *builds_of.entry(&build.image).or_default() += 1;
    }
    let affected = prediction.rebuilt.len();
    let hundredths = (watcher.builds.len() * 100).checked_div(affected).unwrap_or(0);
    let lost = prediction.rebuilt.iter().filter(|id| !builds_of.contains_key(id));
    let duplicates = builds_of.iter().filter(|(_, builds)| **builds > 1);
    Summary {
        affected,
        builds: watcher.builds.len(),
        builds_per_image: format!("{}.{:02}", hundredths / 100, hundredths % 100),
        lost: lost.cloned().collect(),
        duplicates: duplicates.map(|(id, _)| (*id).clone()).collect(),
        predicted_finish: prediction.finishes_at,
        finished_at: watcher.builds.iter().map(|build| build.finished_at).max(),
        events: watcher.events.clone(),
        passes: watcher.passes,
        errors: watcher.errors.clone(),
        is_quiet,
    }
}

impl Summary {
    /// Returns how far the prediction was off, and whether reality was later.
    pub(crate) fn error(&self) -> Option<(Span, bool)> {
        let finished = self.finished_at?;
        let late = Span::between(self.predicted_finish, finished);
        let early = Span::between(finished, self.predicted_finish);
        Some((late.max(early), late > Span::ZERO))
    }
}
