//! A year of a repository, in many random worlds: nothing that runs, would run, may be rolled back
//! to, or carries a keep tag is ever lost. Two other ways to clean up lose images in the same
//! worlds.

#![expect(clippy::print_stdout, reason = "what other ways lose is half of the result")]

mod strategies;
mod world;

use std::collections::BTreeMap;

use strategies::Strategy;
use world::World;

/// Worlds of every run; a year of one takes about a second.
const SEEDS: std::ops::Range<u64> = 0..6;

/// Plays a year.
fn year(seed: u64, strategy: Strategy) -> World {
    let mut world = World::new(seed);
    let mut state = strategies::State::default();
    while world.day < 365 {
        world.next_day();
        let inventory = world.survey();
        strategy.act(&mut world, &mut state, &inventory);
        strategies::expire(&mut world);
        world.people();
    }
    world
}

/// How many images were deleted, and how many of them were needed.
fn totals(seeds: std::ops::Range<u64>) -> BTreeMap<&'static str, (usize, usize)> {
    let mut totals = BTreeMap::new();
    for strategy in [Strategy::Patchwave, Strategy::PublicPolicy, Strategy::UnusedAndOld] {
        for seed in seeds.clone() {
            let world = year(seed, strategy);
            let (deleted, lost) = totals.entry(strategy.name()).or_insert((0, 0));
            *deleted += world.deleted;
            *lost += world.lost.len();
            if strategy == Strategy::Patchwave {
                assert!(world.lost.is_empty(), "seed {seed}: {:#?}", &world.lost[..world.lost.len().min(5)]);
            }
        }
    }
    totals
}

#[test]
fn a_year_loses_nothing_that_is_needed_and_simpler_ways_do() {
    let totals = totals(SEEDS);
    for (name, (deleted, lost)) in &totals {
        println!("{name}: {deleted} images deleted, {lost} of them needed");
    }
    let [patchwave, public, unused] =
        ["Patchwave", "public policy", "unused and old"].map(|name| totals[name]);
    assert_eq!(patchwave.1, 0);
    assert!(patchwave.0 > 1_000, "it also cleans up: {patchwave:?}");
    assert!(public.1 > 0 && unused.1 > 0, "the worlds are hard enough: {totals:?}");
}

/// `cargo nextest run -p patchwave --test rules --release --run-ignored only year`
#[test]
#[ignore = "hours without optimisation"]
fn ten_thousand_years_lose_nothing_that_is_needed() {
    for (name, (deleted, lost)) in totals(0..10_000) {
        println!("{name}: {deleted} images deleted, {lost} of them needed");
    }
}
