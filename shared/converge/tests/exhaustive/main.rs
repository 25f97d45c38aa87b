//! Every interleaving of two workers that keep a diamond of four images patched: the real passes on
//! a small model of the world.
//!
//! A step is one call of [`patchwave_converge::World`]. The search decides whose call is answered
//! next, whether the call or its answer is lost, whether the worker crashes after it, which build
//! ends, and when a lease passes. From every state in which both workers are idle, the remaining
//! events are dropped, and the sweep and the ticks alone must converge.
//!
//! These reductions hide no violation:
//! - Versions never change, so reading them by digest commutes with every other step. Their scans
//!   are complete at once, but for the base's where a search says so.
//! - A crash before a call equals a crash after the last effect, because reads change nothing.
//! - A pass begins with its first reads: before them it has no effect. It is always a sweep,
//!   because what a sweep looks at does not depend on the schedule. The ticks of the quiet model
//!   use the schedule.
//! - Records and slots are read in one step. Only giving back depends on the slots, and it is
//!   fenced.
//! - A write with an old fence stays late, and a build that is over stays over, so such a call is
//!   answered at once.
//! - The two workers are interchangeable.
//! - If all workers have made their reads and no pass may begin, no worker notices that a build
//!   ends. It ends when they are idle.
//! - Only leases, builds that fail and a person's pushes move the clock: no other deadline is near.
//!   No invocation lasts longer than a lease.
//! - A tick is as good as a sweep for what it sees. Whether the index lags makes a difference only
//!   where ticks alone must converge, so it lags there: every other time that time passes.

#![expect(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "tests may fail loudly")]

mod diamond;
mod model;
mod passes;
mod search;
mod stepped_world;

use diamond::{Diamond, Setting};
use model::{Defect, Violation};
use search::{Bounds, Explored, Search};

/// The search recurses once for each step of a path.
const STACK: usize = 1 << 30;

fn explore(setting: Setting, defect: Defect, bounds: Bounds) -> Result<Explored, Violation> {
    let search = move || Search::new(Diamond::new(setting, defect), bounds).run();
    std::thread::Builder::new().stack_size(STACK).spawn(search).unwrap().join().unwrap()
}

#[expect(clippy::print_stdout, reason = "how much was explored is half of the result")]
fn holds(setting: Setting, bounds: Bounds) {
    match explore(setting, Defect::None, bounds) {
        Ok(explored) => println!("{setting:?}, {bounds:?}: {explored:?}"),
        Err(violation) => panic!("{violation}"),
    }
}

#[test]
fn overlapping_passes_build_each_image_once() {
    holds(
        Setting::default(),
        Bounds { overlapping: 5, extras: 0, crashes: 0, losses: 0, ..Bounds::default() },
    );
}

#[test]
fn a_duplicate_builds_nothing_twice() {
    holds(
        Setting::default(),
        Bounds { overlapping: 2, extras: 1, crashes: 0, losses: 0, ..Bounds::default() },
    );
}

#[test]
fn two_duplicates_build_nothing_twice() {
    holds(
        Setting::default(),
        Bounds { overlapping: 2, extras: 2, crashes: 0, losses: 0, ..Bounds::default() },
    );
}

#[test]
fn a_lost_answer_anywhere_loses_no_finding() {
    holds(
        Setting::default(),
        Bounds { overlapping: 2, extras: 0, crashes: 0, losses: 1, ..Bounds::default() },
    );
}

#[test]
fn a_duplicate_and_a_crash_anywhere_lose_no_finding_and_build_nothing_twice() {
    holds(
        Setting::default(),
        Bounds { overlapping: 2, extras: 1, crashes: 1, losses: 0, ..Bounds::default() },
    );
}

/// 8,120,202 states of 1,915,053 passes: two minutes and 1.4 GB.
#[test]
#[ignore = "long: cargo test --profile fast -p patchwave-converge --test exhaustive -- --ignored --nocapture"]
fn two_duplicates_and_two_crashes_lose_no_finding_and_build_nothing_twice() {
    holds(
        Setting::default(),
        Bounds { overlapping: 2, extras: 2, crashes: 2, losses: 0, ..Bounds::default() },
    );
}

#[test]
fn one_slot_suffices_to_build_each_image_once() {
    holds(
        Setting { builds_at_once: 1, ..Setting::default() },
        Bounds { overlapping: 2, extras: 0, crashes: 0, losses: 0, ..Bounds::default() },
    );
}

/// The first attempt after a failure comes at once.
#[test]
fn a_build_that_fails_is_made_again_and_no_other_twice() {
    holds(Setting::default(), Bounds { overlapping: 2, failures: 1, ..Bounds::default() });
}

#[test]
#[ignore = "long: cargo test --profile fast -p patchwave-converge --test exhaustive -- --ignored --nocapture"]
fn pages_of_one_image_build_each_image_once() {
    let setting = Setting { images_of_a_page: 1, ..Setting::default() };
    holds(setting, Bounds { overlapping: 2, ..Bounds::default() });
}

#[test]
#[ignore = "long: cargo test --profile fast -p patchwave-converge --test exhaustive -- --ignored --nocapture"]
fn a_pass_that_looks_again_after_a_lost_race_builds_nothing_twice() {
    let setting = Setting { retries: 1, ..Setting::default() };
    holds(setting, Bounds { overlapping: 2, ..Bounds::default() });
}

#[test]
#[ignore = "long: cargo test --profile fast -p patchwave-converge --test exhaustive -- --ignored --nocapture"]
fn ticks_converge_although_the_index_lags() {
    let setting = Setting { index_lags: true, ..Setting::default() };
    holds(setting, Bounds { overlapping: 2, losses: 1, failures: 1, ..Bounds::default() });
}

#[test]
fn a_person_who_pushes_the_base_meanwhile_loses_no_fix() {
    holds(Setting::default(), Bounds { overlapping: 1, pushes: 1, ..Bounds::default() });
}

#[test]
#[ignore = "long: cargo test --profile fast -p patchwave-converge --test exhaustive -- --ignored --nocapture"]
fn a_person_who_pushes_the_base_between_two_passes_loses_no_fix() {
    holds(Setting::default(), Bounds { overlapping: 2, pushes: 1, ..Bounds::default() });
}

#[test]
fn a_scan_that_comes_late_loses_no_finding() {
    let setting = Setting { scans_are_late: true, ..Setting::default() };
    holds(setting, Bounds { overlapping: 2, ..Bounds::default() });
}

#[test]
#[ignore = "long: cargo test --profile fast -p patchwave-converge --test exhaustive -- --ignored --nocapture"]
fn pushes_late_scans_failures_and_losses_lose_nothing() {
    let setting = Setting { scans_are_late: true, ..Setting::default() };
    holds(setting, Bounds { overlapping: 2, losses: 1, failures: 1, pushes: 1, ..Bounds::default() });
}

/// Everything together.
#[test]
#[ignore = "long: cargo test --profile fast -p patchwave-converge --test exhaustive -- --ignored --nocapture"]
fn failures_crashes_and_losses_in_pages_of_one_image_lose_nothing() {
    let setting = Setting { images_of_a_page: 1, retries: 1, index_lags: true, ..Setting::default() };
    holds(setting, Bounds { overlapping: 2, extras: 1, crashes: 1, losses: 1, failures: 1, pushes: 0 });
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
        let violation = explore(
            Setting::default(),
            defect,
            Bounds { overlapping: 2, extras: 1, crashes: 1, losses: 1, ..Bounds::default() },
        )
        .unwrap_err();
        let broken = violation.lines().next().unwrap_or_default();
        assert!(broken.contains(words), "{defect:?}: {violation}");
    }
}
