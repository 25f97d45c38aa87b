//! What can be wrong with a hierarchy file, each with the place and what to do about it.

use std::fmt;

use serde_saphyr::Location;

use crate::image::ImageId;

/// Something wrong at one place of a hierarchy file. Shown as `file:line:column: what is wrong and what to do`.
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

/// Everything wrong with a hierarchy file that one pass can see, in the order of the file. Never empty.
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
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

/// A name that no image of the hierarchy has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no image {name:?} in the hierarchy{}", did_you_mean(near))]
pub struct UnknownImage {
    /// The name that was asked for.
    pub name: String,
    /// Names that are nearly the same, the nearest first.
    pub near: Vec<String>,
}

/// Above so many errors nobody reads suggestions, and looking for them would take time quadratic in the file.
const ERRORS_WITH_SUGGESTIONS: usize = 50;

/// Collects the errors of one pass.
#[derive(Debug)]
pub(super) struct Report<'f> {
    file: &'f str,
    errors: Vec<HierarchyError>,
}

impl<'f> Report<'f> {
    pub(super) fn new(file: &'f str) -> Self {
        Self { file, errors: Vec::new() }
    }

    pub(super) fn add(&mut self, at: Location, problem: Problem) {
        // The parser gives no place for an empty file.
        let (line, column) = (at.line().max(1), at.column().max(1));
        self.errors.push(HierarchyError { file: self.file.to_owned(), line, column, problem });
    }

    pub(super) fn wants_suggestions(&self) -> bool {
        self.errors.len() < ERRORS_WITH_SUGGESTIONS
    }

    /// Returns `value` if nothing was wrong. There is no value only after something was.
    pub(super) fn finish<T>(mut self, value: Option<T>) -> Result<T, HierarchyErrors> {
        match value {
            Some(value) if self.errors.is_empty() => Ok(value),
            _ => {
                self.errors.sort_by_key(|error| (error.line, error.column));
                Err(HierarchyErrors(self.errors))
            }
        }
    }
}

/// What is wrong. The text says what to do, too.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Problem {
    #[error("the file is larger than {limit} bytes; split the hierarchy")]
    TooLarge { limit: usize },
    #[error("{0}")]
    Yaml(String),
    #[error("expected {0} here")]
    Shape(&'static str),
    #[error("unknown key `{key}`; {}", meant_or_known(near, known))]
    UnknownKey { key: String, near: Vec<String>, known: Vec<&'static str> },
    #[error("key `{0}` is written twice; remove one")]
    DuplicateKey(String),
    #[error("missing key `{0}`")]
    MissingKey(String),
    #[error("version {0} is not known; write `version: 1`")]
    Version(u64),
    #[error("{0}")]
    Word(String),
    #[error("{0} of 0 would start nothing; write `mode: observe` to only report")]
    ZeroLimit(&'static str),
    #[error("image id `{id}` is taken by the image in line {first}; give one of them another `id`")]
    DuplicateId { id: ImageId, first: u64 },
    #[error("image id `{id}` is also a tag that `{owner}` declares; give this image another `id`")]
    IdIsTag { id: ImageId, owner: ImageId },
    #[error("an image cannot be called scratch, which is how a file says that an image is built on nothing")]
    IdIsScratch,
    #[error("image needs `tags` or `tagPattern`, to say which version counts")]
    NoLine,
    #[error("image has both `tags` and `tagPattern`; keep the one that says which version counts")]
    TwoLines,
    #[error("image has `lines`, which say which versions count; remove its `tags` and `tagPattern`")]
    LinesAndTags,
    #[error("`lines` is empty; name at least one line")]
    NoLines,
    #[error("a line with `current: deployed` needs its `environment`, and no `tagPattern`")]
    DeployedWhere,
    #[error("a line with `current: newest` needs its `tagPattern`, and no `environment`")]
    NewestOfWhat,
    #[error(
        "what {environment} runs is rebuilt from its own commit: its pipeline needs `sources`, to be pinned to it, and the \
         variable PATCHWAVE_BUILD_KEY, to tell it from a build of the newest commit"
    )]
    DeployedUnpinned { environment: String },
    #[error(
        "no account of `inventory` is of the environment {0}, so nobody sees what it runs; name one, or correct it"
    )]
    DeployedNowhere(String),
    #[error(
        "what {environment} runs of {repository} is the line of `{owner}` in line {line} too; one of them must go"
    )]
    DeployedTwice { environment: String, repository: String, owner: ImageId, line: u64 },
    #[error("`tags` is empty; name at least the tag to track")]
    NoTags,
    #[error(
        "`{text}` of {repository} is claimed by `{owner}` in line {line} too; a tag belongs to one image"
    )]
    TagClaimed { text: String, repository: String, owner: ImageId, line: u64 },
    #[error(
        "patterns `{pattern}` and `{other}` of {repository} can match the same tag (`{owner}`, line {line}); \
         make them differ"
    )]
    PatternsOverlap { pattern: String, other: String, repository: String, owner: ImageId, line: u64 },
    #[error(
        "parent {parent:?} is neither an id, a declared tag, scratch nor a reference with its registry host{}",
        did_you_mean(near)
    )]
    UnknownParent { parent: String, near: Vec<String> },
    #[error("no {kind} is called {name:?}; declare it under `{kind}s`{}", did_you_mean(near))]
    Unnamed { kind: &'static str, name: String, near: Vec<String> },
    #[error("no image of this file declares {name:?} of its own registry{}", did_you_mean(near))]
    Undeclared { name: String, near: Vec<String> },
    #[error("scratch holds nothing to copy; remove it from `copyFrom`")]
    CopyFromScratch,
    #[error("image `{0}` is its own parent; name another one")]
    OwnParent(ImageId),
    #[error("parent `{0}` is listed twice in `copyFrom`; remove one")]
    DuplicateParent(String),
    #[error(
        "parent `{parent}` is of the later tier {parent_tier}; move it, or this image, to another tier than {tier}"
    )]
    LaterTier { parent: ImageId, parent_tier: &'static str, tier: &'static str },
    #[error("images are built on each other in a cycle: {}; remove one of these parents", chain(.0))]
    Cycle(Vec<ImageId>),
    #[error(
        "pipeline `{name}` builds `{owner}` in line {line} too; two images may not share a pipeline, for nothing tells \
         it which one to build"
    )]
    SharedPipeline { name: String, owner: ImageId, line: u64 },
    #[error("{what} `{name}` is listed twice; remove one")]
    Twice { what: &'static str, name: String },
    #[error("suppression of {0} matches no image; correct its `images` or remove it")]
    SuppressesNothing(String),
    #[error("no {0} is named, so nothing would be looked at; name one, or remove `inventory`")]
    NobodyInspected(&'static str),
    #[error("`externalId` is for a role of another account; name the `role`, or remove it")]
    ExternalIdOfNobody,
    #[error("`{0}` is empty; an auditor will ask")]
    Empty(&'static str),
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
