"""Public functions and types have a comment, no comment is empty, and none is too wide."""

import docs
import pytest


def found(source):
    return [problem for _, problem in docs.problems(source)]


def test_public_functions_and_types_have_a_comment_that_says_something():
    listed = [f"{file.relative_to(docs.ROOT)}:{line}: {it}" for file in docs.sources() for line, it in docs.problems_of(file)]
    if listed:
        pytest.fail("\n".join([*listed, "tests/checks/docs.py --wrap refills comments that are too wide"]), pytrace=False)


def test_a_public_function_without_a_comment_is_found():
    assert found("pub async fn start() {}") == ["`start` is public and has no doc comment"]
    assert found("#[must_use]\npub const fn start() {}") == ["`start` is public and has no doc comment"]
    assert found("pub trait World {\n    fn start();\n}")[1:] == ["`start` is public and has no doc comment"]
    assert found("/// Starts a build.\n#[must_use]\npub fn start() {}") == []


def test_fields_private_items_and_tests_need_no_comment():
    assert found("pub(crate) fn start() {}\nfn end() {}") == []
    assert found("/// What a pipeline made.\npub struct Build {\n    pub id: String,\n}") == []
    assert found("#[cfg(test)]\npub mod tests {\n    pub fn start() {}\n}") == []


def test_a_comment_that_repeats_the_name_is_found():
    assert found("struct Build {\n    /// Its id.\n    id: String,\n}") == ["the comment repeats the name: Its id."]
    assert found("struct Build {\n    /// In S3.\n    object: String,\n}") == []
    assert found("/// The ledger.\nstruct Ledger;") == ["the comment repeats the name: The ledger."]


def test_a_wide_comment_is_refilled_and_a_table_is_left_alone():
    wide = "    /// " + "word " * 30 + "\n    /// the end.\n    fn a() {}\n"
    assert "the comment is wider than 100 columns" in found(wide)
    narrow = docs.wrapped(wide.replace(" \n", "\n"))
    assert found(narrow) == [] and narrow.split() != wide.split() and narrow.endswith("    fn a() {}\n")
    table = "/// | " + "word " * 30 + "|\nfn a() {}\n"
    assert docs.wrapped(table) == table and found(table) == []
