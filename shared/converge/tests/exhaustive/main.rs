//! Every interleaving of two workers that keep a diamond of four images patched: the real passes on
//! a small model of the world.
//!
//! A step is one call of [`patchwave_converge::World`]. The search decides whose call is answered
//! next, whether the call or its answer is lost, whether the worker crashes after it, which build
//! ends, and when a lease passes. From every state in which both workers are idle, the remaining
//! events are dropped, and the sweep and the ticks alone must converge.
//!
//! These reductions hide no violation:
//! - Versions and scans never change, so reading them by digest commutes with every other step.
//! - A crash before a call equals a crash after the last effect, because reads change nothing.
//! - A pass begins with its first reads: before them it has no effect. It is always a sweep,
//!   because what a sweep looks at does not depend on the schedule. The ticks of the quiet model
//!   use the schedule. Where the index lags, all passes but the first are ticks.
//! - Records and slots are read in one step. Only giving back depends on the slots, and it is
//!   fenced.
//! - A write with an old fence stays late, and a build that is over stays over, so such a call is
//!   answered at once.
//! - The two workers are interchangeable.
//! - If all workers have made their reads and no pass may begin, no worker notices that a build
//!   ends. It ends when they are idle.
//! - Builds succeed, and only leases move the clock: no other deadline is near. No invocation lasts
//!   longer than a lease.

#![expect(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "tests may fail loudly")]

mod diamond;
mod model;
mod passes;
mod search;
mod stepped_world;

use diamond::Diamond;
use model::{Defect, Violation};
use patchwave_converge::Budget;
use search::{Bounds, Explored, Search};

const MANY: u32 = 20;

/// The search recurses once for each step of a path.
const STACK: usize = 1 << 30;

fn explore(builds_at_once: u32, defect: Defect, bounds: Bounds) -> Result<Explored, Violation> {
    explore_in(move || Diamond::new(builds_at_once, defect), bounds)
}

fn explore_in(
    diamond: impl FnOnce() -> Diamond + Send + 'static,
    bounds: Bounds,
) -> Result<Explored, Violation> {
    let search = move || Search::new(diamond(), bounds).run();
    std::thread::Builder::new().stack_size(STACK).spawn(search).unwrap().join().unwrap()
}

fn holds(builds_at_once: u32, bounds: Bounds) {
    holds_in(move || Diamond::new(builds_at_once, Defect::None), bounds);
}

#[expect(clippy::print_stdout, reason = "how much was explored is half of the result")]
fn holds_in(diamond: impl FnOnce() -> Diamond + Send + 'static, bounds: Bounds) {
    match explore_in(diamond, bounds) {
        Ok(explored) => println!("{bounds:?}: {explored:?}"),
        Err(violation) => panic!("{violation}"),
    }
}

#[test]
fn overlapping_passes_build_each_image_once() {
    holds(MANY, Bounds { overlapping: 5, extras: 0, crashes: 0, losses: 0 });
}

#[test]
fn a_duplicate_builds_nothing_twice() {
    holds(MANY, Bounds { overlapping: 2, extras: 1, crashes: 0, losses: 0 });
}

#[test]
fn two_duplicates_build_nothing_twice() {
    holds(MANY, Bounds { overlapping: 2, extras: 2, crashes: 0, losses: 0 });
}

#[test]
fn a_lost_answer_anywhere_loses_no_finding() {
    holds(MANY, Bounds { overlapping: 2, extras: 0, crashes: 0, losses: 1 });
}

#[test]
fn a_duplicate_and_a_crash_anywhere_lose_no_finding_and_build_nothing_twice() {
    holds(MANY, Bounds { overlapping: 2, extras: 1, crashes: 1, losses: 0 });
}

/// Each page names one image, and a lost race is looked at again in the same pass.
fn page_by_page(lags: bool) -> Diamond {
    let budget = Budget { images: 1, retries: 1, ..Budget::default() };
    Diamond { budget, lags, ..Diamond::new(MANY, Defect::None) }
}

#[test]
fn a_crash_between_any_two_pages_loses_no_finding() {
    holds_in(|| page_by_page(false), Bounds { overlapping: 1, extras: 0, crashes: 1, losses: 0 });
}

#[test]
fn a_crash_with_an_index_that_lags_loses_no_finding() {
    holds_in(|| page_by_page(true), Bounds { overlapping: 1, extras: 0, crashes: 1, losses: 0 });
}

#[test]
#[ignore = "long: cargo test --profile fast -p patchwave-converge --test exhaustive -- --ignored --nocapture"]
fn passes_page_by_page_that_look_again_after_a_lost_race_build_each_image_once() {
    holds_in(|| page_by_page(false), Bounds { overlapping: 2, extras: 0, crashes: 0, losses: 0 });
}

#[test]
#[ignore = "long: cargo test --profile fast -p patchwave-converge --test exhaustive -- --ignored --nocapture"]
fn overlapping_ticks_on_an_index_that_lags_build_each_image_once() {
    holds_in(|| page_by_page(true), Bounds { overlapping: 2, extras: 0, crashes: 0, losses: 0 });
}

/// 8,120,202 states of 1,915,053 passes: two minutes and 1.4 GB.
#[test]
#[ignore = "long: cargo test --profile fast -p patchwave-converge --test exhaustive -- --ignored --nocapture"]
fn two_duplicates_and_two_crashes_lose_no_finding_and_build_nothing_twice() {
    holds(MANY, Bounds { overlapping: 2, extras: 2, crashes: 2, losses: 0 });
}

#[test]
fn one_slot_suffices_to_build_each_image_once() {
    holds(1, Bounds { overlapping: 2, extras: 0, crashes: 0, losses: 0 });
}

#[test]
fn the_search_finds_each_planted_defect() {
    let found = [
        (Defect::NoFence, "run at once"),
        (Defect::NeverFound, "run at once"),
        (Defect::NoLease, "run at once"),
        (Defect::NoIndex, "in the end"),
        (Defect::SlotsKept, "hold slots"),
        (Defect::CachedBuilds, "was built 2 times"),
    ];
    for (defect, words) in found {
        let violation =
            explore(MANY, defect, Bounds { overlapping: 2, extras: 1, crashes: 1, losses: 1 }).unwrap_err();
        let broken = violation.lines().next().unwrap_or_default();
        assert!(broken.contains(words), "{defect:?}: {violation}");
    }
}
