//! Where upstream images lie in the organisation's own registry, or could.
//!
//! A pull-through cache is a rule of ECR for one upstream registry. ECR knows few of them. Images
//! of all others must be copied.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Cached, Tracked};
use crate::facts::Facts;
use crate::hierarchy::{Hierarchy, Image, Parent};
use crate::image::{Digest, ImageId, Reference, Registry};
use crate::time::Timestamp;
use crate::unread::Unread;

/// An upstream image that images are built on, and its place in the home registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mirrored {
    pub upstream: Reference,
    /// The images that name it.
    pub images: BTreeSet<ImageId>,
    /// What those who name it directly write in place of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write: Option<String>,
    pub place: Place,
    /// The caches that hold something else than upstream, or that could not be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lagging: Vec<Lagging>,
}

/// Where an upstream image lies, or could.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Place {
    /// A cache of the file holds it.
    Cache { repository: String },
    /// A rule of ECR would hold it.
    Rule {
        repository: String,
        prefix: String,
        /// The upstream registry, as ECR's API calls it.
        url: String,
        /// Whether ECR wants credentials for it, in a secret.
        needs_secret: bool,
    },
    /// ECR has no rule for its registry, so it must be copied.
    Copy { repository: String },
}

/// A cache that does not serve what upstream names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lagging {
    /// The cache's tag.
    pub cache: ImageId,
    /// What it serves; nothing if that could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serves: Option<Digest>,
    /// What upstream names.
    pub upstream: Digest,
    /// Since when.
    pub since: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<Unread>,
}

/// The registries that ECR caches: the host, the URL in its API, the prefix that its console
/// proposes, and whether it wants a secret.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_CreatePullThroughCacheRule.html>
const RULES: [(&str, &str, &str, bool); 7] = [
    ("public.ecr.aws", "public.ecr.aws", "ecr-public", false),
    ("docker.io", "registry-1.docker.io", "docker-hub", true),
    ("quay.io", "quay.io", "quay", false),
    ("registry.k8s.io", "registry.k8s.io", "kubernetes", false),
    ("ghcr.io", "ghcr.io", "github", true),
    ("registry.gitlab.com", "registry.gitlab.com", "gitlab", true),
    ("cgr.dev", "cgr.dev", "chainguard", true),
];

/// The prefix of the repositories of copies.
const COPIES: &str = "mirror";

/// Returns all upstream images that images are built on, each with where it lies or could.
pub fn mirrored(hierarchy: &Hierarchy, facts: Option<&Facts>) -> Vec<Mirrored> {
    let mut named: BTreeMap<&Reference, BTreeSet<ImageId>> = BTreeMap::new();
    let mut direct: BTreeSet<&Reference> = BTreeSet::new();
    for image in hierarchy.images() {
        for parent in image.named_parents() {
            let Parent::Upstream(reference) = parent else { continue };
            named.entry(reference).or_default().insert(image.id.clone());
            if !image.caches.contains_key(reference) {
                direct.insert(reference);
            }
        }
    }
    let each = named.into_iter().map(|(upstream, images)| {
        let place = place(hierarchy, upstream);
        let write = direct.contains(upstream).then(|| {
            let host = hierarchy.registry();
            let tag = upstream.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
            let digest = upstream.digest.as_ref().map(|digest| format!("@{digest}")).unwrap_or_default();
            format!("{host}/{}{tag}{digest}", place.repository())
        });
        let lagging = facts.map(|facts| lagging(hierarchy, facts, upstream, &images)).unwrap_or_default();
        Mirrored { upstream: upstream.clone(), images, write, place, lagging }
    });
    each.collect()
}

impl Place {
    /// Returns the repository in the home registry.
    pub fn repository(&self) -> &str {
        match self {
            Self::Cache { repository } | Self::Rule { repository, .. } | Self::Copy { repository } => {
                repository
            }
        }
    }
}

fn place(hierarchy: &Hierarchy, upstream: &Reference) -> Place {
    let home = hierarchy.registries().iter().next();
    let rules = home.into_iter().flat_map(|home| &home.caches);
    let cached = rules.filter_map(|(prefix, of)| {
        let (host, path) = of.split_once('/').map_or((of.as_str(), None), |(host, path)| (host, Some(path)));
        if host.parse::<Registry>().ok().as_ref() != Some(&upstream.registry) {
            return None;
        }
        let name = upstream.repository.as_str();
        let rest = match path {
            Some(path) => name.strip_prefix(path)?.strip_prefix('/')?,
            None => name,
        };
        Some(format!("{prefix}/{rest}"))
    });
    if let Some(repository) = cached.min_by_key(String::len) {
        return Place::Cache { repository };
    }
    let name = &upstream.repository;
    let host = upstream.registry.as_str();
    let known = RULES.iter().find(|(of, ..)| *of == host);
    let azure = host.strip_suffix(".azurecr.io").filter(|name| !name.contains('.'));
    match (known, azure) {
        (Some((_, url, prefix, needs_secret)), _) => Place::Rule {
            repository: format!("{prefix}/{name}"),
            prefix: (*prefix).to_owned(),
            url: (*url).to_owned(),
            needs_secret: *needs_secret,
        },
        (None, Some(registry)) => Place::Rule {
            repository: format!("{registry}/{name}"),
            prefix: registry.to_owned(),
            url: host.to_owned(),
            needs_secret: true,
        },
        (None, None) => {
            let host: String =
                host.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
            Place::Copy { repository: format!("{COPIES}/{host}/{name}") }
        }
    }
}

fn lagging(
    hierarchy: &Hierarchy,
    facts: &Facts,
    upstream: &Reference,
    images: &BTreeSet<ImageId>,
) -> Vec<Lagging> {
    let images = images.iter().filter_map(|id| hierarchy.image(id).ok());
    let parents = images.flat_map(|image| hierarchy.upstream_parents(image));
    let caches: BTreeMap<ImageId, ImageId> = parents
        .filter(|parent| parent.reference == upstream)
        .filter_map(|parent| Some((parent.cached_as()?, parent.id)))
        .collect();
    let lags = caches.into_iter().filter_map(|(cache, tag)| {
        let current = facts.upstreams.get(&tag).and_then(Tracked::current)?;
        let (serves, unread) = match facts.caches.get(&cache)? {
            Cached::Holds { digest, .. } if !current.is_named_by(digest) => (Some(digest.clone()), None),
            Cached::Unread(why) => (None, Some(why.clone())),
            Cached::Holds { .. } | Cached::Absent => return None,
        };
        let upstream = current.digests.last()?.clone();
        Some(Lagging { cache, serves, upstream, since: current.since, unread })
    });
    lags.collect()
}

/// Returns the upstream tags of an image that have not moved for as long as policy calls silence,
/// each with since when. They may be out of support.
pub fn silent(
    hierarchy: &Hierarchy,
    facts: &Facts,
    image: &Image,
    now: Timestamp,
) -> BTreeMap<ImageId, Timestamp> {
    silent_of(hierarchy, &facts.upstreams, image, now)
}

/// As [`silent`], for all images.
pub fn all_silent(
    hierarchy: &Hierarchy,
    upstreams: &BTreeMap<ImageId, Tracked>,
    now: Timestamp,
) -> BTreeMap<ImageId, Timestamp> {
    hierarchy.images().flat_map(|image| silent_of(hierarchy, upstreams, image, now)).collect()
}

fn silent_of(
    hierarchy: &Hierarchy,
    upstreams: &BTreeMap<ImageId, Tracked>,
    image: &Image,
    now: Timestamp,
) -> BTreeMap<ImageId, Timestamp> {
    let parents = hierarchy.upstream_parents(image);
    let silent = parents.filter_map(|parent| {
        let since = upstreams.get(&parent.id)?.still_since()?;
        (image.policy.upstream_silence.after(since) <= now).then_some((parent.id, since))
    });
    silent.collect()
}
