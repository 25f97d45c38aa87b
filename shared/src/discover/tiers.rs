//! Which tier an image is of, from its namespace and from where it stands.

use std::collections::BTreeMap;

use super::decide::Parents;
use super::lines::{Lines, Target};
use crate::hierarchy::Tier;

/// First parts of repositories' names that say what is in them.
const BASE: [&str; 7] = ["base", "bases", "os", "baseimages", "base-images", "golden", "distroless"];
const PLATFORM: [&str; 9] = [
    "platform",
    "platforms",
    "runtime",
    "runtimes",
    "lang",
    "languages",
    "middleware",
    "framework",
    "frameworks",
];
const APPLICATION: [&str; 8] =
    ["app", "apps", "application", "applications", "service", "services", "svc", "tools"];

/// Returns the tier of each line. A parent is never of a later tier than its child.
pub(super) fn tiers(lines: &Lines<'_>, parents: &[Parents]) -> Vec<Tier> {
    let mut children: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (child, parents) in parents.iter().enumerate() {
        for parent in parents.bases() {
            if let Target::Line(parent) = parent {
                children.entry(*parent).or_default().push(child);
            }
        }
    }
    let own = |(line, parents): (usize, &Parents)| {
        let place = &lines.catalog.places[lines.all[line].place];
        let space = place.repository.name.name().split('/').next().unwrap_or_default();
        let is_own = matches!(parents.default.from, Some(Target::Line(_)));
        by_name(space).unwrap_or(match (children.contains_key(&line), is_own) {
            (false, _) => Tier::Application,
            (true, true) => Tier::Platform,
            (true, false) => Tier::Base,
        })
    };
    let mut tiers: Vec<Tier> = parents.iter().enumerate().map(own).collect();
    let mut open: Vec<usize> = (0..tiers.len()).collect();
    while let Some(child) = open.pop() {
        for parent in parents[child].bases() {
            let Target::Line(parent) = parent else { continue };
            if tiers[*parent] > tiers[child] {
                tiers[*parent] = tiers[child];
                open.push(*parent);
            }
        }
    }
    tiers
}

fn by_name(space: &str) -> Option<Tier> {
    let known =
        [(&BASE[..], Tier::Base), (&PLATFORM[..], Tier::Platform), (&APPLICATION[..], Tier::Application)];
    known.into_iter().find(|(names, _)| names.contains(&space)).map(|(_, tier)| tier)
}

impl Parents {
    /// Returns the bases on all platforms.
    pub(super) fn bases(&self) -> impl Iterator<Item = &Target> {
        self.default.from.iter().chain(self.on.values())
    }

    /// Returns everything that it is built on.
    pub(super) fn all(&self) -> impl Iterator<Item = &Target> {
        self.bases().chain(&self.default.copied)
    }
}
