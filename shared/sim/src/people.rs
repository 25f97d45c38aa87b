//! What people do to images while Patchwave works: pushes, tag moves, decisions, policy edits.

use patchwave::hierarchy::{Hierarchy, Image};
use patchwave::image::ImageId;
use patchwave::intervention::Intervention;
use patchwave::policy::Rebuild;
use patchwave::time::{Span, Timestamp};
use patchwave_converge::intervene;

use crate::build::BuildInputs;
use crate::faults::InjectedFault;
use crate::state::{Scheduled, State};
use crate::world::SimulatedWorld;

/// Something that a person does to an image.
#[derive(Debug, Clone)]
pub(crate) struct PersonAction {
    pub(crate) kind: InjectedFault,
    pub(crate) image: ImageId,
    /// How often the person does it again, a few minutes apart.
    pub(crate) repeats: u32,
}

const KINDS: [InjectedFault; 10] = [
    InjectedFault::PushedFixed,
    InjectedFault::PushedVulnerable,
    InjectedFault::RolledBack,
    InjectedFault::Retagged,
    InjectedFault::TagMovedAgain,
    InjectedFault::Approved,
    InjectedFault::Requested,
    InjectedFault::Frozen,
    InjectedFault::Released,
    InjectedFault::PolicyEdited,
];

impl PersonAction {
    pub(crate) fn is_policy_edit(&self) -> bool {
        self.kind == InjectedFault::PolicyEdited
    }

    /// Returns the verb of the command line that does it, if one does.
    pub(crate) fn intervention(&self) -> Option<Intervention> {
        match self.kind {
            InjectedFault::Approved => Some(Intervention::Approve),
            InjectedFault::Requested => Some(Intervention::Rebuild),
            InjectedFault::Frozen => Some(Intervention::Freeze),
            InjectedFault::Released => Some(Intervention::Release),
            _ => None,
        }
    }
}

impl SimulatedWorld {
    /// A person deploys the other edition of the hierarchy. A pass under way keeps the old one.
    pub(crate) fn edit_policy(&self) {
        self.edition.set((self.edition.get() + 1) % self.editions.len());
        let mut state = self.state.borrow_mut();
        state.faults.note(InjectedFault::PolicyEdited);
        let edition = self.edition.get();
        state.checker.log(self.clock.get(), || format!("person: edition {edition} of the hierarchy"));
    }

    /// A person uses a verb of the command line.
    pub(crate) fn intervene(&self, action: &PersonAction) {
        let Some(intervention) = action.intervention() else { return };
        let answer = intervene(self, self.hierarchy(), &action.image, intervention, "person");
        let answer = pollster::block_on(answer);
        let mut state = self.state.borrow_mut();
        state.faults.note(action.kind);
        state.checker.log(self.clock.get(), || {
            let refused = answer.err().map(|error| format!(": {error}")).unwrap_or_default();
            format!("person: {intervention:?} {}{refused}", action.image)
        });
    }
}

impl State {
    /// Draws what people do between `from` and `until`: more in a long time than in a short one.
    pub(crate) fn schedule_person_actions(
        &mut self,
        hierarchy: &Hierarchy,
        from: Timestamp,
        until: Timestamp,
    ) {
        let images: Vec<ImageId> = hierarchy.images().map(|image| image.id.clone()).collect();
        let minutes = Span::between(from, until).as_seconds() / 60;
        let to_approve = hierarchy.images().find(|image| image.policy.rebuild == Rebuild::Approval);
        for _ in 0..self.faults.between(0, (minutes / 20).clamp(2, 6)) {
            let kind = self.faults.pick(&KINDS).copied().unwrap_or(InjectedFault::PushedFixed);
            let Some(mut image) = self.faults.pick(&images).cloned() else { return };
            if let Some(waiting) = to_approve.filter(|_| kind == InjectedFault::Approved) {
                image = waiting.id.clone();
            }
            let moves_again = kind == InjectedFault::TagMovedAgain;
            let repeats = if moves_again { self.faults.between(2, 4) } else { 0 };
            let at = Span::minutes(self.faults.between(0, minutes)).after(from);
            self.schedule(at, Scheduled::PersonAction(PersonAction { kind, image, repeats }));
        }
    }

    /// A person pushes to a repository or moves its tags.
    pub(crate) fn perform(&mut self, hierarchy: &Hierarchy, action: &PersonAction, now: Timestamp) {
        let Ok(image) = hierarchy.image(&action.image) else { return };
        self.faults.note(action.kind);
        self.checker.log(now, || format!("person: {:?} {}", action.kind, action.image));
        if matches!(action.kind, InjectedFault::RolledBack | InjectedFault::Retagged) {
            self.move_tags(image, action.kind, now);
            return;
        }
        self.push_by_hand(hierarchy, image, action.kind == InjectedFault::PushedVulnerable, now);
        if let Some(repeats) = action.repeats.checked_sub(1) {
            let next = Span::seconds(self.faults.between(40, 240)).after(now);
            self.schedule(next, Scheduled::PersonAction(PersonAction { repeats, ..action.clone() }));
        }
    }

    /// Pushes what a person built on the current parents without Patchwave. The build is `stuck`
    /// if it installs old packages. Returns the number of the build.
    pub(crate) fn push_by_hand(
        &mut self,
        hierarchy: &Hierarchy,
        image: &Image,
        stuck: bool,
        now: Timestamp,
    ) -> u32 {
        let number = self.pipelines.next_number(&image.id);
        let parents = self.current_parents(hierarchy, image);
        let inputs = BuildInputs { parents, revision: None, cached: false, stuck, number, now };
        let pushed = self.build(hierarchy, image, &inputs);
        self.push(image, pushed, now);
        number
    }

    /// Moves the tracked tags to the version before, or to any of the last few.
    fn move_tags(&mut self, image: &Image, kind: InjectedFault, now: Timestamp) {
        let back = if kind == InjectedFault::RolledBack { 1 } else { self.faults.between(0, 3) };
        let Some(digest) = self.registry.move_tags(&image.repository, &image.line, back) else { return };
        let event = self.event_writer.pushed(&image.repository, &digest, None, true, now);
        self.emit(&event, now);
    }
}
