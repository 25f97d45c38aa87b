//! A time in which nothing happens but that upstream tags move.

use std::fmt::Write;

use patchwave::hierarchy::Hierarchy;
use patchwave::image::{ImageId, Reference};
use patchwave::time::{Span, Timestamp};
use patchwave::upstream::Tracked;
use serde::Serialize;

use super::rivals::{Rival, listing, polling};
use super::{Registries, UpstreamRequests};
use crate::draw::Seed;
use crate::simulation::{Broken, Simulation};

/// How many tags a repository has, for those who list them: half of what official images have.
const TAGS_OF_A_REPOSITORY: u64 = 2_000;

/// A time of watching upstream tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamMonth {
    pub tags: Vec<Reference>,
    pub days: u32,
    /// Whether hosts fail for hours, and give no more than this many manifests in six hours.
    pub most_gets: Option<u32>,
    /// Everything random comes from this number.
    pub seed: u64,
}

/// What the watching cost, and what others cost in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Watched {
    pub tags: usize,
    pub days: u32,
    pub requests: UpstreamRequests,
    /// Half read units and write units of the table, beside those of the ticks.
    pub half_read_units: u64,
    pub write_units: u64,
    /// Changes of content that Patchwave saw.
    pub changes: u64,
    /// The longest time from a change to when Patchwave saw it.
    pub slowest: Span,
    /// Getting each manifest at each tick.
    pub polling: Rival,
    /// Listing the tags of each repository at each tick.
    pub listing: Rival,
    /// What Patchwave keeps at the end.
    #[serde(skip)]
    pub kept: std::collections::BTreeMap<ImageId, Tracked>,
}

impl UpstreamMonth {
    /// Returns a hierarchy's tags.
    pub fn tags_of(hierarchy: &Hierarchy) -> Vec<Reference> {
        hierarchy.watched().into_values().map(|(reference, _)| reference.clone()).collect()
    }

    /// Returns so many tags on the usual hosts.
    pub fn usual_tags(count: usize) -> Vec<Reference> {
        let hosts = ["docker.io/library", "public.ecr.aws/docker", "ghcr.io/org", "quay.io/org"];
        let tag = |n: usize| Reference::read(&format!("{}/image{n}:1", hosts.get(n % hosts.len())?));
        (0..count).filter_map(tag).collect()
    }

    /// Runs Patchwave's ticks for that time. An error is a defect.
    pub fn run(self) -> Result<Watched, Broken> {
        let Self { tags, days, most_gets, seed } = self;
        let mut simulation = Simulation::new(Self::bases(&tags), seed).counted();
        let (from, until) = (simulation.now(), Span::days(days).after(simulation.now()));
        let registries = Registries::moving(Seed(seed), &tags, from, days);
        let registries = match most_gets {
            Some(most) => registries.with_trouble(Seed(seed), from, days, most),
            None => registries,
        };
        simulation.set_upstreams(registries);
        let without = simulation.requests();
        let mut slowest = Span::ZERO;
        let mut changes = 0;
        let mut seen: std::collections::BTreeMap<ImageId, Timestamp> = std::collections::BTreeMap::new();
        simulation.run_until(until, &mut |simulation, _| {
            simulation.with_upstreams(|registries| {
                for (id, tag) in &registries.kept.tags {
                    let Some(now) = tag.current() else { continue };
                    let before = seen.insert(id.clone(), now.since);
                    if before.is_some_and(|before| before != now.since) {
                        changes += 1;
                        slowest = slowest.max(registries.delay(id, now.since));
                    }
                }
            });
        })?;
        let counted = simulation.requests();
        let (requests, kept) =
            simulation.with_upstreams(|registries| (registries.counts, registries.kept.tags.clone()));
        Ok(Watched {
            tags: tags.len(),
            days,
            requests,
            half_read_units: counted.upstream_half_read_units - without.upstream_half_read_units,
            write_units: counted.upstream_write_units - without.upstream_write_units,
            changes,
            slowest,
            polling: polling(&tags, days),
            listing: listing(&tags, days, TAGS_OF_A_REPOSITORY),
            kept,
        })
    }

    /// Returns a hierarchy with a base on each tag, which no pipeline builds.
    #[expect(clippy::expect_used, reason = "the references were parsed, and the text is written here")]
    fn bases(tags: &[Reference]) -> Hierarchy {
        let mut yaml = String::from(
            "version: 1\nregistry: 111122223333.dkr.ecr.us-east-1.amazonaws.com\npolicy: { maxAge: 3000d }\nimages:\n",
        );
        for (number, tag) in tags.iter().enumerate() {
            let _ = writeln!(
                yaml,
                "  - {{ tier: base, repository: base/b{number}, tags: [\"1\"], from: \"{tag}\" }}"
            );
        }
        Hierarchy::parse("upstream.yaml", &yaml).expect("a hierarchy")
    }
}

impl Registries {
    /// Returns how long before `seen` a tag began to name what it named then.
    fn delay(&self, tag: &ImageId, seen: Timestamp) -> Span {
        let steps = self.tags.get(tag).into_iter().flatten();
        let began = steps.filter(|step| step.at <= seen).map(|step| step.at).max();
        began.map_or(Span::ZERO, |began| Span::between(began, seen))
    }
}
