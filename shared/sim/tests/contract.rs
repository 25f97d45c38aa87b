//! The simulated world keeps the promises of AWS: `patchwave_tests::contract` lists them.

#![expect(clippy::unwrap_used, reason = "tests may fail loudly")]

use std::rc::Rc;

use patchwave::hierarchy::{Hierarchy, Image};
use patchwave::image::Digest;
use patchwave_sim::{DEMO_HIERARCHY, SimulatedWorld, Simulation};
use patchwave_tests::contract::{self, Promise, TestBed};

const ELSEWHERE: &str = "{version: 1, registry: 111122223333.dkr.ecr.us-east-1.amazonaws.com, images: [{tier: base, \
                         repository: no/such, tags: ['1'], from: scratch, pipeline: none}]}";

struct Simulated {
    world: Rc<SimulatedWorld>,
    hierarchy: Hierarchy,
    elsewhere: Hierarchy,
}

impl Simulated {
    fn new() -> Self {
        let hierarchy = Hierarchy::parse("demo_hierarchy.yaml", DEMO_HIERARCHY).unwrap();
        let elsewhere = Hierarchy::parse("elsewhere.yaml", ELSEWHERE).unwrap();
        let world = Simulation::new(hierarchy.clone(), 1).into_world();
        Self { world, hierarchy, elsewhere }
    }
}

impl TestBed for Simulated {
    type World = SimulatedWorld;

    fn world(&self) -> &SimulatedWorld {
        &self.world
    }

    /// The first image of the hierarchy is a base.
    fn image(&self) -> &Image {
        self.hierarchy.images().find(|image| image.pipeline.is_some()).unwrap()
    }

    fn stranger(&self) -> &Image {
        self.elsewhere.images().next().unwrap()
    }

    async fn push(&self, _n: u32) -> Digest {
        self.world.push(&self.image().id).unwrap()
    }

    async fn put_back(&self, _version: &Digest) {
        self.world.put_back(&self.image().id);
    }

    async fn delete(&self, version: &Digest) {
        self.world.delete(&self.image().id, version);
    }

    async fn scan(&self, version: &Digest) {
        self.world.complete_scans(&self.image().id, version);
    }

    async fn refuse(&self) {}

    async fn notices(&self) -> Vec<String> {
        self.world.notices()
    }

    async fn rechecks(&self) -> usize {
        self.world.rechecks()
    }
}

#[test]
fn the_simulated_world_keeps_the_promises_of_every_world() {
    let because = "faults are injected around the world, call by call";
    let lies = [(Promise::ARefusedReadIsNoAnswer, because), (Promise::ARefusedNoticeIsNotSent, because)];
    pollster::block_on(contract::check(async || Simulated::new(), &lies));
}
