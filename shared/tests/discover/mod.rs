//! What is drafted of an estate that is not described yet.

mod buildah;
mod builders;
mod generated;
mod lineage;
mod official;
mod referrers;
mod small;
