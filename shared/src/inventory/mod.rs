//! What runs where, and which images of the hierarchy that is.
//!
//! [`Survey`] holds what the services report, in their own words. [`Catalog`] holds what the
//! registry says about the digests in it. [`fold`] adds both to the [`Inventory`] that was known
//! before, and returns what changed.

mod answer;
mod assess;
mod catalog;
mod deploying;
mod deployments;
mod doubts;
mod exposure;
mod fold;
mod fold_input;
mod folded;
mod items;
mod metrics;
mod named;
mod place;
mod ran;
mod reported;
mod rescan;
mod resolve;
mod scanning;
mod sidecars;
mod state;
mod survey;
mod undeployed;

pub use answer::{Answer, Found, NotInspected, PlaceRow, Question, RanRow, Row, Totals};
pub use catalog::{Catalog, Missing, seen};
pub use doubts::{Doubt, doubts, lagging};
pub use fold::fold;
pub use fold_input::FoldInput;
pub use folded::{Change, Folded};
pub use items::{Changes, items, notified_items};
pub use metrics::{NAMESPACE, metric_line, metrics};
pub use named::{NoDigest, is_added_by_aws};
pub use rescan::{A_DAY, Rescan, rescans};
pub use resolve::Resolution;
pub use scanning::{
    Covered, Covering, Frequency, Scanner, Scanning, ScanningRule, SeenInUse, UseIs, Windows, matches,
};
pub use state::{
    Assessment, Entry, EntryKey, Exposure, Exposures, Inventory, Open, PlaceState, Ran, STOPPED_KEPT,
    Standing, Stopped,
};
pub use survey::{ConsumerKind, Place, PlaceRead, Sighting, Survey, Use};
pub use undeployed::{NewVersions, unsent};
