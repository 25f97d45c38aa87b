//! What a newcomer reads first: `--help`, and the answer of a verb that this build does not have.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use support::{patchwave, patchwave_with};

/// The verbs, as `--help` lists them.
fn verbs() -> Vec<String> {
    let help = patchwave(&["--help"]).stdout;
    let listed = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let verbs: Vec<String> =
        listed.lines().map(|line| line.split_whitespace().next().unwrap().to_owned()).collect();
    verbs.into_iter().filter(|verb| verb != "help").collect()
}

#[test]
fn every_verb_is_listed_in_every_build() {
    for verb in ["demo", "validate", "plan", "why", "observe", "approve", "rebuild", "release", "freeze"] {
        assert!(verbs().iter().any(|listed| listed == verb), "{verb}");
    }
    assert!(patchwave(&["--help"]).stdout.contains("facts]"), "its earlier name stays");
}

#[cfg(not(feature = "aws"))]
#[test]
fn a_verb_that_needs_the_aws_sdk_says_how_to_get_it() {
    let image = ["base/os", "--by", "jo"];
    for verb in ["observe", "facts", "plan", "approve", "rebuild", "release", "freeze", "inventory"] {
        let of_image =
            if ["approve", "rebuild", "release", "freeze"].contains(&verb) { &image } else { &[][..] };
        let ran = patchwave(&[&[verb], of_image].concat());
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{verb}");
        let verb = if verb == "facts" { "observe" } else { verb };
        let expected = format!("`patchwave {verb}` reads from AWS");
        assert!(ran.stderr.starts_with(&expected), "{}", ran.stderr);
        assert_eq!(
            ran.stderr.lines().nth(1),
            Some("  cargo install --path cli --features aws"),
            "{}",
            ran.stderr
        );
    }
    let plan = patchwave(&["plan"]).stderr;
    assert_eq!(plan.lines().nth(2), Some("Or name a snapshot of facts: --facts FILE"), "{plan}");
}

#[test]
fn no_line_of_help_is_longer_than_eighty_columns() {
    for columns in [None, Some("80"), Some("200")] {
        for verb in verbs().iter().map(String::as_str).chain(["help"]) {
            for help in ["--help", "-h"] {
                let environment: Vec<_> = columns.map(|columns| ("COLUMNS", columns)).into_iter().collect();
                let arguments = if verb == "help" { vec![help] } else { vec![verb, help] };
                let shown = patchwave_with(&arguments, &environment).stdout;
                for line in shown.lines() {
                    assert!(line.chars().count() <= 80, "{verb} {help} in {columns:?} columns: {line}");
                }
            }
        }
    }
}

#[test]
fn every_help_ends_with_examples_that_fit_a_line() {
    for verb in verbs() {
        let help = patchwave(&[&verb, "--help"]).stdout;
        let examples = help.split("Examples:\n").nth(1).expect("examples");
        assert!(examples.contains(&format!("patchwave {verb}")), "{examples}");
        for line in examples.lines().take_while(|line| !line.is_empty()) {
            assert!(line.starts_with("  "), "{verb}: an example was broken into two lines: {line}");
        }
    }
}
