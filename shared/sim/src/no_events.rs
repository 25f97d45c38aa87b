//! How long all builds may take if no event is ever delivered.
//!
//! No event says that a build ended or that a scan completed, so a recheck or tick must find out. A
//! recheck comes after at most a quarter more of the time that the build took, or two minutes, and
//! never later than the next tick. The *length* of a build is its own time and the time of its
//! scan, each with the time until a recheck sees it. After the sweep that sees the findings, all
//! builds end within
//!
//! `one tick + the longest chain of lengths × (1 − 1/m) + the sum of all lengths / m`
//!
//! with `m` builds at once. This is Graham's bound for any order that leaves no slot free while a
//! build could start (Bounds for Certain Multiprocessing Anomalies, 1966). Without a limit it is
//! one tick plus the longest chain: the makespan.
//!
//! `proofWait` is added if a decision needs a scan that Patchwave cannot request: because Inspector
//! makes the scans, or because the image was already scanned that day.

use std::collections::BTreeMap;

use patchwave::hierarchy::Hierarchy;
use patchwave::image::ImageId;
use patchwave::time::{Span, Timestamp};

use crate::observation::Build;

/// The longest time of a scan after a push without faults.
pub(crate) const LONGEST_SCAN: Span = Span::minutes(4);

/// A recheck comes at the next whole minute.
const ROUNDED: Span = Span::minutes(1);

/// Returns when all of `builds` must have ended, if the sweep saw their findings at `swept`.
pub(crate) fn latest_end(
    hierarchy: &Hierarchy,
    builds: &[Build],
    swept: Timestamp,
    tick: Span,
    window: Span,
    waited_for_scan: bool,
) -> Timestamp {
    let lengths = lengths(builds, tick, window);
    let sum: u64 = lengths.values().sum();
    let chain = longest_chain(hierarchy, &lengths);
    let slots = u64::from(hierarchy.limits().max_concurrent_builds).max(1);
    let seconds = (chain * (slots - 1) + sum).div_ceil(slots);
    let waits = hierarchy.images().filter(|_| waited_for_scan).map(|image| image.policy.proof_wait.default);
    let waited = waits.max().unwrap_or(Span::ZERO);
    let makespan = Span::seconds(u32::try_from(seconds).unwrap_or(u32::MAX));
    tick.plus(waited).plus(makespan).plus(window).after(swept)
}

/// Returns the length of each image's builds, in seconds.
fn lengths(builds: &[Build], tick: Span, window: Span) -> BTreeMap<&ImageId, u64> {
    let mut lengths: BTreeMap<&ImageId, u64> = BTreeMap::new();
    let until_seen = |took: Span| {
        let unseen = took.share(1, 4).max(Span::minutes(2)).plus(ROUNDED).min(tick);
        u64::from(took.plus(unseen).plus(window).as_seconds())
    };
    for build in builds {
        let took = Span::between(build.started_at, build.finished_at);
        *lengths.entry(&build.image).or_default() += until_seen(took) + until_seen(LONGEST_SCAN);
    }
    lengths
}

/// Returns the longest sum of lengths from a root to a leaf.
fn longest_chain(hierarchy: &Hierarchy, lengths: &BTreeMap<&ImageId, u64>) -> u64 {
    let mut longest: BTreeMap<&ImageId, u64> = BTreeMap::new();
    for image in hierarchy.images() {
        let parents = hierarchy.parents(&image.id);
        let above = parents.filter_map(|parent| longest.get(&parent.image.id)).max().copied().unwrap_or(0);
        longest.insert(&image.id, above + lengths.get(&image.id).copied().unwrap_or(0));
    }
    longest.values().max().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Span = Span::minutes(15);

    /// Returns the bound for a hierarchy of two images and a third on both, each built for eight
    /// minutes.
    fn bound(slots: u32, built: &[&str]) -> Span {
        let yaml = format!(
            "version: 1\nregistry: 111122223333.dkr.ecr.us-east-1.amazonaws.com\npolicy: {{ maxConcurrentBuilds: {slots} }}\n\
             images:\n  - {{ id: a, tier: base, repository: a, tags: [\"1\"], from: scratch }}\n  \
             - {{ id: b, tier: base, repository: b, tags: [\"1\"], from: scratch }}\n  \
             - {{ id: c, tier: platform, repository: c, tags: [\"1\"], from: a, copyFrom: [b] }}\n"
        );
        let hierarchy = Hierarchy::parse("three.yaml", &yaml).map_err(|errors| errors.to_string()).unwrap();
        let of_image = |image: &&str| Build {
            image: image.parse().unwrap(),
            pipeline: String::new(),
            execution_id: String::new(),
            build_key: serde_json::from_value("0".into()).unwrap(),
            reasons: Vec::new(),
            started_at: Timestamp::UNIX_EPOCH,
            finished_at: Span::minutes(8).after(Timestamp::UNIX_EPOCH),
            replaces: None,
            version: crate::draw::digest_of(image),
            parents: BTreeMap::new(),
        };
        let builds: Vec<Build> = built.iter().map(of_image).collect();
        let swept = Timestamp::UNIX_EPOCH;
        Span::between(swept, latest_end(&hierarchy, &builds, swept, TICK, Span::ZERO, false))
    }

    #[test]
    fn the_bound_of_a_chain_is_its_lengths_and_one_tick() {
        // A recheck sees the build and the scan after two minutes, rounded up to three.
        let length = 8 + 4 + 3 + 3;
        assert_eq!(bound(1, &["a"]), Span::minutes(15 + length));
        assert_eq!(bound(1, &["a", "b", "c"]), Span::minutes(15 + 3 * length));
        assert_eq!(bound(1_000_000, &["a", "c"]).as_seconds() / 60, 15 + 2 * length, "only the chain counts");
    }
}
