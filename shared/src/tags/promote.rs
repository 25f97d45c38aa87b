//! Decides whether a version may be promoted to an environment, and by which tag.

use serde::Serialize;

use super::copy::CopyPlan;
use crate::finding::FindingKey;
use crate::hierarchy::{Hierarchy, Image, Line, Promotion};
use crate::image::{Digest, Repository, Tag};
use crate::lifecycle::Listing;

/// A promotion that is possible: the same digest, under the tag of another environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Promote {
    /// Where the tag is set.
    pub repository: Repository,
    /// What is copied there first; nothing if the environments share a repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copy: Option<CopyPlan>,
    pub digest: Digest,
    pub tag: Tag,
    /// What has the tag now; nothing if it is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Digest>,
    /// Whether the tag names the digest already.
    pub already: bool,
}

/// Which version is promoted where.
#[derive(Debug, Clone, Copy)]
pub struct Target<'t> {
    pub image: &'t Image,
    pub from: &'t str,
    pub to: &'t str,
}

/// What is known of a version that is to be promoted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Why a platform has no complete scan.
    pub unscanned: Vec<String>,
    /// The findings that policy counts.
    pub findings: Vec<FindingKey>,
    /// The findings that its build was for and that its proof does not call fixed.
    pub unproved: Vec<FindingKey>,
    /// Whether the registry signed it; nothing where signing is not configured.
    pub signed: Option<bool>,
    /// Whether a person approved this digest; nothing where nobody need.
    pub approved: Option<bool>,
}

/// Why a version may not be promoted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unfit(pub String);

/// Returns everything that speaks against promoting a version.
pub fn fitness(evidence: &Evidence) -> Vec<Unfit> {
    let mut unfit: Vec<Unfit> = evidence
        .unscanned
        .iter()
        .map(|because| Unfit(format!("it has no complete scan: {because}")))
        .collect();
    unfit.extend(evidence.findings.iter().map(|finding| Unfit(format!("it has {finding}"))));
    unfit.extend(
        evidence.unproved.iter().map(|finding| Unfit(format!("no scan proves that {finding} is fixed"))),
    );
    if evidence.signed == Some(false) {
        unfit.push(Unfit("the registry signs images, and this one has no signature".to_owned()));
    }
    if evidence.approved == Some(false) {
        unfit.push(Unfit("no person approved it; `patchwave approve` with --from and --to does".to_owned()));
    }
    unfit
}

/// The repositories of the two environments, and what they hold.
#[derive(Debug, Clone, Copy)]
pub struct Places<'p> {
    pub from: (&'p Repository, &'p Listing),
    pub to: (&'p Repository, &'p Listing),
}

/// Finds the version of one environment and the tag of another.
///
/// # Errors
///
/// Says what is missing.
pub fn promotion(hierarchy: &Hierarchy, target: Target<'_>, places: Places<'_>) -> Result<Promote, String> {
    let Target { image, from, to } = target;
    if from == to {
        return Err(format!("{from} is the same environment"));
    }
    let (source, listing) = places.from;
    let (repository, there) = places.to;
    let lines: Vec<&Image> = hierarchy.in_repository(&image.repository).collect();
    let (digest, tags) = version_of(&lines, from, listing)?;
    let tag = tag_for(&lines, from, to, &tags)?;
    let holder = there.images.iter().find(|(_, image)| image.tags.contains(&tag)).map(|(digest, _)| digest);
    let already = holder == Some(&digest);
    let copies = source != repository && !already;
    let copy = copies.then(|| CopyPlan::new(source, listing, &digest)).transpose()?;
    Ok(Promote {
        repository: repository.clone(),
        copy,
        already,
        replaces: holder.filter(|holder| **holder != digest).cloned(),
        digest,
        tag,
    })
}

/// Finds the version that an environment's tag names: its own tag, or the newest of its tags.
fn version_of(lines: &[&Image], environment: &str, listing: &Listing) -> Result<(Digest, Vec<Tag>), String> {
    let is_its = |tag: &Tag| match by(lines, environment) {
        Some(Promotion::Tag(own)) => own == tag,
        Some(Promotion::Newest(family)) => family.matches(tag),
        None => names(environment, tag),
    };
    let images = listing.images.iter().filter(|(_, image)| image.tags.iter().any(is_its));
    let newest = images.max_by_key(|(_, image)| image.pushed_at);
    let (digest, image) = newest.ok_or_else(|| format!("no image has a tag of {environment}"))?;
    Ok((digest.clone(), image.tags.iter().cloned().collect()))
}

fn by<'i>(lines: &[&'i Image], environment: &str) -> Option<&'i Promotion> {
    lines.iter().find_map(|image| match &image.line {
        Line::Promoted { environment: own, by } if own == environment => Some(by),
        _ => None,
    })
}

/// Returns whether a tag is an environment's by its form: `staging`, or `staging-123`.
fn names(environment: &str, tag: &Tag) -> bool {
    let rest = tag.as_str().strip_prefix(environment);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// Returns the tag of the other environment. A unique one keeps what is unique in the version's
/// own: `staging-123` becomes `production-123`.
fn tag_for(lines: &[&Image], from: &str, to: &str, tags: &[Tag]) -> Result<Tag, String> {
    let unique = || {
        let of_from = tags.iter().find_map(|tag| tag.as_str().strip_prefix(from)?.strip_prefix('-'));
        let of_line = tags.iter().find(|tag| {
            lines.iter().any(|image| matches!(image.line, Line::Newest(_)) && image.line.has(tag))
        });
        let of_line = of_line.map(|tag| tag.as_str().rsplit_once('-').map_or(tag.as_str(), |(_, rest)| rest));
        of_from
            .or(of_line)
            .ok_or_else(|| format!("no tag of the version says what is unique in it: {tags:?}"))
    };
    let text = match by(lines, to) {
        Some(Promotion::Tag(tag)) => return Ok(tag.clone()),
        Some(Promotion::Newest(family)) => family.as_str().replacen('*', unique()?, 1),
        None => format!("{to}-{}", unique()?),
    };
    text.parse().map_err(|error| format!("{error}"))
}
