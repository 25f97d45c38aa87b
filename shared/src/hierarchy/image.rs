//! A build target: its line of versions, what it is built on, what builds it and whose it is.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::image::{ImageId, Platform, Reference, Repository, Tag, TagFamily};
use crate::policy::Policy;

/// The tier of an image. A parent is never of a later tier than its child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Tier {
    /// Operating systems and minimal images, built on upstream images.
    Base,
    /// Language runtimes and frameworks.
    Platform,
    /// The organisation's own programs.
    Application,
}

/// What a child takes from its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ParentKind {
    /// The base of the final stage: its layers are inherited.
    From,
    /// Another stage, `COPY --from` or `RUN --mount=from`: files are taken, layers are not.
    CopyFrom,
}

/// What an image is built on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Parent {
    /// Another image of this hierarchy.
    Image(ImageId),
    /// An image of another registry, which Patchwave does not build.
    Upstream(Reference),
    /// No image: the file says `scratch`.
    Scratch,
    /// The file says `unknown`. Such an image is never rebuilt.
    Unknown,
}

/// Which version of an image is current.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Line {
    /// The version that the first stable tag names; the other tags must follow it. Never empty.
    Stable(Vec<Tag>),
    /// The newest commit's newest push whose tag matches.
    Newest(TagFamily),
    /// What people promote to an environment by its tag: the newest build of the commit that the
    /// tag names. A build never moves that tag.
    Promoted {
        /// The environment, as people name it.
        environment: String,
        by: Promotion,
    },
    /// What an environment runs: the newest build of the commit that was seen to run there.
    Deployed {
        /// The environment, as the inventory's accounts name it.
        environment: String,
        /// Whose version counts, as globs of `cluster/namespace/kind/name`. If empty, all services
        /// and workloads count, and must agree.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        workloads: Vec<String>,
    },
}

/// How people promote a version to an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Promotion {
    /// They move a tag to it.
    Tag(Tag),
    /// They add a tag that matches.
    Newest(TagFamily),
}

impl Line {
    /// Returns the environment that the line is about.
    pub fn environment(&self) -> Option<&str> {
        match self {
            Self::Deployed { environment, .. } | Self::Promoted { environment, .. } => Some(environment),
            Self::Stable(_) | Self::Newest(_) => None,
        }
    }

    /// Returns whether a tag is one of the line's own.
    pub fn has(&self, tag: &Tag) -> bool {
        match self {
            Self::Stable(tags) => tags.contains(tag),
            Self::Newest(family) | Self::Promoted { by: Promotion::Newest(family), .. } => {
                family.matches(tag)
            }
            Self::Promoted { by: Promotion::Tag(own), .. } => own == tag,
            Self::Deployed { .. } => false,
        }
    }

    /// Returns whether Patchwave patches the commit that an environment has, and not the newest.
    pub const fn is_of_environment(&self) -> bool {
        matches!(self, Self::Deployed { .. } | Self::Promoted { .. })
    }
}

/// A pipeline variable that Patchwave can send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Variable {
    /// `repository@digest` of the `from` parent, if it is in the home registry.
    #[serde(rename = "PATCHWAVE_BASE_IMAGE")]
    BaseImage,
    /// The whole reference of the `from` parent, with its registry's host.
    #[serde(rename = "PATCHWAVE_BASE_REFERENCE")]
    BaseReference,
    /// JSON object from parent id to digest.
    #[serde(rename = "PATCHWAVE_PARENTS")]
    Parents,
    /// The build key: how an execution is found again.
    #[serde(rename = "PATCHWAVE_BUILD_KEY")]
    BuildKey,
    /// The codes of the reasons.
    #[serde(rename = "PATCHWAVE_REASON")]
    Reason,
    /// `true` if cached layers would bring the old packages back.
    #[serde(rename = "PATCHWAVE_NO_CACHE")]
    NoCache,
}

impl Variable {
    /// All six, in the order of the documentation.
    pub const ALL: [Self; 6] =
        [Self::BaseImage, Self::BaseReference, Self::Parents, Self::BuildKey, Self::Reason, Self::NoCache];

    /// Returns the name that the pipeline declares.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BaseImage => "PATCHWAVE_BASE_IMAGE",
            Self::BaseReference => "PATCHWAVE_BASE_REFERENCE",
            Self::Parents => "PATCHWAVE_PARENTS",
            Self::BuildKey => "PATCHWAVE_BUILD_KEY",
            Self::Reason => "PATCHWAVE_REASON",
            Self::NoCache => "PATCHWAVE_NO_CACHE",
        }
    }
}

/// How a source action's revision is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RevisionType {
    /// A full commit id.
    CommitId,
}

/// A source action that is pinned to the line's revision.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Source {
    /// The action's name in the pipeline.
    pub action: String,
    /// How its revision is written.
    #[serde(rename = "type")]
    pub revision_type: RevisionType,
}

/// Where a pipeline is, if it is not in the account and region of the registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Builder {
    /// The account's twelve digits.
    pub account: String,
    pub region: String,
    /// The role to start with; none in the account where Patchwave runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
}

/// A role that Patchwave assumes in another account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Role {
    /// Its name, or its whole ARN.
    pub name: String,
    /// The external id that the role's trust policy asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
}

/// The team that owns images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// The team's name.
    pub name: String,
    /// The ARN of an SNS topic, for the notices about its images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<String>,
    /// How many builds of its images may run at once, beside the fleet's own limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrent_builds: Option<u32>,
}

/// A pipeline that builds an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pipeline {
    /// Its name in CodePipeline.
    pub name: String,
    /// Where it is; nothing if where the registry is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub builder: Option<Builder>,
    /// The variables that it declares; no others are sent.
    pub variables: Vec<Variable>,
    /// The source actions to pin. Empty: the pipeline builds its mainline.
    pub sources: Vec<Source>,
}

impl Pipeline {
    /// Returns whether the pipeline declares `variable`.
    pub fn takes(&self, variable: Variable) -> bool {
        self.variables.contains(&variable)
    }
}

impl Image {
    /// Returns everything that the image is built on, its base first.
    pub fn named_parents(&self) -> impl Iterator<Item = &Parent> {
        std::iter::once(&self.from).chain(self.from_on.values()).chain(&self.copy_from)
    }
}

/// One build target: a repository and the line of versions that it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// Its name in the hierarchy.
    pub id: ImageId,
    pub tier: Tier,
    pub repository: Repository,
    /// Which version is current.
    pub line: Line,
    /// The base of its final stage.
    pub from: Parent,
    /// The bases of platforms that are built on another image.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub from_on: BTreeMap<Platform, Parent>,
    /// Whether the source names its parents by digest, so that only a commit moves them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pinned: bool,
    /// The parents of its other stages.
    pub copy_from: Vec<Parent>,
    /// The repositories of pull-through caches from which it takes upstream parents.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub caches: BTreeMap<Reference, Repository>,
    /// The pipeline that builds it; nothing if Patchwave cannot rebuild it.
    pub pipeline: Option<Pipeline>,
    /// The team that owns it, if the file says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    /// The policy it is under.
    pub policy: Policy,
}
