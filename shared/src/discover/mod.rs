//! Drafts a hierarchy of images that are not described yet, from what registries and pipelines
//! say.
//!
//! Data flows in one direction: documents → evidence → parents and builders → the text of a
//! hierarchy file. Nothing that is uncertain is guessed: it is written `from: unknown`, and listed
//! with its candidates. Two candidates of equal rank: neither.

mod builders;
mod circles;
mod decide;
mod dockerfile;
mod document;
mod draft;
mod entry;
mod estate;
mod evidence;
mod forms;
mod lineage;
mod lines;
mod merge;
mod named;
mod provenance;
mod referrers;
mod seen;
mod tags;
mod tiers;
mod write;
mod yaml;

pub use builders::{may_push, without_builder};
pub use document::Document;
pub use draft::discover;
pub use entry::{Builds, Draft, Drafted, Pattern};
pub use estate::{Action, Estate, Execution, Pipeline, Project, Push, Registry, Repository, Version};
pub use evidence::Kind;
pub use lineage::Lineage;
pub use merge::{Drift, Merged, NotMerged, merge};
pub use provenance::Provenance;
pub use write::DraftedPart;

/// Reads an embedded or separate Dockerfile: which images its stages are built on. For fuzzers.
#[must_use]
pub fn images_of_dockerfile(
    text: &str,
    arguments: &std::collections::BTreeMap<String, String>,
) -> Vec<String> {
    dockerfile::read(text, arguments).map(dockerfile::Stages::into_names).unwrap_or_default()
}
