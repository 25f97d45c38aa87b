//! Makes the report: from what was seen, and from how the simulated world looks at its end.

use std::collections::{BTreeMap, BTreeSet};

use patchwave::facts::Facts;
use patchwave::hierarchy::{Hierarchy, Tier};
use patchwave::image::{Digest, ImageId};
use patchwave::plan::{Plan, plan};
use patchwave::policy::Mode;
use patchwave::time::Timestamp;
use patchwave_converge::Held;
use patchwave_sim::{Broken, Build, Incident, Simulation, Workload};

use super::prediction::{Prediction, below, inheriting};
use super::report::{DemoHierarchy, DemoReport, IncidentReport, Proof, Running, Summary, Wave};
use super::watcher::Watcher;

/// What was known when the first event arrived.
pub(crate) struct FirstEvent {
    pub(crate) seed: u64,
    pub(crate) as_if_enforced: bool,
    pub(crate) published_at: Timestamp,
    pub(crate) arrived_at: Timestamp,
    pub(crate) workloads: Vec<Workload>,
    pub(crate) incident: Incident,
}

impl DemoReport {
    /// Puts together what was seen and how the world looks now.
    pub(crate) fn collect(
        simulation: &Simulation,
        first: &FirstEvent,
        prediction: Prediction,
        watcher: Watcher,
        is_quiet: bool,
    ) -> Result<Self, Broken> {
        let hierarchy = simulation.hierarchy();
        let facts = simulation.facts()?;
        let again = plan(hierarchy, &facts, Mode::Enforce, facts.observed_at);
        let FirstEvent { seed, as_if_enforced, workloads, incident, .. } = first;
        Ok(Self {
            seed: *seed,
            as_if_enforced: *as_if_enforced,
            organisation: organisation(hierarchy, workloads),
            waves: waves(&prediction, &watcher.builds),
            summary: summary(&prediction, &watcher, &again, is_quiet),
            held: held(hierarchy, again, incident, &watcher.builds),
            proof: proof(hierarchy, &facts, incident, &watcher.builds),
            running: running(hierarchy, first, &watcher, simulation),
            incident: incident_report(hierarchy, first, &watcher),
            waited: watcher.waited,
            prediction,
        })
    }
}

fn organisation(hierarchy: &Hierarchy, workloads: &[Workload]) -> DemoHierarchy {
    let mut tiers = BTreeMap::new();
    for image in hierarchy.images() {
        *tiers.entry(image.tier).or_default() += 1;
    }
    let mut orchestrators = BTreeMap::new();
    for workload in workloads {
        *orchestrators.entry(workload.orchestrator).or_default() += 1;
    }
    DemoHierarchy {
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

fn incident_report(hierarchy: &Hierarchy, first: &FirstEvent, watcher: &Watcher) -> IncidentReport {
    let fixed_at = watcher.builds.first().map(|build| build.finished_at);
    let Incident { image, vulnerability } = &first.incident;
    IncidentReport {
        image: image.clone(),
        tier: hierarchy.image(image).map_or(Tier::Base, |image| image.tier),
        vulnerability: vulnerability.id.clone(),
        package: vulnerability.package.clone(),
        severity: vulnerability.severity,
        exploited: vulnerability.exploited,
        published_at: first.published_at,
        arrived_at: first.arrived_at,
        event: watcher.first_scan.clone().unwrap_or_default(),
        more_scan_events: watcher
            .scans
            .iter()
            .skip(1)
            .filter(|at| fixed_at.is_none_or(|fixed| **at < fixed))
            .count(),
    }
}

fn waves(prediction: &Prediction, builds: &[Build]) -> Vec<Wave> {
    let mut of_image: BTreeMap<&ImageId, Vec<&Build>> = BTreeMap::new();
    for build in builds {
        of_image.entry(&build.image).or_default().push(build);
    }
    let wave = |(number, planned): (usize, &Vec<ImageId>)| {
        let builds = planned.iter().filter_map(|id| of_image.get(id)).flatten();
        let mut builds: Vec<Build> = builds.map(|build| (*build).clone()).collect();
        builds.sort_by(|a, b| (a.started_at, &a.image).cmp(&(b.started_at, &b.image)));
        Wave {
            number,
            planned: planned.len(),
            started_at: builds.iter().map(|build| build.started_at).min(),
            finished_at: builds.iter().map(|build| build.finished_at).max(),
            builds,
        }
    };
    (1..).zip(&prediction.waves).map(wave).collect()
}

fn held(hierarchy: &Hierarchy, mut plan: Plan, incident: &Incident, builds: &[Build]) -> Vec<Held> {
    let built: BTreeSet<&ImageId> = builds.iter().map(|build| &build.image).collect();
    let below = below(hierarchy, &incident.image).filter(|id| !built.contains(id));
    let kept: Vec<_> = below.filter_map(|id| Some((id, plan.holds.remove(id)?))).collect();
    kept.into_iter()
        .map(|(id, hold)| Held::new(id.clone(), hold, plan.reasons.get(id).cloned().unwrap_or_default()))
        .collect()
}

fn proof(hierarchy: &Hierarchy, facts: &Facts, incident: &Incident, builds: &[Build]) -> Proof {
    let key = incident.vulnerability.key();
    let inherits = inheriting(hierarchy, &incident.image);
    let built: BTreeSet<&ImageId> =
        builds.iter().map(|build| &build.image).filter(|id| inherits.contains(id)).collect();
    let mut proof = Proof::default();
    for version in built.iter().filter_map(|id| facts.images.get(*id)?.current_version()) {
        let fixed_before = proof.fixed;
        for (platform, manifest) in &version.platforms {
            match manifest.scan.lists(&key) {
                Some(false) => {
                    proof.fixed += 1;
                    *proof.platforms.entry(platform.clone()).or_default() += 1;
                }
                Some(true) => proof.ineffective += 1,
                None => proof.unscanned += 1,
            }
        }
        proof.images += usize::from(proof.fixed - fixed_before == version.platforms.len());
    }
    proof
}

fn running(hierarchy: &Hierarchy, first: &FirstEvent, watcher: &Watcher, simulation: &Simulation) -> Running {
    let inherits = inheriting(hierarchy, &first.incident.image);
    let exposed: BTreeMap<&str, &Digest> = first
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

fn summary(prediction: &Prediction, watcher: &Watcher, again: &Plan, is_quiet: bool) -> Summary {
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
        starts_again: again.starts.len(),
    }
}
