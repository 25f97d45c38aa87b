//! What a build makes: layers on top of the parents that it pulls.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use patchwave::facts::Version;
use patchwave::finding::PackageKind;
use patchwave::hierarchy::{Hierarchy, Image, Line, Parent, Promotion, Tier};
use patchwave::image::{Digest, ImageId, Platform, Reference, Tag};
use patchwave::time::Timestamp;

use crate::draw::{Seed, digest_of, hex};
use crate::packages::{OF_APPLICATIONS, OF_RUNTIMES, OF_THE_SYSTEM, PINNED, Package, Releases};
use crate::registry::{Layer, Layers, Pushed, Registry, manifest};

/// Builds images from what the registry holds and what package repositories offer.
#[derive(Clone, Copy)]
pub(crate) struct Builder<'b> {
    pub(crate) hierarchy: &'b Hierarchy,
    pub(crate) registry: &'b Registry,
    pub(crate) releases: &'b Releases,
    /// The head of each image's source, where it is not the first commit.
    pub(crate) commits: &'b BTreeMap<ImageId, String>,
    /// How many of a hundred images that are built on an image keep their content.
    pub(crate) unchanged: u32,
    pub(crate) seed: Seed,
}

/// The inputs of one build.
#[derive(Debug, Clone)]
pub(crate) struct BuildInputs {
    /// The version of each parent.
    pub(crate) parents: BTreeMap<ImageId, Digest>,
    /// The commit, if the start names one.
    pub(crate) revision: Option<String>,
    /// Whether the build may reuse layers of the last one.
    pub(crate) cached: bool,
    /// Whether the build installs the old packages, because of a late mirror or a lock file.
    pub(crate) stuck: bool,
    /// Counts the image's builds.
    pub(crate) number: u32,
    pub(crate) now: Timestamp,
}

impl<'b> Builder<'b> {
    /// Builds `image`.
    pub(crate) fn build(self, image: &Image, inputs: &BuildInputs) -> Pushed {
        let revision = inputs.revision.clone().unwrap_or_else(|| self.commit(image));
        let layers: BTreeMap<Platform, Layers> = self
            .platforms(image, &revision, inputs)
            .into_iter()
            .map(|platform| (platform.clone(), self.layers(image, inputs, &platform)))
            .collect();
        let platforms: BTreeMap<_, _> =
            layers.iter().map(|(p, layers)| (p.clone(), manifest(p, layers))).collect();
        let only = platforms.values().next().filter(|_| platforms.len() == 1);
        // An index also holds the provenance, so its digest is new with every build.
        let index = || digest_of(&format!("index {} {} {}", self.seed.0, image.id, inputs.number));
        let version = Version {
            digest: only.map_or_else(index, |manifest| manifest.digest.clone()),
            pushed_at: inputs.now,
            built_at: Some(inputs.now),
            build_key: None,
            tags: BTreeSet::new(),
            base: self.annotation(image, inputs),
            platforms,
            revision: Some(revision.clone()),
        };
        let tags = tags(&image.line, &revision, inputs.number);
        Pushed { version, tags, layers, parents: inputs.parents.clone(), execution: None }
    }

    /// Returns the head of the image's source.
    fn commit(self, image: &Image) -> String {
        let committed = self.commits.get(&image.id).cloned();
        committed.unwrap_or_else(|| self.first_commit(image)).chars().take(40).collect()
    }

    fn first_commit(self, image: &Image) -> String {
        hex(&format!("commit {} {}", self.seed.0, image.id))
    }

    fn parent(self, id: &ImageId, inputs: &BuildInputs) -> Option<&'b Pushed> {
        let parent = self.hierarchy.image(id).ok()?;
        self.registry.pushed(&parent.repository, inputs.parents.get(id)?)
    }

    fn annotation(self, image: &Image, inputs: &BuildInputs) -> Option<Digest> {
        let Parent::Image(from) = &image.from else { return None };
        inputs.parents.get(from).filter(|_| is_annotated(self.seed, image)).cloned()
    }

    /// Returns what is built: both platforms for most images, until a commit drops one.
    fn platforms(self, image: &Image, revision: &str, inputs: &BuildInputs) -> BTreeSet<Platform> {
        let all =
            image.tier < Tier::Application || self.seed.draws("platforms", image.id.as_str()).percent(30);
        let is_first = self.first_commit(image).starts_with(revision);
        let both = all && (is_first || !self.seed.draws("drops a platform", revision).percent(30));
        let mut platforms: BTreeSet<Platform> = ["linux/amd64", "linux/arm64"]
            .iter()
            .take(1 + usize::from(both))
            .filter_map(|p| p.parse().ok())
            .collect();
        for parent in self.hierarchy.parents(&image.id).filter_map(|edge| self.parent(&edge.image.id, inputs))
        {
            platforms.retain(|platform| parent.layers.contains_key(platform));
        }
        platforms
    }

    fn layers(self, image: &Image, inputs: &BuildInputs, platform: &Platform) -> Layers {
        if let Some(unchanged) = self.unchanged(image, platform) {
            return unchanged;
        }
        let base = self.base_layers(image, inputs, platform);
        if let Some(cached) = self.cached(image, inputs, platform, &base) {
            return cached;
        }
        let contents = [
            ("system", self.system_packages(image, inputs)),
            ("copied", self.copied_packages(image, inputs, platform)),
            ("pinned", self.pinned_packages(image)),
        ];
        let own = contents.into_iter().filter(|(what, packages)| *what == "system" || !packages.is_empty());
        let layer = |(what, packages)| {
            let content = format!("layer {} {} {platform} {what} {}", self.seed.0, image.id, inputs.number);
            Rc::new(Layer { digest: digest_of(&content), packages })
        };
        base.into_iter().chain(own.map(layer)).collect()
    }

    fn base_layers(self, image: &Image, inputs: &BuildInputs, platform: &Platform) -> Layers {
        match &image.from {
            Parent::Image(id) => self
                .parent(id, inputs)
                .and_then(|parent| parent.layers.get(platform).cloned())
                .unwrap_or_default(),
            Parent::Upstream(reference) => vec![Rc::new(upstream_layer(image, reference, platform))],
            Parent::Scratch | Parent::Unknown => Vec::new(),
        }
    }

    /// Returns the layers of the last build if the base below them is the same.
    fn cached(
        self,
        image: &Image,
        inputs: &BuildInputs,
        platform: &Platform,
        base: &Layers,
    ) -> Option<Layers> {
        let last = self.registry.current(&image.repository, &image.line).filter(|_| inputs.cached)?;
        let layers = last.layers.get(platform)?;
        let same_base = layers.starts_with(base) && image.copy_from.is_empty();
        same_base.then(|| layers.clone())
    }

    /// Returns the layers of the last build, if what the build copies did not change.
    fn unchanged(self, image: &Image, platform: &Platform) -> Option<Layers> {
        let is_built_on_an_image = matches!(image.from, Parent::Image(_));
        let keeps = || self.seed.draws("unchanged", image.id.as_str()).percent(self.unchanged);
        let last = self.registry.current(&image.repository, &image.line);
        let last = last.filter(|_| self.unchanged > 0 && is_built_on_an_image && keeps())?;
        last.layers.get(platform).cloned()
    }

    /// Returns the packages that the build installs, in their newest releases.
    fn system_packages(self, image: &Image, inputs: &BuildInputs) -> Vec<Package> {
        let had = self.registry.current(&image.repository, &image.line).filter(|_| inputs.stuck);
        let had = |name: &str| {
            let layers = had?.layers.values().next()?;
            let own = layers.iter().flat_map(|layer| &layer.packages);
            own.filter(|p| p.name == name && p.installed_by == image.id).map(|p| p.revision).max()
        };
        let package = |name| Package {
            name,
            kind: PackageKind::Os,
            installed_by: image.id.clone(),
            revision: had(name).unwrap_or_else(|| self.releases.newest(name, &image.id, inputs.now)),
        };
        installs(self.seed, image).into_iter().map(package).collect()
    }

    /// Returns what is copied from other stages: language packages, and nothing of the operating
    /// system.
    fn copied_packages(self, image: &Image, inputs: &BuildInputs, platform: &Platform) -> Vec<Package> {
        let stages = image.copy_from.iter().filter_map(|parent| match parent {
            Parent::Image(id) => self.parent(id, inputs)?.layers.get(platform),
            Parent::Upstream(_) | Parent::Scratch | Parent::Unknown => None,
        });
        let packages = stages.flatten().flat_map(|layer| layer.packages.iter());
        packages.filter(|package| package.kind == PackageKind::Language).cloned().collect()
    }

    /// Returns the packages that the lock file of the commit pins.
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

/// Returns whether builds of an image annotate their base. Two of three images do.
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

/// Returns whether an image introduces an operating system: it is built on an upstream image, or it
/// is a base image from scratch.
fn brings_system(image: &Image) -> bool {
    match image.from {
        Parent::Upstream(_) => true,
        Parent::Scratch | Parent::Unknown => image.tier == Tier::Base,
        Parent::Image(_) => false,
    }
}

/// Returns the layer of an upstream image, with the packages of its distribution.
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

/// Returns the tags of a build. Stable tags move; a tag pattern gives a new tag each time.
fn tags(line: &Line, revision: &str, number: u32) -> Vec<Tag> {
    let unique = |pattern: &str| {
        let commit: String = revision.chars().take(7).collect();
        pattern.replacen('*', &format!("{commit}-{number}"), 1).replace('*', "").parse().into_iter()
    };
    match line {
        Line::Stable(tags) => tags.clone(),
        // No hierarchy of the simulator has one.
        Line::Deployed { .. } | Line::Promoted { by: Promotion::Newest(_), .. } => Vec::new(),
        // People have promoted the first version.
        Line::Promoted { by: Promotion::Tag(tag), .. } => {
            let first = (number == 0).then(|| tag.clone());
            unique("build-*").chain(first).collect()
        }
        Line::Newest(pattern) => unique(pattern.as_str()).collect(),
    }
}
