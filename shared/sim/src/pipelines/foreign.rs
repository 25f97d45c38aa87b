//! Executions that Patchwave did not start.

use std::collections::BTreeMap;

use patchwave::facts::ExecutionState;
use patchwave::hierarchy::Image;
use patchwave::image::{Digest, ImageId};
use patchwave::time::Timestamp;

use super::{Pipelines, usual_duration};
use crate::draw::{Seed, hex, uuid};

/// An execution that Patchwave did not start.
#[derive(Debug, Clone)]
pub(crate) struct Foreign {
    pub(crate) id: String,
    pub(crate) pipeline: String,
    pub(crate) image: ImageId,
    pub(crate) started_at: Timestamp,
    pub(crate) ends_at: Timestamp,
    pub(crate) state: ExecutionState,
    pub(crate) parents: BTreeMap<ImageId, Digest>,
    /// Counts the builds of the image.
    pub(crate) number: u32,
    /// Whether a person called `StartPipelineExecution`, as Patchwave does. If not, a commit
    /// started it.
    pub(crate) by_hand: bool,
}

impl Pipelines {
    /// Begins an execution that Patchwave did not start. Returns nothing if the image has no
    /// pipeline.
    pub(crate) fn begin_foreign(
        &mut self,
        image: &Image,
        parents: BTreeMap<ImageId, Digest>,
        by_hand: bool,
        seed: Seed,
        now: Timestamp,
    ) -> Option<&Foreign> {
        let pipeline = image.pipeline.as_ref()?.name.clone();
        let number = self.next_number(&image.id);
        let id = uuid(&hex(&format!("foreign execution {} {} {number}", seed.0, image.id)));
        let ends_at = usual_duration(seed, &image.id).after(now);
        let (image, state) = (image.id.clone(), ExecutionState::InProgress);
        let foreign = Foreign {
            id: id.clone(),
            pipeline,
            image,
            started_at: now,
            ends_at,
            state,
            parents,
            number,
            by_hand,
        };
        Some(self.foreign.entry(id).or_insert(foreign))
    }

    /// Ends an execution that Patchwave did not start, and returns it.
    pub(crate) fn end_foreign(&mut self, id: &str) -> Option<&Foreign> {
        let foreign = self.foreign.get_mut(id)?;
        foreign.state = ExecutionState::Succeeded;
        Some(foreign)
    }
}
