//! Lifecycle policies of a registry: what they delete, and whether that is in use.

mod fixture;
mod in_use;
mod laws;
mod plan;
mod rules;
mod text;
mod year;
