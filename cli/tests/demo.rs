//! The demo: what its story says must be true.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::collections::BTreeMap;

use serde_json::Value;
use support::{Scratch, fixture, patchwave};

fn builds(story: &Value) -> Vec<&Value> {
    story["waves"].as_array().unwrap().iter().flat_map(|wave| wave["builds"].as_array().unwrap()).collect()
}

#[test]
fn each_affected_image_is_built_once_on_the_new_parents() {
    for seed in ["1", "2", "3"] {
        let ran = patchwave(&["demo", "--seed", seed, "--format", "json"]);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "seed {seed}");
        let story = ran.json();
        let builds = builds(&story);
        let versions: BTreeMap<&str, &Value> =
            builds.iter().map(|build| (build["image"].as_str().unwrap(), &build["version"])).collect();
        assert_eq!(versions.len(), builds.len(), "seed {seed}: each image once");
        let mut affected: Vec<&str> = story["prediction"]["rebuilt"]
            .as_array()
            .unwrap()
            .iter()
            .map(|id| id.as_str().unwrap())
            .collect();
        affected.sort_unstable();
        assert_eq!(versions.keys().copied().collect::<Vec<_>>(), affected, "seed {seed}: as predicted");
        for build in &builds {
            for (parent, digest) in build["parents"].as_object().unwrap() {
                let newest = versions.get(parent.as_str()).copied().unwrap_or(digest);
                assert_eq!(digest, newest, "seed {seed}: {} on {parent}", build["image"]);
            }
        }
        assert_eq!(story["summary"]["buildsPerImage"], "1.00");
        assert_eq!(story["summary"]["lost"], Value::Array(Vec::new()));
        assert_eq!(story["summary"]["startsAgain"], 0);
    }
}

#[test]
fn the_organisation_is_worth_showing() {
    let story = patchwave(&["demo", "--format", "json"]).json();
    let organisation = &story["organisation"];
    assert!(organisation["images"].as_u64().unwrap() >= 30);
    assert!(organisation["diamonds"].as_u64().unwrap() >= 3);
    assert_eq!(organisation["tiers"].as_object().unwrap().len(), 3);
    assert_eq!(organisation["workloads"].as_object().unwrap().len(), 2, "ECS and EKS");
    assert_eq!(story["incident"]["event"]["detail-type"], "Inspector2 Finding");
    let holds: Vec<&str> =
        story["held"].as_array().unwrap().iter().map(|held| held["why"].as_str().unwrap()).collect();
    for hold in ["NoPipeline", "Frozen", "Observing"] {
        assert!(holds.contains(&hold), "{hold} is among {holds:?}");
    }
}

#[test]
fn a_seed_plays_the_same_day_and_another_one_another() {
    for format in ["text", "json"] {
        let play = |seed| patchwave(&["demo", "--seed", seed, "--format", format]).stdout;
        assert_eq!(play("11"), play("11"));
        assert_ne!(play("11"), play("12"));
    }
}

#[test]
fn the_text_fits_a_terminal_and_tells_the_story() {
    for seed in ["1", "2", "3", "4", "5", "7"] {
        let text = patchwave(&["demo", "--seed", seed]).stdout;
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "seed {seed}: {line}");
        }
    }
    let text = patchwave(&["demo"]).stdout;
    for part in
        ["Prediction", "Wave 1", "Held", "Proof", "Running", "Summary", "1.00 builds per affected image"]
    {
        assert!(text.contains(part), "{part} is told:\n{text}");
    }
}

#[test]
fn ones_own_hierarchy_is_played() {
    let ran =
        patchwave(&["demo", "--hierarchy", &fixture("hierarchy/valid/contract.yaml"), "--format", "json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let story = ran.json();
    assert_eq!(story["organisation"]["registry"], "111122223333.dkr.ecr.us-east-1.amazonaws.com");
    assert!(!builds(&story).is_empty());
}

const SMALL: &str = "version: 1
registry: 111122223333.dkr.ecr.us-east-1.amazonaws.com
images:
  - { id: base, tier: base, repository: base, tags: [\"1\"], from: scratch, pipeline: base }
  - { id: left, tier: platform, repository: left, tags: [\"1\"], from: base, pipeline: left }
  - { id: right, tier: platform, repository: right, tags: [\"1\"], from: base, pipeline: right }
  - { id: app, tier: application, repository: app, tags: [\"1\"], from: left, copyFrom: [right], pipeline: app }
";

#[test]
fn a_hierarchy_that_only_observes_is_played_as_if_it_enforced_and_says_so() {
    let scratch = Scratch::new("observes");
    let file = scratch.write("hierarchy.yaml", SMALL);
    let story = patchwave(&["demo", "--hierarchy", &file, "--format", "json"]).json();
    assert_eq!(story["asIfEnforced"], true);
    assert_eq!(builds(&story).len(), 4, "a diamond is built once");
    let text = patchwave(&["demo", "--hierarchy", &file]).stdout;
    assert!(text.contains("the hierarchy only observes, so nothing would start"), "{text}");
}

#[test]
fn what_somebody_else_builds_is_not_where_it_strikes() {
    let scratch = Scratch::new("unbuildable-base");
    let file = scratch.write("hierarchy.yaml", &SMALL.replace(", pipeline: base", ""));
    let ran = patchwave(&["demo", "--hierarchy", &file, "--format", "json"]);
    assert_eq!(ran.code, 0, "{}", ran.stdout);
    let story = ran.json();
    assert_eq!(story["incident"]["image"], "left");
    assert_eq!(builds(&story).len(), 2, "it and the application");
}

#[test]
fn what_nobody_can_rebuild_is_held_and_no_failure() {
    let scratch = Scratch::new("unbuildable");
    let mut without = SMALL.replace("images:", "policy: { mode: enforce }\nimages:");
    for name in ["base", "left", "right", "app"] {
        without = without.replace(&format!(", pipeline: {name}"), "");
    }
    let file = scratch.write("hierarchy.yaml", &without);
    let ran = patchwave(&["demo", "--hierarchy", &file, "--format", "json"]);
    assert_eq!(ran.code, 0, "{}", ran.stdout);
    let story = ran.json();
    assert!(builds(&story).is_empty());
    assert_eq!(story["held"][0]["why"], "NoPipeline");
}

#[test]
fn a_hierarchy_without_a_distribution_cannot_be_played() {
    let scratch = Scratch::new("empty");
    let head = SMALL.split("images:").next().unwrap();
    let file = scratch.write("hierarchy.yaml", &format!("{head}images: []\n"));
    let ran = patchwave(&["demo", "--hierarchy", &file]);
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
    assert!(ran.stderr.starts_with("nothing to simulate: "), "{}", ran.stderr);
}
