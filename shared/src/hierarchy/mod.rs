//! The hierarchy: which image is built on which, and what policy each is under.
//!
//! A [`Hierarchy`] is loaded and checked once and never changes. A [`Query`] says where to start
//! and in which [`Direction`] to go. An [`ImageSet`] is the answer. Only this module knows the
//! graph's layout in memory.

mod adjacency;
mod advise;
mod below;
mod chains;
mod claims;
mod declared;
mod draft;
mod error;
mod extended;
mod file;
mod graph;
mod image;
mod inherit;
mod inspected;
mod load;
mod locate;
mod names;
mod order;
mod overlap;
mod parents;
mod parts;
mod places;
mod query;
mod registries;
mod repository;
mod schema;
mod set;
mod upstream;
mod upstreams;
mod warning;
mod written;

pub use chains::Chains;
pub use error::{HierarchyError, HierarchyErrors, UnknownImage};
pub use graph::{Edge, Hierarchy};
pub use image::{
    Builder, Image, Line, Owner, Parent, ParentKind, Pipeline, Promotion, RevisionType, Role, Source, Tier,
    Variable,
};
pub use inspected::{Account, Inspected, Organization, is_production};
pub use load::{part_files, read_parts};
pub use locate::{Located, Stage};
pub use parts::{PartTexts, UnreadPart};
pub use query::{Direction, Query};
pub use registries::{Approved, ApprovedBy, Copies, DeclaredRegistry, Registries};
pub use schema::json_schema;
pub use set::ImageSet;
pub use upstream::UpstreamParent;
pub use upstreams::Upstreams;
pub use warning::{Advice, Warning};
