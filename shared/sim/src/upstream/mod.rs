//! Upstream registries: tags of others that move, limits, outages.
//!
//! What a tag names is a function of the seed and the time, so a world without them is the same
//! world with them.

mod month;
mod rivals;

use std::collections::BTreeMap;

use patchwave::image::{Digest, ImageId, Reference, Registry};
use patchwave::time::{Span, Timestamp};
use patchwave::upstream::Described;
use patchwave_converge::{Asked, Fault, FaultKind, Upstreams};
use serde::Serialize;

pub use month::{UpstreamMonth, Watched};
pub use rivals::Rival;

use crate::draw::{Seed, digest_of};

/// The platforms of every tag. They are pushed one after the other.
const PLATFORMS: [&str; 3] = ["linux/amd64", "linux/arm64", "linux/s390x"];

/// The registries of others, and what Patchwave keeps of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Registries {
    tags: BTreeMap<ImageId, Vec<Step>>,
    /// From when to when a host does not answer.
    outages: BTreeMap<Registry, Vec<(Timestamp, Timestamp)>>,
    /// How many manifests a host gives in six hours.
    most_gets: Option<u32>,
    /// When manifests were got.
    got: BTreeMap<Registry, Vec<Timestamp>>,
    pub(crate) kept: Upstreams,
    pub(crate) counts: UpstreamRequests,
}

/// What a tag names from a time on; nothing if it is deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    at: Timestamp,
    named: Option<(Digest, Described)>,
}

/// What was asked of upstream registries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UpstreamRequests {
    pub heads: u64,
    pub gets: u64,
    /// Requests for tokens: each repository needs one, and each host one refusal before it.
    pub tokens: u64,
    /// Answers that a limit is reached.
    pub limited: u64,
    /// Requests without an answer.
    pub unanswered: u64,
}

/// The window of Docker Hub's limit.
/// <https://docs.docker.com/docker-hub/usage/pulls/>
const WINDOW: Span = Span::hours(6);

impl Registries {
    /// Makes tags that move for so many days: new content every two weeks or so, pushed one
    /// platform after the other, and a new attestation once a week. Some go back, and one in thirty
    /// is deleted for a time.
    pub(crate) fn moving(seed: Seed, tags: &[Reference], from: Timestamp, days: u32) -> Self {
        let steps = |tag: &Reference| Some((tag.to_string().parse().ok()?, steps(seed, tag, from, days)));
        Self { tags: tags.iter().filter_map(steps).collect(), ..Self::default() }
    }

    /// Lets hosts fail for hours now and then, and gives each a limit.
    pub(crate) fn with_trouble(mut self, seed: Seed, from: Timestamp, days: u32, most_gets: u32) -> Self {
        self.most_gets = Some(most_gets);
        let hosts = self.tags.keys().filter_map(|tag| Reference::read(tag.as_str()));
        for host in hosts.map(|tag| tag.registry).collect::<std::collections::BTreeSet<_>>() {
            let mut draws = seed.draws("upstream outage", host.as_str());
            let outage = |_| {
                let begins = draws.span(Span::ZERO, Span::days(days)).after(from);
                (begins, draws.span(Span::minutes(10), Span::hours(5)).after(begins))
            };
            self.outages.insert(host, (0..=days / 10).map(outage).collect());
        }
        self
    }

    /// Returns whether the world has upstream registries at all.
    pub(crate) fn is_there(&self) -> bool {
        !self.tags.is_empty()
    }

    pub(crate) fn digest(&mut self, tag: &Reference, now: Timestamp) -> Asked<Option<Digest>> {
        if !self.is_there() {
            return Err(fault(tag, FaultKind::Invalid)).into();
        }
        self.counts.heads += 1;
        self.counts.tokens += 1;
        if let Some(fault) = self.fault(tag, now) {
            return Err(fault).into();
        }
        let left = self.left(&tag.registry, now);
        let named = self.named(tag, now).map(|(digest, _)| digest.clone());
        Asked { answer: Ok(named), retry_after: None, left }
    }

    pub(crate) fn manifest(
        &mut self,
        tag: &Reference,
        digest: &Digest,
        now: Timestamp,
    ) -> Asked<Option<Described>> {
        self.counts.gets += 1;
        if let Some(fault) = self.fault(tag, now) {
            return Err(fault).into();
        }
        if self.left(&tag.registry, now) == Some(0) {
            self.counts.limited += 1;
            return Err(fault(tag, FaultKind::Throttled)).into();
        }
        self.got.entry(tag.registry.clone()).or_default().push(now);
        let steps = tag.to_string().parse().ok().and_then(|id| self.tags.get(&id));
        let known = steps.into_iter().flatten().filter_map(|step| step.named.as_ref());
        let described = known.into_iter().find(|(known, _)| known == digest).map(|(_, of)| of.clone());
        Asked { answer: Ok(described), retry_after: None, left: self.left(&tag.registry, now) }
    }

    fn fault(&mut self, tag: &Reference, now: Timestamp) -> Option<Fault> {
        let outages = self.outages.get(&tag.registry)?;
        let is_down = outages.iter().any(|(begins, ends)| (*begins..*ends).contains(&now));
        is_down.then(|| {
            self.counts.unanswered += 1;
            fault(tag, FaultKind::Unavailable)
        })
    }

    fn left(&self, host: &Registry, now: Timestamp) -> Option<u32> {
        let most = self.most_gets?;
        let got = self.got.get(host).into_iter().flatten().filter(|at| WINDOW.after(**at) > now).count();
        Some(most.saturating_sub(u32::try_from(got).unwrap_or(u32::MAX)))
    }

    /// Returns what a tag names at a time.
    fn named(&self, tag: &Reference, at: Timestamp) -> Option<&(Digest, Described)> {
        let steps = self.tags.get(&tag.to_string().parse().ok()?)?;
        steps.iter().rev().find(|step| step.at <= at)?.named.as_ref()
    }
}

fn fault(tag: &Reference, kind: FaultKind) -> Fault {
    Fault { operation: format!("read {tag}"), kind, message: "a simulated fault".to_owned() }
}

fn steps(seed: Seed, tag: &Reference, from: Timestamp, days: u32) -> Vec<Step> {
    let name = tag.to_string();
    let mut draws = seed.draws("upstream", &name);
    let until = Span::days(days).after(from);
    let mut content = [0_u32; PLATFORMS.len()];
    let mut attestation = 0_u32;
    let named = |content: [u32; PLATFORMS.len()], attestation: u32| {
        let digest = |platform: &str, number: u32| digest_of(&format!("{name} {platform} {number}"));
        let platforms = PLATFORMS.iter().zip(content);
        let platforms =
            platforms.filter_map(|(platform, n)| Some((platform.parse().ok()?, digest(platform, n))));
        let index = digest_of(&format!("{name} {content:?} {attestation}"));
        Some((index, Described { platforms: platforms.collect(), built_at: None }))
    };
    let mut steps = vec![Step { at: Span::days(1).before(from), named: named(content, attestation) }];
    let mut at = from;
    loop {
        at = draws.span(Span::hours(6), Span::days(7)).after(at);
        if at >= until {
            return steps;
        }
        match draws.between(1, 30) {
            1 => {
                let back = steps.last().and_then(|step| step.named.clone());
                steps.push(Step { at, named: None });
                at = draws.span(Span::hours(2), Span::hours(12)).after(at);
                steps.push(Step { at, named: back });
            }
            2 | 3 => {
                // A bad release: the tag goes back to what it named before.
                let before = steps.iter().rev().nth(1).and_then(|step| step.named.clone());
                steps.push(Step { at, named: before.or_else(|| named(content, attestation)) });
            }
            4..=17 => {
                attestation += 1;
                steps.push(Step { at, named: named(content, attestation) });
            }
            _ => {
                for platform in 0..PLATFORMS.len() {
                    if let Some(number) = content.get_mut(platform) {
                        *number += 1;
                    }
                    steps.push(Step { at, named: named(content, attestation) });
                    at = draws.span(Span::minutes(1), Span::minutes(5)).after(at);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
