#!/usr/bin/env python3
"""Finds links between the project's Markdown files that lead nowhere, and files that are named and do not exist.

    tests/checks/links.py

Exits with 1 if it finds something.
"""

import re
import sys

sys.dont_write_bytecode = True

import markdown  # noqa: E402
from markdown import ROOT  # noqa: E402

LINK = re.compile(r"!?\[[^\]]*\]\(<?([^)\s>]+)>?[^)]*\)|(?:href|src|srcset)=\"([^\"]+)\"")
CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
# A path of the project: it begins with one of the folders, or with a dot and a name, and has no placeholder.
PATH = re.compile(r"(?:\.{1,2}/)*[\w.-]+(?:/[\w.*-]+)+/?|[\w-]+\.(?:md|rs|py|toml|yaml|yml|json|sh|guard)")


def problems(file, text):
    """What leads nowhere, with its line."""
    for number, line in markdown.lines(text):
        for match in LINK.finditer(CODE.sub("", line)):
            problem = leads_nowhere(file, text, match[1] or match[2])
            if problem:
                yield number, problem
        for match in CODE.finditer(line):
            named = match[1].split()[0] if match[1].split() else ""
            if PATH.fullmatch(named) and is_of_the_project(named) and not exists(file, named):
                yield number, f"`{named}` does not exist"


def leads_nowhere(file, text, target):
    if re.match(r"[a-z]+:", target):
        return None
    path, _, anchor = target.partition("#")
    reached = (file.parent / path).resolve() if path else file
    if not reached.exists():
        return f"the link {target} leads to no file"
    if anchor and reached.suffix == ".md" and anchor not in anchors(reached.read_text() if path else text):
        return f"the link {target} leads to no heading"
    return None


def anchors(text):
    """The anchors that GitHub gives to the headings."""
    found = {}
    for _, line in markdown.lines(text):
        for name in re.findall(r"<a (?:id|name)=\"([^\"]+)\"", line):
            found[name] = 0
        if heading := re.match(r"#+ (.*?)\s*#*$", line):
            said = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading[1])
            anchor = re.sub(r"[^\w\- ]", "", said.lower()).replace(" ", "-")
            found[anchor] = found.get(anchor, -1) + 1
            if found[anchor]:
                found[f"{anchor}-{found[anchor]}"] = 0
    return set(found)


def is_of_the_project(named):
    """Whether the first part of the path is at the top level, or the name alone looks like a file of the project."""
    first = named.lstrip("./").split("/")[0]
    return "/" in named and first in TOP and not named.startswith("target/")


def exists(file, named):
    places = (ROOT, file.parent)
    return any(place.joinpath(named).exists() or ("*" in named and any(place.glob(named))) for place in places)


TOP = {path.name for path in ROOT.iterdir() if path.name not in ("target", ".git")}


def main():
    listed = [f"{file.relative_to(ROOT)}:{n}: {it}" for file in markdown.files() for n, it in problems(file, file.read_text())]
    print("\n".join(listed))
    sys.exit(1 if listed else 0)


if __name__ == "__main__":
    main()
