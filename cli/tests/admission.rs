//! `admission`: policies for clusters, and what they would refuse of what runs.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::collections::BTreeSet;

use patchwave::admission::{allowed, judge};
use patchwave::hierarchy::Hierarchy;
use serde_json::Value;
use support::{Ran, fixture, patchwave};

fn admission(more: &[&str]) -> Ran {
    let files = ["admission/hierarchy.yaml", "admission/survey.json", "admission/facts.json"];
    let [hierarchy, survey, facts] = files.map(fixture);
    let asked = ["admission", "--hierarchy", &hierarchy, "--survey", &survey, "--facts", &facts];
    patchwave(&[asked.as_slice(), more].concat())
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Python evaluates these files in two engines of CEL, and validates them.
#[test]
fn the_printed_manifests_are_those_that_the_engines_evaluate() {
    for (print, name) in [
        ("policy", "policy.yaml"),
        ("digests", "digests.yaml"),
        ("gatekeeper", "gatekeeper.yaml"),
        ("gatekeeper-digests", "gatekeeper-digests.yaml"),
        ("ecs", "ecs.yaml"),
    ] {
        let ran = admission(&["--print", print]);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{print}");
        let golden = std::fs::read_to_string(fixture(&format!("admission/{name}"))).unwrap();
        assert_eq!(ran.stdout, golden, "{name}: write it again with patchwave admission --print {print}");
        let json = admission(&["--print", print, "--format", "json"]).json();
        let yaml: Vec<Value> = golden
            .split("---\n")
            .filter(|document| !document.trim().is_empty())
            .map(|document| serde_saphyr::from_str(document).unwrap())
            .collect();
        let items = json["items"].as_array().cloned().unwrap_or_else(|| vec![json.clone()]);
        assert_eq!(items, yaml, "{print}: both forms say the same");
    }
}

/// The review judges in Rust what the policies judge in CEL: the same pods, the same answers.
#[test]
fn the_review_refuses_what_the_policy_refuses() {
    let yaml = std::fs::read_to_string(fixture("admission/hierarchy.yaml")).unwrap();
    let allowed = allowed(&Hierarchy::parse("hierarchy.yaml", &yaml).unwrap());
    let cases: Value =
        serde_json::from_str(&std::fs::read_to_string(fixture("admission/pods.json")).unwrap()).unwrap();
    for case in cases.as_array().unwrap() {
        let images = images(&case["object"]);
        if case.get("oldObject").is_some_and(|old| self::images(old) == images) {
            continue;
        }
        let admitted = images.iter().all(|image| judge(&allowed, None, image).is_none());
        assert_eq!(case["admitted"], admitted, "{}: {images:?}", case["name"]);
    }
}

fn images(pod: &Value) -> BTreeSet<String> {
    let spec = &pod["spec"];
    let containers = ["containers", "initContainers", "ephemeralContainers"];
    let of =
        containers.iter().flat_map(|kind| spec[kind].as_array().into_iter().flatten()).map(|c| &c["image"]);
    let volumes =
        spec["volumes"].as_array().into_iter().flatten().map(|volume| &volume["image"]["reference"]);
    of.chain(volumes).filter_map(|image| Some(image.as_str()?.to_owned())).collect()
}

#[test]
fn what_runs_and_would_be_refused_is_said_first() {
    let ran = admission(&[]);
    assert_eq!(ran.code, 1, "something would be refused");
    let text = words(&ran.stdout);
    for part in [
        "2 of 3 images on Kubernetes would be refused",
        "not named by digest 1: 111122223333.dkr.ecr.us-east-1.amazonaws.com/apps/checkout:main-0 in shop/Deployment/old",
        "neither in the hierarchy nor approved 1: quay.io/someone/tool",
        "1 image in exempt namespaces are not judged",
        "list of shop: 2 digests, revision",
        "first apply it with warnings",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(
        ran.stdout.lines().all(|line| line.chars().count() <= 80 || !line.trim().contains(' ')),
        "{}",
        ran.stdout
    );
}

#[test]
fn nothing_is_denied_while_something_that_runs_would_be_refused() {
    let denied = admission(&["--print", "policy", "--deny"]);
    assert_eq!((denied.code, denied.stdout.as_str()), (1, ""));
    assert!(
        denied.stderr.starts_with("Nothing is printed, because --deny would refuse what runs"),
        "{denied:?}"
    );
    let exempt = admission(&["--print", "policy", "--deny", "--exempt", "shop"]);
    assert_eq!((exempt.code, exempt.stdout.as_str()), (1, ""), "then nothing was judged: {exempt:?}");
    assert_eq!(admission(&["--deny"]).code, 2, "there is nothing to print");
}

#[test]
fn a_namespace_that_is_named_has_a_list_of_every_image() {
    let json = admission(&["--print", "digests", "--namespace", "fresh", "--format", "json"]).json();
    let lists = json["items"].as_array().unwrap().iter().filter(|item| item["kind"] == "ConfigMap");
    let names: Vec<(&str, usize)> = lists
        .map(|list| {
            (list["metadata"]["namespace"].as_str().unwrap(), list["data"].as_object().unwrap().len())
        })
        .collect();
    assert_eq!(names, [("fresh", 4 + 2), ("shop", 2 + 2)], "two digests an image, and two patterns");
}
