//! What runs where: what was seen of it, and what that says about the images of the hierarchy.

mod survey;

pub use survey::{ConsumerKind, Place, PlaceRead, Sighting, Survey, Use};
