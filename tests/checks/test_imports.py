"""No circle of imports goes through the planner, the facts or the record."""

import imports
import pytest

# The parts of one thing each, in files of their own.
ALLOWED = [
    {"finding.rs", "finding/uncounted.rs"},
    {"hierarchy/chains.rs", "hierarchy/graph.rs", "hierarchy/query.rs", "hierarchy/set.rs"},
    {"hierarchy/draft.rs", "hierarchy/inherit.rs"},
    {"image/mod.rs", "image/family.rs", "image/reference.rs", "image/registry.rs"},
    {"trigger/mod.rs", "trigger/wire.rs"},
]


def real():
    return imports.circles(imports.Crate(imports.ROOT / "shared" / "src").graph())


def crate(folder, **files):
    for name, source in files.items():
        file = folder / f"{name.replace('__', '/')}.rs"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)
    return imports.Crate(folder).graph()


def is_central(circle):
    return any(file.startswith("plan/") or file in ("facts.rs", "record.rs") for file in circle)


def fail_for(circles):
    if circles:
        lines = [" ".join(circle) for circle in circles]
        pytest.fail("\n".join(["tests/checks/imports.py --dot draws them:", *lines]), pytrace=False)


def test_no_circle_goes_through_the_planner_the_facts_or_the_record():
    fail_for([circle for circle in real() if is_central(circle)])


def test_the_other_circles_are_the_known_ones():
    known = lambda circle: any(set(circle) <= allowed for allowed in ALLOWED)  # noqa: E731
    fail_for([circle for circle in real() if not is_central(circle) and not known(circle)])


def test_who_imports_through_a_re_export_imports_the_file_that_defines(tmp_path):
    graph = crate(
        tmp_path,
        lib="pub mod facts;\npub mod plan;\n",
        facts="use crate::plan::{Hold as Held, limits::{self, MOST}};\n",
        plan__mod="mod hold;\npub mod limits;\npub use hold::Hold;\npub struct Plan;\n",
        plan__hold="pub enum Hold {}\n",
        plan__limits="pub const MOST: u32 = 1;\n",
    )
    assert graph["facts.rs"] == ["plan/hold.rs", "plan/limits.rs"]
    assert graph["plan/mod.rs"] == []


def test_a_path_in_code_is_an_import_and_one_in_a_test_is_not(tmp_path):
    graph = crate(
        tmp_path,
        lib="pub mod facts;\npub mod record;\npub mod time;\n",
        facts="use super::record;\nfn a(b: record::Record) -> crate::time::Span { b.into() }\n",
        record="macro_rules! named { () => {} }\nnamed!(Record);\n#[cfg(test)]\nmod tests {\n    use crate::facts::Facts;\n}\n",
        time="pub struct Span;\n",
    )
    assert graph["facts.rs"] == ["record.rs", "time.rs"]
    assert graph["record.rs"] == []


def test_what_a_glob_brings_in_counts_where_it_is_used(tmp_path):
    graph = crate(
        tmp_path,
        lib="pub mod a;\npub mod b;\n",
        a="use crate::b::*;\nfn one() -> Two { Two }\n",
        b="pub struct Two;\n",
    )
    assert graph["a.rs"] == ["b.rs"]


def test_a_circle_is_found(tmp_path):
    graph = crate(
        tmp_path,
        lib="pub mod a;\npub mod b;\npub mod c;\n",
        a="use crate::b::B;\npub struct A;\n",
        b="use crate::c::C;\npub struct B;\n",
        c="pub struct C;\nfn a() -> crate::a::A { crate::a::A }\n",
    )
    assert imports.circles(graph) == [["a.rs", "b.rs", "c.rs"]]
