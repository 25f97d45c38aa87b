//! One invalid file for each mistake, beside the message that it must give.

use std::path::{Path, PathBuf};

use patchwave::hierarchy::Hierarchy;

fn invalid_files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/hierarchy/invalid");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn message(path: &Path) -> String {
    let name = path.file_name().unwrap().to_str().unwrap();
    match Hierarchy::parse(name, &std::fs::read_to_string(path).unwrap()) {
        Ok(_) => panic!("{name} is accepted"),
        Err(errors) => format!("{errors}\n"),
    }
}

#[test]
fn every_invalid_file_gives_its_message() {
    let of_kind = |kind: &str| -> Vec<PathBuf> {
        invalid_files()
            .into_iter()
            .filter(|path| path.extension().is_some_and(|found| found == kind))
            .collect()
    };
    let (files, messages) = (of_kind("yaml"), of_kind("txt"));
    let expected: Vec<PathBuf> = files.iter().map(|path| path.with_extension("txt")).collect();
    assert_eq!(messages, expected, "one message for each file");
    for path in files {
        let expected = std::fs::read_to_string(path.with_extension("txt")).unwrap();
        assert_eq!(message(&path), expected, "{}", path.display());
    }
}

#[test]
fn a_huge_file_is_refused_before_it_is_parsed() {
    let yaml = "#".repeat(16 * 1024 * 1024 + 1);
    let errors = Hierarchy::parse("huge.yaml", &yaml).unwrap_err();
    assert_eq!(
        errors.to_string(),
        "huge.yaml:1:1: the file is larger than 16777216 bytes; split the hierarchy"
    );
}
