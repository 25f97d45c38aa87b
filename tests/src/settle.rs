//! Lets events and builds take their course until nothing happens any more.

use serde_json::Value;

use crate::world::{World, target};

/// What becomes of the events on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Each arrives once, in order.
    InOrder,
    /// They arrive in SQS batches.
    Batched,
    /// Each arrives once to three times, in any order, in batches of any size, and builds end in any order, one at a time;
    /// the seed decides.
    Disordered(u64),
    /// None arrives: the tick alone must do.
    Dropped,
}

/// More rounds than any scenario takes: one that takes them all never settles.
const MOST_ROUNDS: usize = 60;

/// Delivers events and ends builds until the last tick starts nothing.
///
/// # Panics
///
/// If that never happens.
pub async fn settle(world: &mut World, delivery: Delivery) {
    let mut dice = Dice(match delivery {
        Delivery::Disordered(seed) => seed,
        _ => 0,
    });
    for _ in 0..MOST_ROUNDS {
        deliver(world, delivery, &mut dice).await;
        if !end_builds(world, delivery, &mut dice).await {
            world.tick().await;
            if world.pipelines.running().is_empty() {
                return;
            }
        }
    }
    panic!("nothing settled; builds so far: {:?}", world.builds());
}

async fn deliver(world: &mut World, delivery: Delivery, dice: &mut Dice) {
    let events = world.bus.take();
    match delivery {
        Delivery::InOrder => {
            for event in events {
                world.deliver(&event).await;
            }
        }
        Delivery::Batched => deliver_batches(world, &events, || 10).await,
        Delivery::Disordered(_) => {
            let mut copies: Vec<Value> =
                events.into_iter().flat_map(|event| vec![event; 1 + dice.roll(3)]).collect();
            dice.shuffle(&mut copies);
            deliver_batches(world, &copies, || 1 + dice.roll(10)).await;
        }
        Delivery::Dropped => {}
    }
}

async fn deliver_batches(world: &mut World, events: &[Value], mut size: impl FnMut() -> usize) {
    let mut rest = events;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(size().min(rest.len()));
        for function in ["scan-complete", "rebuild-fanout"] {
            let bodies: Vec<String> =
                now.iter().filter(|event| target(event) == function).map(Value::to_string).collect();
            if !bodies.is_empty() {
                assert!(world.deliver_batch(function, &bodies).await.is_empty(), "no message fails");
            }
        }
        rest = later;
    }
}

/// Ends one build that is under way, or a tick's worth of them; tells whether there was one.
async fn end_builds(world: &World, delivery: Delivery, dice: &mut Dice) -> bool {
    let mut running = world.pipelines.running();
    match delivery {
        Delivery::Disordered(_) => dice.shuffle(&mut running),
        Delivery::InOrder => {}
        // Whoever sees no events gains nothing from one build at a time.
        Delivery::Batched | Delivery::Dropped => {
            for execution in &running {
                world.end(execution).await;
            }
            // Without events a tick follows at once.
            return delivery == Delivery::Batched && !running.is_empty();
        }
    }
    match running.first() {
        Some(execution) => world.end(execution).await,
        None => return false,
    }
    true
}

/// Chance that is the same in every run: <https://prng.di.unimi.it/splitmix64.c>.
#[derive(Debug, Clone, Copy)]
pub struct Dice(pub u64);

impl Dice {
    /// Returns a number below `sides`.
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) >> 33).unwrap_or_default() % sides
    }

    /// Puts `things` in an order of chance.
    pub fn shuffle<T>(&mut self, things: &mut [T]) {
        for last in (1..things.len()).rev() {
            things.swap(last, self.roll(last + 1));
        }
    }
}
