//! What people do to images while Patchwave works: pushes, tag moves, decisions, policy edits.

mod moments;
mod pushes;

use patchwave::hierarchy::Hierarchy;
use patchwave::image::ImageId;
use patchwave::intervention::Intervention;
use patchwave::policy::{Mode, Rebuild};
use patchwave::record::Record;
use patchwave::time::{Span, Timestamp};
use patchwave_converge::intervene;

pub(crate) use moments::{Anchored, Moment};

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

/// Of a hundred actions so many are made at a moment of a build, and the others at any time.
const ANCHORED: u32 = 60;

const KINDS: [InjectedFault; 17] = [
    InjectedFault::PushedFixed,
    InjectedFault::PushedVulnerable,
    InjectedFault::PushedOnOldParent,
    InjectedFault::PushedWithoutRevision,
    InjectedFault::Committed,
    InjectedFault::StartedByHand,
    InjectedFault::RolledBack,
    InjectedFault::Retagged,
    InjectedFault::TagMovedAgain,
    InjectedFault::Approved,
    InjectedFault::Requested,
    InjectedFault::Frozen,
    InjectedFault::Released,
    InjectedFault::PolicyEdited,
    InjectedFault::HierarchyEdited,
    InjectedFault::HierarchyBroken,
    InjectedFault::CeilingMoved,
];

impl PersonAction {
    /// Returns whether it changes which images there are.
    pub(crate) fn is_reorganisation(&self) -> bool {
        self.kind == InjectedFault::HierarchyEdited
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
    /// A person does something.
    pub(crate) fn act(&self, action: &PersonAction) {
        if action.is_reorganisation() {
            self.deploy_edition(2, action);
        } else if action.kind == InjectedFault::PolicyEdited {
            self.deploy_edition(1, action);
        } else if action.kind == InjectedFault::HierarchyBroken {
            self.break_hierarchy(action);
        } else if action.kind == InjectedFault::CeilingMoved {
            self.move_ceiling(action);
        } else if let Some(intervention) = action.intervention() {
            self.intervene(action, intervention);
        } else {
            self.state.borrow_mut().perform(self.hierarchy(), action, self.clock.get());
        }
    }

    /// A person deploys another edition of the hierarchy, or the first one again. A pass under way
    /// keeps its edition.
    fn deploy_edition(&self, other: usize, action: &PersonAction) {
        let edition = if self.edition.get() == other { 0 } else { other };
        let mut state = self.state.borrow_mut();
        self.edition.set(edition);
        state.pipelines.edition = edition;
        state.truth.put_back.clear();
        state.truth.edited_at = Some(self.clock.get());
        state.truth.broken_until = None;
        state.acted(action.kind, &action.image);
        state.checker.log(self.clock.get(), || format!("person: edition {edition} of the hierarchy"));
    }

    /// A person deploys Patchwave with the other ceiling.
    fn move_ceiling(&self, action: &PersonAction) {
        let mut state = self.state.borrow_mut();
        if state.faults.are_over(self.clock.get()) {
            return;
        }
        let ceiling = if state.truth.ceiling == Mode::Enforce { Mode::Observe } else { Mode::Enforce };
        state.truth.deploy(ceiling, self.clock.get());
        state.acted(action.kind, &action.image);
        state.checker.log(self.clock.get(), || format!("person: at most {ceiling:?}"));
    }

    /// A person saves a file that cannot be used, and corrects it minutes or hours later. The
    /// edition before stays in force for those functions that can read it.
    fn break_hierarchy(&self, action: &PersonAction) {
        let mut state = self.state.borrow_mut();
        if state.faults.are_over(self.clock.get()) {
            return;
        }
        let until = state.faults.span(Span::minutes(2), Span::hours(2)).after(self.clock.get());
        state.truth.broken_until = Some(until);
        state.acted(action.kind, &action.image);
        state.checker.log(self.clock.get(), || format!("person: the hierarchy cannot be used until {until}"));
    }

    /// A person uses a verb of the command line, which needs a hierarchy that can be used.
    fn intervene(&self, action: &PersonAction, intervention: Intervention) {
        if self.state.borrow().truth.broken_until.is_some_and(|until| self.clock.get() < until) {
            return;
        }
        let read = || self.state.borrow().ledger.record(&action.image).map(decided);
        let before = read();
        let answer = intervene(self, self.hierarchy(), &action.image, intervention, "person");
        let answer = pollster::block_on(answer);
        let changed = before != read();
        let mut state = self.state.borrow_mut();
        if answer.is_ok() {
            state.truth.decided(intervention, &action.image, self.clock.get());
        }
        if changed {
            state.acted(action.kind, &action.image);
        }
        state.checker.log(self.clock.get(), || {
            let refused = answer.err().map(|error| format!(": {error}")).unwrap_or_default();
            format!("person: {intervention:?} {}{refused}", action.image)
        });
    }
}

/// What a person's decision changes in a record.
fn decided(record: &Record) -> Record {
    Record { fence: 0, recheck_at: Some(Timestamp::UNIX_EPOCH), ..record.clone() }
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
        for _ in 0..self.faults.between(0, (minutes / 20).clamp(3, 6)) {
            let kind = self.faults.pick(&KINDS).copied().unwrap_or(InjectedFault::PushedFixed);
            let Some(mut image) = self.faults.pick(&images).cloned() else { return };
            if let Some(waiting) = to_approve.filter(|_| kind == InjectedFault::Approved) {
                image = waiting.id.clone();
            }
            let moves_again = kind == InjectedFault::TagMovedAgain;
            let repeats = if moves_again { self.faults.between(2, 4) } else { 0 };
            let action = PersonAction { kind, image, repeats };
            let moment = self.faults.pick(&Moment::ALL).copied();
            if let Some(moment) = moment.filter(|_| self.faults.percent(ANCHORED)) {
                self.anchored.entry(moment).or_default().push(action);
            } else {
                let at = Span::minutes(self.faults.between(0, minutes)).after(from);
                self.schedule(at, Scheduled::PersonAction(action));
            }
        }
    }
}
