//! Chooses which manifests to scan again.
//!
//! Basic scanning scans on request, at most once in 24 hours for each image. An account may request
//! 100,000 scans a day.
//! <https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-scanning-basic.html>

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::catalog::Catalog;
use super::state::Inventory;
use crate::facts::Current;
use crate::finding::{Coverage, Scan};
use crate::hierarchy::{Hierarchy, Image};
use crate::image::{Digest, ImageId, Repository};
use crate::plan::AwaitedScan;
use crate::time::{Span, Timestamp};

/// How many scans a sweep requests. The rest of the quota is for pushes, other tools and the rest
/// of the account.
pub const A_DAY: usize = 50_000;

/// A manifest to scan again, and what decides its place in the order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rescan {
    pub scan: AwaitedScan,
    /// When it was last scanned; `None` if never.
    pub scanned_at: Option<Timestamp>,
    /// How many tasks and pods run the version.
    pub exposed: u32,
}

/// Chooses at most `limit` platform manifests to scan again, of the lines' current versions and of
/// the versions that run. The manifests with the oldest scan come first.
///
/// Age is compared in days. Of the images last scanned on the same day, those that more containers
/// run come first.
pub fn rescans(
    hierarchy: &Hierarchy,
    catalog: &Catalog<'_>,
    inventory: &Inventory,
    now: Timestamp,
    limit: usize,
) -> Vec<Rescan> {
    let mut exposed: BTreeMap<(ImageId, Digest), u32> = BTreeMap::new();
    for entry in inventory.entries.values().filter(|entry| entry.runs) {
        if let Some(key) = entry.known() {
            let units = exposed.entry(key).or_default();
            *units = units.saturating_add(entry.units.max(1));
        }
    }
    let watched_by_inspector = watched_by_inspector(hierarchy, catalog);
    let mut chosen = Vec::new();
    let mut taken: BTreeSet<(&Repository, &Digest)> = BTreeSet::new();
    for image in hierarchy.images().filter(|image| !watched_by_inspector.contains(&image.repository)) {
        let current = catalog.current(&image.id);
        for version in catalog.versions_in(&image.repository) {
            let units = exposed.get(&(image.id.clone(), version.digest.clone())).copied();
            let counts = matches!(&current, Current::Version(now) if *now == version.digest);
            if units.is_none() && !counts {
                continue;
            }
            for (platform, manifest) in &version.platforms {
                if !manifest.scan.can_be_repeated(now) || !taken.insert((&image.repository, &manifest.digest))
                {
                    continue;
                }
                chosen.push(Rescan {
                    scan: AwaitedScan {
                        image: image.id.clone(),
                        repository: image.repository.clone(),
                        platform: platform.clone(),
                        digest: manifest.digest.clone(),
                    },
                    scanned_at: manifest.scan.completed_at(),
                    exposed: units.unwrap_or_default(),
                });
            }
        }
    }
    let day = |at: Timestamp| at.as_second().div_euclid(i64::from(Span::days(1).as_seconds()));
    chosen.sort_by(|a, b| {
        let order = |r: &Rescan| (r.scanned_at.map(day), Reverse(r.exposed), r.scanned_at);
        order(a).cmp(&order(b)).then_with(|| a.scan.cmp(&b.scan))
    });
    chosen.truncate(limit);
    chosen
}

/// Returns the repositories that Inspector watches, as their scans show, because a registry can
/// have both scanners. Inspector scans again by itself and refuses requests.
fn watched_by_inspector<'h>(hierarchy: &'h Hierarchy, catalog: &Catalog<'_>) -> BTreeSet<&'h Repository> {
    let by_inspector = |scan: &Scan| {
        matches!(scan, Scan::Complete { coverage: Coverage::OsAndLanguages, .. } | Scan::Expired)
    };
    let is_watched = |image: &&Image| {
        let manifests = catalog.versions_in(&image.repository).flat_map(|version| version.platforms.values());
        manifests.into_iter().any(|manifest| by_inspector(&manifest.scan))
    };
    hierarchy.images().filter(is_watched).map(|image| &image.repository).collect()
}
