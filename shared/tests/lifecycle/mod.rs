//! Lifecycle policies of a registry: what they delete, and whether that is in use.

mod fixture;
mod in_use;
mod laws;
mod rules;
mod text;
