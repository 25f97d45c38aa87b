//! Finds what is wrong with the tags of repositories, and how each is mended.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::hierarchy::{Hierarchy, Image, Line, Promotion};
use crate::image::{Digest, KEEP, Repository, Tag, glob, is_reserved};
use crate::lifecycle::Listing;

/// Whether the tags of a repository may be moved.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-tag-mutability.html>
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mutability {
    /// Whether tags that match no filter may be moved.
    pub moves: bool,
    /// The filters of the exceptions, with `*` for any characters.
    pub except: Vec<String>,
}

impl Mutability {
    /// Returns whether a tag may be moved.
    pub fn may_move(&self, tag: &str) -> bool {
        self.moves != self.except.iter().any(|filter| glob(filter, tag))
    }
}

/// What is known of the tags of one repository.
#[derive(Debug, Clone)]
pub struct KnownTags {
    pub listing: Listing,
    pub mutability: Mutability,
}

/// Something that is wrong with a tag or a repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Violation {
    pub repository: Repository,
    /// What kind it is: `stableTagBehind`, `stableTagMissing`, `stableTagCannotMove`,
    /// `uniqueTagMayMove`, `onNoLine` or `unread`.
    pub kind: &'static str,
    pub message: String,
    /// The command that mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// Checks the tags of repositories. One that could not be read has the error in its place.
pub fn check_tags(
    hierarchy: &Hierarchy,
    repositories: &BTreeMap<Repository, Result<KnownTags, String>>,
) -> Vec<Violation> {
    let check = |(repository, known): (&Repository, &Result<KnownTags, String>)| match known {
        Ok(known) => Checked::new(hierarchy, repository, known).all(),
        Err(because) => vec![Violation {
            repository: repository.clone(),
            kind: "unread",
            message: format!("it was not read: {because}"),
            command: None,
        }],
    };
    repositories.iter().flat_map(check).collect()
}

struct Checked<'c> {
    repository: &'c Repository,
    name: String,
    images: Vec<&'c Image>,
    known: &'c KnownTags,
    holders: BTreeMap<&'c Tag, &'c Digest>,
    environments: Vec<String>,
}

impl<'c> Checked<'c> {
    fn new(hierarchy: &'c Hierarchy, repository: &'c Repository, known: &'c KnownTags) -> Self {
        let tags = known.listing.images.iter().flat_map(|(d, image)| image.tags.iter().map(move |t| (t, d)));
        let (host, name) = hierarchy.address(repository);
        let registry = format!("--registry-id {} --region {}", host.account(), host.region());
        Self {
            repository,
            name: format!("{registry} --repository-name {name}"),
            images: hierarchy.in_repository(repository).collect(),
            holders: tags.collect(),
            known,
            environments: crate::lifecycle::environments(hierarchy),
        }
    }

    fn all(&self) -> Vec<Violation> {
        let mut violations = Vec::new();
        for image in &self.images {
            if let Line::Stable(tags) = &image.line {
                self.stable(tags, &mut violations);
            }
        }
        self.mutability(&mut violations);
        self.strangers(&mut violations);
        violations
    }

    fn violation(&self, kind: &'static str, message: String, command: Option<String>) -> Violation {
        Violation { repository: self.repository.clone(), kind, message, command }
    }

    /// Stable tags move together: the first one says where to.
    fn stable(&self, tags: &[Tag], violations: &mut Vec<Violation>) {
        let Some((tracked, others)) = tags.split_first() else { return };
        let Some(current) = self.holders.get(tracked) else {
            let message = format!("no image has the tag {tracked}");
            return violations.push(self.violation("stableTagMissing", message, None));
        };
        for tag in others {
            let message = match self.holders.get(tag) {
                Some(holder) if holder == current => continue,
                Some(holder) => {
                    format!("{tag} names {}, and {tracked} names {}", holder.short(), current.short())
                }
                None => format!("no image has the tag {tag}, and {tracked} names {}", current.short()),
            };
            let command = format!(
                "aws ecr put-image {name} --image-tag {tag} --image-manifest \"$(aws ecr batch-get-image {name} --image-ids \
                 imageDigest={current} --query 'images[0].imageManifest' --output text)\"",
                name = self.name
            );
            violations.push(self.violation("stableTagBehind", message, Some(command)));
        }
    }

    /// Returns the tags that people or Patchwave move, as filters.
    fn moving(&self) -> BTreeSet<String> {
        let mut moving = BTreeSet::from([format!("{KEEP}*")]);
        for image in &self.images {
            match &image.line {
                Line::Stable(tags) => moving.extend(tags.iter().map(ToString::to_string)),
                Line::Promoted { by: Promotion::Tag(tag), .. } => drop(moving.insert(tag.to_string())),
                _ => {}
            }
        }
        let pointer = |name: &&String| self.holders.keys().any(|tag| tag.as_str() == name.as_str());
        moving.extend(self.environments.iter().filter(pointer).cloned());
        moving
    }

    fn mutability(&self, violations: &mut Vec<Violation>) {
        let moving = self.moving();
        let stuck: Vec<&str> = moving
            .iter()
            .map(String::as_str)
            .filter(|tag| !tag.contains('*') && !self.known.mutability.may_move(tag))
            .collect();
        if !stuck.is_empty() {
            let message = format!("the repository does not let these tags move: {}", stuck.join(", "));
            violations.push(self.violation("stableTagCannotMove", message, Some(self.set_filters(&moving))));
        }
        let unique = |image: &&&Image| matches!(image.line, Line::Newest(_));
        let loose = self.images.iter().filter(unique).find(|image| {
            let sample = |tag: &&&Tag| image.line.has(tag) && !moving.contains(tag.as_str());
            let may_move = |tag: &&Tag| self.known.mutability.may_move(tag.as_str());
            self.holders.keys().filter(sample).any(may_move)
        });
        if let Some(image) = loose {
            let message = format!("its unique tags may be moved: those of {}", image.id);
            violations.push(self.violation("uniqueTagMayMove", message, Some(self.set_filters(&moving))));
        }
    }

    /// ECR takes at most five filters.
    fn set_filters(&self, moving: &BTreeSet<String>) -> String {
        let filters: Vec<String> =
            moving.iter().map(|tag| format!("filterType=WILDCARD,filter='{tag}'")).collect();
        if filters.len() > 5 {
            return format!(
                "aws ecr put-image-tag-mutability {} --image-tag-mutability MUTABLE  # ECR takes five exceptions, and {} tags move",
                self.name,
                filters.len()
            );
        }
        format!(
            "aws ecr put-image-tag-mutability {} --image-tag-mutability IMMUTABLE_WITH_EXCLUSION \
             --image-tag-mutability-exclusion-filters {}",
            self.name,
            filters.join(" ")
        )
    }

    /// Tags that are on no line and point to no environment.
    fn strangers(&self, violations: &mut Vec<Violation>) {
        let about_digest = |tag: &Tag| tag.as_str().starts_with("sha256-");
        let of_environment = |tag: &Tag| {
            self.environments.iter().any(|name| {
                tag.as_str()
                    .strip_prefix(name.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
            })
        };
        let known = |tag: &Tag| {
            is_reserved(tag)
                || about_digest(tag)
                || of_environment(tag)
                || self.images.iter().any(|image| image.line.has(tag))
        };
        let any_deployed = self.images.iter().any(|image| matches!(image.line, Line::Deployed { .. }));
        let strange: Vec<String> =
            self.holders.keys().filter(|tag| !known(tag)).map(ToString::to_string).collect();
        if strange.is_empty() || any_deployed {
            return;
        }
        let shown: Vec<&str> = strange.iter().take(5).map(String::as_str).collect();
        let more = strange.len() - shown.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let message = format!("on no line and of no environment: {}{more}", shown.join(", "));
        violations.push(self.violation("onNoLine", message, None));
    }
}
