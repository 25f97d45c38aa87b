//! One wave through a hierarchy of four levels, rolled by Patchwave and by its rivals.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use patchwave::hierarchy::Hierarchy;
use patchwave::image::ImageId;
use patchwave::time::{Span, Timestamp};
use serde::Serialize;

use crate::draw::Seed;
use crate::observation::{Build, Observation};
use crate::rivals::{Fleet, Policy, Rolled};
use crate::simulation::{Broken, Simulation};

/// The longest time that a wave may take.
const LONGEST: Span = Span::days(30);

const BASE: &str = "base/os";

/// One in so many of a hundred images copies from a second parent.
const SECOND_PARENT: u32 = 25;

/// A base image, and images on it in three more levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contest {
    /// How many images there are, the base included.
    pub images: u32,
    /// How many builds run at once.
    pub slots: u32,
    /// Everything random comes from this number.
    pub seed: u64,
}

/// What each handler did with one critical vulnerability in the base.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Contested {
    /// How many images have the vulnerability.
    pub affected: u64,
    /// The shortest time that any policy can take.
    pub bound: Span,
    pub patchwave: Rolled,
    pub rivals: BTreeMap<Policy, Rolled>,
}

impl Contest {
    /// Rolls a fix of the base through the hierarchy of [`Contest::file`].
    ///
    /// # Errors
    ///
    /// A defect.
    pub fn run(self, hierarchy: &Hierarchy) -> Result<Contested, Broken> {
        let mut simulation = self.simulation(hierarchy, 0)?;
        let began = simulation.now();
        let _ = simulation.publish_incident();
        let builds = roll(&mut simulation)?;
        let time = |build: &Build| u64::from(Span::between(build.started_at, build.finished_at).as_seconds());
        let times: BTreeMap<&ImageId, u64> = builds.iter().map(|build| (&build.image, time(build))).collect();
        let fleet = Fleet::new(hierarchy, &times, self.slots);
        let policies = [Policy::EdgeTriggered, Policy::LevelBarrier, Policy::HourlyRounds];
        let affected = times.len() as u64;
        Ok(Contested {
            affected,
            bound: fleet.bound(),
            patchwave: Rolled {
                builds: builds.len() as u64,
                wasted: builds.len() as u64 - affected,
                makespan: Span::between(began, last(&builds).unwrap_or(began)),
            },
            rivals: policies.into_iter().map(|policy| (policy, fleet.roll(policy))).collect(),
        })
    }

    /// A person pushes the base, and so many of a hundred images that are built on an image get the
    /// content that they had. Returns how many builds follow.
    ///
    /// # Errors
    ///
    /// A defect.
    pub fn builds_after_a_push(self, hierarchy: &Hierarchy, unchanged: u32) -> Result<u64, Broken> {
        let mut simulation = self.simulation(hierarchy, unchanged)?;
        let root = hierarchy.images().find(|image| hierarchy.parents(&image.id).next().is_none());
        if let Some(base) = root {
            simulation.push_by_hand(base);
        }
        Ok(roll(&mut simulation)?.len() as u64)
    }

    /// Returns a world in which an earlier wave showed how long each build takes.
    fn simulation(self, hierarchy: &Hierarchy, unchanged: u32) -> Result<Simulation, Broken> {
        let mut simulation = Simulation::new(hierarchy.clone(), self.seed).counted();
        let _ = simulation.publish_incident();
        roll(&mut simulation)?;
        simulation.run_until(Span::hours(1).after(simulation.now()), &mut |_, _| ())?;
        simulation.keep_unchanged(unchanged);
        Ok(simulation)
    }

    /// Returns the hierarchy file: a base, eight platforms on it, and two levels of applications.
    pub fn file(self) -> String {
        let Self { images, slots, seed } = self;
        let mut draws = Seed(seed).draws("contest", "");
        let platforms = 8.min(images.saturating_sub(1));
        let frameworks = images.saturating_sub(1 + platforms) / 8;
        let levels = [1, platforms, frameworks, images.saturating_sub(1 + platforms + frameworks)];
        let mut yaml = format!(
            "version: 1\nregistry: 111122223333.dkr.ecr.us-east-1.amazonaws.com\npolicy: {{ mode: enforce, \
             maxConcurrentBuilds: {slots}, maxStartsPerDay: {} }}\nimages:\n",
            images.saturating_mul(4)
        );
        let mut above: Vec<String> = Vec::new();
        let mut earlier: Vec<String> = Vec::new();
        for (level, count) in levels.into_iter().enumerate() {
            let tier = ["base", "platform", "platform", "application"].get(level).copied().unwrap_or("base");
            let name = |number| if level == 0 { BASE.to_owned() } else { format!("level-{level}/{number}") };
            let all: Vec<String> = (0..count).map(name).collect();
            for id in &all {
                let upstream = "public.ecr.aws/docker/library/debian:13".to_owned();
                let from = draws.pick(&above).cloned().unwrap_or(upstream);
                let second = draws.percent(SECOND_PARENT).then(|| draws.pick(&earlier).cloned()).flatten();
                let copied = second.filter(|second| *second != from);
                let copied = copied.map(|second| format!(", copyFrom: [{second}]")).unwrap_or_default();
                let pipeline = id.replace('/', "-");
                let _ = writeln!(
                    yaml,
                    "  - {{ id: {id}, tier: {tier}, repository: {id}, tags: [\"1\"], from: \"{from}\"{copied}, \
                     pipeline: {pipeline} }}"
                );
            }
            earlier.extend(above);
            above = all;
        }
        yaml
    }
}

/// Plays until nothing moves any more, and returns all builds.
fn roll(simulation: &mut Simulation) -> Result<Vec<Build>, Broken> {
    let mut builds: Vec<Build> = Vec::new();
    let mut watch = |_: &Simulation, observation: &Observation| {
        if let Observation::Built(build) = observation {
            builds.push(Build::clone(build));
        }
    };
    simulation.run_until_quiet(LONGEST, &mut watch)?;
    Ok(builds)
}

fn last(builds: &[Build]) -> Option<Timestamp> {
    builds.iter().map(|build| build.finished_at).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTEST: Contest = Contest { images: 60, slots: 12, seed: 7 };

    fn hierarchy() -> Hierarchy {
        Hierarchy::parse("contest.yaml", &CONTEST.file()).map_err(|errors| errors.to_string()).unwrap()
    }

    #[test]
    fn patchwave_builds_each_affected_image_once_and_its_rivals_do_more_or_wait_longer() {
        let Contested { affected, bound, patchwave, rivals } = CONTEST.run(&hierarchy()).unwrap();
        assert_eq!((affected, patchwave.builds, patchwave.wasted), (60, 60, 0));
        assert!(patchwave.makespan >= bound);
        assert!(rivals[&Policy::EdgeTriggered].builds > 2 * affected, "{rivals:?}");
        assert!(rivals[&Policy::HourlyRounds].makespan > patchwave.makespan, "{rivals:?} {patchwave:?}");
        assert!(rivals[&Policy::LevelBarrier].makespan >= bound);
    }

    #[test]
    fn what_a_build_leaves_as_it_was_builds_nothing_below() {
        let hierarchy = hierarchy();
        let all = CONTEST.builds_after_a_push(&hierarchy, 0).unwrap();
        let fewer = CONTEST.builds_after_a_push(&hierarchy, 30).unwrap();
        assert_eq!(all, 59, "all but the base, which a person pushed");
        assert!(fewer < all, "{fewer} of {all}");
    }
}
