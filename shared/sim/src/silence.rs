//! How long the world may take if no event is ever delivered.
//!
//! Nobody tells that a build ended or that its scan is in, so that each is seen by the next look that was asked for: after
//! at most a quarter more of the time that it took, or two minutes, and never later than by the next tick. A *length* is
//! the build and the scan of what it pushed, each with the time until it is seen. After the sweep that sees the findings all
//! is built within
//!
//! `one tick + the longest chain of lengths × (1 − 1/m) + the sum of all lengths / m`
//!
//! with `m` builds at once: Graham's bound for any order that leaves no slot free while something could start
//! (Bounds for Certain Multiprocessing Anomalies, 1966). Without a limit that is one tick plus the longest chain: the
//! makespan. Where a decision needs a scan that nobody can ask for, because one was made that day or Inspector
//! makes them, `proofWait` comes before.

use std::collections::BTreeMap;

use patchwave::hierarchy::Hierarchy;
use patchwave::image::ImageId;
use patchwave::time::{Span, Timestamp};

use crate::moment::Build;

/// The longest that the scan of a push takes where nothing goes wrong.
pub(crate) const LONGEST_SCAN: Span = Span::minutes(4);

/// What is asked for comes at the next whole minute.
const ROUNDED: Span = Span::minutes(1);

/// Returns when all of `builds` must have ended, if the sweep saw what they are for at `swept`.
pub(crate) fn bound(
    hierarchy: &Hierarchy,
    builds: &[Build],
    swept: Timestamp,
    tick: Span,
    window: Span,
    waited_in_vain: bool,
) -> Timestamp {
    let mut lengths: BTreeMap<&ImageId, u64> = BTreeMap::new();
    let seen = |took: Span| {
        let unseen = took.share(1, 4).max(Span::minutes(2)).plus(ROUNDED).min(tick);
        u64::from(took.plus(unseen).plus(window).as_seconds())
    };
    for build in builds {
        let lasted = Span::between(build.started_at, build.finished_at);
        *lengths.entry(&build.image).or_default() += seen(lasted) + seen(LONGEST_SCAN);
    }
    let sum: u64 = lengths.values().sum();
    let mut longest: BTreeMap<&ImageId, u64> = BTreeMap::new();
    for image in hierarchy.images() {
        let parents = hierarchy.parents(&image.id);
        let above = parents.filter_map(|parent| longest.get(&parent.image.id)).max().copied().unwrap_or(0);
        longest.insert(&image.id, above + lengths.get(&image.id).copied().unwrap_or(0));
    }
    let chain = longest.values().max().copied().unwrap_or(0);
    let slots = u64::from(hierarchy.limits().max_concurrent_builds).max(1);
    let seconds = (chain * (slots - 1) + sum).div_ceil(slots);
    let waits = hierarchy.images().filter(|_| waited_in_vain).map(|image| image.policy.proof_wait.default);
    let waited = waits.max().unwrap_or(Span::ZERO);
    let chain = Span::seconds(u32::try_from(seconds).unwrap_or(u32::MAX));
    tick.plus(waited).plus(chain).plus(window).after(swept)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Span = Span::minutes(15);

    /// Two images beside each other and one on both, each built for eight minutes.
    fn of(slots: u32, built: &[&str]) -> Span {
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
        Span::between(swept, bound(&hierarchy, &builds, swept, TICK, Span::ZERO, false))
    }

    #[test]
    fn a_chain_takes_its_lengths_and_one_tick() {
        // Either is seen after two minutes, rounded up.
        let length = 8 + 4 + 3 + 3;
        assert_eq!(of(1, &["a"]), Span::minutes(15 + length));
        assert_eq!(of(1, &["a", "b", "c"]), Span::minutes(15 + 3 * length));
        assert_eq!(of(1_000_000, &["a", "c"]).as_seconds() / 60, 15 + 2 * length, "only the chain counts");
    }
}
