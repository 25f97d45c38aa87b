//! The compiled functions, from real events to real pipeline executions and back.

use std::collections::{BTreeMap, BTreeSet};

use patchwave_tests::codepipeline::Status;
use patchwave_tests::settle::{Delivery, settle};
use patchwave_tests::world::{Setup, World};

/// `base/os` and everything on top of it.
const AFFECTED: [&str; 11] = [
    "apps/api:live",
    "apps/billing:live",
    "apps/cart:live",
    "apps/checkout",
    "apps/landing:live",
    "apps/search:live",
    "base/os",
    "platform/go:1.23",
    "platform/java:21",
    "platform/node:22",
    "platform/web:2",
];

const CVE: &str = "CVE-2026-1000";

/// Each affected image was built once, nothing else was, each on its parents' final versions, and no finding is left.
async fn assert_the_wave_rolled_once(world: &World) {
    let once: BTreeMap<String, usize> = AFFECTED.iter().map(|image| ((*image).to_owned(), 1)).collect();
    assert_eq!(world.builds(), once);
    for execution in world.pipelines.executions() {
        assert_eq!(execution.status, Status::Succeeded);
        let build = execution.build.unwrap();
        let parent = match world.parent(&build.image) {
            Some(parent) => Some(world.current(&parent).await),
            None => None,
        };
        assert_eq!(build.told_base, parent, "{} stands on its parent's current version", build.image);
        for (parent, digest) in &build.told_parents {
            assert_eq!(*digest, world.current(parent).await, "{} and its parent {parent}", build.image);
        }
        assert_eq!(build.pushed, world.current(&build.image).await, "{}'s line follows", build.image);
        assert_eq!(world.findings(&build.image).await, BTreeSet::new(), "{} is clean", build.image);
    }
}

#[tokio::test]
async fn a_cve_in_a_base_rolls_to_the_applications() {
    let mut world = World::start(Setup::default()).await;
    world.disclose(CVE, "openssl", Some("1.0.1"));
    settle(&mut world, Delivery::InOrder).await;
    assert_the_wave_rolled_once(&world).await;
}
