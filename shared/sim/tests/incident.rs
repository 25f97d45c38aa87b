//! A critical vulnerability in a base image: every image that carries it is rebuilt once, on the right parents.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::fmt::Write;

use patchwave::hierarchy::{Direction, Hierarchy};
use patchwave::image::{Digest, ImageId};
use patchwave::time::Span;
use patchwave_sim::{Build, Incident, Moment, ORGANISATION, Simulation, can_be_rebuilt};

struct Played {
    simulation: Simulation,
    incident: Incident,
    builds: Vec<Build>,
    history: String,
}

fn play(yaml: &str, seed: u64) -> Played {
    let hierarchy = Hierarchy::parse("test.yaml", yaml).unwrap_or_else(|errors| panic!("{errors}"));
    let mut simulation = Simulation::new(hierarchy, seed);
    let (mut builds, mut history) = (Vec::new(), String::new());
    let mut watch = |_: &Simulation, moment: &Moment| {
        writeln!(history, "{moment:?}").unwrap();
        match moment {
            Moment::Built(build) => builds.push((**build).clone()),
            Moment::Passed { report, .. } => {
                assert_eq!(report.errors, [], "nothing goes wrong in a kind world");
            }
            _ => {}
        }
    };
    let nine = Span::hours(1).after(simulation.now());
    simulation.run_until(nine, &mut watch).unwrap();
    let incident = simulation.strike().unwrap();
    assert!(simulation.run_until_quiet(Span::days(3), &mut watch).unwrap(), "it becomes quiet");
    Played { simulation, incident, builds, history }
}

fn currents(simulation: &Simulation) -> BTreeMap<ImageId, Digest> {
    let facts = simulation.facts().unwrap();
    let current = |(id, image): (ImageId, patchwave::facts::ImageFacts)| {
        Some((id, image.current_version()?.digest.clone()))
    };
    facts.images.into_iter().filter_map(current).collect()
}

#[test]
fn nothing_starts_while_nothing_is_wrong() {
    let hierarchy = Hierarchy::parse("test.yaml", ORGANISATION).unwrap();
    for seed in 0..5 {
        let mut simulation = Simulation::new(hierarchy.clone(), seed);
        let mut watch = |_: &Simulation, moment: &Moment| {
            if let Moment::Passed { report, .. } = moment {
                assert_eq!(report.started, [], "seed {seed}");
            }
        };
        assert!(simulation.run_until_quiet(Span::days(2), &mut watch).unwrap());
    }
}

#[test]
fn each_image_that_carries_it_is_built_once_on_the_new_parents() {
    // The last three found waits that began too early, for a scan that never came.
    for seed in (0..9).chain([22, 37, 113]) {
        let played = play(ORGANISATION, seed);
        let hierarchy = played.simulation.hierarchy();
        let below = hierarchy.query([&played.incident.image], Direction::Descendants).unwrap().resolve();
        let expected: Vec<&ImageId> =
            below.iter().filter(|i| can_be_rebuilt(i)).map(|image| &image.id).collect();
        let mut built: Vec<&ImageId> = played.builds.iter().map(|build| &build.image).collect();
        built.sort();
        let mut sorted = expected.clone();
        sorted.sort();
        assert_eq!(built, sorted, "seed {seed}");

        let currents = currents(&played.simulation);
        for build in &played.builds {
            assert_eq!(currents[&build.image], build.version, "seed {seed}");
            for (parent, digest) in &build.parents {
                assert_eq!(currents[parent], *digest, "seed {seed}: {} is on an old {parent}", build.image);
            }
        }
    }
}

#[test]
fn the_fix_reaches_every_image_that_was_rebuilt() {
    let played = play(ORGANISATION, 7);
    let facts = played.simulation.facts().unwrap();
    let key = played.incident.vulnerability.key();
    for build in &played.builds {
        let version = facts.images[&build.image].current_version().unwrap();
        for (platform, manifest) in &version.platforms {
            assert_eq!(manifest.scan.lists(&key), Some(false), "{} on {platform}", build.image);
        }
    }
}

#[test]
fn workloads_follow_the_fix() {
    let played = play(ORGANISATION, 7);
    let currents = currents(&played.simulation);
    let workloads = played.simulation.workloads();
    assert!(workloads.len() > 20);
    for workload in workloads {
        assert_eq!(currents[&workload.image], workload.digest, "{}", workload.name);
    }
}

#[test]
fn the_same_seed_gives_the_same_history_and_another_seed_another() {
    let history = |seed| play(ORGANISATION, seed).history;
    assert_eq!(history(3), history(3));
    assert_ne!(history(3), history(4));
}

#[test]
fn limits_hold() {
    let narrow = ORGANISATION.replace("maxConcurrentBuilds: 12", "maxConcurrentBuilds: 2");
    let played = play(&narrow, 5);
    let mut edges: Vec<_> =
        played.builds.iter().flat_map(|b| [(b.finished_at, -1), (b.started_at, 1)]).collect();
    edges.sort();
    let running = edges.iter().scan(0, |running, (_, step)| {
        *running += step;
        Some(*running)
    });
    assert_eq!(running.max(), Some(2));
    let mut images: Vec<_> = played.builds.iter().map(|build| &build.image).collect();
    images.sort();
    images.dedup();
    assert_eq!(images.len(), played.builds.len(), "each is built once all the same");
}

#[test]
fn what_was_started_is_confirmed_in_its_record() {
    let hierarchy = Hierarchy::parse("test.yaml", ORGANISATION).unwrap();
    let mut simulation = Simulation::new(hierarchy, 1);
    let nine = Span::hours(1).after(simulation.now());
    simulation.run_until(nine, &mut |_, _| {}).unwrap();
    simulation.strike().unwrap();
    let mut confirmed = 0;
    let mut watch = |simulation: &Simulation, moment: &Moment| {
        let Moment::Passed { report, .. } = moment else { return };
        for started in report.started.iter().take(3 - confirmed) {
            let record = simulation.facts().unwrap().images[&started.image].record.clone();
            assert_eq!(record.claim.unwrap().execution.as_ref(), Some(&started.execution_id));
            confirmed += 1;
        }
    };
    simulation.run_until_quiet(Span::days(3), &mut watch).unwrap();
    assert_eq!(confirmed, 3);
}
