//! Delivers events and ends builds until nothing is left to do.

use serde_json::Value;

use crate::harness::{Harness, target};
use crate::random::Random;

/// How events reach the functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Each event arrives once, in order.
    InOrder,
    /// Events arrive in SQS batches.
    Batched,
    /// Each event arrives once to three times, in any order, in batches of any size. Builds end one
    /// at a time, in any order. The seed decides.
    Disordered(u64),
    /// No event arrives, so only the tick can see changes.
    Dropped,
}

/// More rounds than any test takes. A test that takes them all never becomes idle.
const MOST_ROUNDS: usize = 60;

/// Delivers events and ends builds until the last tick starts nothing.
///
/// # Panics
///
/// If it never becomes idle.
pub async fn run_until_idle(harness: &mut Harness, delivery: Delivery) {
    let mut random = Random(match delivery {
        Delivery::Disordered(seed) => seed,
        _ => 0,
    });
    for _ in 0..MOST_ROUNDS {
        deliver(harness, delivery, &mut random).await;
        if !end_builds(harness, delivery, &mut random).await {
            harness.tick().await;
            if harness.pipelines.running().is_empty() {
                return;
            }
        }
    }
    panic!("never idle; builds so far: {:?}", harness.builds());
}

async fn deliver(harness: &mut Harness, delivery: Delivery, random: &mut Random) {
    let events = harness.bus.take();
    match delivery {
        Delivery::InOrder => {
            for event in events {
                harness.deliver(&event).await;
            }
        }
        Delivery::Batched => deliver_batches(harness, &events, || 10).await,
        Delivery::Disordered(_) => {
            let mut copies: Vec<Value> =
                events.into_iter().flat_map(|event| vec![event; 1 + random.below(3)]).collect();
            random.shuffle(&mut copies);
            deliver_batches(harness, &copies, || 1 + random.below(10)).await;
        }
        Delivery::Dropped => {}
    }
}

async fn deliver_batches(harness: &mut Harness, events: &[Value], mut size: impl FnMut() -> usize) {
    let mut rest = events;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(size().min(rest.len()));
        for function in ["scan-complete", "rebuild-fanout"] {
            let bodies: Vec<String> =
                now.iter().filter(|event| target(event) == function).map(Value::to_string).collect();
            if !bodies.is_empty() {
                assert!(harness.deliver_batch(function, &bodies).await.is_empty(), "no message fails");
            }
        }
        rest = later;
    }
}

/// Ends one running build, or all of them in batches. Returns whether there was one.
async fn end_builds(harness: &Harness, delivery: Delivery, random: &mut Random) -> bool {
    let mut running = harness.pipelines.running();
    match delivery {
        Delivery::Disordered(_) => random.shuffle(&mut running),
        Delivery::InOrder => {}
        // Without single events, ending builds one at a time shows nothing more.
        Delivery::Batched | Delivery::Dropped => {
            for execution in &running {
                harness.end_build(execution).await;
            }
            // Without events a tick must follow at once.
            return delivery == Delivery::Batched && !running.is_empty();
        }
    }
    match running.first() {
        Some(execution) => harness.end_build(execution).await,
        None => return false,
    }
    true
}
