//! One file for each thing that can be wrong or unintended, beside the message that it must give.

use std::path::{Path, PathBuf};

use patchwave::hierarchy::{Hierarchy, PartTexts};

fn files(folder: &str, kind: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/hierarchy").join(folder);
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|found| found == kind));
    files.sort();
    files
}

/// Returns the warnings about a file in November 2026, one a line, or its errors.
fn judged(path: &Path) -> Result<String, String> {
    let name = path.file_name().unwrap().to_str().unwrap();
    let now = "2026-11-20T06:00:00Z".parse().unwrap();
    let yaml = std::fs::read_to_string(path).unwrap();
    let (_, warnings) = Hierarchy::parse_with_warnings(name, &yaml, &PartTexts::new(), now)
        .map_err(|errors| format!("{errors}\n"))?;
    Ok(warnings.iter().flat_map(|warning| [warning.to_string(), "\n".to_owned()]).collect())
}

fn each_file_gives_the_message_beside_it(folder: &str, message: impl Fn(&Path) -> String) {
    let (files, messages) = (files(folder, "yaml"), files(folder, "txt"));
    let expected: Vec<PathBuf> = files.iter().map(|path| path.with_extension("txt")).collect();
    assert_eq!(messages, expected, "one message for each file");
    for path in files {
        let expected = std::fs::read_to_string(path.with_extension("txt")).unwrap();
        assert_eq!(message(&path), expected, "{}", path.display());
    }
}

#[test]
fn every_invalid_file_gives_its_errors() {
    each_file_gives_the_message_beside_it("invalid", |path| judged(path).expect_err("an invalid file"));
}

#[test]
fn every_file_that_probably_means_something_else_gives_its_warnings() {
    each_file_gives_the_message_beside_it("warned", |path| judged(path).unwrap());
}

#[test]
fn a_file_that_means_what_it_says_gives_no_warning() {
    for path in files("valid", "yaml") {
        assert_eq!(judged(&path), Ok(String::new()), "{}", path.display());
    }
}

#[test]
fn a_suppression_is_old_from_the_day_after_its_last() {
    let path = &files("warned", "yaml").into_iter().find(|path| path.ends_with("suppression_ended.yaml"));
    let yaml = std::fs::read_to_string(path.as_ref().unwrap()).unwrap();
    let warnings = |now: &str| {
        let (_, warnings) =
            Hierarchy::parse_with_warnings("f", &yaml, &PartTexts::new(), now.parse().unwrap()).unwrap();
        warnings.len()
    };
    assert_eq!(warnings("2026-10-31T23:59:59Z"), 0);
    assert_eq!(warnings("2026-11-01T00:00:00Z"), 1);
}

#[test]
fn no_message_has_a_word_of_the_parser() {
    for path in files("invalid", "txt").into_iter().chain(files("warned", "txt")) {
        let text = std::fs::read_to_string(&path).unwrap();
        for message in text.lines().filter_map(|line| Some(line.split_once(": ")?.1)) {
            for word in ["struct", "scalar", "deserialize", "sequence", "mapping", "null", "Option"] {
                assert!(!message.contains(word), "{word} in {message}");
            }
        }
    }
}

#[test]
fn a_huge_file_is_refused_before_it_is_parsed() {
    let yaml = "#".repeat(Hierarchy::LARGEST_FILE + 1);
    let errors = Hierarchy::parse("huge.yaml", &yaml).unwrap_err();
    assert_eq!(
        errors.to_string(),
        "huge.yaml:1:1: the file is larger than 67108864 bytes, and Patchwave reads no larger one; \
         use a second deployment"
    );
}
