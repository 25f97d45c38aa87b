//! On which version of its parents an image is built, and how sure that is.

use patchwave::facts::{Current, ExecutionState};
use patchwave::plan::{Evidence, Hold, Reason};

use crate::fleet::{Fleet, PLATFORMS, at, digest, id};

/// Pushes a version of `b` with the same layers and other digests.
fn repack(fleet: &mut Fleet, platforms: &[&str]) {
    let before = fleet.current("b").clone();
    fleet.push(&id("b"));
    let version = fleet.current_mut("b");
    version.platforms.retain(|platform, _| platforms.contains(&platform.to_string().as_str()));
    for (platform, manifest) in &mut version.platforms {
        manifest.layers = before.platforms[platform].layers.clone();
    }
}

#[test]
fn a_parent_that_changes_while_its_child_builds_makes_the_child_stale_once() {
    let mut fleet = Fleet::with_finding("b: scratch\n a: b", "a");
    assert_eq!(fleet.pass(), ["a"]);
    fleet.push(&id("a"));
    fleet.scan("a");
    fleet.push(&id("b"));
    fleet.scan("b");
    fleet.end("a", ExecutionState::Succeeded);
    fleet.wait("1h");
    assert_eq!(fleet.run_until_idle(), ["a"], "stale once, and not again");
}

#[test]
fn a_new_index_around_the_same_manifests_leaves_its_child_fresh() {
    let mut fleet = Fleet::of("b: scratch\n a: b");
    let mut version = fleet.current("b").clone();
    version.digest = digest(999_999);
    version.pushed_at = at(60);
    let facts = fleet.image("b");
    facts.current = Current::Version(version.digest.clone());
    facts.versions.insert(version.digest.clone(), version);
    fleet.wait("1h");
    assert_eq!(fleet.hold("a"), Hold::Fresh);
}

#[test]
fn without_annotations_layers_are_the_evidence_and_without_layers_times() {
    let mut fleet = Fleet::of("b: scratch\n a: b");
    fleet.current_mut("a").base = None;
    fleet.wait("1h");
    fleet.push(&id("b"));
    fleet.scan_all();
    fleet.wait("11m");
    let evidence = |fleet: &Fleet| match &fleet.plan().reasons[&id("a")][..] {
        [Reason::ParentChanged { evidence, .. }] => *evidence,
        other => panic!("{other:?}"),
    };
    assert_eq!(evidence(&fleet), Evidence::Layers);
    for manifest in fleet.current_mut("a").platforms.values_mut() {
        manifest.layers = manifest.layers[1..].into();
    }
    assert_eq!(evidence(&fleet), Evidence::Time);
    let now = fleet.now;
    fleet.image("a").record.enforced_since = Some(now);
    assert_eq!(
        fleet.hold("a"),
        Hold::Fresh,
        "overdue when first enforced, by time alone: its start is spread over maxAge"
    );
}

#[test]
fn a_common_first_layer_does_not_show_that_a_child_is_on_a_version() {
    let mut fleet = Fleet::of("b: scratch\n p: b\n a: p");
    fleet.current_mut("a").base = None;
    fleet.wait("1h");
    fleet.push(&id("p"));
    fleet.scan_all();
    fleet.wait("11m");
    assert_eq!(fleet.pass(), ["a"], "it shares the base's layer with every version of p, but not p's own");
}

/// A copied stage is pushed while its child is built on the version before, and the child is pushed
/// later.
#[test]
fn the_parents_in_our_record_count_before_the_times_of_pushes() {
    let mut fleet = Fleet::with_finding("b: scratch\n p: scratch\n a: b + p", "a");
    assert_eq!(fleet.pass(), ["a"]);
    fleet.wait("1h");
    fleet.push(&id("p"));
    fleet.scan_all();
    fleet.wait("1h");
    fleet.push(&id("a"));
    fleet.scan_all();
    fleet.end("a", ExecutionState::Succeeded);
    assert_eq!(fleet.pass(), ["a"], "it is built again, on the parent that changed meanwhile");
}

/// A provenance document changes the index and no platform manifest.
#[test]
fn a_new_index_around_the_same_manifests_rebuilds_no_child() {
    let mut fleet = Fleet::of("b: scratch\n a: b");
    let mut version = fleet.current("b").clone();
    version.digest = digest(424_242);
    fleet.wait("1h");
    version.pushed_at = fleet.now;
    let facts = fleet.image("b");
    facts.current = Current::Version(version.digest.clone());
    facts.versions.insert(version.digest.clone(), version);
    fleet.wait("1h");
    assert_eq!(fleet.run_until_idle(), Vec::<String>::new());
}

#[test]
fn a_single_manifest_is_compared_with_its_parent_as_a_whole() {
    let mut fleet = Fleet::of("b: scratch\np: b");
    let facts = fleet.image("p");
    for version in facts.versions.values_mut() {
        let manifest = version.platforms.pop_first().unwrap().1;
        version.platforms = [("unknown/single".parse().unwrap(), manifest)].into();
    }
    assert_eq!(fleet.hold("p").name(), "Fresh");
    fleet.push(&id("b"));
    fleet.scan("b");
    fleet.wait("1d");
    assert_eq!(fleet.pass(), ["p"]);
}

#[test]
fn among_versions_with_the_same_layers_a_child_is_on_the_current_one() {
    let mut fleet = Fleet::of("b: scratch\np: b");
    fleet.image("p").versions.values_mut().next().unwrap().base = None;
    fleet.wait("1h");
    repack(&mut fleet, &PLATFORMS);
    fleet.scan("b");
    fleet.wait("1d");
    assert_eq!(fleet.hold("p").name(), "Fresh");
}

#[test]
fn a_parent_that_dropped_a_platform_of_its_child_has_changed() {
    let mut fleet = Fleet::of("b: scratch\np: b");
    let before = fleet.current("b").clone();
    fleet.wait("1h");
    repack(&mut fleet, &PLATFORMS[..1]);
    for (platform, manifest) in &mut fleet.current_mut("b").platforms {
        manifest.digest = before.platforms[platform].digest.clone();
    }
    fleet.scan("b");
    fleet.wait("1d");
    assert_eq!(fleet.pass(), ["p"]);
}

/// A push that compresses layers again changes the digests of the compressed layers alone.
fn compress_again(fleet: &mut Fleet, name: &str) {
    let mut number = 500_000;
    let mut other = || {
        number += 1;
        digest(number)
    };
    fleet.current_mut(name).base = None;
    fleet.manifests(name).for_each(|manifest| {
        manifest.diff_ids = manifest.layers.clone();
        manifest.layers = manifest.layers.iter().map(|_| other()).collect();
    });
}

#[test]
fn layers_that_were_compressed_again_are_compared_by_their_content() {
    let mut fleet = Fleet::of("b: scratch\n a: b");
    for manifest in fleet.image("b").versions.values_mut().flat_map(|version| version.platforms.values_mut())
    {
        manifest.diff_ids = manifest.layers.clone();
    }
    compress_again(&mut fleet, "a");
    fleet.wait("1h");
    assert_eq!(fleet.hold("a"), Hold::Fresh);
    fleet.push(&id("b"));
    fleet.scan_all();
    fleet.wait("11m");
    let plan = fleet.plan();
    let [Reason::ParentChanged { evidence, .. }] = &plan.reasons[&id("a")][..] else { panic!("{plan:?}") };
    assert_eq!(*evidence, Evidence::Layers);
    fleet.manifests("a").for_each(|manifest| manifest.diff_ids = [].into());
    let plan = fleet.plan();
    let [Reason::ParentChanged { evidence, .. }] = &plan.reasons[&id("a")][..] else { panic!("{plan:?}") };
    assert_eq!(*evidence, Evidence::Time);
}

#[test]
fn time_proves_nothing_where_a_config_could_not_be_read() {
    for unread in ["a", "b"] {
        let mut fleet = Fleet::of("b: scratch\n a: b");
        compress_again(&mut fleet, "a");
        fleet.wait("1h");
        fleet.image(unread).unread_configs = Some("throttled".into());
        let Hold::Unknown { because } = fleet.hold("a") else { panic!("{:?}", fleet.hold("a")) };
        assert!(because.ends_with("is not known: throttled"), "{because}");
        fleet.pass();
        assert!(fleet.record("a").recheck_at.is_some(), "a tick looks at it again");
    }
    let mut fleet = Fleet::of("b: scratch\n a: scratch + b");
    fleet.image("b").unread_configs = Some("throttled".into());
    fleet.wait("1h");
    assert_eq!(fleet.hold("a"), Hold::Fresh, "no layer of a copied stage is inherited");
}
