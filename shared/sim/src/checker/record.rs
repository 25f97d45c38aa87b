//! What must be true of each record that is written.

use patchwave::hierarchy::{Hierarchy, Image, Variable};
use patchwave::image::{Digest, ImageId};
use patchwave::record::{Record, Success};
use patchwave::time::Timestamp;

use crate::not_yet::NotYet;
use crate::state::State;

impl State {
    /// Checks a claim that was withdrawn: its start was refused.
    pub(crate) fn check_withdrawn(&mut self, image: &ImageId, claimed_at: Timestamp, now: Timestamp) {
        if !self.truth.withdrawn(image, claimed_at) {
            self.checker.violation(now, format!("{image} gives a start back that was not refused"));
        }
    }

    /// Checks a record that a pass has written.
    pub(crate) fn check_saved(
        &mut self,
        hierarchy: &Hierarchy,
        image: &ImageId,
        before: Option<&Success>,
        record: &Record,
        now: Timestamp,
    ) {
        self.check_success(hierarchy, image, before, record, now);
        let counted = record.failures.as_ref().map_or(0, |failures| failures.count);
        let failed = self.truth.failures(image);
        if counted <= failed {
            return;
        }
        if self.is_taken_for_foreign(hierarchy, image, record, now) {
            // Later failures and stops keep this one in the count.
            (failed..counted).for_each(|_| self.truth.failed(image));
            return;
        }
        let because = record.failures.as_ref().map_or("", |failures| failures.because.as_str());
        let violation = format!("{image} counts {counted} failures, and {failed} happened: {because}");
        self.checker.violation(now, violation);
    }

    /// Checks a success that was just recorded: the version is one that a build of Patchwave
    /// pushed, and it was built on the recorded parents.
    fn check_success(
        &mut self,
        hierarchy: &Hierarchy,
        image: &ImageId,
        before: Option<&Success>,
        record: &Record,
        now: Timestamp,
    ) {
        let Some(success) = record.success.as_ref() else { return };
        let is_old = before.is_some_and(|before| before.at == success.at && before.key == success.key);
        let Ok(known) = hierarchy.image(image) else { return };
        let Some(pushed) = self.registry.pushed(&known.repository, &success.version) else { return };
        if is_old {
            return;
        }
        if pushed.execution.is_none() {
            let pushed_at = pushed.version.pushed_at;
            let is_newest = self.registry.newest(&known.repository) == Some(&success.version);
            if !self.is_beside_unreported_build(known, pushed_at)
                && (is_newest || !self.truth.leaves_out(NotYet::MovedBackToPersonsPush))
            {
                let violation = format!("a person's version of {image} is recorded as a success");
                self.checker.violation(now, violation);
            }
            return;
        }
        // A parent that was renamed meanwhile has another id.
        let is_wrong = |(parent, digest): &(&ImageId, &Digest)| {
            pushed.parents.get(*parent).is_some_and(|built_on| built_on != *digest)
        };
        // Layers show what a build was built on, if the parent can be read.
        let is_readable = |parent: &ImageId| {
            hierarchy.image(parent).is_ok_and(|parent| !self.is_unread(parent, now) && !self.is_lost(parent))
        };
        let wrong = success.parents.iter().filter(is_wrong).map(|(parent, _)| parent.clone());
        let wrong: Vec<ImageId> = wrong.filter(|parent| is_readable(parent)).collect();
        for parent in wrong {
            let moves =
                self.is_moved_back(hierarchy, &parent) || self.moves_meanwhile(hierarchy, image, &parent);
            if moves && self.truth.leaves_out(NotYet::ParentMovedBack) {
                continue;
            }
            let violation = format!("{image} is recorded as built on a {parent} that it is not built on");
            self.checker.violation(now, violation);
        }
    }

    /// Returns whether a parent's tags moved while a build ran whose pipeline takes no base.
    fn moves_meanwhile(&self, hierarchy: &Hierarchy, image: &ImageId, parent: &ImageId) -> bool {
        let takes_base = |image: &Image| {
            image.pipeline.as_ref().is_some_and(|p| p.variables.contains(&Variable::BaseImage))
        };
        let moved_at = |parent: &Image| self.checker.changed.get(&parent.repository).copied();
        let moved_at = hierarchy.image(parent).ok().and_then(moved_at);
        let started_at = self.pipelines.last_of(image).map(|last| last.started_at);
        hierarchy.image(image).is_ok_and(|image| !takes_base(image)) && moved_at >= started_at
    }

    /// Returns whether an image's current version is not the newest of its repository.
    fn is_moved_back(&self, hierarchy: &Hierarchy, image: &ImageId) -> bool {
        let Ok(image) = hierarchy.image(image) else { return false };
        let current = self.registry.current(&image.repository, &image.line);
        current.map(|current| &current.version.digest) != self.registry.newest(&image.repository)
    }

    /// Returns whether a build counts as failed because nothing shows that its push is its own.
    fn is_taken_for_foreign(
        &mut self,
        hierarchy: &Hierarchy,
        image: &ImageId,
        record: &Record,
        now: Timestamp,
    ) -> bool {
        let is_foreign = record.failures.as_ref().is_some_and(|row| row.because.contains("another push"));
        let image = hierarchy.image(image).ok().filter(|_| is_foreign);
        image.is_some_and(|image| self.is_beside_unreported_build(image, now))
    }

    fn is_beside_unreported_build(&mut self, image: &Image, pushed_at: Timestamp) -> bool {
        let takes_key = image.pipeline.as_ref().is_some_and(|p| p.variables.contains(&Variable::BuildKey));
        let is_odd = self.pipelines.last_of(&image.id).is_some_and(|last| {
            let is_beside = (last.pushes_at..=last.ends_at).contains(&pushed_at);
            last.reported.is_none() && (last.pushed_nothing || is_beside)
        });
        (is_odd || !takes_key) && self.truth.leaves_out(NotYet::PushBesideUnreportedBuild)
    }
}
