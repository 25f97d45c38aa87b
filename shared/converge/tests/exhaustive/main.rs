//! Every interleaving of two workers that keep a diamond of four images patched: the real passes over a small town.
//!
//! A step is one call of [`patchwave_converge::World`]: the explorer decides whose call is answered next, whether its
//! answer or the call itself is lost, whether the worker is gone after it, which build ends, and when a lease passes.
//! Wherever nobody works, the events that are left are dropped and the sweep and the ticks alone must converge.
//!
//! What is left out changes nothing that is looked at here:
//! - Versions and scans never change, so that reading them by digest commutes with all else.
//! - A worker that is gone before its next call is one that is gone after its last effect: reading leaves no trace.
//! - A pass begins with its first reads, for nobody can tell when it was only about to begin. It is always a sweep, whose
//!   scope does not depend on the index of the unsettled; that index is what the ticks of the quiet town go by.
//! - Records and slots are read at one moment. Only what is given back depends on the slots, and that is fenced.
//! - A write whose fence is too old stays too late, and a build that is over stays over: such a call is answered at once.
//! - Two workers are alike, and change places.
//! - Where all have read what they read and nobody new begins, a build that ends meanwhile is seen by nobody: it ends after.
//! - Builds succeed, and the clock moves only by leases: no other deadline is near. An invocation never outlives a lease.

#![expect(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "tests may fail loudly")]

mod diamond;
mod passes;
mod search;
mod town;

use diamond::Diamond;
use search::{Bounds, Explored, Search};
use town::{Defect, Violation};

const MANY: u32 = 20;

/// A path is as deep as it is long.
const STACK: usize = 1 << 30;

fn explore(builds_at_once: u32, defect: Defect, bounds: Bounds) -> Result<Explored, Violation> {
    let search = move || Search::new(Diamond::new(builds_at_once, defect), bounds).run();
    std::thread::Builder::new().stack_size(STACK).spawn(search).unwrap().join().unwrap()
}

#[expect(clippy::print_stdout, reason = "how much was looked at is half of the result")]
fn holds(builds_at_once: u32, bounds: Bounds) {
    match explore(builds_at_once, Defect::None, bounds) {
        Ok(explored) => println!("{bounds:?}: {explored:?}"),
        Err(violation) => panic!("{violation}"),
    }
}

#[test]
fn whatever_overlaps_each_image_is_built_once() {
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
fn a_lost_answer_anywhere_loses_nothing() {
    holds(MANY, Bounds { overlapping: 2, extras: 0, crashes: 0, losses: 1 });
}

#[test]
fn a_duplicate_and_a_crash_anywhere_lose_nothing_and_build_nothing_twice() {
    holds(MANY, Bounds { overlapping: 2, extras: 1, crashes: 1, losses: 0 });
}

/// 8,120,202 states of 1,915,053 passes: two minutes and 1.4 GB.
#[test]
#[ignore = "long: cargo test --profile fast -p patchwave-converge --test exhaustive -- --ignored --nocapture"]
fn two_duplicates_and_two_crashes_lose_nothing_and_build_nothing_twice() {
    holds(MANY, Bounds { overlapping: 2, extras: 2, crashes: 2, losses: 0 });
}

#[test]
fn one_slot_is_enough() {
    holds(1, Bounds { overlapping: 2, extras: 0, crashes: 0, losses: 0 });
}

#[test]
fn the_search_finds_what_is_planted() {
    let found = [
        (Defect::NoFence, "run at once"),
        (Defect::NeverFound, "has no slot"),
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
