"""Links between files lead somewhere, and the files that the documentation names exist."""

import pytest

import links


def test_every_link_and_every_named_file_exists():
    listed = [(file, *problem) for file in links.markdown.files() for problem in links.problems(file, file.read_text())]
    if listed:
        lines = [f"{file.relative_to(links.ROOT)}:{line}: {problem}" for file, line, problem in listed]
        pytest.fail("\n".join(lines), pytrace=False)


def found(text):
    return [problem for _, problem in links.problems(links.ROOT / "README.md", text)]


def test_a_link_to_nothing_is_found():
    assert found("[a](infra/README.md) [b](https://example.com/x) [c](#first)\n# First") == []
    assert found("[a](infra/NOTHING.md)") == ["the link infra/NOTHING.md leads to no file"]
    assert found("[a](#second)\n# First") == ["the link #second leads to no heading"]
    assert found("```\n[a](nothing.md)\n```\n`[a](nothing.md)`") == []


def test_a_named_file_that_does_not_exist_is_found():
    assert found("`tests/run`, `shared/src/*.rs`, `apps/checkout`, `tests/run --quick`") == []
    assert found("`shared/src/nothing.rs`") == ["`shared/src/nothing.rs` does not exist"]


def test_headings_get_the_anchors_of_github():
    text = "# What `demo` shows, and why\n## The [table](a.md)\n## The table\n"
    assert links.anchors(text) == {"what-demo-shows-and-why", "the-table", "the-table-1"}
