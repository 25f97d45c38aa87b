//! The warnings about a valid hierarchy file: where they are, and what to write instead.

use std::fmt;

use crate::image::{ImageId, Tag, TagPattern};
use crate::time::{Span, Timestamp};

/// Something in a valid hierarchy file that its author may not intend. Shown as
/// `file:line:column: warning: what Patchwave does; what to write`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The file's name, as the caller gave it.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// The column in characters, from 1.
    pub column: u64,
    /// What the file says.
    pub advice: Advice,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: warning: {}", self.file, self.line, self.column, self.advice)
    }
}

/// What a warning is about. The text also says what to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Advice {
    /// Patchwave starts no build of the whole fleet.
    #[error(
        "every image is in `mode: observe`, so Patchwave only reports; \
         write `mode: enforce` under `policy` or a tier to let it start builds"
    )]
    EverythingObserves,
    /// The file does not say where containers run.
    #[error(
        "without `inventory` Patchwave does not see what runs, nor which images production runs; \
         add the accounts and Regions to survey"
    )]
    NoInventory,
    /// Fixes for production are due in half the time, and nothing is production.
    #[error(
        "no account has `environment: prod` or `environment: production`, so no fix is due earlier for production; \
         add `environment` to the account"
    )]
    NoProduction,
    /// A backport to an old release would be the current version.
    #[error(
        "`{0}` matches tags of several releases, and the version that was pushed last counts, even a backport; \
         write `{{ match: \"{0}\", order: version }}` if the highest version is meant"
    )]
    PushOrderOfReleases(TagPattern),
    /// Only a commit brings newer parents.
    #[error(
        "`{0}` is pinned, so Patchwave never moves it to newer parents; commit their digests, or remove the pin"
    )]
    Pinned(ImageId),
    /// A tag of one architecture is never the version that the first tag names.
    #[error(
        "the tag `{0}` names one architecture, so it never names the version of the first tag; remove it"
    )]
    TagOfArchitecture(Tag),
    /// A finding in the image is reported and never fixed.
    #[error(
        "Patchwave cannot rebuild `{0}`, which has no `pipeline`; \
         add one, or write `rebuild: never` if only people build it"
    )]
    NoPipeline(ImageId),
    /// A rebuild brings nothing new from an upstream image that is pinned to a digest.
    #[error(
        "the digest pins this parent, so no rebuild brings a newer version of it; write {}",
        instead(.without_digest.as_deref())
    )]
    PinnedParent {
        /// The same parent without its digest; nothing if it has no tag.
        without_digest: Option<String>,
    },
    /// The first part of the repository's name reads as a host, and may be one.
    #[error("`{host}` looks like a registry's host; if it is one, write {repository} instead")]
    HostInRepository {
        /// The first part of the repository's name.
        host: String,
        /// The rest of it.
        repository: String,
    },
    /// The team's notices go to the topic of the deployment alone.
    #[error(
        "notices about the images of `{0}` have no topic; \
         add `notify` with the ARN of the team's SNS topic"
    )]
    OwnerWithoutTopic(String),
    /// The findings of the vulnerability count again.
    #[error(
        "the suppression of {vulnerability} ended on {}, so the vulnerability counts again; \
         remove the suppression, or write a later `until`",
        last_day(*until)
    )]
    SuppressionEnded {
        /// The vulnerability's id.
        vulnerability: String,
        /// The first moment at which the suppression no longer applied.
        until: Timestamp,
    },
}

impl Advice {
    /// Returns whether the warning is true at `now`.
    pub(super) fn applies(&self, now: Timestamp) -> bool {
        match self {
            Self::SuppressionEnded { until, .. } => *until <= now,
            _ => true,
        }
    }
}

/// Returns the day as the file writes it: the last one on which the suppression applied.
fn last_day(until: Timestamp) -> impl fmt::Display {
    Span::seconds(1).before(until).strftime("%F").to_string()
}

fn instead(without_digest: Option<&str>) -> String {
    without_digest.map_or_else(|| "a tag in place of the digest".to_owned(), ToOwned::to_owned)
}
