//! What people do in repositories: they push, and they move and delete tags.

use std::collections::BTreeMap;

use patchwave::hierarchy::{Hierarchy, Image};
use patchwave::image::{Digest, ImageId};
use patchwave::time::{Span, Timestamp};

use super::PersonAction;
use crate::build::BuildInputs;
use crate::draw::hex;
use crate::faults::InjectedFault;
use crate::pipelines::{Foreign, Mode};
use crate::state::{Scheduled, State};

impl State {
    /// A person pushes to a repository or moves its tags.
    pub(crate) fn perform(&mut self, hierarchy: &Hierarchy, action: &PersonAction, now: Timestamp) {
        let Ok(image) = hierarchy.image(&action.image) else { return };
        let changed = match action.kind {
            InjectedFault::RolledBack | InjectedFault::Retagged => self.move_tags(image, action.kind, now),
            InjectedFault::Committed => {
                self.commits.insert(image.id.clone(), hex(&format!("commit {} {now}", image.id)));
                self.begin_foreign(hierarchy, image, false, now)
            }
            InjectedFault::Promoted => self.promote(image, now),
            InjectedFault::StartedByHand => self.begin_foreign(hierarchy, image, true, now),
            kind => {
                let parents = self.parents_of_person(hierarchy, image, kind);
                self.push_by_hand(hierarchy, image, parents, kind, now);
                true
            }
        };
        if changed {
            self.acted(action.kind, &image.id);
            self.checker.log(now, || format!("person: {:?} {}", action.kind, action.image));
        }
        if let Some(repeats) = action.repeats.checked_sub(1) {
            let next = Span::seconds(self.faults.between(40, 240)).after(now);
            self.schedule(next, Scheduled::PersonAction(PersonAction { repeats, ..action.clone() }));
        }
    }

    /// Returns the parents' versions that a person builds on: the current ones, or those before
    /// them.
    fn parents_of_person(
        &self,
        hierarchy: &Hierarchy,
        image: &Image,
        kind: InjectedFault,
    ) -> BTreeMap<ImageId, Digest> {
        let mut parents = self.current_parents(hierarchy, image);
        if kind == InjectedFault::PushedOnOldParent {
            for (id, digest) in &mut parents {
                let Ok(parent) = hierarchy.image(id) else { continue };
                if let Some(before) = self.registry.before(&parent.repository, digest) {
                    *digest = before;
                }
            }
        }
        parents
    }

    /// Pushes what a person built without Patchwave. Returns the number of the build.
    pub(crate) fn push_by_hand(
        &mut self,
        hierarchy: &Hierarchy,
        image: &Image,
        parents: BTreeMap<ImageId, Digest>,
        kind: InjectedFault,
        now: Timestamp,
    ) -> u32 {
        let number = self.pipelines.next_number(&image.id);
        let stuck = kind == InjectedFault::PushedVulnerable;
        let inputs = BuildInputs { parents, revision: None, cached: false, stuck, number, now };
        let mut pushed = self.build(hierarchy, image, &inputs);
        if kind == InjectedFault::PushedWithoutRevision {
            pushed.version.revision = None;
        }
        self.truth.allow_replacing(&image.id);
        self.push(image, pushed, now);
        number
    }

    /// The pipeline of an image begins to build the head of its source. Returns whether it has one.
    fn begin_foreign(&mut self, hierarchy: &Hierarchy, image: &Image, by_hand: bool, now: Timestamp) -> bool {
        let parents = self.current_parents(hierarchy, image);
        let begun = self.pipelines.begin_foreign(image, parents, by_hand, self.seed, now);
        let Some(foreign) = begun.cloned() else { return false };
        if Mode::of(self.seed, &foreign.pipeline, self.faults.has_faults()) == Mode::Superseding {
            for superseded in self.pipelines.supersede(&foreign.pipeline, now) {
                self.faults.note(InjectedFault::Overtaken);
                self.truth.met(&superseded);
            }
        }
        self.schedule(foreign.ends_at, Scheduled::ForeignExecutionEnds(foreign.id.clone()));
        self.emit_foreign(&foreign, now);
        true
    }

    /// An execution that Patchwave did not start pushes its version and ends.
    pub(crate) fn end_foreign(&mut self, hierarchy: &Hierarchy, id: &str, now: Timestamp) {
        let Some(foreign) = self.pipelines.end_foreign(id).cloned() else { return };
        let Ok(image) = hierarchy.image(&foreign.image) else { return };
        let Foreign { parents, number, .. } = foreign.clone();
        let inputs = BuildInputs { parents, revision: None, cached: false, stuck: false, number, now };
        let pushed = self.build(hierarchy, image, &inputs);
        self.truth.allow_replacing(&image.id);
        self.push(image, pushed, now);
        self.emit_foreign(&foreign, now);
    }

    fn emit_foreign(&mut self, foreign: &Foreign, now: Timestamp) {
        let state = (foreign.started_at, foreign.state);
        let event = self.event_writer.execution_of(&foreign.pipeline, &foreign.id, state, now);
        self.emit(&event, now);
    }

    /// Promotes the newest version to the image's environment. Returns whether that changed
    /// anything.
    fn promote(&mut self, image: &Image, now: Timestamp) -> bool {
        let Some(digest) = self.registry.promote(&image.repository, &image.line) else { return false };
        self.truth.allow_replacing(&image.id);
        self.changed(&image.repository, now);
        let event = self.event_writer.pushed(&image.repository, &digest, None, true, now);
        self.emit(&event, now);
        self.schedule_deployments(&image.id, now);
        true
    }

    /// Moves the tracked tags to the version before, or to any of the last few. Returns whether
    /// another version is the current one now.
    fn move_tags(&mut self, image: &Image, kind: InjectedFault, now: Timestamp) -> bool {
        let back = if kind == InjectedFault::RolledBack { 1 } else { self.faults.between(0, 3) };
        let Some(replaced) = self.registry.current(&image.repository, &image.line).cloned() else {
            return false;
        };
        let Some(to) = self.registry.move_tags(&image.repository, &image.line, back) else { return false };
        let (digest, pushed_at) = (to.version.digest.clone(), to.version.pushed_at);
        self.truth.allow_replacing(&image.id);
        // What an environment has is patched, whatever it had before.
        let is_put_back = pushed_at < replaced.version.pushed_at && !image.line.is_of_environment();
        if replaced.execution.is_some() && is_put_back {
            self.truth.put_back.insert(image.id.clone(), digest.clone());
        }
        self.changed(&image.repository, now);
        let event = self.event_writer.pushed(&image.repository, &digest, None, true, now);
        self.emit(&event, now);
        true
    }
}
