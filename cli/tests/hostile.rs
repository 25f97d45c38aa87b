//! Other people's texts, full of control characters, through every verb that prints them.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use support::{Scratch, fixture, patchwave_with};

/// Sets the clipboard, clears the screen, reverses what follows, and forges a line.
const HOSTILE: &str = "\u{1b}]52;c;ZXZpbA==\u{7}\u{1b}[2J\u{9b}2J\u{7f}\u{202e}\u{2066}\u{2028}\t\r\nFORGED";

/// Sequences of our own styles.
const STYLES: [&str; 7] = ["0", "1", "2", "31", "32", "33", "36"];

/// Runs a verb in colour, and checks that nothing foreign steers the terminal. JSON must say the
/// same as without the checks.
fn check(arguments: &[&str]) -> i32 {
    let ran = patchwave_with(arguments, &[("CLICOLOR_FORCE", "1")]);
    for text in [&ran.stdout, &ran.stderr] {
        let mut plain = text.replace("\r\n", "\n");
        for style in STYLES {
            plain = plain.replace(&format!("\u{1b}[{style}m"), "");
        }
        let is_control = |c: char| c.is_control() || "\u{61c}\u{200e}\u{200f}\u{2028}\u{2029}".contains(c);
        let bidirectional = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        let found = plain.find(|c| c != '\n' && (is_control(c) || bidirectional(c)));
        if let Some(at) = found {
            panic!("a control character passes in {arguments:?}: {:?}", plain.get(at..));
        }
        let forged = plain.lines().find(|line| line.trim_start().starts_with("FORGED"));
        assert_eq!(forged, None, "a line is forged in {arguments:?}: {plain}");
    }
    if arguments.contains(&"json") && !ran.stdout.is_empty() {
        ran.json();
    }
    ran.code
}

/// Returns a document for each string and each key in it, with that one hostile. Of those in the
/// same place of a list there is one.
fn hostile(document: &Value) -> Vec<Value> {
    let mut seen = BTreeSet::new();
    let mut changed = Vec::new();
    visit(document, &mut String::new(), &mut |path, value| {
        if seen.insert(path.to_owned()) {
            changed.push(value);
        }
    });
    changed
}

/// Calls `found` with each place of a document, and the document with this place hostile.
fn visit(value: &Value, path: &mut String, found: &mut dyn FnMut(&str, Value)) {
    let length = path.len();
    match value {
        Value::String(text) => {
            found(path, Value::String(format!("{text}{HOSTILE}")));
            found(&format!("{path}="), Value::String(HOSTILE.to_owned()));
        }
        Value::Array(items) => {
            path.push_str("[]");
            for (index, item) in items.iter().enumerate() {
                visit(item, path, &mut |path, changed| {
                    let mut items = items.clone();
                    items[index] = changed;
                    found(path, Value::Array(items));
                });
            }
        }
        Value::Object(fields) => {
            found(&format!("{path}.*"), with(fields, HOSTILE, Value::from(1)));
            for (key, field) in fields {
                // A digest or an id is one of many, and a field is not.
                let name = if key.contains([':', '/']) { "*" } else { key };
                path.extend([".", name]);
                visit(field, path, &mut |path, changed| found(path, with(fields, key, changed)));
                let mut others = fields.clone();
                others.remove(key);
                found(&format!("{path}*"), with(&others, &format!("{key}{HOSTILE}"), field.clone()));
                path.truncate(length);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    path.truncate(length);
}

fn with(fields: &Map<String, Value>, key: &str, value: Value) -> Value {
    let mut fields = fields.clone();
    fields.insert(key.to_owned(), value);
    Value::Object(fields)
}

fn json(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(fixture(name)).unwrap()).unwrap()
}

/// Writes a document as YAML: as JSON, but with escapes in place of the characters that YAML does
/// not allow.
fn yaml(document: &Value) -> String {
    let one = |character: char| match character {
        '\u{7f}'..='\u{9f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            format!("\\u{:04x}", u32::from(character))
        }
        character => character.to_string(),
    };
    document.to_string().chars().map(one).collect()
}

#[test]
fn a_hostile_hierarchy_steers_no_terminal() {
    let scratch = Scratch::new("hostile-hierarchy");
    let facts = fixture("inventory/facts.json");
    let contract = std::fs::read_to_string(fixture("hierarchy/valid/contract.yaml")).unwrap();
    let documents = hostile(&serde_saphyr::from_str::<Value>(&contract).unwrap());
    assert!(documents.len() > 100, "{}", documents.len());
    for document in documents {
        let file = scratch.write("h.yaml", &yaml(&document));
        let verb = |more: &[&str]| check(&[&["--hierarchy", &file], more].concat());
        for format in ["text", "json"] {
            check(&["validate", &file, "--format", format]);
        }
        if verb(&["graph"]) != 0 {
            continue;
        }
        for format in ["json", "dot", "mermaid"] {
            verb(&["graph", "--format", format]);
        }
        verb(&["impact", "base/al2023"]);
        verb(&["plan", "--facts", &facts]);
        verb(&["why", "apps/checkout", "--facts", &facts]);
        verb(&["demo"]);
        verb(&["requests", "--days", "1"]);
    }
}

#[test]
fn hostile_facts_and_a_hostile_survey_steer_no_terminal() {
    let scratch = Scratch::new("hostile-facts");
    let hierarchy = fixture("hierarchy/valid/contract.yaml");
    let [facts, survey] = ["inventory/facts.json", "inventory/survey.json"].map(fixture);
    let verb = |more: &[&str]| check(&[&["--hierarchy", &hierarchy], more].concat());
    let asked = |facts: &str, survey: &str| {
        for format in ["text", "json", "csv"] {
            verb(&["inventory", "--facts", facts, "--survey", survey, "--format", format]);
        }
    };
    for document in hostile(&json("inventory/facts.json")) {
        let file = scratch.write("facts.json", &document.to_string());
        asked(&file, &survey);
        for format in ["text", "json"] {
            verb(&["plan", "--facts", &file, "--format", format]);
            verb(&["plan", "--first-enforcement", "--facts", &file, "--format", format]);
            verb(&["why", "apps/checkout", "--facts", &file, "--format", format]);
            verb(&["why", "CVE-2026-31337", "--facts", &file, "--format", format]);
            verb(&["impact", "CVE-2026-31337", "--facts", &file, "--format", format]);
        }
    }
    for document in hostile(&json("inventory/survey.json")) {
        let file = scratch.write("survey.json", &document.to_string());
        asked(&facts, &file);
    }
}

#[test]
fn a_hostile_lifecycle_policy_and_hostile_images_steer_no_terminal() {
    let scratch = Scratch::new("hostile-lifecycle");
    let names = ["lifecycle/policy.json", "lifecycle/images.json", "lifecycle/running.json"];
    for (changed, name) in names.into_iter().enumerate() {
        for document in hostile(&json(name)) {
            let mut files = names.map(fixture);
            files[changed] = scratch.write("changed.json", &document.to_string());
            let [policy, images, running] = &files;
            for format in ["text", "json"] {
                let at = "2026-12-31T12:00:00Z";
                let more = ["--images", images, "--running", running, "--at", at, "--format", format];
                check(&[&["lifecycle", policy][..], &more].concat());
            }
        }
    }
}

#[test]
fn what_is_typed_steers_no_terminal() {
    let hierarchy = fixture("hierarchy/valid/contract.yaml");
    check(&["table", "--name", HOSTILE]);
    check(&["--hierarchy", &hierarchy, "impact", HOSTILE]);
    check(&["--hierarchy", HOSTILE, "graph"]);
}

#[test]
fn json_says_exactly_what_others_wrote() {
    let scratch = Scratch::new("hostile-json");
    let mut survey = json("inventory/survey.json");
    survey["sightings"][0]["workload"] = format!("service/{HOSTILE}").into();
    let file = scratch.write("survey.json", &survey.to_string());
    let [hierarchy, facts] = ["hierarchy/valid/contract.yaml", "inventory/facts.json"].map(fixture);
    let inventory = ["--hierarchy", &hierarchy, "inventory", "--facts", &facts, "--survey", &file];
    let answer = support::patchwave(&[&inventory[..], &["--format", "json"]].concat()).json();
    let rows = answer["running"].as_array().unwrap();
    assert!(rows.iter().any(|row| row["workload"] == format!("service/{HOSTILE}")), "{answer:#}");
}
