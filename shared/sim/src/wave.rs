//! One wave through one large family: what it costs and how long it takes, without faults.

use patchwave::hierarchy::Hierarchy;
use patchwave::image::ImageId;
use patchwave::time::{Span, Timestamp};
use serde::Serialize;

use crate::observation::Observation;
use crate::requests::Requests;
use crate::simulation::{Broken, Simulation};

/// The longest time that a wave may take.
const LONGEST: Span = Span::days(60);

/// A base image, and applications that are all built on it. A critical vulnerability becomes known
/// in the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wave {
    /// All images, the base included.
    pub images: u32,
    /// How many builds run at once.
    pub slots: u32,
    /// Everything random comes from this number.
    pub seed: u64,
}

/// What a wave took.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Waved {
    pub images: u32,
    pub slots: u32,
    /// Builds that succeeded. The wave affects every image of the family.
    pub builds: u64,
    pub invocations: u64,
    /// Images that all looks observed, with the ancestors that they need.
    pub observed: u64,
    /// The same for each affected image.
    pub observed_per_image: f64,
    /// Calls of ECR for each affected image: two platforms of each version, and two pages of each
    /// scan.
    pub ecr_calls_per_image: f64,
    /// Most images that one look observed.
    pub largest_look: u64,
    pub scans_read: u64,
    pub saves: u64,
    /// From the vulnerability to the end of the last build.
    pub makespan: Span,
    /// The shortest time in which so many slots can make these builds: the base's, and then the
    /// children's.
    pub bound: Span,
    pub makespan_per_bound: f64,
    /// Whether everything was quiet in the end.
    pub ended: bool,
}

impl Wave {
    /// Plays the wave in the hierarchy of [`Wave::file`], until nothing moves any more.
    ///
    /// # Errors
    ///
    /// A defect.
    pub fn run(self, hierarchy: Hierarchy) -> Result<Waved, Broken> {
        let mut simulation = Simulation::new(hierarchy, self.seed).counted();
        simulation.run_until(Span::hours(1).after(simulation.now()), &mut |_, _| ())?;
        let before = simulation.requests();
        let began = simulation.now();
        let _ = simulation.publish_incident();
        let mut last = began;
        let mut watch = |_: &Simulation, observation: &Observation| {
            if let Observation::Built(build) = observation {
                last = last.max(build.finished_at);
            }
        };
        let ended = simulation.run_until_quiet(LONGEST, &mut watch)?;
        Ok(self.waved(&simulation, before, (began, last), ended))
    }

    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    fn waved(
        self,
        simulation: &Simulation,
        before: Requests,
        (began, last): (Timestamp, Timestamp),
        ended: bool,
    ) -> Waved {
        let after = simulation.requests();
        let observed = after.currents.items - before.currents.items;
        let images = f64::from(self.images);
        let scans_read = after.scans.items - before.scans.items;
        let versions = after.versions.items - before.versions.items;
        // A version takes a description, an index and a manifest for each of two platforms.
        let ecr = 3 * observed + 3 * versions + 2 * scans_read;
        let makespan = Span::between(began, last);
        let bound = self.bound(simulation);
        let invocations = |of: &Requests| {
            of.scan_complete.invocations + of.rebuild_fanout.invocations + of.inventory.invocations
        };
        Waved {
            images: self.images,
            slots: self.slots,
            builds: after.builds - before.builds,
            invocations: invocations(&after) - invocations(&before),
            observed,
            observed_per_image: observed as f64 / images,
            ecr_calls_per_image: ecr as f64 / images,
            largest_look: after.largest_look,
            scans_read,
            saves: after.saves - before.saves,
            makespan,
            bound,
            makespan_per_bound: f64::from(makespan.as_seconds()) / f64::from(bound.as_seconds().max(1)),
            ended,
        }
    }

    fn bound(self, simulation: &Simulation) -> Span {
        let time = |id: &ImageId| simulation.usual_build_time(id).as_seconds();
        let base = BASE.parse().map_or(0, |id| time(&id));
        let children = simulation.hierarchy().images().filter(|image| image.id.as_str() != BASE);
        let times: Vec<u32> = children.map(|image| time(&image.id)).collect();
        let work =
            times.iter().map(|seconds| u64::from(*seconds)).sum::<u64>() / u64::from(self.slots.max(1));
        let longest = u64::from(times.iter().copied().max().unwrap_or(0));
        Span::seconds(base.saturating_add(u32::try_from(work.max(longest)).unwrap_or(u32::MAX)))
    }

    /// Returns the hierarchy file of the family.
    pub fn file(self) -> String {
        let mut yaml = format!(
            "version: 1\nregistry: 111122223333.dkr.ecr.us-east-1.amazonaws.com\npolicy: {{ mode: enforce, \
             maxConcurrentBuilds: {}, maxStartsPerDay: {} }}\nimages:\n  - {{ id: {BASE}, tier: base, repository: {BASE}, \
             tags: [\"1\"], from: \"public.ecr.aws/docker/library/debian:13\", pipeline: base }}\n",
            self.slots,
            self.images.saturating_mul(3)
        );
        for number in 1..self.images {
            yaml += &format!(
                "  - {{ id: apps/{number}, tier: application, repository: apps/{number}, tags: [\"1\"], from: {BASE}, \
                 pipeline: app-{number} }}\n"
            );
        }
        yaml
    }
}

const BASE: &str = "base/os";
