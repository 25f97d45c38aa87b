//! Which version a line follows that follows what an environment runs.

use std::collections::{BTreeMap, BTreeSet};

use patchwave::facts::Deployments;
use patchwave::hierarchy::{Image, Line};
use patchwave::image::ImageId;
use patchwave_converge::Fault;

use crate::fault::invalid;

/// The images whose line follows an environment.
pub(super) fn images(images: &[&Image]) -> BTreeSet<ImageId> {
    let deployed = images.iter().filter(|image| matches!(image.line, Line::Deployed { .. }));
    deployed.map(|image| image.id.clone()).collect()
}

/// What the environments have deployed, and the images for which that is unknown.
pub(super) struct Chosen {
    pub(super) running: BTreeMap<ImageId, Deployments>,
    pub(super) unclear: BTreeMap<ImageId, Fault>,
}

/// Chooses from everything that runs.
pub(super) fn choose(images: &[&Image], mut running: BTreeMap<ImageId, Deployments>) -> Chosen {
    let mut unclear = BTreeMap::new();
    for image in images {
        let Line::Deployed { environment, workloads } = &image.line else { continue };
        let Some(deployments) = running.get_mut(&image.id) else { continue };
        match deployments.deployed(environment, workloads) {
            Ok(deployed) => {
                deployments.environments.insert(environment.clone(), deployed);
            }
            Err(because) => {
                let operation = format!("find what {environment} runs of {}", image.repository);
                unclear.insert(image.id.clone(), invalid(operation, because));
            }
        }
    }
    Chosen { running, unclear }
}
