//! What Patchwave asks of AWS depends on the images that events are about, not on how many events
//! and images there are. Everything is counted on the wire.

use patchwave_tests::harness::{Harness, Setup};
use patchwave_tests::hierarchy;
use patchwave_tests::random::Random;
use patchwave_tests::run_until_idle::{Delivery, run_until_idle};
use patchwave_tests::traffic::Throttle;
use serde_json::Value;

const IMAGES: usize = 50;

/// Fifty images in observe mode. Nothing starts, so that every pass over the same images costs the
/// same.
async fn fifty_images() -> Harness {
    let hierarchy = hierarchy::larger(IMAGES);
    Harness::start(Setup { hierarchy, mode: "observe", ..Setup::default() }).await
}

/// The events of `times` scans of these images in random order. Each scan has one event for each of
/// two platforms.
async fn scans(harness: &Harness, images: &[String], times: usize) -> Vec<String> {
    for _ in 0..times {
        for image in images {
            let current = harness.current(image).await;
            harness.registry.scan_version(&harness.recipe(image).repository, &current);
        }
    }
    let mut events: Vec<String> = harness.bus.take().iter().map(Value::to_string).collect();
    Random(1).shuffle(&mut events);
    events
}

/// Delivers one batch and returns the number of its calls.
async fn cost(harness: &mut Harness, events: &[String]) -> usize {
    harness.traffic.begin(Throttle::Never);
    assert!(harness.deliver_batch("scan-complete", events).await.is_empty(), "no message fails");
    harness.traffic.calls()
}

#[tokio::test]
async fn a_batch_of_events_costs_one_reading_of_the_images_that_it_is_about() {
    let mut harness = fifty_images().await;
    let images: Vec<String> = harness.recipes.iter().map(|recipe| recipe.image.clone()).collect();
    harness.sweep().await;

    let events = scans(&harness, &images, 10).await;
    assert_eq!(events.len(), 1_000);
    let one_reading = cost(&mut harness, &events).await;
    assert!(
        one_reading <= 5 * IMAGES + 4,
        "{one_reading} calls are more than one for each repository and manifest"
    );
    assert_eq!(harness.traffic.calls_of("Query"), 1, "one observation");
    let passes = harness.log("scan-complete").iter().filter(|line| line.contains("\"done\"")).count();
    assert_eq!(passes, 1, "one plan");

    for batch in events.chunks(100).take(3) {
        assert!(cost(&mut harness, batch).await <= one_reading, "a smaller batch costs no more");
    }

    let leaves = ["apps/app-1:live", "apps/app-2:live"].map(str::to_owned);
    let events = scans(&harness, &leaves, 250).await;
    assert_eq!(events.len(), 1_000);
    cost(&mut harness, &events).await;
    // The two and their base, each on two platforms.
    assert_eq!(harness.traffic.calls_of("DescribeImageScanFindings"), 6);
    assert_eq!(harness.traffic.calls_of("DescribeImages"), 3);
    assert_eq!(harness.builds(), [].into());
}

/// A sweep surveys the deployments before its pass, and one observation serves both.
#[tokio::test]
async fn a_sweep_reads_everything_once() {
    let mut harness = fifty_images().await;
    harness.traffic.begin(Throttle::Never);
    harness.sweep().await;
    let calls = harness.traffic.by_operation();
    assert_eq!(calls["DescribeImages"], IMAGES, "the current version, after the executions: {calls:?}");
    assert_eq!(calls["BatchGetImage"], 2 * IMAGES, "an index and its manifests: {calls:?}");
    assert_eq!(calls["DescribeImageScanFindings"], 2 * IMAGES, "each platform's scan: {calls:?}");
}

/// A finding in the base of fifty images: all of them are rebuilt, level by level.
#[tokio::test]
async fn a_wave_reads_each_image_a_few_times() {
    let hierarchy = hierarchy::larger(IMAGES);
    let mut harness = Harness::start(Setup { hierarchy, ..Setup::default() }).await;
    harness.sweep().await;
    harness.bus.take();
    harness.disclose("CVE-2026-1000", "openssl", Some("3.0.2"));
    harness.scan_everything().await;
    harness.traffic.begin(Throttle::Never);
    run_until_idle(&mut harness, Delivery::Batched).await;
    assert_eq!(harness.builds().values().sum::<usize>(), IMAGES, "each once");
    let calls = harness.traffic.by_operation();
    let of_each = |operation: &str| calls[operation].div_ceil(IMAGES);
    // Events arrive in small batches here, and each reads their base too. With the batches of the
    // template it is about eight.
    assert!(of_each("DescribeImages") <= 13, "observations: {calls:?}");
    assert!(of_each("DescribeImageScanFindings") <= 22, "two platforms of each: {calls:?}");
    assert!(of_each("BatchGetImage") <= 8, "what does not change is kept: {calls:?}");
    assert_eq!(calls["GetPipeline"], IMAGES, "one question for each start: {calls:?}");
}
