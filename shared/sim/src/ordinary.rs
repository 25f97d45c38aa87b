//! Ordinary time: no faults, people commit, and vulnerabilities become known.

use std::collections::BTreeMap;

use patchwave::facts::ExecutionState;
use patchwave::finding::Severity;
use patchwave::hierarchy::{Hierarchy, Image, Tier};
use patchwave::image::ImageId;
use patchwave::time::{Span, Timestamp};

use crate::build::installs;
use crate::draw::{Draws, Seed, hex};
use crate::faults::InjectedFault;
use crate::incident::can_be_rebuilt;
use crate::packages::Vulnerability;
use crate::requests::Requests;
use crate::simulation::{Broken, Simulation};
use crate::state::{Scheduled, State};

/// The days of a month.
const MONTH: u32 = 30;

/// How long before a vulnerability becomes known its fix is published.
const FIXED_BEFORE: Span = Span::hours(2);

/// Of a hundred vulnerabilities so many are critical. The others are high.
const CRITICAL: u32 = 20;

/// What happens in an ordinary time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ordinary {
    pub days: u32,
    /// Commits of application images a day. Each is built and pushed, at any time of the day.
    pub commits_a_day: u32,
    /// Vulnerabilities that become known in thirty days. Each is fixed, and is in a package that a
    /// base or platform image installs.
    pub vulnerabilities_a_month: u32,
    /// Everything random comes from this number.
    pub seed: u64,
}

impl Ordinary {
    /// Simulates the time and counts what Patchwave asks of AWS. An error is a defect.
    pub fn run(self, hierarchy: Hierarchy) -> Result<Requests, Broken> {
        let mut simulation = Simulation::new(hierarchy, self.seed).counted();
        for (at, image) in self.commits(&simulation) {
            simulation.schedule(at, Scheduled::Commit(image));
        }
        for vulnerability in self.vulnerabilities(&simulation) {
            simulation.schedule_vulnerability(vulnerability);
        }
        simulation.run_until(Span::days(self.days).after(simulation.now()), &mut |_, _| ())?;
        Ok(simulation.requests())
    }

    fn commits(self, simulation: &Simulation) -> Vec<(Timestamp, ImageId)> {
        let is_ours = |image: &&Image| image.tier == Tier::Application && image.pipeline.is_some();
        let images: Vec<&Image> = simulation.hierarchy().images().filter(is_ours).collect();
        let mut draws = Seed(self.seed).draws("commits", "");
        let commits = (0..self.days * self.commits_a_day).filter_map(|_| {
            let at = self.sometime(&mut draws).after(simulation.now());
            Some((at, draws.pick(&images)?.id.clone()))
        });
        commits.collect()
    }

    fn vulnerabilities(self, simulation: &Simulation) -> Vec<Vulnerability> {
        let (seed, now) = (Seed(self.seed), simulation.now());
        let installs_much = |image: &&Image| {
            image.tier != Tier::Application && can_be_rebuilt(image) && !installs(seed, image).is_empty()
        };
        let images: Vec<&Image> = simulation.hierarchy().images().filter(installs_much).collect();
        let mut draws = seed.draws("vulnerabilities", "");
        let count = self.vulnerabilities_a_month * self.days / MONTH;
        let mut times: Vec<Timestamp> = (0..count).map(|_| self.sometime(&mut draws).after(now)).collect();
        times.sort_unstable();
        let mut releases: BTreeMap<(&ImageId, &str), u32> = BTreeMap::new();
        let vulnerability = |(number, known_from): (usize, Timestamp)| {
            let image = draws.pick(&images)?;
            let packages: Vec<&str> = installs(seed, image).into_iter().collect();
            let package = *draws.pick(&packages)?;
            let release = releases.entry((&image.id, package)).or_insert(1);
            *release += 1;
            Some(Vulnerability {
                id: format!("CVE-2026-{}", 40_000 + number),
                package: package.to_owned(),
                installed_by: Some(image.id.clone()),
                severity: if draws.percent(CRITICAL) { Severity::Critical } else { Severity::High },
                exploited: false,
                known_from,
                fixed: Some((*release, FIXED_BEFORE.before(known_from))),
            })
        };
        times.into_iter().enumerate().filter_map(vulnerability).collect()
    }

    fn sometime(self, draws: &mut Draws) -> Span {
        draws.span(Span::ZERO, Span::days(self.days))
    }
}

impl State {
    /// The image's pipeline has built a person's commit on the current parents.
    pub(crate) fn commit(&mut self, hierarchy: &Hierarchy, image: &ImageId, now: Timestamp) {
        let Ok(image) = hierarchy.image(image) else { return };
        let Some(pipeline) = &image.pipeline else { return };
        let parents = self.current_parents(hierarchy, image);
        let number = self.push_by_hand(hierarchy, image, parents, InjectedFault::PushedFixed, now);
        let id = hex(&format!("commit's execution {} {number}", image.id));
        let ended = (now, ExecutionState::Succeeded);
        let event = self.event_writer.execution_of(&pipeline.name, &id, ended, now);
        self.emit(&event, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo_hierarchy::DEMO_HIERARCHY;
    use crate::requests::Invoked;

    const QUIET: Ordinary = Ordinary { days: 1, commits_a_day: 0, vulnerabilities_a_month: 0, seed: 7 };

    fn run(ordinary: Ordinary) -> Requests {
        let hierarchy = Hierarchy::parse("demo_hierarchy.yaml", DEMO_HIERARCHY);
        ordinary.run(hierarchy.map_err(|errors| errors.to_string()).unwrap()).unwrap()
    }

    #[test]
    fn a_quiet_day_consists_of_its_ticks_and_one_sweep() {
        let requests = run(QUIET);
        assert_eq!((requests.ticks, requests.inventory.messages, requests.inventory.invocations), (96, 1, 1));
        // One line for the pass, and one for each image whose findings have no fix yet.
        assert_eq!((requests.inventory.images, requests.inventory.log_lines), (39, 22));
        let Requests { scan_complete, rebuild_fanout, .. } = requests;
        assert_eq!(scan_complete, Invoked::default());
        assert_eq!(rebuild_fanout.messages, requests.ticks + requests.rechecks);
        assert_eq!((requests.claims, requests.frees, requests.starts, requests.builds), (0, 0, 0, 0));
        // A tick asks what is due and what is ready; a sweep looks at all.
        let passes = rebuild_fanout.invocations + 1;
        assert_eq!((requests.schedule.calls, requests.slots.items), (2 * (passes - 1), 2 * passes));
        // A pass reads the record again before it sends a notice. No record is read more than
        // twice.
        let records = rebuild_fanout.images + 39 + requests.notices.items;
        assert!((records..2 * records).contains(&requests.records.items), "{requests:?}");
    }

    #[test]
    fn every_claim_is_built_once_and_gives_its_slot_back() {
        let requests = run(Ordinary { days: 3, vulnerabilities_a_month: 10, ..QUIET });
        assert!(requests.claims > 1, "{requests:?}");
        assert_eq!(
            (requests.starts, requests.builds, requests.frees),
            (requests.claims, requests.claims, requests.claims)
        );
        assert!(requests.manifests_built >= requests.builds && requests.build_minutes > requests.builds);
        assert!(requests.scan_complete.messages >= requests.manifests_built);
        // Each claim is a transaction of four writes.
        assert!(requests.write_units >= 8 * requests.claims + requests.saves, "{requests:?}");
        assert!(requests.record_bytes > 0 && requests.audit_bytes > 500 * requests.claims, "{requests:?}");
    }

    #[test]
    fn each_commit_causes_a_push_a_scan_and_the_end_of_an_execution() {
        let (quiet, busy) = (run(QUIET), run(Ordinary { commits_a_day: 10, ..QUIET }));
        let more = |of: fn(&Requests) -> u64| of(&busy) - of(&quiet);
        assert!(more(|requests| requests.scan_complete.messages) >= 10);
        let ticked = |requests: &Requests| requests.ticks + requests.rechecks;
        let changes = |requests: &Requests| requests.rebuild_fanout.messages - ticked(requests);
        // Each commit pushes one tag.
        assert_eq!((changes(&quiet), changes(&busy), busy.claims), (0, 20, 0));
        assert!(busy.rollouts > 0);
    }
}
