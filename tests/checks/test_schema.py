"""The JSON Schema that `patchwave validate --schema` prints and the loader accept the same files, as far as a schema can tell.

Needs target/debug/patchwave, as tests/run builds it, or the binary that PATCHWAVE names.
"""

import copy
import json
import os
import pathlib
import re
import subprocess

import jsonschema
import pytest
import yaml
from markdown import ROOT

HIERARCHIES = ROOT / "tests/fixtures/hierarchy"

# Files that only the loader can refuse. A schema sees shapes and words; it does not see what belongs together.
BEYOND_A_SCHEMA = {
    "registry_of_image",
    "copy_from_scratch",
    "cycle",
    "id_duplicate",
    "id_is_tag",
    "id_scratch",
    "image_repeated_by_alias",
    # Its tier may have a `tagPattern`.
    "no_line",
    "parent_digest",
    "parent_inside_pinned",
    "parent_itself",
    "parent_listed_twice",
    "parent_of_a_dockerfile",
    "parent_of_later_tier",
    "parent_on_docker_hub",
    "parent_undeclared",
    "parent_unknown",
    "parent_without_tag",
    "patterns_overlap",
    "pipeline_shared",
    "pipeline_shared_by_merge",
    "suppression_of_nothing",
    "tag_and_pattern_overlap",
    "tag_claimed_twice",
    "text_too_long",
}

# What an editor's YAML reader may make of a value, and how the file then writes it.
VALUES = [None, 3.10, 7, 222233334444, True, "text", [], ["text"], {}]


class Reader(yaml.SafeLoader):
    """Reads dates as texts: YAML 1.2, which editors use, has no dates."""


Reader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def patchwave(*arguments):
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    binary = pathlib.Path(os.environ.get("PATCHWAVE", target / "debug" / "patchwave"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PATCHWAVE_")}
    return subprocess.run([binary, *arguments], env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def schema():
    printed = json.loads(patchwave("validate", "--schema").stdout)
    jsonschema.Draft202012Validator.check_schema(printed)
    return jsonschema.Draft202012Validator(printed)


def read(path):
    # A key that YAML reads as a number is a text in JSON.
    return json.loads(json.dumps(yaml.load(path.read_text(), Reader)))


def files(folder):
    return sorted((HIERARCHIES / folder).glob("*.yaml"), key=lambda path: path.stem)


@pytest.mark.parametrize("path", [*files("valid"), *files("warned")], ids=lambda path: path.stem)
def test_the_schema_accepts_what_the_loader_accepts(schema, path):
    assert patchwave("validate", str(path)).returncode == 0
    assert [error.message for error in schema.iter_errors(read(path))] == []


@pytest.mark.parametrize("path", files("invalid"), ids=lambda path: path.stem)
def test_the_schema_refuses_what_the_loader_refuses(schema, path):
    try:
        document = read(path)
    except yaml.YAMLError:
        return
    assert schema.is_valid(document) is (path.stem in BEYOND_A_SCHEMA)


def keys(node):
    """Yields the keys that a schema knows, however deep."""
    if isinstance(node, dict):
        yield from node.get("properties", {}) if isinstance(node.get("properties"), dict) else ()
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from keys(value)


def rows(page):
    """Yields the cells of each row of the tables about keys: key, default, meaning."""
    inside = False
    for line in page.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        inside = bool(cells) and (inside or "key" in cells[0].split()[-1:])
        if inside and not set(line) <= set("|-"):
            yield cells


def test_the_page_of_the_hierarchy_file_explains_every_key(schema):
    page = (ROOT / "shared/HIERARCHY.md").read_text()
    known = set(keys(schema.schema))
    explained = [cells for cells in rows(page) if "key" not in cells[0].split()[-1:]]
    assert all(len(cells) == 3 and all(cells) for cells in explained), "each key has a default and a meaning"
    first = " ".join(span for cells in explained for span in re.findall("`([^`]*)`", cells[0]))
    named = set(re.findall("[A-Za-z][A-Za-z0-9]*", re.sub("<[a-z]*>", "", first)))
    assert named - known == {"x"}, "the page names keys that do not exist"
    code = " ".join(re.findall(r"```.*?```|`[^`]*`", page, re.DOTALL))
    missing = known - set(re.findall("[A-Za-z][A-Za-z0-9]*", code))
    assert not missing, missing


def positions(node, path=()):
    """Yields the path to every value of a document."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        yield (*path, key)
        if isinstance(value, (dict, list)):
            yield from positions(value, (*path, key))


def replaced(document, path, value):
    """Returns the document with another value at a path."""
    changed = copy.deepcopy(document)
    node = changed
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    return changed


def messages(tmp_path, document):
    file = tmp_path / "changed.yaml"
    file.write_text(json.dumps(document))
    answer = json.loads(patchwave("validate", str(file), "--format", "json").stdout)
    return [error["message"] for error in answer["errors"]]


def is_about_shape(message):
    return message.startswith(("write a", "write keys", "there is no value", "unknown key", "YAML reads"))


def test_both_see_the_same_shapes(schema, tmp_path):
    """Every value of a file that has all keys is replaced by one of another kind."""
    document = read(HIERARCHIES / "valid/contract.yaml")
    differ = []
    for path in positions(document):
        for value in VALUES:
            changed = replaced(document, path, value)
            said = messages(tmp_path, changed)
            if schema.is_valid(changed) and any(map(is_about_shape, said)):
                differ.append((path, value, "only the schema accepts it", said))
            if not schema.is_valid(changed) and not said:
                differ.append((path, value, "only the loader accepts it", said))
    assert differ == []
