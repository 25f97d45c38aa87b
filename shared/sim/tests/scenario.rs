//! Patchwave keeps its guarantees in random small worlds with faults: no finding is lost, no image
//! is built twice for one reason, and every world becomes quiet.

#![expect(clippy::panic, reason = "a test that cannot go on fails")]

use std::num::NonZero;
use std::thread::available_parallelism;

use patchwave_sim::{Handler, InjectedFault, Level, Outcome, PlantedDefect, Run, Scenario, Size, Tally};

/// As many worlds as keep two processors busy for less than two minutes with little optimisation.
const SMALL: u64 = 15_000;
const LARGE: u64 = 1_500;

/// Few enough worlds that a planted defect is tried against them in seconds.
const FEW_SMALL: u64 = 4_000;
const FEW_LARGE: u64 = 400;

/// Every hold that a hierarchy of these worlds can have.
const HOLDS: [&str; 22] = [
    "InFlight",
    "Unresolved",
    "NoRepository",
    "Unknown",
    "RolledBack",
    "UnknownRevision",
    "NoPipeline",
    "NotPromoted",
    "CannotHelp",
    "Suppressed",
    "Quarantined",
    "WaitingOn",
    "AwaitingProof",
    "QuietPeriod",
    "BackOff",
    "NextTry",
    "NeedsApproval",
    "NextCommit",
    "Frozen",
    "AtLimit",
    "Observing",
    "Fresh",
];

/// What images of these worlds wait for: limits, and what is about another image.
const AWAITED: [&str; 6] = ["concurrentBuilds", "startsPerDay", "ownersBuilds", "pipeline", "start", "scan"];

/// Why builds of these worlds start.
const REASONS: [&str; 4] = ["Vulnerable", "ParentChanged", "Expired", "Requested"];

/// What proofs in these worlds say.
const VERDICTS: [&str; 6] = ["fixed", "ineffective", "unscanned", "unknown", "expired", "removed"];

/// How many of a hundred builds meet trouble, and how many of a hundred actions of people fall into
/// a build, at least.
const BUILDS_MET: u64 = 20;
const ACTIONS_IN_BUILDS: u64 = 25;

fn run(seed: u64, planted: Option<PlantedDefect>) -> Outcome {
    let (size, level, handler) = (Size::Large, Level::Many, Handler::Patchwave);
    let scenario = Scenario { seed, size, level, handler, planted, with_log: true };
    scenario.run().unwrap_or_else(|error| panic!("{error}"))
}

fn tally(run: Run) -> Tally {
    run.run(&|_| ()).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn no_finding_is_lost_and_no_build_duplicated_whatever_goes_wrong() {
    let threads = available_parallelism().map_or(1, NonZero::get);
    for (size, seeds) in [(Size::Small, SMALL), (Size::Large, LARGE)] {
        let tally = tally(Run { first: 0, seeds, size, level: Level::Many, baselines: false, threads });
        assert!(tally.failing.is_empty(), "{size:?}: {:#?}", tally.failing);
        assert_eq!((tally.seeds, tally.lost, tally.duplicates), (seeds, 0, 0));
        for fault in InjectedFault::ALL {
            assert!(tally.faults.contains_key(&fault), "{fault:?} was never injected");
        }
        let coverage = tally.coverage;
        for (kind, names, occurred) in [
            ("hold", &HOLDS[..], &coverage.holds),
            ("awaited", &AWAITED, &coverage.awaited),
            ("reason", &REASONS, &coverage.reasons),
            ("verdict", &VERDICTS, &coverage.verdicts),
        ] {
            let never: Vec<_> = names.iter().filter(|name| !occurred.contains_key(*name)).collect();
            assert!(never.is_empty(), "{size:?}: {kind} {never:?} never occurred, of {occurred:?}");
        }
        let percent = |part: u64, of: u64| 100 * part / of;
        let met = percent(coverage.executions_met, coverage.executions);
        let in_builds = percent(coverage.actions_in_builds, coverage.actions);
        assert!(met >= BUILDS_MET && in_builds >= ACTIONS_IN_BUILDS, "{size:?}: {met} % and {in_builds} %");
    }
}

/// `tests/defects/run --simulator` runs this test: what it finds, a simulated world shows.
#[test]
#[ignore = "these worlds are among those of the test above"]
fn a_few_worlds_keep_the_guarantees() {
    let threads = available_parallelism().map_or(1, NonZero::get);
    let level = Level::Many;
    // A defect that most worlds show ends the test at once.
    for part in 0..10 {
        for (size, seeds) in [(Size::Small, FEW_SMALL / 10), (Size::Large, FEW_LARGE / 10)] {
            let tally = tally(Run { first: part * seeds, seeds, size, level, baselines: false, threads });
            assert!(tally.failing.is_empty(), "{size:?}: {:#?}", tally.failing);
            assert_eq!((tally.lost, tally.duplicates), (0, 0), "{size:?}");
        }
    }
}

#[test]
fn baselines_without_a_ledger_lose_findings_and_build_images_twice() {
    let (size, level) = (Size::Large, Level::Many);
    let tally = tally(Run { first: 0, seeds: 100, size, level, baselines: true, threads: 2 });
    assert_eq!((tally.lost, tally.duplicates, tally.baselines.len()), (0, 0, 2));
    for (handler, baseline) in tally.baselines {
        assert!(baseline.lost > 0 && baseline.duplicates > 0, "{handler:?}: {baseline:?}");
    }
}

#[test]
fn without_events_all_builds_end_within_a_tick_and_the_makespan() {
    let (size, level) = (Size::Large, Level::NoEvents);
    let tally = tally(Run { first: 0, seeds: 200, size, level, baselines: false, threads: 1 });
    assert!(tally.failing.is_empty(), "{:#?}", tally.failing);
    assert!(tally.builds > 200, "{}", tally.builds);
}

#[test]
fn the_tally_does_not_depend_on_the_number_of_threads() {
    let (size, level) = (Size::Small, Level::Some);
    let on = |threads| tally(Run { first: 5, seeds: 130, size, level, baselines: false, threads });
    assert_eq!(on(1), on(3));
}

#[test]
fn the_same_seed_gives_the_same_log() {
    let log = |seed| run(seed, None).log;
    assert_eq!(log(3), log(3));
    assert_ne!(log(3), log(4));
}

#[test]
fn the_checker_finds_a_ledger_without_fences() {
    let planted = Some(PlantedDefect::NoFences);
    assert!((0..200).any(|seed| !run(seed, planted).violations.is_empty()));
}
