//! Random small worlds in which everything goes wrong: nothing is lost, nothing is built twice, nothing waits for ever.

#![expect(clippy::panic, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;

use patchwave_sim::{Handler, Level, Outcome, Planted, Play, Trouble};

fn play(seed: u64, level: Level, planted: Option<Planted>) -> Outcome {
    Play { seed, level, handler: Handler::Patchwave, planted, tell: false }
        .run()
        .unwrap_or_else(|broken| panic!("{broken}"))
}

#[test]
fn promises_hold_whatever_goes_wrong() {
    let mut fired: BTreeMap<Trouble, u64> = BTreeMap::new();
    for seed in 0..110 {
        let outcome = play(seed, Level::Many, None);
        assert!(outcome.violations.is_empty(), "seed {seed}: {:#?}", outcome.violations);
        for (trouble, times) in outcome.faults {
            *fired.entry(trouble).or_default() += times;
        }
    }
    for trouble in Trouble::ALL {
        assert!(fired.contains_key(&trouble), "{trouble:?} never struck");
    }
}

#[test]
fn the_same_seed_goes_wrong_the_same_way() {
    let story = |seed| {
        let played =
            Play { seed, level: Level::Many, handler: Handler::Patchwave, planted: None, tell: true }.run();
        played.unwrap_or_else(|broken| panic!("{broken}")).story
    };
    assert_eq!(story(3), story(3));
    assert_ne!(story(3), story(4));
}

#[test]
fn a_ledger_without_fences_is_found_out() {
    let violated =
        (0..100).any(|seed| !play(seed, Level::Many, Some(Planted::NoFences)).violations.is_empty());
    assert!(violated);
}
