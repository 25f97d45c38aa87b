//! The rules of the decisions, one test each. The modules are named like what they test.

#![expect(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "a test that cannot go on fails")]

mod audit;
mod discover;
mod fleet;
mod gatekeeper;
mod hierarchy;
mod inventory;
mod lifecycle;
mod line;
mod plan;
mod tags;
mod trigger;

use proptest::test_runner::{Config, FileFailurePersistence};

/// Keeps the cases that once broke a law in a file beside its module, and tries them first.
fn remembering() -> Config {
    let beside = FileFailurePersistence::WithSource("proptest-regressions");
    Config { failure_persistence: Some(Box::new(beside)), ..Config::default() }
}
