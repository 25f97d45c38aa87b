//! The errors of a hierarchy file: where they are, and what to write instead.

use std::fmt;

use serde_saphyr::Location;

use super::warning::{Advice, Warning};
use crate::image::ImageId;

/// An error at one place of a hierarchy file. Shown as `file:line:column: what is wrong; what to
/// write`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {problem}")]
pub struct HierarchyError {
    /// The file's name, as the caller gave it.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// The column in characters, from 1.
    pub column: u64,
    problem: Problem,
}

/// All errors of a hierarchy file that one pass finds, in the order of the file. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct HierarchyErrors(Vec<HierarchyError>);

impl HierarchyErrors {
    /// Returns each error, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &HierarchyError> {
        self.0.iter()
    }
}

impl fmt::Display for HierarchyErrors {
    /// Writes one error a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            // A key of the file may hold an end of line.
            write!(f, "{}", error.to_string().replace('\r', "\\r").replace('\n', "\\n"))?;
        }
        Ok(())
    }
}

/// A name that is not an image of the hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no image {name:?} in the hierarchy{}", did_you_mean(near))]
pub struct UnknownImage {
    /// The name that was asked for.
    pub name: String,
    /// Names that are nearly the same, the nearest first.
    pub near: Vec<String>,
}

/// After this many errors there are no suggestions: their search takes time quadratic in the file.
const ERRORS_WITH_SUGGESTIONS: usize = 50;

/// Collects the errors and warnings of one pass.
#[derive(Debug)]
pub(super) struct Report<'f> {
    /// The main file, then its parts.
    files: Vec<&'f str>,
    /// The number of the file that is looked at.
    file: usize,
    errors: Vec<(usize, HierarchyError)>,
    warnings: Vec<(usize, Warning)>,
}

impl<'f> Report<'f> {
    pub(super) fn new(file: &'f str) -> Self {
        Self { files: vec![file], file: 0, errors: Vec::new(), warnings: Vec::new() }
    }

    /// Begins another file, and returns its number.
    pub(super) fn begin(&mut self, file: &'f str) -> usize {
        self.files.push(file);
        self.file = self.files.len() - 1;
        self.file
    }

    /// Says in which file the next places are.
    pub(super) fn enter(&mut self, file: usize) {
        self.file = file;
    }

    /// Returns the number of the file that is looked at.
    pub(super) fn file(&self) -> usize {
        self.file
    }

    fn name(&self) -> String {
        self.files.get(self.file).map(|name| (*name).to_owned()).unwrap_or_default()
    }

    pub(super) fn add(&mut self, at: Location, problem: Problem) {
        let (line, column) = position(at);
        self.add_at(line, column, problem);
    }

    pub(super) fn add_at(&mut self, line: u64, column: u64, problem: Problem) {
        let file = self.name();
        self.errors.push((self.file, HierarchyError { file, line, column, problem }));
    }

    pub(super) fn warn(&mut self, at: Location, advice: Advice) {
        let (line, column) = position(at);
        let file = self.name();
        self.warnings.push((self.file, Warning { file, line, column, advice }));
    }

    pub(super) fn wants_suggestions(&self) -> bool {
        self.errors.len() < ERRORS_WITH_SUGGESTIONS
    }

    /// Returns `value` and the warnings if there are no errors. A missing value needs an error.
    pub(super) fn finish<T>(mut self, value: Option<T>) -> Result<(T, Vec<Warning>), HierarchyErrors> {
        match value {
            Some(value) if self.errors.is_empty() => {
                self.warnings.sort_by_key(|(file, warning)| (*file, warning.line, warning.column));
                Ok((value, self.warnings.into_iter().map(|(_, warning)| warning).collect()))
            }
            _ => {
                self.errors.sort_by_key(|(file, error)| (*file, error.line, error.column));
                Err(HierarchyErrors(self.errors.into_iter().map(|(_, error)| error).collect()))
            }
        }
    }
}

/// Returns line and column. The parser gives no place for what is about the whole file.
fn position(at: Location) -> (u64, u64) {
    (at.line().max(1), at.column().max(1))
}

/// What is wrong. The text also says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Problem {
    #[error(
        "the file is larger than {limit} bytes, and Patchwave reads no larger one; use a second deployment"
    )]
    TooLarge { limit: usize },
    #[error("{0}")]
    Yaml(String),
    #[error("this line is indented with a tab, which YAML does not allow; use spaces")]
    Tab,
    #[error("write {0} here, such as {1}")]
    Shape(&'static str, &'static str),
    #[error("unknown key `{key}`; {}", meant_or_known(near, known))]
    UnknownKey { key: String, near: Vec<String>, known: Vec<&'static str> },
    #[error("key `{0}` is written twice; remove one")]
    DuplicateKey(String),
    #[error("key `{key}` is missing; {}", example(key))]
    MissingKey { key: String },
    #[error("Patchwave does not know version {0} of this file; write `version: 1`")]
    Version(u64),
    #[error("{0}")]
    Word(String),
    #[error("`{0}: 0` starts no build; write at least 1, or `mode: observe` to only report")]
    ZeroLimit(&'static str),
    #[error("the image in line {first} has the id `{id}` too; give one of them another `id`")]
    DuplicateId { id: ImageId, first: u64 },
    #[error("id `{id}` is also a tag of the image `{owner}`; give this image another `id`")]
    IdIsTag { id: ImageId, owner: ImageId },
    #[error("no image may have the id scratch, which means a parent without content; write another `id`")]
    IdIsScratch,
    #[error("the image does not say which version is current; add `tags` or `tagPattern`")]
    NoLine,
    #[error(
        "the image has both `tags` and `tagPattern`; keep `tagPattern` if each version has a tag that never moves, \
         and `tags` if its tags move"
    )]
    TwoLines,
    #[error("the image has `lines` beside `tags` or `tagPattern`; remove one of them")]
    LinesAndTags,
    #[error("`lines` is empty; add at least one line")]
    NoLines,
    #[error("a line with `current: deployed` needs `environment` and takes no `tagPattern`")]
    DeployedWhere,
    #[error("`workloads` is empty; name at least one, or remove the key: then all count and must agree")]
    NoWorkloads,
    #[error(
        "a line without `current: deployed` needs `tagPattern`, or `environment` with `tag` or `tagPattern`, \
         and takes no `workloads`"
    )]
    NewestOfWhat,
    #[error(
        "a pipeline without `sources` builds its mainline alone, and this line may be of another commit; \
         give the pipeline `sources` and the variable PATCHWAVE_BUILD_KEY"
    )]
    LineUnpinned,
    #[error("{0:?} is not a platform; write it as linux/arm64, or `default` for all others")]
    NotAPlatform(String),
    #[error("`from` does not name the base of the other platforms; add `default`")]
    NoDefaultParent,
    #[error(
        "Patchwave rebuilds what {environment} runs from the commit that runs there; \
         give the pipeline `sources` and the variable PATCHWAVE_BUILD_KEY"
    )]
    DeployedUnpinned { environment: String },
    #[error(
        "no account under `inventory` has the environment {0}, so Patchwave cannot see what runs there; \
         add the account, or correct the name"
    )]
    DeployedNowhere(String),
    #[error(
        "the image `{owner}` in line {line} already follows what {environment} runs of {repository}; \
         remove one of the two lines"
    )]
    DeployedTwice { environment: String, repository: String, owner: ImageId, line: u64 },
    #[error("`tags` is empty; add at least one tag: Patchwave tracks the first")]
    NoTags,
    #[error(
        "tag `{text}` of {repository} also belongs to the image `{owner}` in line {line}; \
         let only one image have it"
    )]
    TagClaimed { text: String, repository: String, owner: ImageId, line: u64 },
    #[error(
        "`{pattern}` and `{other}` of {repository} can match the same tag; change one of them, or write \
         `tagPattern: {{ match: …, except: […] }}`. The other is of the image `{owner}` in line {line}"
    )]
    PatternsOverlap { pattern: String, other: String, repository: String, owner: ImageId, line: u64 },
    #[error("{parent:?} is not an id or a tag of this file; {}", instead(near, hub.as_deref()))]
    UnknownParent { parent: String, near: Vec<String>, hub: Option<String> },
    #[error("{0:?} holds a variable, which Patchwave does not expand; write the parent's name")]
    VariableInParent(String),
    #[error("{parent:?} holds a scheme; write {write}")]
    SchemeInParent { parent: String, write: String },
    #[error("{parent:?} has no tag; write {parent}:latest, or the tag that the image is built on")]
    ParentWithoutTag { parent: String },
    #[error("no {kind} has the name {name:?}; add it under `{kind}s`{}", did_you_mean(near))]
    Unnamed { kind: &'static str, name: String, near: Vec<String> },
    #[error(
        "no image of this file has {name:?}, a tag of the file's own registry; \
         add the image. Add the prefix of a pull-through cache under `caches`. \
         Name an upstream image by its own registry{}",
        did_you_mean(near)
    )]
    Undeclared { name: String, near: Vec<String> },
    #[error("scratch holds no files to copy; remove it from `copyFrom`")]
    CopyFromScratch,
    #[error("the image `{0}` is its own parent; name another parent")]
    OwnParent(ImageId),
    #[error("`copyFrom` lists the parent `{0}` twice; remove one")]
    DuplicateParent(String),
    #[error(
        "the parent `{parent}` is of the tier {parent_tier}, which comes after this image's tier {tier}; \
         change the tier of one of them"
    )]
    LaterTier { parent: ImageId, parent_tier: &'static str, tier: &'static str },
    #[error("images are built on each other in a cycle: {}; remove one of these parents", chain(.0))]
    Cycle(Vec<ImageId>),
    #[error(
        "the pipeline `{name}` already builds the image `{owner}` in line {line}; {}", if *same {
            "write one image with `lines`, each with its environment's `tag` or `tagPattern`"
        } else {
            "give each image its own"
        }
    )]
    SharedPipeline { name: String, owner: ImageId, line: u64, same: bool },
    #[error("the {what} `{name}` is listed twice; remove one")]
    Twice { what: &'static str, name: String },
    #[error("the suppression of {0} matches no image; correct its `images`, or remove it")]
    SuppressesNothing(String),
    #[error("`inventory` has no {0}, so Patchwave would survey nothing; add one, or remove `inventory`")]
    NobodyInspected(&'static str),
    #[error(
        "the {what} {name} is not one that the part `{part}` may have; add it to the part in the main file"
    )]
    NotOfPart { what: &'static str, name: String, part: String },
    #[error(
        "the part `{part}` may not be less strict than the main file; add `{what}` to its `mayLoosen`, or remove this"
    )]
    MayNotLoosen { part: String, what: &'static str },
    #[error("the part `{file}` cannot be read: {because}; write the file's name from the folder of this one")]
    UnreadPart { file: String, because: String },
    #[error("the file has `registry` and `registries`; keep one: `registry` declares `home`")]
    RegistryTwice,
    #[error("no registry has the name `home`; give it to the one in whose account and Region Patchwave runs")]
    NoHome,
    #[error("the host {host} belongs to the registry `{other}` too; remove it from one")]
    HostTwice { host: String, other: String },
    #[error(
        "no registry has the name {name:?}; add it under `registries` with its host{}",
        did_you_mean(near)
    )]
    UnknownRegistry { name: String, near: Vec<String> },
    #[error("`{0}` is a replica itself; name the registry that images are pushed to")]
    ReplicaOfReplica(String),
    #[error("`{replica}` is a replica, and images are pushed to `{of}`; write `registry: {of}`")]
    PushedToReplica { replica: String, of: String },
    #[error("`from` and `to` do not pair repositories; write one `*` in both, or none")]
    UnclearCopies,
    #[error("an entry of `approved` needs either `host` or `account`; write one of them")]
    ApprovedByNobody,
    #[error("`repositories` is empty, so nothing is approved; add one, or remove the entry")]
    ApprovesNothing,
    #[error("`externalId` belongs to a role; add the `role`, or remove `externalId`")]
    ExternalIdOfNobody,
    #[error("`{0}` is empty; write it for the people who read this file later")]
    Empty(&'static str),
}

/// Says what to write in the place of a parent that does not exist.
fn instead(near: &[String], hub: Option<&str>) -> String {
    match (near, hub) {
        ([], None) => "write an id, repository:tag, scratch, or an image with its registry's host, \
                       which has a dot or a port"
            .to_owned(),
        ([], Some(hub)) => format!("for the image on Docker Hub write {hub}"),
        (near, None) => format!("did you mean {}?", near.join(" or ")),
        (near, Some(hub)) => {
            format!("did you mean {}? For the image on Docker Hub write {hub}", near.join(" or "))
        }
    }
}

/// Says what to add for a key that is missing.
fn example(key: &str) -> &'static str {
    match key {
        "version" => "add `version: 1`",
        "registry" => "add the registry's host, such as 111122223333.dkr.ecr.us-east-1.amazonaws.com",
        "images" => "add the list of images",
        "tier" => "add `tier: base`, `tier: platform` or `tier: application`",
        "repository" => "add the image's repository, such as apps/checkout",
        "from" => "add the image's parent, or `from: scratch`",
        _ => "add it",
    }
}

fn did_you_mean(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(" or ")) }
}

fn meant_or_known(near: &[String], known: &[&str]) -> String {
    if near.is_empty() {
        return format!("the keys here are {}", known.join(", "));
    }
    format!("did you mean {}?", near.join(" or "))
}

fn chain(ids: &[ImageId]) -> String {
    ids.iter().map(ImageId::as_str).collect::<Vec<_>>().join(" → ")
}
