//! What others do in a simulated world, one thing at a time, so that its answers can be compared
//! with those of other worlds.

use patchwave::image::{Digest, ImageId};
use patchwave::time::Span;
use patchwave_converge::World;

use crate::faults::InjectedFault;
use crate::world::SimulatedWorld;

impl SimulatedWorld {
    /// Pushes a version of an image with its tags, a minute after whatever happened before. Returns
    /// nothing if the hierarchy has no such image.
    pub fn push(&self, image: &ImageId) -> Option<Digest> {
        let now = Span::minutes(1).after(self.now());
        self.clock.set(now);
        let (hierarchy, mut state) = (self.hierarchy(), self.state.borrow_mut());
        let image = hierarchy.image(image).ok()?;
        let parents = state.current_parents(hierarchy, image);
        state.push_by_hand(hierarchy, image, parents, InjectedFault::PushedFixed, now);
        state.registry.newest(&image.repository).cloned()
    }

    /// Moves the tags of an image back to the version before the current one.
    pub fn put_back(&self, image: &ImageId) {
        let Ok(image) = self.hierarchy().image(image) else { return };
        self.state.borrow_mut().registry.move_tags(&image.repository, &image.line, 1);
    }

    /// Deletes a version of an image.
    pub fn delete(&self, image: &ImageId, version: &Digest) {
        let Ok(image) = self.hierarchy().image(image) else { return };
        self.state.borrow_mut().registry.delete(&image.repository, version);
    }

    /// Completes the scans of a version of an image.
    pub fn complete_scans(&self, image: &ImageId, version: &Digest) {
        let (Ok(image), now) = (self.hierarchy().image(image), self.now()) else { return };
        let state = &mut *self.state.borrow_mut();
        let Some(pushed) = state.registry.pushed(&image.repository, version) else { return };
        for (platform, manifest) in &pushed.version.platforms {
            let at = (image.repository.clone(), manifest.digest.clone());
            if let Some(layers) = pushed.layers.get(platform) {
                state.scanner.complete(&at, layers, now);
            }
        }
    }

    /// Returns the ids of all notices that were sent.
    pub fn notices(&self) -> Vec<String> {
        self.state.borrow().notified.iter().map(|notice| notice.id.clone()).collect()
    }

    /// Returns how many extra ticks are scheduled.
    pub fn rechecks(&self) -> usize {
        self.state.borrow().rechecks.len()
    }
}
