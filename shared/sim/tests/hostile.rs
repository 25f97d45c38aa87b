//! Random small worlds in which everything goes wrong: nothing is lost, nothing is built twice, nothing waits for ever.

#![expect(clippy::panic, reason = "a test that cannot go on fails")]

use std::num::NonZero;
use std::thread::available_parallelism;

use patchwave_sim::{Handler, Level, Outcome, Planted, Play, Run, Size, Tally, Trouble};

/// So many worlds that two processors are busy for less than two minutes with hardly any optimisation.
const SMALL: u64 = 50_000;
const LARGE: u64 = 5_000;

fn play(seed: u64, handler: Handler, planted: Option<Planted>) -> Outcome {
    let play = Play { seed, size: Size::Large, level: Level::Many, handler, planted, tell: true };
    play.run().unwrap_or_else(|broken| panic!("{broken}"))
}

fn run(run: Run) -> Tally {
    run.play(&|_| ()).unwrap_or_else(|broken| panic!("{broken}"))
}

#[test]
fn promises_hold_whatever_goes_wrong() {
    let threads = available_parallelism().map_or(1, NonZero::get);
    for (size, seeds) in [(Size::Small, SMALL), (Size::Large, LARGE)] {
        let tally = run(Run { first: 0, seeds, size, level: Level::Many, rivals: false, threads });
        assert!(tally.failing.is_empty(), "{size:?}: {:#?}", tally.failing);
        assert_eq!((tally.seeds, tally.lost, tally.duplicates), (seeds, 0, 0));
        for trouble in Trouble::ALL {
            assert!(tally.faults.contains_key(&trouble), "{trouble:?} never struck");
        }
    }
}

#[test]
fn without_a_ledger_images_are_forgotten_and_built_twice() {
    let (size, level) = (Size::Large, Level::Many);
    let tally = run(Run { first: 0, seeds: 100, size, level, rivals: true, threads: 2 });
    assert_eq!((tally.lost, tally.duplicates, tally.rivals.len()), (0, 0, 2));
    for (handler, rival) in tally.rivals {
        assert!(rival.lost > 0 && rival.duplicates > 0, "{handler:?}: {rival:?}");
    }
}

#[test]
fn without_any_event_it_takes_a_tick_and_the_makespan() {
    let (size, level) = (Size::Large, Level::Silence);
    let tally = run(Run { first: 0, seeds: 200, size, level, rivals: false, threads: 1 });
    assert!(tally.failing.is_empty(), "{:#?}", tally.failing);
    assert!(tally.builds > 200, "{}", tally.builds);
}

#[test]
fn it_does_not_matter_how_many_play() {
    let (size, level) = (Size::Small, Level::Some);
    let on = |threads| run(Run { first: 5, seeds: 130, size, level, rivals: false, threads });
    assert_eq!(on(1), on(3));
}

#[test]
fn the_same_seed_goes_wrong_the_same_way() {
    let story = |seed| play(seed, Handler::Patchwave, None).story;
    assert_eq!(story(3), story(3));
    assert_ne!(story(3), story(4));
}

#[test]
fn a_ledger_without_fences_is_found_out() {
    let planted = Some(Planted::NoFences);
    assert!((0..200).any(|seed| !play(seed, Handler::Patchwave, planted).violations.is_empty()));
}
