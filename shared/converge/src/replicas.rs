//! Finds whether a replica that is nearer to a build holds the parent that the build is sent.

use std::collections::BTreeSet;

use patchwave::facts::{Facts, Held, Replica};
use patchwave::hierarchy::{Hierarchy, Parent};
use patchwave::image::ImageId;
use patchwave::unread::Unread;

use crate::world::{ManifestAt, World};

/// Asks the replicas in the Regions of these starts, and adds the answers to the facts.
pub(crate) async fn add<W: World>(world: &W, hierarchy: &Hierarchy, facts: &mut Facts, starts: &[ImageId]) {
    let nearer: Vec<(ImageId, ManifestAt)> =
        starts.iter().filter_map(|id| Some((id.clone(), nearer(hierarchy, facts, id)?))).collect();
    let wanted: BTreeSet<ManifestAt> = nearer.iter().map(|(_, at)| at.clone()).collect();
    if wanted.is_empty() {
        return;
    }
    let answers = world.versions(&wanted).await;
    for (image, at) in nearer {
        let held = match answers.get(&at) {
            Some(Ok(Some(_))) => Held::Yes,
            Some(Ok(None)) => Held::No,
            Some(Err(fault)) => Held::Unread(fault.clone().into()),
            None => Held::Unread(Unread::from("the replica was not asked")),
        };
        let (repository, digest) = at;
        facts.replicas.insert(image, Replica { repository, digest, held });
    }
}

/// Returns where the replica that is nearest to an image's build would hold its parent.
fn nearer(hierarchy: &Hierarchy, facts: &Facts, id: &ImageId) -> Option<ManifestAt> {
    let image = hierarchy.image(id).ok()?;
    let Parent::Image(parent) = &image.from else { return None };
    let repository = hierarchy.nearer_replica(image, &hierarchy.image(parent).ok()?.repository)?;
    Some((repository, facts.images.get(parent)?.current_version()?.digest.clone()))
}
