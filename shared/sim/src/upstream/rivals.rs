//! Two simpler watchers of the same tags: what they ask.

use patchwave::image::Reference;
use serde::Serialize;

/// How often both ask, in seconds: the interval of the tick.
const EVERY: u64 = 15 * 60;
const DAY: u64 = 24 * 60 * 60;
/// A list has so many tags a page. <https://docs.docker.com/reference/api/registry/latest/>
const PAGE: u64 = 1_000;
/// Docker Hub gives so many manifests in six hours without a subscription.
const PULLS: u64 = 100;
const WINDOWS_A_DAY: u64 = 4;

/// What another watcher asks of upstream registries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rival {
    pub requests: u64,
    /// Those that a registry counts as pulls.
    pub pulls: u64,
    /// Those that Docker Hub refuses without a subscription.
    pub refused: u64,
}

/// Gets the manifest of each tag at each tick, as pulling it does.
pub(super) fn polling(tags: &[Reference], days: u32) -> Rival {
    let ticks = u64::from(days) * DAY / EVERY;
    let asked = ticks * tags.len() as u64;
    let of_hub = ticks * tags.iter().filter(|tag| tag.registry.is_docker_hub()).count() as u64;
    let given = u64::from(days) * WINDOWS_A_DAY * PULLS;
    // Each needs a token, and so does each that is refused.
    Rival { requests: 2 * asked, pulls: asked, refused: of_hub.saturating_sub(given) }
}

/// Lists all tags of each repository at each interval, as Flux does:
/// <https://github.com/fluxcd/image-reflector-controller/issues/931>.
pub(super) fn listing(tags: &[Reference], days: u32, tags_of_a_repository: u64) -> Rival {
    let mut repositories: Vec<_> = tags.iter().map(|tag| (&tag.registry, &tag.repository)).collect();
    repositories.sort_unstable();
    repositories.dedup();
    let intervals = u64::from(days) * DAY / EVERY;
    let pages = tags_of_a_repository.div_ceil(PAGE);
    let requests = intervals * repositories.len() as u64 * (1 + pages);
    Rival { requests, ..Rival::default() }
}
