//! What runs where: what was seen of it, and what that says about the images of the hierarchy.

mod scanning;
mod survey;

pub use scanning::{Covered, Covering, Frequency, Scanner, Scanning, ScanningRule, UseIs, Windows, matches};
pub use survey::{ConsumerKind, Place, PlaceRead, Sighting, Survey, Use};
