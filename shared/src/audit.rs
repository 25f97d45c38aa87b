//! Compares the hierarchy file with what images say of themselves.
//!
//! A finding names the evidence and the edit that mends it. What could not be read is a finding
//! too: nothing that is unknown passes for right.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::discover::Lineage;
use crate::facts::{Current, Facts, ImageFacts, Version};
use crate::hierarchy::{Direction, Hierarchy, Image, Parent, ParentKind, Query, Tier};
use crate::image::{Digest, ImageId};

/// What is wrong, or not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// It is built on another image of the file than the file says.
    WrongParent,
    /// It is built on an image of the file, and the file names another registry's, or none.
    MissingParent,
    /// The evidence makes it the ancestor of its own parent.
    Circle,
    /// Nothing shows which version of its parent it was built on.
    BuiltOnUnknown,
    /// Its stable tags name different versions.
    DivergingTags,
    /// Its source names its base by digest, so that only a commit moves it.
    Pinned,
    /// It is built on an image of another registry, and is no base image.
    SomebodyElses,
    /// It is an application that is built on a base image: no platform brings it fixes.
    TierSkipped,
    NoBuilder,
    NoOwner,
    /// Its facts are missing or could not be read.
    NotRead,
}

/// One finding of an audit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    pub kind: Kind,
    pub image: ImageId,
    pub evidence: String,
    /// What to change, in the file or elsewhere.
    pub edit: String,
}

/// Compares a hierarchy with a snapshot of facts. The findings are in the order of their kinds.
#[must_use]
pub fn audit(hierarchy: &Hierarchy, facts: &Facts) -> Vec<Finding> {
    let known = Known::new(hierarchy, facts);
    let mut findings: Vec<Finding> = hierarchy.images().flat_map(|image| known.image(image)).collect();
    findings.sort();
    findings
}

/// All versions, and whose they are.
struct Known<'a> {
    hierarchy: &'a Hierarchy,
    facts: &'a Facts,
    /// The image and the version of each chain of layers.
    chains: Vec<(&'a ImageId, &'a Version)>,
    lineage: Lineage<'a>,
    by_digest: BTreeMap<&'a Digest, BTreeSet<&'a ImageId>>,
}

impl<'a> Known<'a> {
    fn new(hierarchy: &'a Hierarchy, facts: &'a Facts) -> Self {
        let (mut chains, mut digests) = (Vec::new(), Vec::new());
        let mut by_digest: BTreeMap<&Digest, BTreeSet<&ImageId>> = BTreeMap::new();
        for (id, image) in facts.images.iter().filter(|(id, _)| hierarchy.image(id).is_ok()) {
            for version in image.versions.values() {
                by_digest.entry(&version.digest).or_default().insert(id);
                for manifest in version.platforms.values() {
                    by_digest.entry(&manifest.digest).or_default().insert(id);
                    for chain in [&manifest.layers, &manifest.diff_ids] {
                        chains.push((id, version));
                        digests.push(&chain[..]);
                    }
                }
            }
        }
        Self { hierarchy, facts, chains, lineage: Lineage::new(digests), by_digest }
    }

    fn image(&self, image: &'a Image) -> Vec<Finding> {
        let mut found = self.declared(image);
        match self.facts.images.get(&image.id) {
            None => found.push(self.not_read(image, "the snapshot does not have it")),
            Some(facts) => match (&facts.current, facts.current_version()) {
                (_, Some(version)) => found.extend(self.observed(image, facts, version)),
                (Current::Unread(unread), None) => found.push(self.not_read(image, &unread.because)),
                (Current::NoRepository(place), None) => {
                    found.push(self.not_read(image, &format!("{place} has no such repository")));
                }
                // It was never built: there is nothing to compare.
                _ => {}
            },
        }
        found
    }

    #[expect(clippy::unused_self, reason = "it reads as the others do")]
    fn not_read(&self, image: &Image, because: &str) -> Finding {
        finding(
            image,
            Kind::NotRead,
            because.to_owned(),
            "read the facts again with the permission to read it",
        )
    }

    /// What the file itself shows.
    fn declared(&self, image: &Image) -> Vec<Finding> {
        let mut found = Vec::new();
        if image.pipeline.is_none() {
            found.push(finding(
                image,
                Kind::NoBuilder,
                "no pipeline is declared".to_owned(),
                "write pipeline:, or a default under tiers",
            ));
        }
        if image.owner.is_none() {
            found.push(finding(
                image,
                Kind::NoOwner,
                "no owner is declared".to_owned(),
                "write owner:, and the team under owners",
            ));
        }
        let pinned = image.named_parents().find_map(|parent| match parent {
            Parent::Upstream(reference) => {
                reference.digest.as_ref().map(|digest| format!("{} by {}", reference.name(), digest.short()))
            }
            _ => None,
        });
        if image.pinned || pinned.is_some() {
            let what = pinned.unwrap_or_else(|| "its parents".to_owned());
            found.push(finding(
                image,
                Kind::Pinned,
                format!("its source names {what}"),
                "name the base by a tag in the Dockerfile, and remove pinned:",
            ));
        }
        match &image.from {
            Parent::Upstream(reference) if image.tier != Tier::Base => {
                let edit = "build it on a base image of your own, or make it one: tier: base";
                found.push(finding(image, Kind::SomebodyElses, format!("it is built on {reference}"), edit));
            }
            Parent::Image(parent) if image.tier == Tier::Application && self.is_base(parent) => {
                let edit = "build it on a platform image, or leave it if it needs none";
                found.push(finding(
                    image,
                    Kind::TierSkipped,
                    format!("it is built on the base image {parent}"),
                    edit,
                ));
            }
            _ => {}
        }
        found
    }

    fn is_base(&self, image: &ImageId) -> bool {
        self.hierarchy.image(image).is_ok_and(|image| image.tier == Tier::Base)
    }

    /// What its current version shows.
    fn observed(&self, image: &'a Image, facts: &ImageFacts, version: &Version) -> Vec<Finding> {
        let mut found = Vec::new();
        let lagging = facts.lagging_tags(&image.line);
        if !lagging.is_empty() {
            let tags: Vec<&str> = lagging.iter().map(|tag| tag.as_str()).collect();
            let evidence = format!("{} do not name {}", tags.join(", "), version.digest.short());
            found.push(finding(image, Kind::DivergingTags, evidence, "let one build push all of its tags"));
        }
        let declared: BTreeSet<&ImageId> = self
            .hierarchy
            .parents(&image.id)
            .filter(|edge| edge.kind == ParentKind::From)
            .map(|edge| &edge.image.id)
            .collect();
        match self.base(image, version) {
            Some((base, _)) if declared.contains(base) => {}
            Some((base, evidence)) => {
                found.push(self.other_base(image, base, evidence, !declared.is_empty()));
            }
            None if !declared.is_empty() && !is_recorded(facts, version) => {
                let names: Vec<&str> = declared.iter().map(|id| id.as_str()).collect();
                let evidence =
                    format!("neither a record, nor an annotation, nor layers lead to {}", names.join(", "));
                found.push(finding(
                    image,
                    Kind::BuiltOnUnknown,
                    evidence,
                    "let the build write the annotation org.opencontainers.image.base.digest",
                ));
            }
            None => {}
        }
        found
    }

    fn other_base(&self, image: &Image, base: &ImageId, evidence: String, is_declared: bool) -> Finding {
        let above = self.hierarchy.query([base], Direction::Ancestors).map(Query::resolve);
        let below = above.is_ok_and(|above| above.iter().any(|ancestor| ancestor.id == image.id));
        let kind = match (below, is_declared) {
            (true, _) => Kind::Circle,
            (false, true) => Kind::WrongParent,
            (false, false) => Kind::MissingParent,
        };
        let edit = if below {
            format!("one of the two edges is wrong: check {} and {base}", image.id)
        } else {
            format!("write from: {base}")
        };
        finding(image, kind, evidence, edit)
    }

    /// Finds the one image of the file that a version is built on: by its annotation, if the layers
    /// do not contradict it, else by its layers.
    fn base(&self, image: &Image, version: &Version) -> Option<(&'a ImageId, String)> {
        let by_layers = self.by_layers(image, version);
        let annotated = version.base.as_ref().and_then(|digest| Some((digest, self.by_digest.get(digest)?)));
        let annotated = annotated.and_then(|(digest, ids)| {
            let mut others = ids.iter().filter(|id| ***id != image.id);
            Some((digest, *others.next().filter(|_| ids.len() == 1)?))
        });
        let is_confirmed = |digest: &Digest, id: &ImageId| {
            let parent = self.facts.images.get(id).and_then(|facts| facts.version_named(digest));
            parent.is_some_and(|parent| version.layers_inherited_from(parent).is_some())
        };
        match annotated {
            Some((digest, id)) if by_layers.is_none() || is_confirmed(digest, id) => {
                Some((id, format!("its annotation names {}, a version of {id}", digest.short())))
            }
            _ => by_layers,
        }
    }

    fn by_layers(&self, image: &Image, version: &Version) -> Option<(&'a ImageId, String)> {
        let mut found: Option<(&'a ImageId, &Version)> = None;
        for manifest in version.platforms.values() {
            let longest = [&manifest.diff_ids, &manifest.layers].into_iter().map(|chain| {
                self.lineage.longest(chain, |number| {
                    let (id, other) = self.chains[number];
                    *id != image.id
                        && !other.platforms.values().any(|same| same.layers.len() >= manifest.layers.len())
                })
            });
            let longest = longest.into_iter().find(|found| !found.is_empty())?;
            let ids: BTreeSet<&ImageId> = longest.iter().map(|number| self.chains[*number].0).collect();
            // Two images with the same layers, or two bases on two platforms: neither.
            let (id, other) =
                longest.first().map(|number| self.chains[*number]).filter(|_| ids.len() == 1)?;
            if found.is_some_and(|(before, _)| before != id) {
                return None;
            }
            found = Some((id, other));
        }
        found.map(|(id, other)| {
            (id, format!("it starts with all layers of {}, a version of {id}", other.digest.short()))
        })
    }
}

fn is_recorded(facts: &ImageFacts, version: &Version) -> bool {
    facts.record.success.as_ref().is_some_and(|success| success.version == version.digest)
}

fn finding(image: &Image, kind: Kind, evidence: String, edit: impl Into<String>) -> Finding {
    Finding { kind, image: image.id.clone(), evidence, edit: edit.into() }
}
