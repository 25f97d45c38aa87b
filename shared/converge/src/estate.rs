//! What a sweep needs besides a pass: where images run, and what was known of that.

use std::collections::{BTreeMap, BTreeSet};

use patchwave::hierarchy::Hierarchy;
use patchwave::image::{ImageId, Repository};
use patchwave::inventory::{Covered, Folded, Inventory, Place, Scanning, SeenInUse, Survey, Windows};
use patchwave::notice::OwnersNotified;
use patchwave::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::world::{Fault, ManifestAt, World};

/// The places that the next invocation still has to read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cursor {
    /// In this order.
    pub left: Vec<Left>,
}

impl Cursor {
    /// Counts the places that an invocation began to read but did not finish.
    fn interrupted(&self) -> usize {
        self.left.iter().filter(|left| left.interrupted).count()
    }
}

/// A place that is still to be read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Left {
    /// Whether an invocation ended while it read the place. If that happens twice, the place is
    /// unread, because a third invocation would end there as well.
    #[serde(default)]
    pub interrupted: bool,
    pub place: Place,
}

/// A survey, or the part of one that an invocation reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surveyed {
    pub survey: Survey,
    /// When it began, in this invocation or an earlier one.
    pub began: Timestamp,
    /// Where an earlier invocation left it; nothing if it began in this one.
    pub resumed: Option<Cursor>,
    /// What the next invocation still has to read; nothing if everything was read.
    pub left: Option<Cursor>,
}

impl Surveyed {
    /// Returns whether it has read everything.
    pub fn has_ended(&self) -> bool {
        self.left.is_none()
    }

    /// Returns whether an invocation made progress with what was left. Either it read something, or
    /// it found a place that needs the whole next invocation.
    pub(crate) fn made_progress(&self) -> bool {
        let before = self.resumed.as_ref().map_or(0, Cursor::interrupted);
        let is_more = |left: &Cursor| !self.survey.places.is_empty() || left.interrupted() > before;
        self.left.as_ref().is_none_or(is_more)
    }
}

/// Everything outside a sweep.
#[expect(
    async_fn_in_trait,
    reason = "callers are generic over the world and need no Send bound: Lambda runs one task"
)]
pub trait Estate: World {
    /// Returns whether an earlier survey ended its function, as the next one may.
    async fn ended_badly(&self) -> Result<bool, Fault>;

    /// Reads where images run, until `until`: everything that the hierarchy names, or what the last
    /// invocation left of it. A place that cannot be read is unread, and hides no other.
    async fn survey(&self, hierarchy: &Hierarchy, until: Option<Timestamp>) -> Result<Surveyed, Fault>;

    /// Reads what was known. `images` are the hierarchy's.
    async fn inventory(&self, images: &BTreeSet<ImageId>) -> Result<Inventory, Fault>;

    /// Writes what is known now. A place says how current it is, so it is written last.
    async fn keep_inventory(&self, before: &Inventory, folded: &Folded, now: Timestamp) -> Result<(), Fault>;

    /// Writes owners' notices about what is rebuilt and not deployed: those that changed, before
    /// and after they are sent. [`Estate::inventory`] reads them.
    async fn keep_notified(&self, notified: &OwnersNotified) -> Result<(), Fault>;

    /// Writes how far the survey is. Until then, the next one reads the same places again.
    async fn keep_survey(&self, surveyed: &Surveyed) -> Result<(), Fault>;

    /// Asks for an invocation that continues the survey.
    async fn continue_survey(&self) -> Result<(), Fault>;

    /// Returns how the home registry scans.
    async fn scanning(&self) -> Result<Scanning, Fault>;

    /// Returns in which clusters the enhanced scanner saw these images. Of clusters that cannot be
    /// read, nothing else is known.
    async fn seen_in_use(
        &self,
        images: &BTreeSet<ManifestAt>,
    ) -> BTreeMap<ManifestAt, Result<Vec<SeenInUse>, Fault>>;

    /// Returns how long the enhanced scanner scans an image.
    async fn windows(&self) -> Result<Windows, Fault>;

    /// Returns the enhanced scanner's coverage of all images of these repositories.
    async fn covered(&self, repositories: &BTreeSet<Repository>) -> Result<Vec<Covered>, Fault>;
}

#[cfg(test)]
mod tests {
    use patchwave::inventory::{ConsumerKind, PlaceRead};

    use super::*;

    fn place(cluster: &str) -> Place {
        let (account, region) = ("111122223333".to_owned(), "us-east-1".to_owned());
        let cluster = Some(cluster.to_owned());
        Place { account, region, kind: ConsumerKind::Ecs, cluster, environment: None }
    }

    /// A cursor with these places, each with whether an invocation ended while it read the place.
    fn left(places: &[(&str, bool)]) -> Cursor {
        let left = |&(cluster, interrupted): &(&str, bool)| Left { interrupted, place: place(cluster) };
        Cursor { left: places.iter().map(left).collect() }
    }

    #[test]
    fn an_invocation_makes_progress_if_it_reads_something_or_interrupts_a_place() {
        let at = "2026-01-01T12:00:00Z".parse().unwrap();
        let read = PlaceRead { place: place("web"), at, unread: None, not_inspected: BTreeSet::new() };
        let something = Survey { places: vec![read], ..Survey::default() };
        let fresh = left(&[("a", false), ("b", false)]);
        let interrupted = left(&[("a", true), ("b", false)]);
        let made_progress = |survey: &Survey, resumed: Option<&Cursor>, left: &Cursor| {
            let (survey, resumed, left) = (survey.clone(), resumed.cloned(), Some(left.clone()));
            Surveyed { survey, resumed, left, ..Surveyed::default() }.made_progress()
        };
        let nothing = Survey::default();
        assert!(made_progress(&something, None, &fresh));
        assert!(made_progress(&something, Some(&interrupted), &interrupted));
        assert!(made_progress(&nothing, None, &interrupted));
        assert!(made_progress(&nothing, Some(&fresh), &interrupted));
        assert!(!made_progress(&nothing, None, &fresh));
        assert!(!made_progress(&nothing, Some(&interrupted), &interrupted));
    }
}
