//! What people outside Patchwave do to images.

use patchwave::hierarchy::{Hierarchy, Image};
use patchwave::image::ImageId;
use patchwave::intervention::Intervention;
use patchwave::policy::Rebuild;
use patchwave::time::{Span, Timestamp};

use crate::build::Order;
use crate::faults::Trouble;
use crate::state::{Happening, State};

/// Something that somebody does.
#[derive(Debug, Clone)]
pub(crate) struct Deed {
    pub(crate) what: Trouble,
    pub(crate) image: ImageId,
    /// How often it is done again, a minute later.
    pub(crate) again: u32,
}

const DEEDS: [Trouble; 10] = [
    Trouble::PushedFixed,
    Trouble::PushedVulnerable,
    Trouble::RolledBack,
    Trouble::Retagged,
    Trouble::TagMovedAgain,
    Trouble::Approved,
    Trouble::Requested,
    Trouble::Frozen,
    Trouble::Released,
    Trouble::PolicyEdited,
];

impl Deed {
    /// Returns what is decided with a verb of the command line; nothing if it is done in another way.
    pub(crate) fn decision(&self) -> Option<Intervention> {
        match self.what {
            Trouble::Approved => Some(Intervention::Approve),
            Trouble::Requested => Some(Intervention::Rebuild),
            Trouble::Frozen => Some(Intervention::Freeze),
            Trouble::Released => Some(Intervention::Release),
            _ => None,
        }
    }
}

impl State {
    /// Draws what people will do between `from` and `until`: more in a long time than in a short one.
    pub(crate) fn plan_deeds(&mut self, hierarchy: &Hierarchy, from: Timestamp, until: Timestamp) {
        let images: Vec<ImageId> = hierarchy.images().map(|image| image.id.clone()).collect();
        let minutes = Span::between(from, until).as_seconds() / 60;
        let to_approve = hierarchy.images().find(|image| image.policy.rebuild == Rebuild::Approval);
        for _ in 0..self.faults.between(0, (minutes / 20).clamp(2, 6)) {
            let what = self.faults.pick(&DEEDS).copied().unwrap_or(Trouble::PushedFixed);
            let Some(mut image) = self.faults.pick(&images).cloned() else { return };
            if let Some(waiting) = to_approve.filter(|_| what == Trouble::Approved) {
                image = waiting.id.clone();
            }
            let again = if what == Trouble::TagMovedAgain { self.faults.between(2, 4) } else { 0 };
            let at = Span::minutes(self.faults.between(0, minutes)).after(from);
            self.plan(at, Happening::Deed(Deed { what, image, again }));
        }
    }

    pub(crate) fn outsiders_do(&mut self, hierarchy: &Hierarchy, deed: &Deed, now: Timestamp) {
        let Ok(image) = hierarchy.image(&deed.image) else { return };
        self.faults.note(deed.what);
        self.witness.tell(now, || format!("somebody: {:?} {}", deed.what, deed.image));
        if matches!(deed.what, Trouble::RolledBack | Trouble::Retagged) {
            self.move_tags(image, deed.what, now);
            return;
        }
        self.push_by_hand(hierarchy, image, deed.what == Trouble::PushedVulnerable, now);
        if let Some(again) = deed.again.checked_sub(1) {
            let next = Span::seconds(self.faults.between(40, 240)).after(now);
            self.plan(next, Happening::Deed(Deed { again, ..deed.clone() }));
        }
    }

    /// Pushes what somebody built without Patchwave on what is current, with old packages if it is `stuck`. Returns which of
    /// the image's builds it is.
    pub(crate) fn push_by_hand(
        &mut self,
        hierarchy: &Hierarchy,
        image: &Image,
        stuck: bool,
        now: Timestamp,
    ) -> u32 {
        let number = self.pipelines.next_number(&image.id);
        let parents = self.current_parents(hierarchy, image);
        let order = Order { parents, revision: None, cached: false, stuck, number, now };
        let pushed = self.build(hierarchy, image, &order);
        self.push(image, pushed, now);
        number
    }

    /// Puts the tracked tags back to the version before, or on any.
    fn move_tags(&mut self, image: &Image, what: Trouble, now: Timestamp) {
        let back = if what == Trouble::RolledBack { 1 } else { self.faults.between(0, 3) };
        let Some(digest) = self.registry.move_tags(&image.repository, &image.line, back) else { return };
        let event = self.envelope.pushed(&image.repository, &digest, None, true, now);
        self.emit(&event, now);
    }
}
