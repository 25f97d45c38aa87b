//! Earlier editions of the hierarchy file: one that cannot be used does not stop the functions.
//!
//! The bucket keeps earlier versions, so that the functions need no permission to write. An edition
//! is as old as the one that took its place: what was good for a year and became wrong a minute ago
//! has been kept for a minute.

use aws_sdk_s3::Client;
use aws_sdk_s3::types::ObjectVersion;
use patchwave::time::{Span, Timestamp};

use crate::time::timestamp;

/// For how long an edition stays in force after it was replaced.
pub(super) const LONGEST: Span = Span::days(7);
/// How many editions are tried at most.
const MOST_EDITIONS: i32 = 20;

/// An edition that is in force though a later one exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Names the file.
    pub(super) name: String,
    /// When the edition was written.
    pub(super) written_at: Timestamp,
    /// When it was replaced.
    pub(super) replaced_at: Timestamp,
    /// Why the file as it is now cannot be used.
    pub(super) problem: String,
}

impl Kept {
    /// Returns whether the edition is still in force.
    pub(super) fn is_in_force(&self, now: Timestamp) -> bool {
        now < LONGEST.after(self.replaced_at)
    }

    /// Says which edition is in force, since when it is kept, and what to do.
    pub(crate) fn message(&self, now: Timestamp) -> String {
        let Self { name, written_at, replaced_at, problem } = self;
        let age = Span::between(*replaced_at, now).in_words();
        let until = LONGEST.after(*replaced_at);
        format!(
            "the hierarchy {name} cannot be used; its edition of {written_at:.0}, which was replaced {age} ago, \
             stays in force until {until:.0}; correct the file: {problem}"
        )
    }
}

/// Reads the last edition of a file that `parse` can use and that was replaced not too long ago,
/// and returns what it made of it. `None` if there is none, or the bucket does not show its
/// versions.
pub(super) async fn last_good<T>(
    s3: &Client,
    (bucket, key): (&str, &str),
    problem: &str,
    now: Timestamp,
    parse: impl AsyncFn(String) -> Result<T, String>,
) -> Option<(T, Kept)> {
    let listed =
        s3.list_object_versions().bucket(bucket).prefix(key).max_keys(MOST_EDITIONS).send().await.ok()?;
    let editions: Vec<&ObjectVersion> = listed.versions().iter().filter(|v| v.key() == Some(key)).collect();
    for (replaced_by, edition) in editions.iter().zip(editions.iter().skip(1)) {
        let kept = Kept {
            name: format!("s3://{bucket}/{key}"),
            written_at: timestamp(edition.last_modified()?)?,
            replaced_at: timestamp(replaced_by.last_modified()?)?,
            problem: problem.to_owned(),
        };
        if !kept.is_in_force(now) {
            return None;
        }
        let output =
            s3.get_object().bucket(bucket).key(key).version_id(edition.version_id()?).send().await.ok()?;
        let Ok(text) = super::body(output).await else { continue };
        if let Ok(good) = parse(text).await {
            return Some((good, kept));
        }
    }
    None
}
