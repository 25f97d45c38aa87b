//! What runs where: what was seen of it, and what that says about the images of the hierarchy.
//!
//! [`Survey`] is what a look brought back, in the services' own words. [`Catalog`] is what the registry says about the digests
//! in it. [`fold`] adds both to the [`Inventory`] that was known, and says what changed.

mod answer;
mod assess;
mod catalog;
mod deployments;
mod doubts;
mod exposure;
mod fold;
mod fold_input;
mod items;
mod metrics;
mod named;
mod place;
mod reported;
mod rescan;
mod resolve;
mod scanning;
mod state;
mod survey;

pub use answer::{Answer, Found, NotInspected, PlaceRow, Question, Row, Totals};
pub use catalog::{Catalog, Missing, seen};
pub use doubts::{Doubt, doubts};
pub use fold::{Change, Folded, fold};
pub use fold_input::FoldInput;
pub use items::{Changes, items};
pub use metrics::{NAMESPACE, metrics};
pub use named::{Named, NoDigest};
pub use rescan::{A_DAY, Rescan, rescans};
pub use resolve::Resolution;
pub use scanning::{
    Covered, Covering, Frequency, Scanner, Scanning, ScanningRule, SeenInUse, UseIs, Windows, matches,
};
pub use state::{
    Assessment, Entry, EntryKey, Exposure, Exposures, Inventory, Open, PlaceState, STOPPED_KEPT, Standing,
    Stopped,
};
pub use survey::{ConsumerKind, Place, PlaceRead, Sighting, Survey, Use};
