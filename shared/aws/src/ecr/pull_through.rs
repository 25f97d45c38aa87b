//! What a pull-through cache holds for a tag. `DescribeImages` is no pull, so it moves nothing.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{self, StreamExt};
use patchwave::image::{Repository, Tag};
use patchwave::time::Timestamp;
use patchwave::upstream::Cached;
use patchwave_converge::{CachedTag, Fault};

use super::Ecr;
use super::read::{AT_ONCE, by_tag};
use crate::fault::{fault, invalid};
use crate::time::timestamp;

impl Ecr {
    /// Reads which digests the caches hold. Each tag is asked for alone: one that is missing fails
    /// the whole call.
    pub(crate) async fn cached(
        &self,
        wanted: &BTreeSet<CachedTag>,
    ) -> BTreeMap<CachedTag, Result<Cached, Fault>> {
        let each = wanted.iter().map(|at| async move { (at.clone(), self.cached_tag(&at.0, &at.1).await) });
        stream::iter(each).buffer_unordered(AT_ONCE).collect().await
    }

    async fn cached_tag(&self, repository: &Repository, tag: &Tag) -> Result<Cached, Fault> {
        let operation = || format!("read the cached {repository}:{tag}");
        let call =
            self.client.describe_images().registry_id(&self.account).repository_name(repository.name());
        let output = match call.image_ids(by_tag(tag)).send().await {
            Ok(output) => output,
            Err(error) => {
                let is_missing = error.as_service_error().is_some_and(|error| {
                    error.is_image_not_found_exception() || error.is_repository_not_found_exception()
                });
                return if is_missing { Ok(Cached::Absent) } else { Err(fault(operation(), &error)) };
            }
        };
        let Some(detail) = output.image_details().first() else { return Ok(Cached::Absent) };
        let digest = detail.image_digest().and_then(|digest| digest.parse().ok());
        let digest = digest.ok_or_else(|| invalid(operation(), "the answer has no digest"))?;
        let times = [detail.image_pushed_at(), detail.last_recorded_pull_time()];
        // Every pull may have made it ask upstream.
        let synced_at = times.into_iter().flatten().filter_map(timestamp).max().unwrap_or(Timestamp::MAX);
        Ok(Cached::Holds { digest, synced_at })
    }
}
