//! The options that all verbs have in common, and files: used or refused, never ignored.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use support::{Scratch, fixture, patchwave, patchwave_reading, patchwave_with};

#[test]
fn a_hierarchy_that_a_verb_would_ignore_is_refused() {
    let hierarchy = fixture("hierarchy/valid/contract.yaml");
    let policy = fixture("lifecycle/policy.json");
    let verbs: [&[&str]; 5] = [
        &["table"],
        &["simulate", "--seeds", "1"],
        &["lifecycle", &policy],
        &["validate", "--schema"],
        &["validate", &hierarchy],
    ];
    for verb in verbs {
        for place in [&["--hierarchy", "no/such/file.yaml"][..], &["--hierarchy", &hierarchy]] {
            for arguments in [[verb, place].concat(), [place, verb].concat()] {
                let ran = patchwave(&arguments);
                assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{arguments:?}");
                assert!(ran.stderr.contains("--hierarchy"), "{}", ran.stderr);
            }
        }
        let ran = patchwave_with(verb, &[("PATCHWAVE_HIERARCHY", "no/such/file.yaml")]);
        assert_eq!(ran.code, 0, "the variable is meant for other verbs too: {ran:?}");
    }
}

#[test]
fn a_hierarchy_that_does_not_exist_is_never_ignored() {
    let verbs: [&[&str]; 6] = [
        &["demo"],
        &["graph"],
        &["impact", "base/al2023"],
        &["requests", "--days", "1"],
        &["plan", "--facts", "-"],
        &["why", "base/al2023", "--facts", "-"],
    ];
    for verb in verbs {
        let ran = patchwave(&[verb, &["--hierarchy", "no/such/file.yaml"]].concat());
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{verb:?}");
        assert!(ran.stderr.starts_with("cannot read no/such/file.yaml: "), "{}", ran.stderr);
    }
}

#[cfg(feature = "aws")]
#[test]
fn a_verb_that_works_on_a_deployment_reads_the_hierarchy_that_it_is_given() {
    let environment = [("PATCHWAVE_HIERARCHY", "no/such/file.yaml"), ("AWS_REGION", "us-east-1")];
    let decision = ["base/al2023", "--by", "jo"];
    for verb in ["facts", "inventory", "freeze", "rebuild", "release", "approve"] {
        let of_image = if ["facts", "inventory"].contains(&verb) { &[][..] } else { &decision };
        let missing = patchwave_with(&[&[verb], of_image].concat(), &environment);
        assert_eq!((missing.code, missing.stdout.as_str()), (2, ""));
        assert!(missing.stderr.starts_with("cannot read no/such/file.yaml: "), "{}", missing.stderr);
        if of_image.is_empty() {
            // Without a table these read what is there.
            continue;
        }
        let hierarchy = fixture("hierarchy/valid/contract.yaml");
        let named = [&[verb, "--hierarchy", &hierarchy], of_image].concat();
        let ran = patchwave_with(&named, &environment);
        assert!(ran.stderr.starts_with("PATCHWAVE_TABLE is not set"), "it read {hierarchy}: {}", ran.stderr);
    }
}

#[test]
fn a_format_that_a_verb_does_not_print_is_refused() {
    let hierarchy = fixture("hierarchy/valid/contract.yaml");
    for (verb, format) in [("demo", "csv"), ("graph", "csv"), ("validate", "dot"), ("table", "mermaid")] {
        let ran = patchwave(&[verb, "--format", format]);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
        assert!(ran.stderr.contains("its formats are text, json"), "{}", ran.stderr);
    }
    assert_eq!(patchwave(&["graph", "--hierarchy", &hierarchy, "--format", "dot"]).code, 0);
}

#[test]
fn every_file_can_be_standard_input_but_only_one() {
    let read = |name: &str| std::fs::read_to_string(fixture(name)).unwrap();
    let contract = fixture("hierarchy/valid/contract.yaml");
    let yaml = read("hierarchy/valid/contract.yaml");
    let named = patchwave(&["graph", "--hierarchy", &contract]);
    assert_eq!(patchwave_reading(&yaml, &["graph", "--hierarchy", "-"]), named);
    let checked = patchwave_reading(&yaml, &["validate", "-"]);
    assert_eq!(checked.code, 0);
    assert!(checked.stdout.starts_with("<stdin>: OK, 4 images"), "{}", checked.stdout);
    let broken = patchwave_reading("version: 1\nimage: []\n", &["validate", "-"]);
    assert!(broken.stderr.starts_with("<stdin>:2:1: "), "{}", broken.stderr);

    let [survey, facts] = ["inventory/survey.json", "inventory/facts.json"].map(fixture);
    let asked = |survey, facts| {
        ["inventory", "--hierarchy", &contract, "--survey", survey, "--facts", facts].map(str::to_owned)
    };
    let whole = asked(&survey, &facts);
    let whole = patchwave(&whole.each_ref().map(String::as_str));
    for (content, [survey, facts]) in [
        (read("inventory/survey.json"), ["-", facts.as_str()]),
        (read("inventory/facts.json"), [survey.as_str(), "-"]),
    ] {
        let arguments = asked(survey, facts);
        assert_eq!(patchwave_reading(&content, &arguments.each_ref().map(String::as_str)), whole);
    }
    let arguments = asked("-", "-");
    let both = patchwave_reading("{}", &arguments.each_ref().map(String::as_str));
    assert_eq!(both.code, 2);
    let policy = patchwave_reading(&read("lifecycle/policy.json"), &["lifecycle", "-"]);
    assert_eq!(policy.stdout, "<stdin>: OK, 3 rules\n");
    let twice = patchwave_reading(&yaml, &["plan", "--hierarchy", "-", "--facts", "-"]);
    assert_eq!(twice.code, 2);
    assert!(twice.stderr.contains("only one file can be `-`"), "{}", twice.stderr);
}

#[test]
fn no_file_is_overwritten() {
    let scratch = Scratch::new("overwritten");
    let mine = scratch.write("mine.yaml", "mine");
    let new = scratch.path("new.yaml");
    for option in ["--save-hierarchy", "--save-facts"] {
        let ran = patchwave(&["demo", option, &mine]);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "before it simulates anything");
        assert_eq!(ran.stderr, format!("{mine} exists; name a new file, or delete it first\n"));
        assert_eq!(std::fs::read_to_string(&mine).unwrap(), "mine");
        assert_eq!(patchwave(&["demo", option, "-"]).code, 2);
    }
    let ran = patchwave(&["demo", "--save-hierarchy", &new, "--save-facts", &mine]);
    assert_eq!(ran.code, 2);
    assert!(!std::path::Path::new(&new).exists(), "both are checked first");
}
