//! What is drafted of an estate that is not described yet.

mod generated;
mod lineage;
mod small;
