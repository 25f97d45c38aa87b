//! The world when the simulation begins: every image was built once and scanned, and applications
//! run.

use std::collections::{BTreeMap, BTreeSet};

use patchwave::finding::Severity;
use patchwave::hierarchy::{Hierarchy, Image, Tier};
use patchwave::image::ImageId;
use patchwave::policy::UnknownFix;
use patchwave::time::{Span, Timestamp};

use crate::build::BuildInputs;
use crate::clusters::{Orchestrator, Workload};
use crate::draw::Seed;
use crate::packages::Vulnerability;
use crate::registry::Pushed;
use crate::scanner::Scanning;
use crate::state::{Scheduled, State};

/// The age of the oldest image, unless policy calls that too old.
const OLDEST: Span = Span::days(6);

const ECS_CLUSTERS: [&str; 2] = ["shop-prod", "core-prod"];
const EKS_CLUSTERS: [&str; 2] = ["eks-prod-east", "eks-prod-west"];

/// Creates the world of a hierarchy.
pub(crate) fn bootstrap(hierarchy: &Hierarchy, seed: Seed, now: Timestamp) -> State {
    let mut state = State::new(hierarchy, seed);
    state.scanner.known = known_before(now);
    for image in hierarchy.images() {
        state.scanner.cover(image.repository.clone(), scanning(seed, image));
    }
    build_everything(&mut state, hierarchy, now);
    for image in hierarchy.images().filter(|image| image.tier == Tier::Application) {
        deploy(&mut state, image);
    }
    state.schedule(now, Scheduled::Sweep);
    state.schedule(now, Scheduled::Tick);
    state
}

/// One in five application repositories still uses basic scanning. Where policy tries rebuilds
/// because the scanner names no fix, half of all repositories do.
fn scanning(seed: Seed, image: &Image) -> Scanning {
    let is_basic = |percent| seed.draws("scanning", image.repository.as_str()).percent(percent);
    match (image.tier, image.policy.unknown_fix) {
        (_, Some(UnknownFix::Retry)) if is_basic(50) => Scanning::Basic,
        (Tier::Application, _) if is_basic(20) => Scanning::Basic,
        _ => Scanning::Enhanced,
    }
}

/// The vulnerabilities that the scanner knows already. No rebuild can fix any of them today.
fn known_before(now: Timestamp) -> Vec<Vulnerability> {
    let known = |id: &str, package: &str, severity, fixed: bool| Vulnerability {
        id: id.to_owned(),
        package: package.to_owned(),
        installed_by: None,
        severity,
        exploited: false,
        known_from: Span::days(60).before(now),
        // The one with a fix is in a pinned library, which only a commit of the owner updates.
        fixed: fixed.then(|| (2, Span::days(50).before(now))),
    };
    vec![
        known("CVE-2026-20101", "glibc", Severity::Low, false),
        known("CVE-2026-21877", "curl", Severity::Medium, false),
        known("CVE-2026-22430", "gdbm", Severity::High, false),
        known("CVE-2026-23915", "lodash", Severity::Critical, true),
    ]
}

fn build_everything(state: &mut State, hierarchy: &Hierarchy, now: Timestamp) {
    let strictest = hierarchy.images().map(|image| image.policy.max_age).min().unwrap_or(OLDEST);
    let first_build = strictest.share(1, 3).min(OLDEST).before(now);
    let mut pushed_at: BTreeMap<ImageId, Timestamp> = BTreeMap::new();
    for image in hierarchy.images() {
        let after = hierarchy.parents(&image.id).filter_map(|edge| pushed_at.get(&edge.image.id)).max();
        let pause =
            state.seed.draws("founding", image.id.as_str()).span(Span::minutes(20), Span::minutes(90));
        let at = pause.after(*after.unwrap_or(&first_build)).min(now);
        build(state, hierarchy, image, at);
        pushed_at.insert(image.id.clone(), at);
    }
}

fn build(state: &mut State, hierarchy: &Hierarchy, image: &Image, at: Timestamp) {
    let parents = state.current_parents(hierarchy, image);
    let inputs = BuildInputs { parents, revision: None, cached: false, stuck: false, number: 0, now: at };
    let pushed = state.build(hierarchy, image, &inputs);
    state.registry.push(&image.repository, pushed.clone());
    scan(state, image, pushed, at);
}

/// Gives half of the images a version before their first one, so that people can go back to it.
pub(crate) fn give_past(state: &mut State, hierarchy: &Hierarchy) {
    for image in hierarchy.images() {
        let Some(first) = state.registry.current(&image.repository, &image.line) else { continue };
        let at = Span::days(1).before(first.version.pushed_at);
        if !state.seed.draws("past", image.id.as_str()).percent(50) {
            continue;
        }
        let mut parents = state.current_parents(hierarchy, image);
        for (id, digest) in &mut parents {
            let parent = hierarchy.image(id).ok();
            let before = parent.and_then(|parent| state.registry.before(&parent.repository, digest));
            *digest = before.unwrap_or_else(|| digest.clone());
        }
        let number = u32::MAX;
        let inputs = BuildInputs { parents, revision: None, cached: false, stuck: false, number, now: at };
        let pushed = state.build(hierarchy, image, &inputs);
        state.registry.push_earlier(&image.repository, pushed.clone());
        scan(state, image, pushed, at);
    }
}

fn scan(state: &mut State, image: &Image, pushed: Pushed, at: Timestamp) {
    let Pushed { version, layers, .. } = pushed;
    for (platform, manifest) in version.platforms {
        let (key, scanned) = ((image.repository.clone(), manifest.digest), Span::minutes(3).after(at));
        state.scanner.enqueue(&key, at);
        state.scanner.complete(&key, &layers[&platform], scanned);
    }
}

/// Of ten applications, four have two workloads, five have one, and one has none.
fn deploy(state: &mut State, image: &Image) {
    let mut draws = state.seed.draws("workloads", image.id.as_str());
    let count = match draws.between(1, 10) {
        1 => 0,
        2..=6 => 1,
        _ => 2,
    };
    for number in 0..count {
        let Some(current) = state.registry.promoted(&image.repository, &image.line) else { return };
        let orchestrator = if draws.percent(50) { Orchestrator::Ecs } else { Orchestrator::Eks };
        let clusters = match orchestrator {
            Orchestrator::Ecs => ECS_CLUSTERS,
            Orchestrator::Eks => EKS_CLUSTERS,
        };
        let follows_after = if draws.percent(88) {
            draws.span(Span::minutes(2), Span::minutes(10))
        } else {
            // These wait for a release window.
            draws.span(Span::hours(2), Span::hours(5))
        };
        let workload = Workload {
            name: workload_name(image, number, &state.workloads.keys().collect()),
            image: image.id.clone(),
            orchestrator,
            cluster: draws.pick(&clusters).copied().unwrap_or_default().to_owned(),
            tasks: draws.between(2, 8),
            digest: current.version.digest.clone(),
            since: current.version.pushed_at,
            follows_after,
            rolls_for: draws.span(Span::minutes(2), Span::minutes(6)),
        };
        state.workloads.insert(workload.name.clone(), workload);
    }
}

/// Returns the last part of the repository's name, or the whole image id if that name is taken.
fn workload_name(image: &Image, number: u32, taken: &BTreeSet<&String>) -> String {
    let suffix = if number == 0 { "" } else { "-worker" };
    let word = image.repository.as_str().rsplit('/').next().unwrap_or_default();
    let short = format!("{word}{suffix}");
    if taken.contains(&short) { format!("{}{suffix}", image.id) } else { short }
}
