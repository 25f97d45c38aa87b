//! One wave through one large family: what it costs and how long it takes, without faults.

use patchwave::hierarchy::Hierarchy;
use patchwave::time::{Span, Timestamp};
use serde::Serialize;

use crate::observation::{Build, Observation};
use crate::requests::Requests;
use crate::simulation::{Broken, Simulation};

/// Pages of each complete scan.
const PAGES: u64 = 2;

/// Calls for the index and the manifests of the replaced and of the new version of an image, in
/// each of two functions. What does not change stays in a warm process.
const DOCUMENTS: u64 = 2 * 2 * 2;

/// The longest time that a wave may take.
const LONGEST: Span = Span::days(60);

/// A base image, and applications that are all built on it. A critical vulnerability becomes known
/// in the base, for the second time: the wave before shows how long each build takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wave {
    /// All images, the base included.
    pub images: u32,
    /// How many builds run at once.
    pub slots: u32,
    /// Most images that one page names.
    pub page_size: usize,
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
    /// Calls of ECR for each affected image: a description of each version that is read, its
    /// documents once in each function, and two pages of each complete scan.
    pub ecr_calls_per_image: f64,
    /// Most images that one page observed.
    pub largest_page: u64,
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
        let mut simulation = Simulation::new(hierarchy, self.seed).counted().with_page_size(self.page_size);
        // An earlier wave shows how long each build takes.
        let _ = simulation.publish_incident();
        simulation.run_until_quiet(LONGEST, &mut |_, _| ())?;
        simulation.run_until(Span::hours(1).after(simulation.now()), &mut |_, _| ())?;
        let before = simulation.requests();
        let began = simulation.now();
        let _ = simulation.publish_incident();
        let mut builds: Vec<Build> = Vec::new();
        let mut watch = |_: &Simulation, observation: &Observation| {
            if let Observation::Built(build) = observation {
                builds.push(Build::clone(build));
            }
        };
        let ended = simulation.run_until_quiet(LONGEST, &mut watch)?;
        Ok(self.waved(&simulation, &before, began, &builds, ended))
    }

    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    fn waved(
        self,
        simulation: &Simulation,
        before: &Requests,
        began: Timestamp,
        builds: &[Build],
        ended: bool,
    ) -> Waved {
        let after = simulation.requests();
        let observed = after.currents.items - before.currents.items;
        let images = f64::from(self.images);
        let scans_read = after.scans.items - before.scans.items;
        let versions = after.versions.items - before.versions.items;
        let complete = after.complete_scans - before.complete_scans;
        let described = observed + versions;
        let pages = scans_read + (PAGES - 1) * complete;
        let ecr = described + DOCUMENTS * u64::from(self.images) + pages;
        let last = builds.iter().map(|build| build.finished_at).max().unwrap_or(began);
        let makespan = Span::between(began, last);
        let bound = self.bound(builds);
        let invocations = |of: &Requests| {
            of.scan_complete.invocations + of.rebuild_fanout.invocations + of.inventory.invocations
        };
        Waved {
            images: self.images,
            slots: self.slots,
            builds: after.builds - before.builds,
            invocations: invocations(&after) - invocations(before),
            observed,
            observed_per_image: observed as f64 / images,
            ecr_calls_per_image: ecr as f64 / images,
            largest_page: after.largest_page,
            scans_read,
            saves: after.saves - before.saves,
            makespan,
            bound,
            makespan_per_bound: f64::from(makespan.as_seconds()) / f64::from(bound.as_seconds().max(1)),
            ended,
        }
    }

    fn bound(self, builds: &[Build]) -> Span {
        let time = |build: &Build| Span::between(build.started_at, build.finished_at).as_seconds();
        let (base, children): (Vec<_>, Vec<_>) =
            builds.iter().partition(|build| build.image.as_str() == BASE);
        let base = base.iter().map(|build| time(build)).max().unwrap_or(0);
        let work =
            children.iter().map(|build| u64::from(time(build))).sum::<u64>() / u64::from(self.slots.max(1));
        let longest = children.iter().map(|build| u64::from(time(build))).max().unwrap_or(0);
        Span::seconds(base.saturating_add(u32::try_from(work.max(longest)).unwrap_or(u32::MAX)))
    }

    /// Returns the hierarchy file of the family.
    pub fn file(self) -> String {
        let (slots, starts) = (self.slots, self.images.saturating_mul(3));
        let head = format!(
            "version: 1\nregistry: 111122223333.dkr.ecr.us-east-1.amazonaws.com\npolicy: {{ mode: enforce, \
             maxConcurrentBuilds: {slots}, maxStartsPerDay: {starts} }}\nimages:\n"
        );
        let image = |id: &str, tier: &str, from: &str, pipeline: &str| {
            format!(
                "  - {{ id: {id}, tier: {tier}, repository: {id}, tags: [\"1\"], from: {from}, pipeline: {pipeline} }}\n"
            )
        };
        let base = image(BASE, "base", "\"public.ecr.aws/docker/library/debian:13\"", "base");
        // Every image of this tier has two platforms.
        let child = |number| image(&format!("apps/{number}"), "platform", BASE, &format!("app-{number}"));
        [head, base].into_iter().chain((1..self.images).map(child)).collect()
    }
}

const BASE: &str = "base/os";

#[cfg(test)]
mod tests {
    use super::*;

    fn waved(images: u32, page_size: usize) -> Waved {
        let wave = Wave { images, slots: 40, page_size, seed: 7 };
        let hierarchy = Hierarchy::parse("family.yaml", &wave.file());
        let waved = wave.run(hierarchy.map_err(|errors| errors.to_string()).unwrap()).unwrap();
        assert!(waved.ended);
        assert_eq!(waved.builds, u64::from(images), "each image is built once");
        waved
    }

    /// Observed by each pass together, these images would take the square of their number.
    #[test]
    fn an_image_of_a_large_family_costs_as_much_as_one_of_a_small_family() {
        let (small, large) = (waved(100, 200), waved(400, 200));
        assert!(large.observed_per_image <= 1.2 * small.observed_per_image, "{large:?} {small:?}");
        assert!(large.observed_per_image <= 16.0, "{large:?}");
        assert!(large.largest_page <= 260, "{large:?}");
    }

    #[test]
    fn pages_of_any_size_build_the_same() {
        for page_size in [1_usize, 7, 1_000] {
            let most = u64::try_from(page_size.saturating_add(10)).unwrap();
            assert!(waved(60, page_size).largest_page <= most);
        }
    }
}
