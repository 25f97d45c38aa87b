//! Every parser on randomly changed samples, and on texts that have broken other parsers.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;

use patchwave_tests::mutate::mutations;
use patchwave_tests::random::Random;
use patchwave_tests::{hostile, parsers};

/// The number of changed samples for each parser.
const TIMES: usize = 20_000;

fn samples(folders: &[&str], extension: &str) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(root.join(folder)).unwrap());
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == extension) || extension.is_empty());
    paths.sort();
    assert!(!paths.is_empty());
    paths.iter().filter(|path| path.is_file()).map(|path| std::fs::read(path).unwrap()).collect()
}

#[test]
fn no_changed_event_breaks_its_parser() {
    mutations(&samples(&["tests/fixtures/events"], "json"), TIMES, 1, parsers::event);
}

#[test]
fn no_changed_hierarchy_breaks_its_parser() {
    let folders = ["tests/fixtures", "tests/fixtures/hierarchy/valid", "tests/fixtures/hierarchy/invalid"];
    mutations(&samples(&folders, "yaml"), TIMES, 2, parsers::hierarchy);
}

#[test]
fn no_changed_facts_break_parser_or_planner() {
    mutations(&samples(&["tests/fuzz/seeds/facts"], "json"), TIMES, 3, parsers::facts);
}

#[test]
fn no_changed_record_breaks_its_parser() {
    mutations(&samples(&["tests/fuzz/seeds/record"], "json"), TIMES, 4, parsers::record);
}

#[test]
fn no_changed_lifecycle_file_breaks_its_parser() {
    let folders = ["tests/fixtures/lifecycle", "tests/fuzz/seeds/lifecycle"];
    mutations(&samples(&folders, "json"), TIMES, 6, parsers::lifecycle);
}

#[test]
fn no_changed_name_breaks_its_parser() {
    mutations(&samples(&["tests/fuzz/seeds/name"], ""), TIMES, 5, parsers::name);
}

#[test]
fn no_changed_document_or_dockerfile_breaks_its_reader() {
    mutations(&samples(&["tests/fuzz/seeds/document"], "json"), TIMES, 7, parsers::document);
    mutations(&samples(&["tests/fuzz/seeds/dockerfile"], ""), TIMES, 8, parsers::dockerfile);
}

/// Texts of up to `longest` random bytes.
fn random(times: usize, longest: usize, seed: u64, check: impl Fn(&[u8])) {
    let mut random = Random(seed);
    for _ in 0..times {
        let length = random.below(longest);
        check(&(0..length).map(|_| u8::try_from(random.below(256)).unwrap()).collect::<Vec<u8>>());
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap_or_default();
    assert!(peak < 300_000, "{peak} kB");
}

#[test]
fn no_hostile_pod_breaks_the_inventory_or_its_memory() {
    random(300, 16_384, 7, hostile::survey);
}

#[test]
fn no_hostile_finding_breaks_the_planner_or_its_memory() {
    random(300, 16_384, 8, hostile::findings);
}

#[test]
fn no_hostile_part_breaks_the_loader_the_planner_or_their_memory() {
    random(300, 16_384, 9, hostile::parts);
}

#[test]
fn files_that_multiply_or_nest_without_end_break_no_parser() {
    let deep_json = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    let deep_objects = "{\"detail\":".repeat(50_000).into_bytes();
    for text in [&deep_json, &deep_objects] {
        parsers::event(text);
        parsers::facts(text);
        parsers::record(text);
        parsers::lifecycle(text);
        parsers::hierarchy(text);
    }
    // This has far more rules than a policy may have, each with many errors.
    parsers::lifecycle(format!("{{\"rules\": [{}{{}}]}}", "{},".repeat(10_000)).as_bytes());
    let deep_yaml: Vec<String> = (0..20_000).map(|n| " ".repeat(n % 500) + "a:").collect();
    let deep_yaml = deep_yaml.join("\n");
    let mut laughs = vec!["a0: &a0 [x, x, x, x, x, x, x, x, x, x]".to_owned()];
    laughs.extend((1..12).map(|n| format!("a{n}: &a{n} [{}]", vec![format!("*a{}", n - 1); 10].join(", "))));
    laughs.push("version: *a11".to_owned());
    let laughs = laughs.join("\n");
    let merged = format!("x: &x {{ a: 1 }}\nversion: {{ {} }}\n", "<<: *x, ".repeat(5_000));
    let quoted = format!("version: \"{}\"\n", "\\n".repeat(1_000_000));
    let keys: Vec<String> = (0..50_000).map(|n| format!("key{n}: 1")).collect();
    let keys = keys.join("\n");
    for yaml in [deep_yaml, laughs, merged, quoted, keys] {
        parsers::hierarchy(yaml.as_bytes());
    }
}
