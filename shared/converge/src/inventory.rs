//! What runs beside the lines' current versions, and new scans of all of them.

use std::collections::{BTreeMap, BTreeSet};

use patchwave::facts::Version;
use patchwave::hierarchy::Hierarchy;
use patchwave::image::Repository;
use patchwave::inventory::{Catalog, Inventory, Missing, Rescan, Survey, seen};
use patchwave::plan::AwaitedScan;
use patchwave::time::{Span, Timestamp};

use crate::report::{FailureKind, Report};
use crate::scans::{MOST_SCANS, scan_of};
use crate::world::{ManifestAt, ScanRequest, World};

/// The versions that run, or ran at the last sweep, and that no page observed.
#[derive(Debug, Default)]
pub(crate) struct Running {
    pub(crate) versions: Vec<(Repository, Version)>,
    /// Why there is no version for other digests.
    pub(crate) missing: BTreeMap<ManifestAt, Missing>,
}

impl Running {
    /// Asks the registry and the scanner about what the survey saw, and what was known `before`.
    pub(crate) async fn read<W: World>(
        world: &W,
        hierarchy: &Hierarchy,
        before: &Inventory,
        survey: &Survey,
        observed: &Catalog<'_>,
    ) -> Self {
        let mut wanted = seen(hierarchy, survey);
        wanted.extend(before.versions.keys().filter_map(|(image, version)| {
            Some((hierarchy.image(image).ok()?.repository.clone(), version.clone()))
        }));
        wanted.retain(|(repository, digest)| !observed.knows(repository, digest));
        let mut running = Self::default();
        if wanted.is_empty() {
            return running;
        }
        let mut alone: BTreeMap<Repository, Vec<Version>> = BTreeMap::new();
        for (at, found) in world.versions(&wanted).await {
            match found {
                // A single platform manifest may be part of an index.
                Ok(Some(version))
                    if version.platforms.values().any(|manifest| manifest.digest == version.digest) =>
                {
                    alone.entry(at.0).or_default().push(version);
                }
                Ok(Some(version)) => running.versions.push((at.0, version)),
                Ok(None) => {
                    running.missing.insert(at, Missing::Gone);
                }
                Err(fault) => {
                    running.missing.insert(at, Missing::Unread(fault.to_string()));
                }
            }
        }
        running.add_indexes(world, alone).await;
        running.add_scans(world, hierarchy, world.now()).await;
        running
    }

    /// Adds single manifests, and the indexes that they are a part of.
    async fn add_indexes<W: World>(&mut self, world: &W, alone: BTreeMap<Repository, Vec<Version>>) {
        let repositories: BTreeSet<Repository> = alone.keys().cloned().collect();
        let mut histories =
            if repositories.is_empty() { BTreeMap::new() } else { world.history(&repositories).await };
        for (repository, versions) in alone {
            let history = histories.remove(&repository).and_then(Result::ok).unwrap_or_default();
            for version in versions {
                let whole = history.iter().filter(|index| index.is_named_by(&version.digest));
                self.versions.extend(whole.map(|index| (repository.clone(), index.clone())));
                self.versions.push((repository.clone(), version));
            }
        }
    }

    async fn add_scans<W: World>(&mut self, world: &W, hierarchy: &Hierarchy, now: Timestamp) {
        let manifests = |(repository, version): &(Repository, Version)| {
            let manifests = version.platforms.values().take(MOST_SCANS);
            manifests.map(|manifest| (repository.clone(), manifest.digest.clone())).collect::<Vec<_>>()
        };
        let wanted: BTreeSet<ManifestAt> = self.versions.iter().flat_map(manifests).collect();
        let scans = world.scans(&wanted).await;
        for (repository, version) in &mut self.versions {
            let ages = hierarchy.in_repository(repository).map(|image| image.policy.scan_max_age);
            let max_age = ages.min().unwrap_or(Span::ZERO);
            let platforms = version.platforms.len();
            for manifest in version.platforms.values_mut() {
                let at = (repository.clone(), manifest.digest.clone());
                manifest.scan = scan_of(&scans, &at, platforms).as_of(now, max_age);
            }
        }
    }
}

/// Requests new scans of the current versions and of those that run.
///
/// It is not an error if the registry makes no scan now. At the account's limit it asks for no
/// more. If it makes none of a manifest that it never scanned, Inspector watches the repository.
/// Then this requests no other scan in that repository.
pub(crate) async fn rescan<W: World>(world: &W, rescans: Vec<Rescan>, report: &mut Report) {
    let mut refused: BTreeSet<Repository> = BTreeSet::new();
    for Rescan { scan, scanned_at, .. } in rescans {
        // The pass may have asked for it already.
        let is_begun =
            |begun: &AwaitedScan| begun.repository == scan.repository && begun.digest == scan.digest;
        if refused.contains(&scan.repository) || report.scans_requested.iter().any(is_begun) {
            continue;
        }
        match world.request_scan(&scan.repository, &scan.digest).await {
            Ok(ScanRequest::Begun) => report.scans_requested.push(scan),
            Ok(ScanRequest::Refused) => {
                if scanned_at.is_none() {
                    refused.insert(scan.repository);
                }
            }
            Ok(ScanRequest::AtLimit) => break,
            Err(fault) => {
                report.failed(FailureKind::Scan, Some(&scan.image), &fault);
                refused.insert(scan.repository);
            }
        }
    }
}
