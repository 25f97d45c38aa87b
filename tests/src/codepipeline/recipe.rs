//! What each pipeline builds: the source repository of an image.

use crate::content::digest;

/// Where a build gets the layers of its base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// Another image of the registry: its repository, and its tag or the prefix of its tags.
    Image(String, String),
    /// An upstream image, which never changes here.
    Upstream(String),
}

/// How a build tags what it pushes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tagging {
    /// Moves these tags.
    Stable(Vec<String>),
    /// Makes a unique tag of this prefix, the commit and the execution.
    Unique(String),
}

/// One image, with its pipeline and its Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// The image's id in the hierarchy.
    pub image: String,
    pub pipeline: String,
    pub repository: String,
    pub tagging: Tagging,
    /// `FROM`.
    pub base: Base,
    /// The packages that it installs, each with Inspector's name of the package manager.
    pub packages: Vec<(String, String)>,
    /// The pipeline variables that it declares.
    pub variables: Vec<String>,
    /// The source actions that can be pinned.
    pub sources: Vec<String>,
    /// Whether the build exports the digest that it pushed.
    pub reports_digest: bool,
}

impl Recipe {
    /// Returns the newest commit of the main branch.
    pub fn head(&self) -> String {
        digest(&format!("the head of {}", self.repository)).chars().skip(7).take(40).collect()
    }

    /// Returns the tag, or the prefix of the tags, of the current version.
    pub fn line(&self) -> &str {
        match &self.tagging {
            Tagging::Stable(tags) => tags.first().map_or("", String::as_str),
            Tagging::Unique(prefix) => prefix,
        }
    }

    /// Returns the tags of a build of `commit`.
    pub fn tags(&self, commit: &str, execution: &str) -> Vec<String> {
        match &self.tagging {
            Tagging::Stable(tags) => tags.clone(),
            Tagging::Unique(prefix) => {
                let (commit, execution) =
                    (commit.get(..7).unwrap_or(commit), execution.get(..8).unwrap_or(execution));
                vec![format!("{prefix}-{commit}-{execution}")]
            }
        }
    }
}
