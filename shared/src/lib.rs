//! The image hierarchy, the facts about it, and the planner that decides what to rebuild.
//!
//! Data flows in one direction: `event → Trigger → observe → Facts → plan(hierarchy, facts, mode,
//! now) → Plan → apply → Report`. This crate contains the types and the decisions. It observes and
//! applies nothing.
//!
//! # Invariants
//!
//! - No AWS, no async, no clock, no environment, no randomness and no unordered iteration. Time is
//!   an argument.
//! - A plan is data and leaves its executor no choices. Every image that it does not start has one
//!   hold, which says why.
//! - Unknown is never clean.
//! - A second plan after apply, from unchanged facts, starts nothing.

pub mod admission;
pub mod audit;
pub mod deployed;
pub mod discover;
pub mod doctor;
pub mod facts;
pub mod finding;
pub mod hierarchy;
pub mod image;
pub mod intervention;
pub mod inventory;
pub mod lifecycle;
pub mod line;
pub mod notice;
pub mod plan;
pub mod policy;
pub mod predicted;
pub mod record;
pub mod registry;
pub mod table;
pub mod tags;
pub mod time;
pub mod trigger;
pub mod unread;
pub mod upstream;

/// Whether a value is left out of JSON, because it is what its absence means.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
