//! Bursts: what a batch of events costs depends on the images that it is about, not on the events.

use patchwave_tests::organisation;
use patchwave_tests::settle::Dice;
use patchwave_tests::traffic::Throttle;
use patchwave_tests::world::{Setup, World};
use serde_json::Value;

const IMAGES: usize = 50;

/// The fifty images in observe mode: nothing starts, so that every pass over the same images costs the same.
async fn fifty_images() -> World {
    let hierarchy = organisation::larger(IMAGES);
    World::start(Setup { hierarchy, mode: "observe", ..Setup::default() }).await
}

/// The events of `times` scans of these images, in an order of chance: two each, one for each platform.
async fn scans(world: &World, images: &[String], times: usize) -> Vec<String> {
    for _ in 0..times {
        for image in images {
            let current = world.current(image).await;
            world.registry.scan_version(&world.recipe(image).repository, &current);
        }
    }
    let mut events: Vec<String> = world.bus.take().iter().map(Value::to_string).collect();
    Dice(1).shuffle(&mut events);
    events
}

/// Delivers one batch and returns the calls that it cost.
async fn cost(world: &mut World, events: &[String]) -> usize {
    world.traffic.begin(Throttle::Never);
    assert!(world.deliver_batch("scan-complete", events).await.is_empty(), "no message fails");
    world.traffic.calls()
}

#[tokio::test]
async fn a_burst_costs_one_look_at_the_images_that_it_is_about() {
    let mut world = fifty_images().await;
    let images: Vec<String> = world.recipes.iter().map(|recipe| recipe.image.clone()).collect();
    world.sweep().await;

    let events = scans(&world, &images, 10).await;
    assert_eq!(events.len(), 1_000);
    let one_look = cost(&mut world, &events).await;
    assert!(one_look <= 5 * IMAGES + 4, "{one_look} calls: more than one for each repository and manifest");
    assert_eq!(world.traffic.calls_of("Query"), 1, "one observation");
    let passes = world.log("scan-complete").iter().filter(|line| line.contains("\"done\"")).count();
    assert_eq!(passes, 1, "one plan");

    for batch in events.chunks(100).take(3) {
        assert!(cost(&mut world, batch).await <= one_look, "smaller batches cost a look each");
    }

    let leaves = ["apps/app-1:live", "apps/app-2:live"].map(str::to_owned);
    let events = scans(&world, &leaves, 250).await;
    assert_eq!(events.len(), 1_000);
    cost(&mut world, &events).await;
    // The two, and the base that both stand on, on two platforms each.
    assert_eq!(world.traffic.calls_of("DescribeImageScanFindings"), 6);
    assert_eq!(world.traffic.calls_of("DescribeImages"), 3);
    assert_eq!(world.builds(), [].into());
}

/// A sweep looks at what runs before its pass, and both are about the same versions.
#[tokio::test]
async fn a_sweep_reads_tags_twice_and_everything_else_once() {
    let mut world = fifty_images().await;
    world.traffic.begin(Throttle::Never);
    world.sweep().await;
    let calls = world.traffic.by_operation();
    assert_eq!(
        calls["DescribeImages"],
        2 * IMAGES,
        "which version counts is read after the executions: {calls:?}"
    );
    assert_eq!(calls["BatchGetImage"], 2 * IMAGES, "an index and its manifests: {calls:?}");
    assert_eq!(calls["DescribeImageScanFindings"], 2 * IMAGES, "each platform's scan: {calls:?}");
}
