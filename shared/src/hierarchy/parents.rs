//! Finds the images that the names of parents mean.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde_saphyr::Location;

use super::draft::Draft;
use super::error::{Problem, Report};
use super::names::near;
use super::registries::Registries;
use super::repository::on_docker_hub;
use super::warning::Advice;
use super::{Line, Parent, ParentKind, Tier};
use crate::image::{Digest, Platform, Reference, Registry, Repository};

/// How the file says that an image is built on nothing.
pub(super) const SCRATCH: &str = "scratch";
/// How the file says that nobody knows what an image is built on.
pub(super) const UNKNOWN: &str = "unknown";

/// The parents of one image, and where the file names those that are images of it.
#[derive(Debug, Default)]
pub(super) struct Lineage {
    pub(super) from: Option<Parent>,
    pub(super) from_on: BTreeMap<Platform, Parent>,
    /// Whether the file names a parent of its own by digest.
    pub(super) pinned: bool,
    pub(super) copy_from: Vec<Parent>,
    /// The repositories of pull-through caches in which the file names upstream parents.
    pub(super) caches: BTreeMap<Reference, Repository>,
    /// The position of each parent in the file's list of images.
    pub(super) inside: Vec<(Location, usize)>,
}

/// All names that a parent of this file can have.
pub(super) struct Names<'d> {
    drafts: &'d [Draft],
    registries: &'d Registries,
    ids: BTreeMap<&'d str, usize>,
    tags: BTreeMap<String, usize>,
    /// Whether every image of the file could be read. If not, an unknown parent may be one of the
    /// others.
    complete: bool,
    /// Whether a part is left out. An unknown parent may be an image of it.
    lacks_parts: bool,
}

impl<'d> Names<'d> {
    pub(super) fn new(
        drafts: &'d [Draft],
        registries: &'d Registries,
        complete: bool,
        lacks_parts: bool,
    ) -> Self {
        let ids = drafts.iter().enumerate().map(|(index, draft)| (draft.id.as_str(), index)).collect();
        let mut tags = BTreeMap::new();
        for (index, draft) in drafts.iter().enumerate() {
            if let Line::Stable(declared) = &draft.line {
                tags.extend(declared.iter().map(|tag| (format!("{}:{tag}", draft.repository), index)));
            }
        }
        Self { drafts, registries, ids, tags, complete, lacks_parts }
    }

    /// Finds all parents of the image at `index`.
    pub(super) fn lineage(&self, index: usize, report: &mut Report<'_>) -> Lineage {
        let draft = &self.drafts[index];
        report.enter(draft.file);
        let mut lineage = Lineage::default();
        if let Some((at, name)) = &draft.from {
            lineage.from = self.parent((index, ParentKind::From), *at, name, &mut lineage, report);
        }
        for (platform, (at, name)) in &draft.from_on {
            if let Some(parent) = self.parent((index, ParentKind::From), *at, name, &mut lineage, report) {
                lineage.from_on.insert(platform.clone(), parent);
            }
        }
        let mut seen = BTreeSet::new();
        for (at, name) in &draft.copy_from {
            let child = (index, ParentKind::CopyFrom);
            let Some(parent) = self.parent(child, *at, name, &mut lineage, report) else { continue };
            match parent {
                Parent::Unknown if self.lacks_parts => {}
                Parent::Scratch | Parent::Unknown => report.add(*at, Problem::CopyFromScratch),
                _ if !seen.insert(parent.clone()) => report.add(*at, Problem::DuplicateParent(name.clone())),
                _ => lineage.copy_from.push(parent),
            }
        }
        lineage
    }

    fn parent(
        &self,
        child: (usize, ParentKind),
        at: Location,
        name: &str,
        lineage: &mut Lineage,
        report: &mut Report<'_>,
    ) -> Option<Parent> {
        match self.find(name) {
            Ok(Found::Inside(parent, is_pinned)) => {
                self.check_edge(child, parent, at, report);
                lineage.inside.push((at, parent));
                if is_pinned {
                    lineage.pinned = true;
                    report.warn(at, Advice::Pinned(self.drafts[child.0].id.clone()));
                }
                Some(Parent::Image(self.drafts[parent].id.clone()))
            }
            Ok(Found::Scratch) => Some(Parent::Scratch),
            Ok(Found::Unknown) => Some(Parent::Unknown),
            Ok(Found::Upstream(reference, cache)) => {
                lineage.caches.extend(cache.map(|cache| (reference.clone(), cache)));
                if reference.digest.is_some() {
                    report.warn(at, pinned(&reference));
                }
                Some(Parent::Upstream(reference))
            }
            Err(NotFound::Nothing | NotFound::Undeclared) if self.lacks_parts => Some(Parent::Unknown),
            Err(unknown) => {
                self.report_unknown(unknown, name, at, report);
                None
            }
        }
    }

    fn find(&self, name: &str) -> Result<Found, NotFound> {
        if name == SCRATCH {
            return Ok(Found::Scratch);
        }
        if let Some(index) = self.inside(name) {
            return Ok(Found::Inside(index, false));
        }
        if name == UNKNOWN {
            return Ok(Found::Unknown);
        }
        if name.contains('$') {
            return Err(NotFound::Variable);
        }
        if let Some((_, rest)) = name.split_once("://") {
            return Err(NotFound::Scheme(rest.to_owned()));
        }
        if let Some(index) = self.pinned(name) {
            return Ok(Found::Inside(index, true));
        }
        let Some((host, path)) = hosted(name) else { return Err(NotFound::Nothing) };
        if let Some((upstream, cache)) = self.registries.cached(&host, path) {
            return Ok(Found::Upstream(upstream, cache));
        }
        if let Some(index) = self.tags.get(self.own_name(name).as_ref()) {
            return Ok(Found::Inside(*index, false));
        }
        if self.registries.has(&host) {
            return Err(NotFound::Undeclared);
        }
        if path.parse::<Repository>().is_ok() {
            return Err(NotFound::WithoutTag);
        }
        name.parse()
            .map(|reference| Found::Upstream(reference, None))
            .map_err(|invalid: crate::image::InvalidWord| NotFound::Bad(invalid.to_string()))
    }

    fn inside(&self, name: &str) -> Option<usize> {
        self.ids.get(name).or_else(|| self.tags.get(name)).copied()
    }

    /// Returns the image of this file that `name` pins to a digest. Which digest is no matter: the
    /// source names it, and the file only says that it does.
    fn pinned(&self, name: &str) -> Option<usize> {
        let (rest, digest) = name.rsplit_once('@')?;
        let own = self.own_name(rest);
        digest.parse::<Digest>().ok().and_then(|_| self.inside(&own).or_else(|| self.only(&own)))
    }

    /// Returns the only image of a repository.
    fn only(&self, repository: &str) -> Option<usize> {
        let mut images = self.drafts.iter().enumerate();
        let mut images = images.by_ref().filter(|(_, draft)| draft.repository.as_str() == repository);
        let (index, _) = images.next()?;
        images.next().is_none().then_some(index)
    }

    /// Returns a name as the declared tags have it: without the home registry's host.
    fn own_name<'n>(&self, name: &'n str) -> Cow<'n, str> {
        let own = hosted(name).and_then(|(host, path)| self.registries.own_name(&host, path));
        own.map_or(Cow::Borrowed(name), Cow::Owned)
    }

    /// A builder whose files are copied may belong to any tier: only layers are inherited.
    fn check_edge(
        &self,
        (child, kind): (usize, ParentKind),
        parent: usize,
        at: Location,
        report: &mut Report<'_>,
    ) {
        let (draft, above) = (&self.drafts[child], &self.drafts[parent]);
        if child == parent {
            report.add(at, Problem::OwnParent(draft.id.clone()));
        } else if above.tier > draft.tier && kind == ParentKind::From {
            let (parent_tier, tier) = (tier_name(above.tier), tier_name(draft.tier));
            report.add(at, Problem::LaterTier { parent: above.id.clone(), parent_tier, tier });
        }
    }

    fn report_unknown(&self, unknown: NotFound, name: &str, at: Location, report: &mut Report<'_>) {
        match unknown {
            NotFound::Bad(why) => report.add(at, Problem::Word(why)),
            NotFound::Nothing | NotFound::Undeclared if !self.complete => {}
            NotFound::Nothing => {
                let near = self.near(name, report);
                let hub = on_docker_hub(name).filter(|_| near.is_empty() || !name.contains('/'));
                let hub = hub.filter(|_| !self.has_namespace(name));
                report.add(at, Problem::UnknownParent { parent: name.to_owned(), near, hub });
            }
            NotFound::Variable => report.add(at, Problem::VariableInParent(name.to_owned())),
            NotFound::Scheme(write) => {
                report.add(at, Problem::SchemeInParent { parent: name.to_owned(), write });
            }
            NotFound::WithoutTag => report.add(at, Problem::ParentWithoutTag { parent: name.to_owned() }),
            NotFound::Undeclared => {
                let near = self.near(&self.own_name(name), report);
                report.add(at, Problem::Undeclared { name: name.to_owned(), near });
            }
        }
    }

    /// Returns whether `name` begins like a repository of this file, so that it probably misspells
    /// one.
    fn has_namespace(&self, name: &str) -> bool {
        let Some((namespace, _)) = name.split_once('/') else { return false };
        let begins = |draft: &Draft| {
            draft.repository.as_str().split_once('/').is_some_and(|(first, _)| first == namespace)
        };
        self.drafts.iter().any(begins)
    }

    fn near(&self, name: &str, report: &Report<'_>) -> Vec<String> {
        if !report.wants_suggestions() {
            return Vec::new();
        }
        // Docker reads a name without a tag as the tag `latest`.
        let latest = format!("{name}:latest");
        if self.tags.contains_key(&latest) {
            return vec![latest];
        }
        // A digest is as long as several names, and says nothing about the one that was meant.
        let name = name.split_once("@sha256:").map_or(name, |(name, _)| name);
        near(name, self.ids.keys().copied().chain(self.tags.keys().map(String::as_str)))
    }
}

/// Returns the host of a name and what follows it, if it begins with a host.
fn hosted(name: &str) -> Option<(Registry, &str)> {
    let (host, path) = name.split_once('/')?;
    host.parse().ok().map(|host| (host, path))
}

/// What a name means.
enum Found {
    /// An image of the file, and whether the name has a digest.
    Inside(usize, bool),
    Unknown,
    /// An image of another registry, and the repository of the pull-through cache that is named.
    Upstream(Reference, Option<Repository>),
    Scratch,
}

/// Why a name means nothing.
enum NotFound {
    /// Not a name of any kind.
    Nothing,
    /// A reference to the own registry that no image declares.
    Undeclared,
    /// It holds a build argument.
    Variable,
    /// A URI; what it is without its scheme.
    Scheme(String),
    /// A reference to another registry that lacks the tag.
    WithoutTag,
    /// Almost a reference; what is wrong with it.
    Bad(String),
}

fn pinned(reference: &Reference) -> Advice {
    let without_digest = reference.tag.as_ref().map(|_| Reference { digest: None, ..reference.clone() });
    Advice::PinnedParent { without_digest: without_digest.map(|reference| reference.to_string()) }
}

const fn tier_name(tier: Tier) -> &'static str {
    match tier {
        Tier::Base => "base",
        Tier::Platform => "platform",
        Tier::Application => "application",
    }
}
