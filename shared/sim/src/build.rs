//! What a build makes: layers on top of the parents that it was told.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use patchwave::facts::Version;
use patchwave::finding::PackageKind;
use patchwave::hierarchy::{Hierarchy, Image, Line, Parent, Tier};
use patchwave::image::{Digest, ImageId, Platform, Reference, Tag};
use patchwave::time::Timestamp;

use crate::draw::{Seed, digest_of, hex};
use crate::packages::{OF_APPLICATIONS, OF_RUNTIMES, OF_THE_SYSTEM, PINNED, Package, Releases};
use crate::registry::{Layer, Layers, Pushed, Registry, manifest};

/// Where builds take everything from.
#[derive(Clone, Copy)]
pub(crate) struct Workshop<'w> {
    pub(crate) hierarchy: &'w Hierarchy,
    pub(crate) registry: &'w Registry,
    pub(crate) releases: &'w Releases,
    pub(crate) seed: Seed,
}

/// What one build is told.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// The version of each parent.
    pub(crate) parents: BTreeMap<ImageId, Digest>,
    /// The commit, if it is pinned.
    pub(crate) revision: Option<String>,
    /// Whether layers of the last build may be used again.
    pub(crate) cached: bool,
    /// Whether it installs what the image had, although it should not: a mirror that lags behind, a lock file.
    pub(crate) stuck: bool,
    /// Counts the image's builds.
    pub(crate) number: u32,
    pub(crate) now: Timestamp,
}

impl<'w> Workshop<'w> {
    /// Builds `image` as ordered.
    pub(crate) fn build(self, image: &Image, order: &Order) -> Pushed {
        let revision = order.revision.clone().unwrap_or_else(|| self.commit(image));
        let layers: BTreeMap<Platform, Layers> = self
            .platforms(image, order)
            .into_iter()
            .map(|platform| (platform.clone(), self.layers(image, order, &platform)))
            .collect();
        let platforms: BTreeMap<_, _> =
            layers.iter().map(|(p, layers)| (p.clone(), manifest(p, layers))).collect();
        let only = platforms.values().next().filter(|_| platforms.len() == 1);
        // An index holds the provenance too, so its digest is new with every build.
        let index = || digest_of(&format!("index {} {} {}", self.seed.0, image.id, order.number));
        let version = Version {
            digest: only.map_or_else(index, |manifest| manifest.digest.clone()),
            pushed_at: order.now,
            built_at: Some(order.now),
            base: self.annotation(image, order),
            platforms,
            revision: Some(revision.clone()),
        };
        Pushed { version, tags: tags(&image.line, &revision, order.number), layers }
    }

    /// Returns the head of the image's repository: nobody commits while the simulation runs.
    fn commit(self, image: &Image) -> String {
        hex(&format!("commit {} {}", self.seed.0, image.id)).chars().take(40).collect()
    }

    fn parent(self, id: &ImageId, order: &Order) -> Option<&'w Pushed> {
        let parent = self.hierarchy.image(id).ok()?;
        self.registry.pushed(&parent.repository, order.parents.get(id)?)
    }

    fn annotation(self, image: &Image, order: &Order) -> Option<Digest> {
        let Parent::Image(from) = &image.from else { return None };
        order.parents.get(from).filter(|_| is_annotated(self.seed, image)).cloned()
    }

    fn platforms(self, image: &Image, order: &Order) -> BTreeSet<Platform> {
        let both =
            image.tier < Tier::Application || self.seed.draws("platforms", image.id.as_str()).percent(30);
        let mut platforms: BTreeSet<Platform> = ["linux/amd64", "linux/arm64"]
            .iter()
            .take(1 + usize::from(both))
            .filter_map(|p| p.parse().ok())
            .collect();
        for parent in self.hierarchy.parents(&image.id).filter_map(|edge| self.parent(&edge.image.id, order))
        {
            platforms.retain(|platform| parent.layers.contains_key(platform));
        }
        platforms
    }

    fn layers(self, image: &Image, order: &Order, platform: &Platform) -> Layers {
        let base = self.base_layers(image, order, platform);
        if let Some(cached) = self.cached(image, order, platform, &base) {
            return cached;
        }
        let contents = [
            ("system", self.system_packages(image, order)),
            ("copied", self.copied_packages(image, order, platform)),
            ("pinned", self.pinned_packages(image)),
        ];
        let own = contents.into_iter().filter(|(what, packages)| *what == "system" || !packages.is_empty());
        let layer = |(what, packages)| {
            let content = format!("layer {} {} {platform} {what} {}", self.seed.0, image.id, order.number);
            Rc::new(Layer { digest: digest_of(&content), packages })
        };
        base.into_iter().chain(own.map(layer)).collect()
    }

    fn base_layers(self, image: &Image, order: &Order, platform: &Platform) -> Layers {
        match &image.from {
            Parent::Image(id) => self
                .parent(id, order)
                .and_then(|parent| parent.layers.get(platform).cloned())
                .unwrap_or_default(),
            Parent::Upstream(reference) => vec![Rc::new(upstream_layer(image, reference, platform))],
            Parent::Scratch => Vec::new(),
        }
    }

    /// Returns the layers of the last build if all that is under them is the same.
    fn cached(self, image: &Image, order: &Order, platform: &Platform, base: &Layers) -> Option<Layers> {
        let last = self.registry.current(&image.repository, &image.line).filter(|_| order.cached)?;
        let layers = last.layers.get(platform)?;
        let same_base = layers.starts_with(base) && image.copy_from.is_empty();
        same_base.then(|| layers.clone())
    }

    /// Returns what the build installs: the newest releases there are.
    fn system_packages(self, image: &Image, order: &Order) -> Vec<Package> {
        let had = self.registry.current(&image.repository, &image.line).filter(|_| order.stuck);
        let had = |name: &str| {
            let layers = had?.layers.values().next()?;
            let own = layers.iter().flat_map(|layer| &layer.packages);
            own.filter(|p| p.name == name && p.installed_by == image.id).map(|p| p.revision).max()
        };
        let package = |name| Package {
            name,
            kind: PackageKind::Os,
            installed_by: image.id.clone(),
            revision: had(name).unwrap_or_else(|| self.releases.newest(name, &image.id, order.now)),
        };
        installs(self.seed, image).into_iter().map(package).collect()
    }

    /// Returns what other stages give: programs with what they were linked with, no operating system.
    fn copied_packages(self, image: &Image, order: &Order, platform: &Platform) -> Vec<Package> {
        let stages = image.copy_from.iter().filter_map(|parent| match parent {
            Parent::Image(id) => self.parent(id, order)?.layers.get(platform),
            Parent::Upstream(_) | Parent::Scratch => None,
        });
        let packages = stages.flatten().flat_map(|layer| layer.packages.iter());
        packages.filter(|package| package.kind == PackageKind::Language).cloned().collect()
    }

    /// Returns what the commit's lock file names.
    fn pinned_packages(self, image: &Image) -> Vec<Package> {
        let mut draws = self.seed.draws("pinned", image.id.as_str());
        let count = match image.tier {
            Tier::Base => 0,
            Tier::Platform => 1,
            Tier::Application => 3,
        };
        let names: BTreeSet<_> = (0..count).filter_map(|_| draws.pick(&PINNED)).collect();
        let package = |name: &&'static str| Package {
            name,
            kind: PackageKind::Language,
            installed_by: image.id.clone(),
            revision: 1,
        };
        names.into_iter().map(package).collect()
    }
}

/// Tells whether an image's builds write down their base: two of three do.
pub(crate) fn is_annotated(seed: Seed, image: &Image) -> bool {
    seed.draws("annotation", image.id.as_str()).percent(66)
}

/// Returns the system packages that an image's build installs.
pub(crate) fn installs(seed: Seed, image: &Image) -> BTreeSet<&'static str> {
    let mut draws = seed.draws("packages", image.id.as_str());
    if brings_system(image) {
        return OF_THE_SYSTEM.into();
    }
    let (count, choice): (u32, &[&'static str]) = match image.tier {
        _ if image.from == Parent::Scratch => (0, &[]),
        Tier::Base => (1, &OF_THE_SYSTEM[6..]),
        Tier::Platform => (3, &OF_RUNTIMES),
        Tier::Application => (draws.between(1, 2), &OF_APPLICATIONS),
    };
    (0..count).filter_map(|_| draws.pick(choice).copied()).collect()
}

/// Tells whether an image brings an operating system in: from upstream, or as a base image that unpacks one on nothing.
fn brings_system(image: &Image) -> bool {
    match image.from {
        Parent::Upstream(_) => true,
        Parent::Scratch => image.tier == Tier::Base,
        Parent::Image(_) => false,
    }
}

/// Somebody else's layer, which brings the distribution.
fn upstream_layer(image: &Image, reference: &Reference, platform: &Platform) -> Layer {
    let package = |name: &&'static str| Package {
        name,
        kind: PackageKind::Os,
        installed_by: image.id.clone(),
        revision: 1,
    };
    let digest = digest_of(&format!("upstream {reference} {platform}"));
    Layer { digest, packages: OF_THE_SYSTEM.iter().map(package).collect() }
}

/// Returns the tags of a build: stable ones move, those of a pattern are new each time.
fn tags(line: &Line, revision: &str, number: u32) -> Vec<Tag> {
    match line {
        Line::Stable(tags) => tags.clone(),
        // No hierarchy that is played here has one.
        Line::Deployed { .. } => Vec::new(),
        Line::Newest(pattern) => {
            let commit: String = revision.chars().take(7).collect();
            let unique = pattern.as_str().replacen('*', &format!("{commit}-{number}"), 1).replace('*', "");
            unique.parse().into_iter().collect()
        }
    }
}
