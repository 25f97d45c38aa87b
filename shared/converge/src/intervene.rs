//! Writes a person's decision about one image into its record.

use patchwave::hierarchy::{Hierarchy, UnknownImage};
use patchwave::image::{Digest, ImageId};
use patchwave::intervention::{Intervention, NotDecided, approve_promotion};
use patchwave::record::{Decided, Record};

use crate::observe::observe;
use crate::scans::Detail;
use crate::world::{Fault, NotSaved, World};

/// A decision that was not written.
#[derive(Debug, thiserror::Error)]
pub enum NotIntervened {
    /// The hierarchy has no such image.
    #[error(transparent)]
    UnknownImage(#[from] UnknownImage),
    /// The decision is not possible in the image's current state.
    #[error(transparent)]
    NotDecided(#[from] NotDecided),
    /// The image's record exists and cannot be read.
    #[error("{0}")]
    Unreadable(String),
    /// A service did not answer.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// Another invocation wrote the record at the same time.
    #[error("another invocation changed the image's record at the same time; try again")]
    Conflict,
}

/// Writes the decision of `by` about `image`. The next pass over the image acts on it: after the
/// image's next event, or at the tick. Returns the commit that the decision accepts, if it accepts
/// one.
///
/// # Errors
///
/// Nothing is written if any of the steps fails.
pub async fn intervene<W: World>(
    world: &W,
    hierarchy: &Hierarchy,
    image: &ImageId,
    intervention: Intervention,
    by: &str,
) -> Result<Option<String>, NotIntervened> {
    let declared = hierarchy.image(image)?;
    let image = &declared.id;
    let mut facts = observe(world, hierarchy, &[image.clone()].into(), Detail::Whole).await?;
    if let Some(why) = facts.unreadable.remove(image) {
        return Err(NotIntervened::Unreadable(why));
    }
    let Some(facts) = facts.images.remove(image) else { return Err(NotIntervened::Conflict) };
    let decided = Decided { by: by.to_owned(), at: world.now() };
    let record = intervention.write(declared, &facts, decided.clone())?;
    save(world, image, &record).await?;
    let accepted = record.accepted_revision.filter(|accepted| accepted.decided == decided);
    Ok(accepted.map(|accepted| accepted.revision))
}

/// Writes that `by` approves one version of an image for an environment.
///
/// # Errors
///
/// Nothing is written if any of the steps fails.
pub async fn approve<W: World>(
    world: &W,
    image: &ImageId,
    (environment, version): (&str, &Digest),
    by: &str,
) -> Result<(), NotIntervened> {
    let record = record(world, image).await?;
    let decided = Decided { by: by.to_owned(), at: world.now() };
    let record = approve_promotion(&record, environment, version.clone(), decided);
    save(world, image, &record).await
}

/// Reads the record of an image; an empty one if there is none.
///
/// # Errors
///
/// It cannot be read.
pub async fn record<W: World>(world: &W, image: &ImageId) -> Result<Record, NotIntervened> {
    let mut records = world.records(&[image.clone()].into()).await?;
    match records.unreadable.remove(image) {
        Some(fault) => Err(NotIntervened::Unreadable(fault.to_string())),
        None => Ok(records.read.remove(image).unwrap_or_default()),
    }
}

async fn save<W: World>(world: &W, image: &ImageId, record: &Record) -> Result<(), NotIntervened> {
    world.save(image, record).await.map_err(|not_saved| match not_saved {
        NotSaved::Conflict => NotIntervened::Conflict,
        NotSaved::Fault(fault) => fault.into(),
    })
}
