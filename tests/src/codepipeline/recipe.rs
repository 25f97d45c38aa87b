//! What each pipeline builds: the source repository that stands behind an image.

use crate::content::digest;

/// Where a build gets the layers that it does not make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// Another image of the registry: its repository, and the tag, or the beginning of the tags, that counts.
    Image(String, String),
    /// Somebody else's image, which never changes here.
    Upstream(String),
}

/// How a build tags what it pushes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tagging {
    /// Moves these tags.
    Stable(Vec<String>),
    /// Makes a tag that nothing else ever gets: this word, the commit and the execution.
    Unique(String),
}

/// One image, its pipeline and what its Dockerfile says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// The image's id in the hierarchy.
    pub image: String,
    pub pipeline: String,
    /// Where it pushes.
    pub repository: String,
    /// How it tags.
    pub tagging: Tagging,
    /// `FROM`.
    pub base: Base,
    /// The packages that it installs: name and Inspector's word for the package manager.
    pub packages: Vec<(String, String)>,
    /// The pipeline variables that it declares.
    pub variables: Vec<String>,
    /// The source actions that can be pinned.
    pub sources: Vec<String>,
}

impl Recipe {
    /// Returns the tip of the main branch.
    pub fn head(&self) -> String {
        digest(&format!("the head of {}", self.repository)).chars().skip(7).take(40).collect()
    }

    /// Returns the tag, or the beginning of the tags, by which the image's current version is found.
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
