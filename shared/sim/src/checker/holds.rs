//! Whether what a hold says is true in the world.

use std::collections::BTreeSet;

use patchwave::hierarchy::{Direction, Hierarchy, Image};
use patchwave::image::ImageId;
use patchwave::plan::{Hold, Limit};
use patchwave::policy::{Mode, Rebuild};
use patchwave::time::{Span, Timestamp};

use crate::faults::Read;
use crate::registry::Pushed;
use crate::state::State;

/// What ended so recently is still in the last report.
pub(super) const JUST_ENDED: Span = Span::minutes(15);

impl State {
    /// Returns whether a hold of an image is true. `CannotHelp`, `Quarantined`, `WaitingOn` and
    /// `Fresh` are about findings and other images, and not for this function.
    pub(super) fn is_true(&self, hierarchy: &Hierarchy, image: &Image, hold: &Hold, now: Timestamp) -> bool {
        let current = self.registry.current(&image.repository, &image.line);
        match hold {
            Hold::InFlight { .. } => self.is_building(image, now),
            Hold::Unresolved { .. } => self.is_building(image, now) || self.is_unread(image, now),
            Hold::NoRepository { repository, .. } => self.registry.history(repository).is_none(),
            Hold::Unknown { .. } => self.is_unknown(hierarchy, image, now),
            Hold::RolledBack => current.is_some_and(|current| {
                self.registry.newest(&image.repository) != Some(&current.version.digest)
            }),
            Hold::UnknownRevision => {
                let is_pinned = image.pipeline.as_ref().is_some_and(|pipeline| !pipeline.sources.is_empty());
                is_pinned && current.is_some_and(|current| current.version.revision.is_none())
            }
            Hold::NoPipeline { .. } => image.pipeline.is_none(),
            Hold::AwaitingProof { until }
            | Hold::QuietPeriod { until, .. }
            | Hold::BackOff { until, .. }
            | Hold::NextTry { until } => JUST_ENDED.after(*until) > now,
            Hold::NeedsApproval => image.policy.rebuild == Rebuild::Approval,
            Hold::NextCommit => image.policy.rebuild == Rebuild::NextCommit,
            Hold::Frozen => image.policy.rebuild == Rebuild::Never || self.truth.frozen.contains(&image.id),
            Hold::AtLimit { limit, .. } => self.is_at_limit(hierarchy, image, *limit, now),
            Hold::Observing => image.policy.mode == Mode::Observe,
            Hold::Pinned { .. } => image.pinned,
            Hold::NotPromoted { .. } => {
                let promoted = self.registry.promoted(&image.repository, &image.line);
                let digest = |pushed: Option<&Pushed>| pushed.map(|pushed| pushed.version.digest.clone());
                image.line.is_of_environment() && digest(promoted) != digest(current)
            }
            // Suppressed findings are no findings that policy rebuilds for.
            Hold::Suppressed { .. }
            | Hold::CannotHelp { .. }
            | Hold::Quarantined { .. }
            | Hold::WaitingOn { .. }
            | Hold::Fresh => false,
        }
    }

    fn is_building(&self, image: &Image, now: Timestamp) -> bool {
        let pipeline = image.pipeline.as_ref().map_or("", |pipeline| pipeline.name.as_str());
        self.pipelines.in_progress().any(|execution| execution.start.image == image.id)
            || self.faults.is_refused(Read::Execution, pipeline, now)
    }

    fn is_at_limit(&self, hierarchy: &Hierarchy, image: &Image, limit: Limit, now: Timestamp) -> bool {
        let limits = hierarchy.limits();
        match limit {
            Limit::ConcurrentBuilds => self.ledger.held_by().len() >= limits.max_concurrent_builds as usize,
            // A part of the day is kept for what is urgent.
            Limit::StartsPerDay => {
                self.ledger.slots(now).started_today >= limits.of_start(false).max_starts_per_day
            }
            Limit::Pipeline => image.pipeline.as_ref().is_some_and(|p| self.pipelines.is_running(&p.name)),
            Limit::OwnersBuilds => self.is_at_owners_limit(hierarchy, image),
        }
    }

    fn is_at_owners_limit(&self, hierarchy: &Hierarchy, image: &Image) -> bool {
        let Some(owner) = &image.owner else { return false };
        let is_theirs = |id: &&ImageId| {
            hierarchy.image(id).is_ok_and(|image| image.owner.as_ref().is_some_and(|o| o.name == owner.name))
        };
        let building = self.ledger.held_by().iter().filter(is_theirs).count();
        owner.max_concurrent_builds.is_some_and(|most| building >= most as usize)
    }

    /// Returns whether something about an image, or about an image that it is built on, cannot be
    /// known now.
    fn is_unknown(&self, hierarchy: &Hierarchy, image: &Image, now: Timestamp) -> bool {
        let query = hierarchy.query([&image.id], Direction::Ancestors);
        query.is_ok_and(|query| {
            query.resolve().iter().any(|image| self.is_unread(image, now) || self.lacks_scan(image))
        })
    }

    /// Returns whether something about an image can never be read, or its repository does not
    /// exist.
    pub(crate) fn is_lost(&self, image: &Image) -> bool {
        self.is_unread(image, Timestamp::MAX) || self.registry.history(&image.repository).is_none()
    }

    /// Returns whether a read about an image is refused now.
    pub(super) fn is_unread(&self, image: &Image, now: Timestamp) -> bool {
        let asked_at = JUST_ENDED.before(now);
        let is_refused = |read, item: &str| self.faults.is_refused(read, item, asked_at);
        let repository = image.repository.as_str();
        let pipeline = image.pipeline.as_ref().map(|pipeline| pipeline.name.as_str());
        is_refused(Read::Record, image.id.as_str())
            || self.faults.is_registry_refused(&image.repository, asked_at)
            || [Read::Current, Read::Version, Read::History].iter().any(|read| is_refused(*read, repository))
            || pipeline
                .is_some_and(|name| is_refused(Read::Pipeline, name) || is_refused(Read::Execution, name))
            || self.registry.manifests().any(|(repository, digest)| {
                *repository == image.repository && is_refused(Read::Scan, digest.as_str())
            })
    }

    fn lacks_scan(&self, image: &Image) -> bool {
        let Some(current) = self.registry.current(&image.repository, &image.line) else { return true };
        current.version.platforms.values().any(|manifest| {
            let at = (image.repository.clone(), manifest.digest.clone());
            self.scanner.scan(&at).completed_at().is_none()
        })
    }

    /// Returns the images whose records cannot be read now.
    pub(super) fn without_record(&self, hierarchy: &Hierarchy, now: Timestamp) -> BTreeSet<ImageId> {
        let images = hierarchy.images().map(|image| &image.id);
        images.filter(|id| self.faults.is_refused(Read::Record, id.as_str(), now)).cloned().collect()
    }
}
