//! Which version a build of Patchwave's pushed.
//!
//! There are five kinds of evidence, best first:
//!
//! 1. The digest that the execution itself reports.
//! 2. The build key in the annotation `dev.patchwave.build-key` of an index.
//! 3. A base or layers that name the parents' versions that Patchwave sent.
//! 4. A push within the execution's time that nothing contradicts.
//! 5. For an earlier version that stands on the line again: its base or layers name parents that
//!    Patchwave sent, and those of the replaced version do not. A reproducible build can equal an
//!    earlier version, so time alone does not show that a person put it back.
//!
//! Everything else on the line is a person's or another pipeline's.

use std::collections::BTreeMap;

use crate::facts::{ExecutionDetails, Facts, ImageFacts, Version};
use crate::hierarchy::{Hierarchy, Image, ParentKind, Variable};
use crate::image::{Digest, ImageId};
use crate::record::Claim;
use crate::unread::Unread;

/// What stands for a build that succeeded.
pub(super) enum Pushed<'a> {
    /// The version that it pushed.
    Ours(&'a Version),
    /// It pushed nothing new: the version that it had to replace still stands.
    Nothing(&'a Version),
    /// The current version is older than the build, and the build's own push is gone.
    RolledBack,
    /// The current version was pushed while the build ran, and it is not the build's.
    Foreign,
    /// A person or another pipeline pushed a later version, and the build's own push is gone.
    Replaced,
}

/// Finds what the execution of `claim`, which succeeded, pushed. Returns nothing if that is not
/// known: the version is not visible yet, or could not be read.
pub(super) fn pushed<'a>(
    hierarchy: &Hierarchy,
    facts: &'a Facts,
    image: &Image,
    claim: &Claim,
    details: &ExecutionDetails,
) -> Option<Pushed<'a>> {
    let own = facts.images.get(&image.id)?;
    let current = own.current_version()?;
    let build = Build { hierarchy, facts, image, own, claim, details };
    if let Some(version) = build.reported().ok()? {
        return Some(Pushed::Ours(version));
    }
    if let Some(version) = build.signed().or_else(|| build.pushed_within(current)) {
        return Some(Pushed::Ours(version));
    }
    if build.equals_earlier(current) {
        return Some(Pushed::Ours(current));
    }
    if own.unread_history.is_some() {
        return None;
    }
    Some(if claim.start.replaces.as_ref() == Some(&current.digest) {
        Pushed::Nothing(current)
    } else if current.pushed_at < claim.claimed_at {
        Pushed::RolledBack
    } else if build.is_within(current) {
        Pushed::Foreign
    } else {
        Pushed::Replaced
    })
}

/// Returns whether neither the execution nor the current version says what the build pushed. Then
/// the image's history is needed: what the build pushed may have lost its tag since.
pub fn needs_history(hierarchy: &Hierarchy, facts: &Facts, image: &Image) -> bool {
    let Some(own) = facts.images.get(&image.id) else { return false };
    let (Some(claim), Some(current)) = (&own.record.claim, own.current_version()) else { return false };
    let Some(details) = own.succeeded() else { return false };
    let build = Build { hierarchy, facts, image, own, claim, details };
    matches!(build.reported(), Ok(None)) && !build.is_signed(current)
}

/// One build, and all that shows what it pushed.
struct Build<'b, 'a> {
    hierarchy: &'b Hierarchy,
    facts: &'a Facts,
    image: &'b Image,
    own: &'a ImageFacts,
    claim: &'b Claim,
    details: &'b ExecutionDetails,
}

impl<'a> Build<'_, 'a> {
    /// The version that the execution reports. A digest that the repository does not have shows
    /// nothing: the pipeline may build other images too.
    fn reported(&self) -> Result<Option<&'a Version>, &'a Unread> {
        // A pipeline may push several images into one repository.
        let current = self
            .own
            .current_version()
            .filter(|current| self.details.pushed.iter().any(|digest| current.is_named_by(digest)));
        let any = || self.details.pushed.iter().find_map(|digest| self.own.version_named(digest));
        let known = current.or_else(any);
        if known.is_some() {
            return Ok(known);
        }
        let unread = self.details.pushed.iter().find_map(|digest| self.own.unread_versions.get(digest));
        unread.map_or(Ok(None), Err)
    }

    fn signed(&self) -> Option<&'a Version> {
        let current = self.own.current_version().filter(|current| self.is_signed(current));
        current.or_else(|| self.own.versions.values().find(|version| self.is_signed(version)))
    }

    /// Whoever pushes a version writes its annotations. So the build key counts only on a version
    /// that was pushed while the execution ran.
    fn is_signed(&self, version: &Version) -> bool {
        self.claim.has_key(version.build_key.as_deref()) && self.is_within(version)
    }

    /// The version that was pushed while the execution ran and that nothing contradicts. One that
    /// names the parents that Patchwave sent comes first, then the current one, then the last push:
    /// a build may push several images, and pushes at its end.
    fn pushed_within(&self, current: &Version) -> Option<&'a Version> {
        let candidates = self.own.versions.values();
        candidates
            .filter(|version| self.is_within(version) && !self.is_contradicted(version))
            .filter(|version| version.digest == current.digest || !self.is_on_another_line(version))
            .max_by_key(|version| {
                (self.names_parents(version), version.digest == current.digest, version.pushed_at)
            })
    }

    /// Several lines may share a repository.
    fn is_on_another_line(&self, version: &Version) -> bool {
        let all = self.hierarchy.in_repository(&self.image.repository);
        all.filter(|other| other.id != self.image.id)
            .filter_map(|other| self.facts.images.get(&other.id)?.current_version())
            .any(|current| current.digest == version.digest)
    }

    fn is_within(&self, version: &Version) -> bool {
        let is_after = match self.details.started_at {
            // A build pushes nothing in its first instant.
            Some(started_at) => version.pushed_at > started_at,
            None => version.pushed_at >= self.claim.claimed_at,
        };
        is_after && self.details.ended_at.is_none_or(|end| version.pushed_at <= end)
    }

    fn equals_earlier(&self, current: &Version) -> bool {
        let replaced = self.claim.start.replaces.as_ref();
        let replaced = replaced.and_then(|digest| self.own.version_named(digest));
        let is_earlier = current.pushed_at < self.claim.claimed_at;
        is_earlier
            && replaced
                .is_some_and(|replaced| replaced.digest != current.digest && !self.names_parents(replaced))
            && self.names_parents(current)
    }

    /// Whether another start, another commit or another version of a parent made this version.
    fn is_contradicted(&self, version: &Version) -> bool {
        let start = &self.claim.start;
        let key = version.build_key.as_deref();
        let other_key = key.is_some() && !self.claim.has_key(key);
        let pinned = start.sources.first().map(|source| source.revision.as_str());
        let other_commit = pinned.is_some() && pinned != version.revision.as_deref();
        other_key || other_commit || self.is_on_another_base(version)
    }

    /// The versions of the `from` parent: the one that Patchwave sent, and all that are known.
    fn base(&self) -> Option<(&'a Version, &'a ImageFacts)> {
        let mut parents = self.hierarchy.parents(&self.image.id);
        let parent = parents.find(|parent| parent.kind == ParentKind::From)?;
        let facts = self.facts.images.get(&parent.image.id)?;
        Some((facts.version_named(self.claim.start.parents.get(&parent.image.id)?)?, facts))
    }

    fn names_parents(&self, version: &Version) -> bool {
        let Some((sent, _)) = self.base() else { return false };
        let is_named = version.base.as_ref().is_some_and(|base| sent.is_named_by(base));
        (is_named || version.layers_inherited_from(sent).is_some()) && !self.is_on_another_base(version)
    }

    fn is_on_another_base(&self, version: &Version) -> bool {
        self.other_base(version).is_some_and(|(sent, other)| !self.may_pull(sent, other))
    }

    /// The parent's version that Patchwave sent, and another known one with whose layers `version`
    /// begins, where its layers do not begin with those of the version sent.
    fn other_base(&self, version: &Version) -> Option<(&'a Version, &'a Version)> {
        let (sent, parent) = self.base()?;
        let layers = |base: &'a Version| Some((version.layers_inherited_from(base)?, base));
        let (most, other) = parent
            .versions
            .values()
            .filter_map(layers)
            .max_by_key(|(layers, base)| (*layers, base.pushed_at))?;
        layers(sent).is_none_or(|(own, _)| own < most).then_some((sent, other))
    }

    /// Whether the build gets its parents' versions from Patchwave. Else it pulls their tags.
    fn takes_parents(&self) -> bool {
        let variables = &self.claim.start.variables;
        [Variable::BaseImage, Variable::BaseReference, Variable::Parents]
            .iter()
            .any(|variable| variables.contains_key(variable.name()))
    }

    /// Whether the build may have pulled `other` instead of the version sent: its pipeline takes no
    /// variable that names the base, and the parent's tag moved after the claim, on or back.
    fn may_pull(&self, sent: &Version, other: &Version) -> bool {
        let is_current = self.base().is_some_and(|(_, parent)| parent.current_version() == Some(other));
        !self.takes_parents() && (is_current || other.pushed_at > sent.pushed_at)
    }
}

/// Returns the parents' versions that `version`, which the build of `claim` pushed, was built on:
/// those that Patchwave sent, or those that the build pulled.
///
/// Layers do not show which version of a `copyFrom` parent a build pulled. If its tag has moved
/// since the claim, that parent is left out.
pub(super) fn parents(
    hierarchy: &Hierarchy,
    facts: &Facts,
    image: &Image,
    claim: &Claim,
    version: &Version,
) -> BTreeMap<ImageId, Digest> {
    let mut parents = claim.start.parents.clone();
    let Some(own) = facts.images.get(&image.id) else { return parents };
    let build = Build { hierarchy, facts, image, own, claim, details: &ExecutionDetails::default() };
    if let Some((sent, other)) = build.other_base(version)
        && build.may_pull(sent, other)
        && let Some(pulled) = parents.values_mut().find(|digest| sent.is_named_by(digest))
    {
        *pulled = other.digest.clone();
    }
    let has_moved = |parent: &ImageId, sent: &Digest| {
        let current = facts.images.get(parent).and_then(ImageFacts::current_version);
        current.is_none_or(|current| current.digest != *sent)
    };
    let copied = hierarchy.parents(&image.id).filter(|parent| parent.kind == ParentKind::CopyFrom);
    for parent in copied.filter(|_| !build.takes_parents()) {
        let id = &parent.image.id;
        if parents.get(id).is_some_and(|sent| has_moved(id, sent)) {
            parents.remove(id);
        }
    }
    parents
}
